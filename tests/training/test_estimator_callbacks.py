"""skorch's callbacks in clones, copies and pickles, and what they record."""

import copy
import math
import pickle
import threading
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring

from sklearn_ssl import CausalLMEmbedder, FineTuneClassifier, SimCLRTransformer
from tests.test_common import ESTIMATORS, make

ROWS = np.random.default_rng(0).normal(size=(60, 4))
LABELS = np.arange(60) % 2


class Writer:
    """Stands for TensorBoard's SummaryWriter: a queue, a thread and an open file."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.file = path.open("w")
        self.n_epochs = 0


class Log(Callback):
    """Counts epochs in a writer."""

    def __init__(self, writer):
        self.writer = writer

    def on_epoch_end(self, net, **kwargs):
        self.writer.n_epochs += 1


@pytest.fixture(name="log")
def log_to_an_open_file(tmp_path):
    log = Log(Writer(tmp_path / "log"))
    yield log
    log.writer.file.close()


def simclr(**params):
    return SimCLRTransformer(**{"max_epochs": 1, "random_state": 0, **params})


# Clones and copies ----------------------------------------------------------------------------


@pytest.mark.parametrize("Estimator", [*ESTIMATORS, CausalLMEmbedder])
@pytest.mark.parametrize("duplicate", [clone, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("container", [list, tuple])
def test_what_cannot_be_copied_is_shared(Estimator, duplicate, container, log):
    stop = EarlyStopping("train_loss", patience=7)
    estimator = Estimator(callbacks=container([log, ("log", log), stop]), max_epochs=5)
    twin = duplicate(estimator)
    assert type(twin) is Estimator
    assert type(twin.callbacks) is container
    assert twin.callbacks[0] is log
    assert twin.callbacks[1][1] is log
    assert twin.callbacks[2].patience == 7
    assert (twin.callbacks[2] is stop) == (duplicate is copy.copy)
    assert twin.get_params()["max_epochs"] == 5
    assert estimator.callbacks[2] is stop


def test_a_clone_of_fitted_estimators_is_unfitted(log):
    estimator = simclr(callbacks=[log]).set_output(transform="pandas").fit(ROWS)
    twin = clone(estimator)
    assert not hasattr(twin, "task_")
    assert list(twin.fit_transform(ROWS).columns) == estimator.get_feature_names_out().tolist()


@pytest.mark.parametrize("strategy", ["probe", "full"])
def test_in_searches_and_fine_tuning(log, strategy):
    estimator = simclr(callbacks=[log])
    search = GridSearchCV(
        make_pipeline(estimator, LogisticRegression()),
        {"simclrtransformer__lr": [1e-3, 1e-2]},
        cv=2,
    )
    search.fit(ROWS, LABELS)
    assert log.writer.n_epochs == 5  # two folds of two candidates, and the best one
    FineTuneClassifier(estimator, strategy=strategy, max_epochs=1).fit(ROWS, LABELS)
    assert log.writer.n_epochs == 6
    FineTuneClassifier(estimator.fit(ROWS), strategy=strategy, max_epochs=1).fit(ROWS, LABELS)
    assert log.writer.n_epochs == 7


def test_copies_of_a_fitted_estimator_embed_alike(log):
    estimator = simclr(callbacks=[log]).fit(ROWS)
    Z = estimator.transform(ROWS)
    for twin in (copy.copy(estimator), copy.deepcopy(estimator)):
        np.testing.assert_array_equal(twin.transform(ROWS), Z)
        twin.fit(ROWS[:30])
        np.testing.assert_array_equal(estimator.transform(ROWS), Z)


# Pickles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("Estimator", ESTIMATORS[:3])
def test_a_pickle_leaves_out_what_it_cannot_hold(Estimator, log):
    estimator = make(Estimator, {}, callbacks=[log, EarlyStopping("train_loss", sink=str)])
    estimator.fit(ROWS)
    with pytest.warns(UserWarning, match=r"saved without callbacks .* a lock .*Log.*set_params"):
        content = pickle.dumps(estimator)
    twin = pickle.loads(content)
    assert [type(callback) for callback in twin.callbacks] == [EarlyStopping]
    np.testing.assert_array_equal(twin.transform(ROWS), estimator.transform(ROWS))
    assert len(estimator.callbacks) == 2


def test_a_pickle_keeps_all_other_callbacks():
    estimator = simclr(callbacks=[("stop", EarlyStopping("train_loss", sink=str))]).fit(ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twin = pickle.loads(pickle.dumps(estimator))
    assert twin.callbacks[0][0] == "stop"
    assert twin.callbacks[0][1].monitor == "train_loss"


# Those that cannot work -----------------------------------------------------------------------

USELESS = {
    "a name alone": ([("stop", "stop")], TypeError, "instances of skorch.callbacks.Callback"),
    "a number as name": ([(1, EarlyStopping())], TypeError, "pairs of a name and a callback"),
    "a class": ([EarlyStopping], TypeError, "instances of skorch.callbacks.Callback"),
    "an array": (np.array([EarlyStopping()]), InvalidParameterError, "'callbacks' parameter of"),
    "one by itself": (EarlyStopping(), InvalidParameterError, "'callbacks' parameter of"),
    "held-out rows": (
        [EarlyStopping()],
        ValueError,
        "EarlyStopping .*'valid_loss'.* early_stopping=T",
    ),
    "the best of them": (
        [Checkpoint()],
        ValueError,
        'Checkpoint .*_best.*monitor="train_loss"',
    ),
}


@pytest.mark.parametrize(("callbacks", "error", "match"), USELESS.values(), ids=USELESS)
@pytest.mark.parametrize("fine_tuned", [False, True])
def test_useless_callbacks_are_refused(callbacks, error, match, fine_tuned):
    estimator = simclr(callbacks=callbacks)
    if fine_tuned:
        estimator = FineTuneClassifier(simclr(), strategy="full", callbacks=callbacks)
    with pytest.raises(error, match=match):
        estimator.fit(ROWS, LABELS)


# What they record -----------------------------------------------------------------------------


class Record(Callback):
    """Records a number and a text at every epoch, and a third thing at some."""

    def on_epoch_end(self, net, **kwargs):
        epoch = net.history[-1, "epoch"]
        net.history.record("square", np.float32(epoch**2))
        net.history.record("note", "fine")
        if epoch == 2:
            net.history.record("seldom", epoch)


def spread(net, X, y):
    return float(net.module_.training)


def test_history_has_what_callbacks_record():
    scoring = EpochScoring(spread, name="in_training", on_train=True, use_caching=False)
    estimator = simclr(max_epochs=3, callbacks=[Record(), scoring]).fit(ROWS)
    history = estimator.history_
    assert history["square"] == [1.0, 4.0, 9.0]
    assert history["note"] == ["fine"] * 3
    assert [math.isnan(value) for value in history["seldom"]] == [True, False, True]
    assert len(history["in_training"]) == 3
    assert set(history) - {"square", "note", "seldom", "in_training"} == {
        *("train_loss", "duration", "embedding_std", "effective_rank")
    }


@pytest.mark.parametrize("options", [{}, {"use_caching": False}, {"on_train": True}], ids=str)
def test_epoch_scoring(options):
    scoring = EpochScoring(spread, name="spread", **options)
    before = scoring.get_params()
    estimator = simclr(max_epochs=2, early_stopping=True, callbacks=[scoring]).fit(ROWS)
    assert len(estimator.history_["spread"]) == 2
    assert scoring.get_params() == before


def fits_with(callback):
    """Functions that train a transformer and a classifier, with a callback."""
    y = np.arange(len(ROWS)) % 2
    tuned = FineTuneClassifier(simclr().fit(ROWS), max_epochs=2, callbacks=[callback])
    return [lambda: simclr(callbacks=[callback]).fit(ROWS), lambda: tuned.fit(ROWS, y)]


@pytest.mark.parametrize("kind", [0, 1], ids=["transformer", "classifier"])
def test_what_is_not_recorded_cannot_be_watched(kind):
    message = "EarlyStopping looks for .*'valid_loss' .*early_stopping=True.*monitor=.train_loss"
    with pytest.raises(ValueError, match=message):
        fits_with(EarlyStopping())[kind]()


@pytest.mark.parametrize("scoring", ["accuracy", None, make_scorer(accuracy_score)], ids=str)
@pytest.mark.parametrize("kind", [0, 1], ids=["transformer", "classifier"])
def test_predictions_cannot_be_scored_in_each_epoch(kind, scoring):
    with pytest.raises(ValueError, match=r"Pass a function scoring\(net, X, y\).*valid_loss with"):
        fits_with(EpochScoring(scoring))[kind]()


def test_history_that_goes_on_has_as_many_entries_in_each_column():
    estimator = simclr(max_epochs=2, early_stopping=True).fit(ROWS)
    estimator.set_params(callbacks=[Record()]).partial_fit(ROWS)
    history = estimator.history_
    assert [len(column) for column in history.values()] == [3] * len(history)
    assert [math.isnan(loss) for loss in history["valid_loss"]] == [False, False, True]
    assert [math.isnan(square) for square in history["square"]] == [True, True, False]
