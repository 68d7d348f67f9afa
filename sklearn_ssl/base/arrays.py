"""Base classes of estimators of arrays, in layers of parameters."""

from collections.abc import Callable
from numbers import Integral

from numpy.typing import ArrayLike

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval, StrOptions
from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.base.parameters import FieldParametersMixin, param
from sklearn_ssl.base.pretrained import PretrainedParameters
from sklearn_ssl.data.spec import Spec
from sklearn_ssl.encoders import make_encoder


class BaseArrayTransformer(BasePretrainer):
    """Base class of estimators whose rows are arrays.

    Attributes
    ----------
    n_features_in_ : int
        Length of the second axis of X: columns of a table or a flat image, height of an image,
        channels of a series.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X has names that are all strings.
    """


class EncoderParameters(FieldParametersMixin):
    """Parameters of the network that turns a row into a vector.

    Parameters
    ----------
    encoder : None, str or callable, default=None
        The network whose output is the representation. None chooses one that suits the data and a
        CPU: a small residual network for images and for series, a multi-layer perceptron for
        tables, and a bag of words for texts. ``"vit"`` is a small Vision Transformer for
        images; other strings name torchvision classifiers, for example ``"resnet18"``, which are
        built untrained and without their last layer; ``"rocket"`` is a
        :class:`~sklearn_ssl.encoders.RocketEncoder` for series, and ``"transformer"`` a
        :class:`~sklearn_ssl.encoders.TextEncoder` for texts. A callable receives the shape of one
        row of a batch, ``(features,)``, ``(channels, height, width)`` or ``(channels, time)``, for
        texts ``(vocabulary_size, max_length)``, and returns a module. For tables with categories or
        missing numbers, a :class:`~sklearn_ssl.encoders.FeatureEmbedding` comes before the encoder,
        and its outputs are the features.
    n_components : int, default=None
        Width of the representation, produced by a linear layer after the encoder. None keeps the
        encoder's own width.
    """

    encoder: str | Callable | None = param(None, None, str, callable)
    n_components: int | None = param(
        None, Interval(Integral, 1, defaults.WIDEST, closed="both"), None
    )

    def _make_encoder(self, spec):
        """Build the encoder according to the parameters; it has an ``output_dim``."""
        return make_encoder(self.encoder, spec, self.n_components)


class TableParameters(FieldParametersMixin):
    """How the columns of a table are read.

    Parameters
    ----------
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Columns of a table that hold categories: their positions or names, or a boolean for each
        column. "from_dtype" means the columns that hold strings or have a categorical dtype.
        Categories that first appear after ``fit``, and missing ones if none were missing in
        ``fit``, are embedded as unknown.
    scaling : {"standard", "quantile"}, default="standard"
        How the numbers of a table are scaled: each column to mean 0 and standard deviation 1, or
        its quantiles to those of a normal distribution, which is robust to extreme values. Missing
        numbers (NaN) then become 0, with an indicator for each column that had missing numbers in
        ``fit``.
    """

    categorical_features: ArrayLike | None = param(
        "from_dtype", StrOptions({"from_dtype"}), "array-like", None
    )
    scaling: str = param("standard", StrOptions({"standard", "quantile"}))


class KindParameters(TableParameters):
    """Whether X holds a table, images or series.

    Parameters
    ----------
    modality : {"auto", "table", "image", "series"}, default="auto"
        What X holds. "auto" reads paths and encoded images as images, two dimensions as a table and
        four as images; three could be grayscale images or series, so you must say which.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of images that are passed as flat rows.
    image_size : int or tuple of int, default=None
        The size that images get if X holds files or encoded images, or is a list or a data set of
        images of PIL or of arrays: the side of a square, ``(height, width)`` or ``(height, width,
        channels)``, with 3 channels (RGB, the default) or 1 (gray); arrays other than of uint8
        keep their channels. None means 64 pixels for files, which a small network reads in minutes
        on a CPU, or the size of a pretrained network, and leaves other images, which must then have
        the same size, as they are. See :ref:`image-files`.
    image_resize : {"crop", "pad"}, default="crop"
        What happens to images of other proportions that are resized: "crop" cuts off what is too
        long on both sides, "pad" keeps all of the image between black borders.
    """

    modality: str = param("auto", str)
    image_shape: tuple | None = param(None, "array-like", None)
    image_size: int | tuple | None = param(None, Integral, "array-like", None)
    image_resize: str = param("crop", StrOptions({"crop", "pad"}))


