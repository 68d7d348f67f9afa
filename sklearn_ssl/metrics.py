"""Measures of representations that need no labels, and scorers that select models by them.

The measures are functions of arrays. A scorer embeds the rows that it is given, and returns a
number; higher is better. Searches call it as ``scorer(estimator, X, y=None)``.
:doc:`/choosing_without_labels` shows how useful each of them is.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl import defaults
from sklearn_ssl._measures import (
    alignment,
    alpha_req,
    knn_agreement,
    lidar,
    rankme,
    uniformity,
)
from sklearn_ssl._seeds import draw_seed
from sklearn_ssl._sklearn_compat import Interval, validate_params
from sklearn_ssl.training import inference
from sklearn_ssl.training.runtime import torch_settings

__all__ = [
    "RepresentationScorer",
    "alignment",
    "alignment_scorer",
    "alpha_req",
    "alpha_req_scorer",
    "embed_views",
    "knn_agreement",
    "knn_agreement_scorer",
    "lidar",
    "lidar_scorer",
    "rankme",
    "rankme_scorer",
    "uniformity",
    "uniformity_scorer",
]

# Views --------------------------------------------------------------------------------------------


@validate_params(
    {
        "n_views": [Interval(Integral, 1, defaults.DEEPEST, closed="both")],
        "augment": [callable, list, tuple, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def embed_views(estimator, X, n_views=2, augment=None, random_state=0):
    """Return the representations of several random views of each row.

    Parameters
    ----------
    estimator : estimator
        A fitted transformer of this package, or a Pipeline that ends in one.
    X : array-like
        Rows as accepted by ``transform``.
    n_views : int, default=2
    augment : Augmentation, callable or list of them, default=None
        Makes a view of a batch. None means the default augmentation of the kind of data, whatever
        the estimator was trained with, so that estimators trained with different augmentations are
        compared on the same views.
    random_state : int, RandomState instance or None, default=0
        Seed of the views. With an int, they are the same for all estimators.

    Returns
    -------
    representations : ndarray of shape (n, n_views, output_dim)
        In float32. The networks are in evaluation mode.

    Raises
    ------
    TypeError
        If `estimator` does not belong to this package.
    ValueError
        If there is no augmentation for its kind of data.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.metrics import alignment, embed_views
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0).fit(X[:64])
    >>> views = embed_views(ssl, X[64:100], n_views=3)
    >>> views.shape
    (36, 3, 256)
    >>> 0 < alignment(views[:, 0], views[:, 1]) < 1
    True
    """
    if isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    check_is_fitted(estimator)
    estimator = copy.copy(estimator)  # another thread may fit it meanwhile
    spec = getattr(estimator, "input_spec_", None)
    if spec is None:
        raise TypeError(
            "Views are made for transformers of sklearn_ssl, or for a Pipeline that ends in one; "
            f"got {type(estimator).__name__}. {WITHOUT_VIEWS}"
        )
    if spec.default_augmentation is None and augment is None:
        raise ValueError(
            f"{spec.plural.capitalize()} have no default augmentation: pass a function of a batch "
            f"as augment. {WITHOUT_VIEWS}"
        )
    rows, owners, shares = estimator._rows_of(X)
    seed = draw_seed(random_state)
    with torch_settings():
        views = inference.embed_views(
            estimator.task_,
            rows,
            spec,
            augment,
            n_views=n_views,
            seed=seed,
            device=estimator._task_device(),
        )
    return inference.mean_of_pieces(views, owners, shares)


WITHOUT_VIEWS = "rankme, alpha_req and uniformity, and their scorers, need no views."


# Scorers ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RepresentationScorer:
    """Score representations without labels: ``scorer(estimator, X, y=None)``, higher is better.

    Pass it as ``scoring`` wherever scikit-learn accepts a callable. Available scorers are
    ``rankme_scorer``, ``alpha_req_scorer``, ``lidar_scorer``, ``alignment_scorer``,
    ``uniformity_scorer`` and ``knn_agreement_scorer``; ``dataclasses.replace`` makes a scorer with
    other settings.

    Parameters
    ----------
    name : str
        What is measured.
    score : callable
        Function of the representations, of shape ``(n, width)``, or ``(n, n_views, width)`` if
        there are views. It must be picklable for parallel jobs.
    n_views : int, default=0
        Views of each row, see :func:`embed_views`. With 0, ``transform`` embeds the rows as they
        are, and any transformer is accepted.
    augment : Augmentation, callable or list of them, default=None
        Makes the views. None means the default augmentation of the kind of data.
    random_state : int, default=0
        Seed of the views.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ssl.metrics import lidar_scorer, rankme_scorer
    >>> X, _ = load_digits(return_X_y=True)
    >>> rankme_scorer(PCA(8).fit(X), X) < 8
    True
    >>> replace(lidar_scorer, n_views=50)
    RepresentationScorer(name='lidar', n_views=50, augment=None, random_state=0)
    """

    name: str
    score: Callable = field(repr=False)
    n_views: int = 0
    augment: object = None
    random_state: int = 0

    def __call__(self, estimator, X, y=None):
        """Return the score of a fitted transformer on rows that it should not have seen.

        Parameters
        ----------
        estimator : estimator
            An estimator with a method ``transform``; one of this package if there are views.
        X : array-like
            Rows as accepted by ``transform``.
        y : ignored
            Present for API consistency.

        Returns
        -------
        score : float
        """
        if not hasattr(estimator, "transform"):
            raise TypeError(
                f"{self.name} scores representations, but {type(estimator).__name__} has no method "
                "transform. For a Pipeline that ends in a classifier, score pipeline[:-1]."
            )
        if not self.n_views:
            return self.score(estimator.transform(X))
        return self.score(embed_views(estimator, X, self.n_views, self.augment, self.random_state))


def _nearness_of_alpha_to_1(Z):
    return -abs(alpha_req(Z) - 1)


def _minus_alignment(views):
    return -alignment(views[:, 0], views[:, 1])


def _minus_uniformity(Z):
    return -uniformity(Z)


def _agreement_of_views(views):
    return knn_agreement(views[:, 0], views[:, 1])


rankme_scorer = RepresentationScorer("rankme", rankme)
alpha_req_scorer = RepresentationScorer("alpha_req", _nearness_of_alpha_to_1)
lidar_scorer = RepresentationScorer("lidar", lidar, n_views=10)
alignment_scorer = RepresentationScorer("alignment", _minus_alignment, n_views=2)
uniformity_scorer = RepresentationScorer("uniformity", _minus_uniformity)
knn_agreement_scorer = RepresentationScorer("knn_agreement", _agreement_of_views, n_views=2)
