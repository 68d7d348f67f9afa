"""Save a fitted estimator as arrays and JSON, and load it."""

from sklearn.base import BaseEstimator

from sklearn_ssl._array_files import ModelFileError, read_arrays, write_arrays
from sklearn_ssl._version import __version__
from sklearn_ssl.model_files.codec import Reader, Writer
from sklearn_ssl.model_files.versions import versions

FORMAT = 1


def save_model(estimator, path):
    """Save an estimator of this package in a file that runs nothing when it is loaded.

    Parameters
    ----------
    estimator : estimator
        Any estimator of this package, fitted or not: also
        :class:`~sklearn_ssl.FineTuneClassifier`, :class:`~sklearn_ssl.FineTuneRegressor` and
        :class:`~sklearn_ssl.semi_supervised.LabeledOnly`. Of a Pipeline, save the step.
    path : str or path
        An existing file is replaced when the new one is complete; if saving fails, it stays as it
        was. The ending is up to you; ``.safetensors`` says what it is.

    Raises
    ------
    ValueError
        If the estimator holds a class, a function or data that these files do not know. Classes and
        functions of your own can be registered, see :func:`~sklearn_ssl.register_model_class`.

    See Also
    --------
    load_model : Load it.
    model_card : What someone else should know about it.

    Notes
    -----
    The file is in the format `safetensors <https://github.com/huggingface/safetensors>`_: arrays,
    and a text with the parameters, the description of the training data and the versions of the
    packages, as JSON. The text includes the sha256 of all other bytes. Callbacks are left out.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer, load_model, save_model
    >>> X = load_digits().data[:100]
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(ssl, Path(folder) / "digits.safetensors")
    ...     loaded = load_model(Path(folder) / "digits.safetensors")
    >>> np.array_equal(loaded.transform(X), ssl.transform(X))
    True
    """
    if not isinstance(estimator, BaseEstimator):
        raise TypeError(f"save_model saves estimators, got {type(estimator).__name__}.")
    writer = Writer()
    state = writer.encode(estimator, "")
    write_arrays(path, writer.arrays, {"format": FORMAT, "versions": versions(), "model": state})


def load_model(path):
    """Load an estimator that :func:`save_model` saved.

    Nothing is unpickled, imported or run because the file says so: it may only name classes and
    functions of this package, linear models of scikit-learn, optimizers of torch, and what you have
    passed to :func:`~sklearn_ssl.register_model_class`.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    estimator : estimator
        On the same machine with the same packages, it gives the same results to the last bit. A
        network that was fitted on a GPU that this machine lacks is on the CPU.

    Raises
    ------
    ModelFileError
        If the file is damaged, has another format, or holds what no estimator can be made of.
    FileNotFoundError
        If there is no such file.

    Warns
    -----
    UserWarning
        If another version of this package or of scikit-learn saved it.
    """
    arrays, metadata = read_arrays(path)
    if metadata.get("format") != FORMAT:
        raise ModelFileError(
            f"{path} has the format {str(metadata.get('format'))[:200]}, but this version of "
            f"sklearn_ssl, {__version__}, loads the format {FORMAT} of models."
        )
    try:
        estimator = Reader(arrays).decode(metadata["model"])
        if not isinstance(estimator, BaseEstimator) or arrays:
            raise ValueError("it is not an estimator with its arrays")
    except ImportError:
        raise
    except Exception as error:  # what constructors raise when a file passes them something else
        raise ModelFileError(f"{path} does not hold a model that can be loaded: {error}") from error
    return estimator