class BaseSSLTransformer(
    PretrainedParameters, EncoderParameters, KindParameters, BaseArrayTransformer
):
    """Base class of self-supervised transformers of images, tables and series.

    A subclass defines ``_make_task(self, spec)``, which returns a :class:`~sklearn_ssl.PretextTask`
    for the data that `spec` describes, with the encoder that ``self._make_encoder(spec)`` builds.
    Declare its own parameters as fields in the class body, such as ``noise: float = 0.5``;
    ``__init__`` is generated from the fields.
    """


class BaseViewTransformer(BaseSSLTransformer):
    """Base class of the methods that compare augmented views of a row.

    Parameters
    ----------
    modality : {"auto", "table", "image", "series", "text"}, default="auto"
        What X holds. "auto" reads paths and encoded images as images, other lists or columns of
        strings as texts, two dimensions as a table and four as images; three could be grayscale
        images or series, so you must say which. Of texts, up to 20,000 words are read in lower
        case, 256 at once; estimators of texts alone, such as
        :class:`~sklearn_ssl.CausalLMEmbedder`, accept a `tokenizer`.
    augment : Augmentation, callable or list of them, default=None
        Makes a view of a batch, a tensor of shape ``(n, ...)``. None means
        :class:`~sklearn_ssl.augment.ImageAugmentation` for images,
        :class:`~sklearn_ssl.augment.FeatureCorruption` for tables,
        :class:`~sklearn_ssl.augment.SeriesAugmentation` for series and
        :class:`~sklearn_ssl.augment.TextAugmentation` for texts. Any other function of a batch
        works too; random numbers that it draws from torch's global stream are also seeded.
    """

    augment: Callable | list | None = param(None, callable, list, tuple, None)

    _kinds = Spec


class BaseMultiCropTransformer(BaseViewTransformer):
    """Base class of the methods that compare views of all and of parts of a row.

    Parameters
    ----------
    n_local : int, default=None
        Number of local views of each row, which show less of it; for images and series they have
        half the side length. None means 4 for images with at least 64 pixels on the shorter side,
        and otherwise 0: a part of a small image hardly shows what it comes from.
    """

    n_local: int | None = param(None, Interval(Integral, 0, defaults.DEEPEST, closed="both"), None)


class BaseTableTransformer(EncoderParameters, TableParameters, BaseArrayTransformer):
    """Base class of self-supervised transformers of tables.

    Parameters
    ----------
    encoder : None or callable, default=None
        The network whose output is the representation. None means a multi-layer perceptron. A
        callable receives the shape of one row of a batch, ``(features,)``, and returns a module.
        For tables with categories or missing numbers, a
        :class:`~sklearn_ssl.encoders.FeatureEmbedding` comes before the encoder, and its outputs
        are the features.
    """

    _modalities = ("table",)


class BaseSeriesTransformer(BaseArrayTransformer):
    """Base class of self-supervised transformers of series, by a state for every step.

    Parameters
    ----------
    encoder : None or callable, default=None
        The network that gives each step a state, from ``(n, channels, time)`` to ``(n, width,
        time)``. None means :class:`~sklearn_ssl.encoders.TemporalEncoder`. A callable receives
        ``(channels, time)`` and returns a module.
    """

    _modalities = ("series",)
    _missing_allowed = ("series",)

    encoder: Callable | None = param(None, None, callable)
