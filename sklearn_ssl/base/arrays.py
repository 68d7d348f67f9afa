"""What the estimators of arrays are made of: the parameters of each kind, and who has which."""

from collections.abc import Callable
from numbers import Integral

from numpy.typing import ArrayLike

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval, StrOptions
from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.base.parameters import FieldParametersMixin, param
from sklearn_ssl.encoders import make_encoder


class BaseArrayTransformer(BasePretrainer):
    """Base class of estimators whose rows are arrays.

    Attributes
    ----------
    n_features_in_ : int
        Length of the second axis of X: columns of a table or a flat image, height of an image,
        channels of a series.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X has names that are all strings.
    """


class EncoderParameters(FieldParametersMixin):
    """Which network makes a vector of a row.

    Parameters
    ----------
    encoder : None, str or callable, default=None
        The network whose output is the representation. None chooses one that suits the data and a
        CPU: a small residual network for images and for series, a multi-layer perceptron for
        tables. ``"vit"`` is a small Vision Transformer for images; any other string names a
        torchvision classifier, ``"resnet18"`` say, untrained and without its last layer. A callable
        is given the shape of one row of a batch, ``(features,)``, ``(channels, height, width)`` or
        ``(channels, time)``, and returns a module. In front of the encoder of a table with
        categories or missing numbers stands a
        :class:`~sklearn_ssl.encoders.FeatureEmbedding`, whose outputs are its features then.
    n_components : int, default=None
        Width of the representation, by a linear layer behind the encoder. None keeps the encoder's
        own width.
    """

    encoder: str | Callable | None = param(None, None, str, callable)
    n_components: int | None = param(
        None, Interval(Integral, 1, defaults.WIDEST, closed="both"), None
    )

    def _make_encoder(self, spec):
        """Build the encoder that the parameters ask for; it has an ``output_dim``."""
        return make_encoder(self.encoder, spec, self.n_components)


class TableParameters(FieldParametersMixin):
    """How the columns of a table are read.

    Parameters
    ----------
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Columns of a table that hold categories: their places or names, or a boolean for each
        column. "from_dtype" are the columns that hold strings or have a dtype for categories.
        Categories that come up after ``fit``, and missing ones if none was missing then, are
        embedded as unknown.
    scaling : {"standard", "quantile"}, default="standard"
        How the numbers of a table are scaled: each column to mean 0 and deviation 1, or its
        quantiles to those of a normal distribution, which extreme values cannot stretch. Missing
        numbers (NaN) are 0 then, beside an indicator for each column that lacked some in ``fit``.
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
        What X holds. "auto" reads two dimensions as a table and four as images; three could be grey
        images or series, and must be named.
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, channels)`` of images that come as flat rows.
    """

    modality: str = param("auto", str)
    image_shape: tuple | None = param(None, "array-like", None)


class BaseSSLTransformer(EncoderParameters, KindParameters, BaseArrayTransformer):
    """Base class of self-supervised transformers of images, tables and series.

    A subclass defines ``_make_task(self, spec)``, which returns a
    :class:`~sklearn_ssl.PretextTask` for the data that `spec` describes, with the encoder that
    ``self._make_encoder(spec)`` builds. A parameter of its own is a field, ``noise: float = 0.5``
    in the body of the class: ``__init__`` is made of the fields.
    """


class BaseViewTransformer(BaseSSLTransformer):
    """Base class of the methods that compare augmented views of a row.

    Parameters
    ----------
    augment : Augmentation, callable or list of them, default=None
        Makes a view of a batch, a tensor of shape ``(n, ...)``. None is
        :class:`~sklearn_ssl.augment.ImageAugmentation` for images,
        :class:`~sklearn_ssl.augment.FeatureCorruption` for tables and
        :class:`~sklearn_ssl.augment.SeriesAugmentation` for series. Any other function of a batch
        will do; random numbers that it draws from torch's global stream are seeded too.
    """

    augment: Callable | list | None = param(None, callable, list, tuple, None)


class BaseMultiCropTransformer(BaseViewTransformer):
    """Base class of the methods that compare views of all and of parts of a row.

    Parameters
    ----------
    n_local : int, default=None
        Local views of each row, which show less of it; those of images and series have half the
        sides. None is 4 for images from 64 pixels on the shorter side, and else 0: a part of a
        small image hardly says what it comes from.
    """

    n_local: int | None = param(None, Interval(Integral, 0, defaults.DEEPEST, closed="both"), None)


class BaseTableTransformer(EncoderParameters, TableParameters, BaseArrayTransformer):
    """Base class of self-supervised transformers of tables.

    Parameters
    ----------
    encoder : None or callable, default=None
        The network whose output is the representation. None is a multi-layer perceptron. A callable
        is given the shape of one row of a batch, ``(features,)``, and returns a module. In front of
        the encoder of a table with categories or missing numbers stands a
        :class:`~sklearn_ssl.encoders.FeatureEmbedding`, whose outputs are its features then.
    """

    _modalities = ("table",)


class BaseSeriesTransformer(BaseArrayTransformer):
    """Base class of self-supervised transformers of series, by a state for every step.

    Parameters
    ----------
    encoder : None or callable, default=None
        The network that gives each step a state, from ``(n, channels, time)`` to
        ``(n, width, time)``. None is :class:`~sklearn_ssl.encoders.TemporalEncoder`. A callable is
        given ``(channels, time)`` and returns a module.
    """

    _modalities = ("series",)
    _missing_allowed = ("series",)

    encoder: Callable | None = param(None, None, callable)
