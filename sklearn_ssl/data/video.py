"""Videos: images that follow each other in time."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

from sklearn_ssl.data.axes import is_oblong
from sklearn_ssl.data.image_items import MOST_COLORS
from sklearn_ssl.data.padding import pad_lists
from sklearn_ssl.data.pixels import PixelSpec
from sklearn_ssl.data.spec import shown_shape


@dataclass(frozen=True, kw_only=True)
class VideoSpec(PixelSpec):
    """What an estimator knows about videos. A batch is ``(n, time, channels, height, width)``."""

    modality: ClassVar[str] = "video"
    n_dims: ClassVar[tuple] = (4, 5)
    expected: ClassVar[str] = "(n, time, height, width) or (n, time, height, width, channels)"
    plural: ClassVar[str] = "videos"
    rows_to_see: ClassVar[int] = 60_000

    @classmethod
    def from_lists(cls, estimator, blocks, lists, spec):
        if not cls.takes_missing(estimator):
            return super().from_lists(estimator, blocks, lists, spec)
        time = None if spec is None else spec.row_shape[0]
        return pad_lists(blocks, cls.plural, type(estimator).__name__, axis=0, time=time)

    @classmethod
    def batch_shape(cls, estimator, row_shape):
        cls.check_dims(row_shape)
        return read_video_shape(row_shape)

    def as_rows(self, batch):
        rows = batch.movedim(2, -1).cpu().numpy()
        # A prediction may have another length.
        return rows.reshape(len(rows), rows.shape[1], *self.row_shape[1:])


def read_video_shape(row_shape):
    """Return (time, channels, height, width) of videos passed as `row_shape`."""
    time, height, width, channels = (*row_shape, 1)[:4]
    expected = (
        "videos are expected as (n, time, height, width) or (n, time, height, width, channels)"
    )
    if len(row_shape) == 3 and width <= MOST_COLORS < min(time, height):
        raise ValueError(
            f"X has shape {shown_shape(row_shape)}, which looks like images in color, (n, height, "
            f"width, channels); {expected}. Methods for images accept it as it is."
        )
    if channels > MOST_COLORS and height != width:
        axis = 1 if time <= MOST_COLORS < height else 2
        looks = f"X has shape {shown_shape(row_shape)}, which looks like channels first; {expected}"
        if height <= MOST_COLORS or (axis == 1 and width == channels):
            raise ValueError(f"{looks}. Use np.moveaxis(X, {axis}, -1).")
        if width == channels or (is_oblong(height, width) and not is_oblong(width, channels)):
            warnings.warn(
                f"{looks}. If so, use np.moveaxis(X, {axis}, -1); if not, silence this with "
                f'warnings.filterwarnings("ignore", "X has shape .* which looks like").',
                UserWarning,
                stacklevel=2,
            )
    return time, channels, height, width
