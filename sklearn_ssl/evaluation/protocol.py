"""A fair comparison with few labels: the same test rows and the same drawn labels for all."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sklearn_ssl._sklearn_compat import _num_samples, _safe_indexing
from sklearn_ssl.data.containers import opened
from sklearn_ssl.few_labels.draws import draw_labels
from sklearn_ssl.few_labels.labels import (
    check_class_labels,
    is_unlabeled,
    label_array,
    numbers_to_predict,
    plain_labels,
)

N_LABELS = (1, 5, 10, 100)  # of each class
N_NUMBERS = (20, 60, 200)  # to predict


@dataclass
class Rows:
    """The rows of an evaluation, by purpose."""

    X_train: object  # labels are drawn from these
    y_train: np.ndarray
    X_test: object
    y_test: np.ndarray
    X_pretrain: object  # all rows of X except the test rows
    X_unlabeled: object
    n_pretrain: int
    regression: bool  # whether labels are numbers to predict
    train_rows: np.ndarray  # places in X
    train_places: np.ndarray  # places in X_pretrain
    test_rows: np.ndarray | None


def split(X, y, X_test, y_test, X_unlabeled, test_size, seed, *, regression):
    """Return the rows for training, for testing, and all rows for pretraining."""
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test must be passed together; only one of them was given.")
    if y is None:
        raise ValueError("y is None. Pass labels to judge the representation by.")
    X, X_test, X_unlabeled = _kept(X), _kept(X_test), _kept(X_unlabeled)
    y = _one_column(y, "y")
    check_consistent_length(X, y)
    labeled = np.flatnonzero(~is_unlabeled(y, regression=regression))
    labels = plain_labels(y[labeled])
    if regression:
        labels = _numbers(labels)
        if np.all(labels == labels[:1]):
            raise ValueError(
                f"All {len(labels)} labels in y are the same number: there is nothing to predict."
            )
    else:
        check_class_labels(y, labels, "evaluate_representation")
        _check_classes(labels)
    if X_test is None:
        places = _split(labels, test_size, seed, stratified=not regression)
        train, test = (np.sort(part) for part in places)
        train_rows, test_rows = labeled[train], labeled[test]
        X_test, y_test = _safe_indexing(X, test_rows), labels[test]
        pretrain_rows = np.setdiff1d(np.arange(len(y)), test_rows)
        X_pretrain, y_train = _safe_indexing(X, pretrain_rows), labels[train]
    else:
        X_test, y_test = _checked_test(X_test, y_test, labels, regression)
        train_rows, test_rows, X_pretrain, y_train = labeled, None, X, labels
        pretrain_rows = np.arange(len(y))
    more = 0 if X_unlabeled is None else _num_samples(X_unlabeled)
    return Rows(
        X_train=_safe_indexing(X, train_rows),
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        X_pretrain=X_pretrain,
        X_unlabeled=X_unlabeled,
        n_pretrain=len(pretrain_rows) + more,
        regression=regression,
        train_rows=train_rows,
        train_places=np.searchsorted(pretrain_rows, train_rows),
        test_rows=test_rows,
    )


def _kept(X):
    """Return X in a form that can be read more than once, and indexed."""
    return list(X) if isinstance(X, Iterator) else opened(X)


def _one_column(y, name):
    y = label_array(y)
    if y.ndim == 2 and y.shape[1] > 1:
        raise ValueError(
            f"evaluate_representation takes one label per row, but {name} has {y.shape[1]} "
            "columns. Evaluate them one by one: y[:, 0], y[:, 1] and so on."
        )
    return column_or_1d(y, warn=True)


def _numbers(labels):
    labels = numbers_to_predict(labels, "evaluate_representation")
    return check_array(labels, ensure_2d=False, input_name="y")


def _split(labels, test_size, seed, *, stratified):
    """Return the positions of training and test rows among the labeled ones."""
    if stratified:
        classes, counts = np.unique(labels, return_counts=True)
        if counts.min() < 2:
            raise ValueError(
                "Each class needs a row to train on and one to test on; class "
                f"{_shown(classes[counts.argmin()])} has a single labeled row. Leave it out, or "
                f"pass X_test and y_test.{_hint_at_numbers(labels)}"
            )
    return train_test_split(
        np.arange(len(labels)),
        test_size=test_size,
        stratify=labels if stratified else None,
        random_state=seed,
    )


def _hint_at_numbers(labels):
    if labels.dtype.kind not in "iuf":
        return ""
    return ' If y holds numbers to predict, set scoring="r2".'


def _check_classes(labels):
    check_classification_targets(labels)
    n_classes = len(np.unique(labels))
    if n_classes < 2:
        raise ValueError(
            f"y must hold labels of at least two classes, got {n_classes} class(es) in "
            f"{len(labels)} labeled row(s). -1, None and NaN mean that a row has no label."
        )


def _checked_test(X_test, y_test, labels, regression):
    y_test = _one_column(y_test, "y_test")
    check_consistent_length(X_test, y_test)
    if len(y_test) == 0 or is_unlabeled(y_test, regression=regression).any():
        raise ValueError("y_test must hold a label for each row of X_test, and at least one row.")
    y_test = plain_labels(y_test)
    if regression:
        return X_test, _numbers(y_test)
    unknown = sorted(set(y_test.tolist()) - set(labels.tolist()), key=str)
    if unknown:
        raise ValueError(
            f"y_test has labels that are not in y: {', '.join(map(_shown, unknown))}. No model "
            "could learn to predict them."
        )
    return X_test, y_test


def possible(labels_per_class, y, *, regression=False):
    """Return the numbers of labels available in all classes, sorted; warn of those left out.

    Raises
    ------
    ValueError
        If none is left.
    """
    ks = N_NUMBERS if regression else N_LABELS
    if labels_per_class is not None:
        is_one = isinstance(labels_per_class, Integral)
        ks = [labels_per_class] if is_one else list(labels_per_class)
    if not ks or any(not isinstance(k, Integral) or isinstance(k, bool) or k < 1 for k in ks):
        raise ValueError(
            f"labels_per_class must hold integers of at least 1, got {labels_per_class!r}."
        )
    wanted, (fewest, there_are) = np.unique(ks), _fewest(y, regression)
    possible = wanted[wanted <= fewest]
    if len(possible) == 0:
        raise ValueError(
            f"There are too few labels for any of labels_per_class={wanted.tolist()}: {there_are}. "
            "Use fewer labels per class, or a smaller test_size."
        )
    if len(possible) < len(wanted):
        left_out = ", ".join(map(str, wanted[len(possible) :]))
        labels = "labels" if regression else "labels per class"
        warnings.warn(f"{left_out} {labels} are left out: {there_are}.", UserWarning, stacklevel=4)
    return possible


def _fewest(y, regression):
    """Return how many labels can be drawn, and the reason in words."""
    if regression:
        return len(y), f"there are {len(y)} labeled training row(s)"
    classes, counts = np.unique(y, return_counts=True)
    rarest = classes[counts.argmin()]
    return counts.min(), f"class {_shown(rarest)} has {counts.min()} training row(s)"


def _shown(label):
    """Return a label as shown in a message, without NumPy's type names."""
    return repr(label.item() if isinstance(label, np.generic) else label)


def draw(y, numbers, seeds, *, regression):
    """Return for each number of labels, and each draw, the positions of the training rows."""
    return [[_drawn(y, k, seed, regression) for seed in seeds] for k in numbers]


def _drawn(y, k, seed, regression):
    if regression:
        return np.random.default_rng(seed).choice(len(y), k, replace=False)
    return draw_labels(y, k, seed)
