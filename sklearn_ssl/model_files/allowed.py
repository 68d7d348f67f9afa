"""The classes and functions that a model file may name.

Nothing else is ever looked up, and nothing is imported because a file names it: those of this
package, a few of scikit-learn and torch, and what the user has registered.
"""

import torch
from sklearn import linear_model, svm
from sklearn.frozen import FrozenEstimator
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import LabelBinarizer

from sklearn_ssl import encoders
from sklearn_ssl.augment import Augmentation
from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.data.spec import Spec
from sklearn_ssl.encoders.pretrained_image import GivenModule, ImageNetwork
from sklearn_ssl.few_labels.base import BaseFineTuner
from sklearn_ssl.few_labels.multilabel import LogisticRegressionPerLabel
from sklearn_ssl.optim import adamw
from sklearn_ssl.semi_supervised import LabeledOnly

DESCRIPTIONS = (Spec, ImageNetwork, GivenModule)  # of data and networks, as dataclasses
PACKAGE = __name__.split(".")[0]
OF_SKLEARN = (
    linear_model.Lasso,
    linear_model.LinearRegression,
    linear_model.LogisticRegression,
    linear_model.LogisticRegressionCV,
    linear_model.Ridge,
    linear_model.RidgeClassifier,
    linear_model.RidgeClassifierCV,
    linear_model.RidgeCV,
    svm.LinearSVC,
    svm.LinearSVR,
    FrozenEstimator,
    OneVsRestClassifier,
    LabelBinarizer,  # inside of OneVsRestClassifier
)


def _subclasses(base):
    """Return the subclasses of a base class in this package, direct or not, and itself."""
    inner = [cls for child in base.__subclasses__() for cls in _subclasses(child)]
    return [cls for cls in (base, *inner) if cls.__module__.split(".")[0] == PACKAGE]


def _full_name(thing):
    return f"{thing.__module__}.{thing.__qualname__}"


_OF_PACKAGE = [
    *(
        cls
        for base in (BasePretrainer, BaseFineTuner, *DESCRIPTIONS, Augmentation)
        for cls in _subclasses(base)
    ),
    *(LabeledOnly, LogisticRegressionPerLabel, adamw),
    *(getattr(encoders, name) for name in encoders.__all__),
]
_OF_TORCH = [getattr(torch.optim, name) for name in torch.optim.__all__ if name[0].isupper()]
_ALLOWED = {_full_name(thing): thing for thing in (*_OF_PACKAGE, *_OF_TORCH, *OF_SKLEARN)}
_REGISTERED = {}

# For skops.io.load(path, trusted=SKOPS_TRUSTED_TYPES): it trusts scikit-learn's own types anyway.
SKOPS_TRUSTED_TYPES = sorted(_full_name(thing) for thing in (*_OF_PACKAGE, *_OF_TORCH))


def register_model_class(thing, name=None):
    """Allow model files to name a class or a function of your own.

    Call it before :func:`~sklearn_ssl.save_model`, and in every process that calls
    :func:`~sklearn_ssl.load_model`: a file holds the name only, and which code it stands for is up
    to the process that loads it.

    Parameters
    ----------
    thing : class or function
        An estimator with a pretext task of your own, a function that is passed as `encoder`,
        `augment` or `optimizer`, or the class of a scikit-learn estimator that is a `head`.
    name : str, default=None
        The name in the file. None means the module and the name, such as ``"my_package.my_net"``.
        Give a name to what is in one module here and in another one where it is loaded.

    Returns
    -------
    thing : class or function
        The same, so that this is a decorator too.

    Raises
    ------
    TypeError
        If it is neither a class nor a function.
    ValueError
        If it has no name of its own, like a lambda, or the name is one of this package.

    Examples
    --------
    >>> from sklearn_ssl import register_model_class
    >>> from torch import nn
    >>> @register_model_class
    ... def wide_net(shape):
    ...     return nn.Sequential(nn.Flatten(), nn.LazyLinear(512))
    """
    if not callable(thing) or not hasattr(thing, "__qualname__"):
        raise TypeError(f"Only classes and functions can be registered, got {thing!r}.")
    name = _full_name(thing) if name is None else name
    if "<" in name:
        raise ValueError(
            f"{name} has no name that another process could know: define it with def at the top "
            "level of a module, or pass a name."
        )
    if name in _ALLOWED:
        raise ValueError(f"{name} is known to model files already: pass another name.")
    _REGISTERED[name] = thing
    return thing


def thing_of(name):
    """Return the class or function that a file names.

    Raises
    ------
    ValueError
        If it is not allowed.
    """
    known = _ALLOWED | _REGISTERED
    if not isinstance(name, str) or name not in known:
        raise ValueError(
            f"it names {str(name)[:200]!r}, which is neither of sklearn_ssl nor registered. If it "
            "is your own, call sklearn_ssl.register_model_class with it first"
        )
    return known[name]


def name_of(thing, where):
    """Return the name of a class or function in a file.

    Parameters
    ----------
    thing : class or function
    where : str
        The place of it in the estimator, for messages.

    Raises
    ------
    ValueError
        If it is not allowed.
    """
    names = [name for name, known in (_ALLOWED | _REGISTERED).items() if known is thing]
    if not names:
        raise ValueError(
            f"{where} holds {_full_name(thing)}, which model files do not know. If load_model "
            "should use it, call sklearn_ssl.register_model_class with it, here and in the process "
            "that loads the file; or save the estimator with joblib."
        )
    return names[-1]
