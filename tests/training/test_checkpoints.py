"""Checkpoints: the same bits after a fit was stopped anywhere, and every way a file can be bad."""

import errno

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback
from torch import nn

import sklearn_ssl
from sklearn_ssl import Checkpoint, FineTuneClassifier
from sklearn_ssl.augment import FeatureCorruption
from sklearn_ssl.callbacks import KNNProbe
from sklearn_ssl.training import checkpoints, identity
from sklearn_ssl.training.callbacks import Bar

METHODS = sorted(
    name
    for name in sklearn_ssl.__all__
    if name.endswith(("Transformer", "Autoencoder", "Embedder")) and not name.startswith("Base")
)
OF_WORDS = {"CausalLMEmbedder", "MaskedLMEmbedder", "Sent2VecTransformer"}
OF_WORDS |= {"SimCSETransformer", "TSDAETransformer"}
OF_TABLES = {"SCARFTransformer", "VIMETransformer"}
X, Y = np.random.default_rng(0).normal(size=(44, 8)).astype(np.float32), np.arange(44) % 2
SERIES = np.random.default_rng(0).normal(size=(44, 4, 8))
TEXTS = [f"the cat number {i % 7} sat on {'the mat ' * (i % 4)}" for i in range(44)]
N_STEPS = 9  # three epochs of three


class Killed(BaseException):
    """Ends a fit as suddenly as an exception can."""


class KillAt(Callback):
    """Raises at the end of a step, before anything is saved of it."""

    def __init__(self, step):
        self.step = step

    def on_batch_end(self, net, training, **kwargs):
        if training and net.n_steps_done == self.step:
            raise Killed


class Steps(Callback):
    """Keeps the numbers of the steps that are done."""

    def __init__(self):
        self.steps = []

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.steps.append(net.n_steps_done)


def simclr(**params):
    return make("SimCLRTransformer", **{"modality": "table", **params})


def make(method, **params):
    Estimator = getattr(sklearn_ssl, method)
    shared = {"max_epochs": 3, "batch_size": 16, "random_state": 0}
    if "modality" in Estimator().get_params():
        shared["modality"] = "series"
    return Estimator(**{**shared, **params})


def data_of(method):
    return TEXTS if method in OF_WORDS else X if method in OF_TABLES else SERIES


def every_step(folder):
    return Checkpoint(folder, minutes=0)


def kill(estimator, rows, *, step, folder, y=None):
    """Fit until a step has been done, with a checkpoint after every step before it."""
    killed = clone(estimator).set_params(callbacks=[KillAt(step)], checkpoint=every_step(folder))
    with pytest.raises(Killed):
        killed.fit(rows, y)


def assert_same_fit(one, other):
    """Compare weights and buffers, history and optimizer, bit by bit."""
    weights, others = one.task_.state_dict(), other.task_.state_dict()
    assert weights.keys() == others.keys()
    assert [name for name in weights if not torch.equal(weights[name], others[name])] == []
    assert_same_history(one.history_, other.history_)
    moments = [e._resume_state["optimizer"]["state"] for e in (one, other)]
    for ours, theirs in zip(*(m.values() for m in moments), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def assert_same_history(one, other):
    assert list(one) == list(other)
    for name in one.keys() - {"duration"}:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def files_in(folder):
    return sorted(path.name for path in folder.glob("step-*"))


# The same bits --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn_ssl.CollapseWarning")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_continues_where_it_was_killed(method, tmp_path):
    estimator, rows = make(method), data_of(method)
    unbroken = clone(estimator).fit(rows)
    step = 2 + len(method) % (N_STEPS - 1)
    kill(estimator, rows, step=step, folder=tmp_path)
    log = Steps()
    continued = clone(estimator).set_params(checkpoint=tmp_path, callbacks=[log]).fit(rows)
    assert log.steps == list(range(step, N_STEPS + 1))  # not those before it
    assert_same_fit(continued, unbroken)
    np.testing.assert_array_equal(continued.transform(rows), unbroken.transform(rows))


@pytest.mark.parametrize("step", [1, 3, 4, 6, 8, 9])
def test_any_step(step, tmp_path):
    estimator = simclr(encoder=with_dropout, early_stopping=True)
    unbroken = clone(estimator).fit(X)
    kill(estimator, X, step=step, folder=tmp_path)
    assert_same_fit(clone(estimator).set_params(checkpoint=tmp_path).fit(X), unbroken)


def with_dropout(shape):
    """An encoder that draws from torch's global stream."""
    return nn.Sequential(nn.Linear(*shape, 16), nn.Dropout(0.5), nn.Linear(16, 8))


def test_more_than_one_kill(tmp_path):
    for step in (2, 5, 8):
        kill(simclr(), X, step=step, folder=tmp_path)
    assert_same_fit(simclr(checkpoint=tmp_path).fit(X), simclr().fit(X))


@pytest.mark.parametrize("step", [4, 7])
def test_convolutions_keep_the_layout_of_their_moments(step, tmp_path):
    images = np.random.default_rng(0).random((44, 8, 8, 3))
    estimator = simclr(modality="image")
    kill(estimator, images, step=step, folder=tmp_path)
    continued = clone(estimator).set_params(checkpoint=tmp_path).fit(images)
    assert_same_fit(continued, estimator.fit(images))


@pytest.mark.parametrize("before_the_end", [0, 1, 2])
def test_early_stopping_continues_to_count(before_the_end, tmp_path):
    estimator = simclr(early_stopping=True, n_iter_no_change=2, max_epochs=30, lr=0.5)
    unbroken = clone(estimator).fit(X)
    assert unbroken.n_iter_ < 30
    kill(estimator, X, step=3 * (unbroken.n_iter_ - before_the_end), folder=tmp_path)
    assert_same_fit(clone(estimator).set_params(checkpoint=tmp_path).fit(X), unbroken)


def test_what_callbacks_record_is_kept(tmp_path):
    probe = KNNProbe(X, Y)
    unbroken = simclr(callbacks=[probe]).fit(X)
    with pytest.raises(Killed):
        simclr(callbacks=[KNNProbe(X, Y), KillAt(5)], checkpoint=every_step(tmp_path)).fit(X)
    again = KNNProbe(X, Y)
    continued = simclr(callbacks=[again], checkpoint=tmp_path).fit(X)
    assert_same_fit(continued, unbroken)
    assert again.initial_score_ == probe.initial_score_


def test_random_state_none_continues_with_the_seed_that_it_drew(tmp_path):
    class Watch(KillAt):
        def on_train_begin(self, net, **kwargs):
            seeds.append(net.plan.seed)

    seeds = []
    for callback in (Watch(5), Watch(7), Watch(-1)):
        estimator = simclr(random_state=None, callbacks=[callback])
        try:
            estimator.set_params(checkpoint=every_step(tmp_path)).fit(X)
        except Killed:
            continue
    assert len(set(seeds)) == 1
    assert_same_fit(estimator, simclr(random_state=None, checkpoint=tmp_path).fit(X))


def test_warm_start_begins_with_other_weights(tmp_path):
    first = simclr(warm_start=True).fit(X)
    kept = first.task_
    unbroken = _copy_of(first).fit(X)
    broken = _copy_of(first).set_params(checkpoint=every_step(tmp_path), callbacks=[KillAt(5)])
    with pytest.raises(Killed):
        broken.fit(X)
    assert broken.task_ is kept  # all or nothing
    continued = _copy_of(first).set_params(checkpoint=tmp_path).fit(X)
    assert continued.n_iter_ == 6
    assert_same_fit(continued, unbroken)


def _copy_of(estimator):
    twin = clone(estimator)
    vars(twin).update(vars(estimator))
    return twin


def test_a_finished_fit_is_returned_at_once(tmp_path):
    first = simclr(checkpoint=tmp_path).fit(X)
    assert len(files_in(tmp_path)) == 1
    log = Steps()
    again = simclr(checkpoint=str(tmp_path), callbacks=[log]).fit(X)
    assert log.steps == []
    assert_same_fit(again, first)


@pytest.mark.parametrize(
    ("strategy", "step"), [("full", 2), ("probe-then-full", 5), ("fixmatch", 4)]
)
def test_fine_tuning_continues(strategy, step, tmp_path):
    rows = X + 6 * Y[:, None]  # so easy that FixMatch is no worse than its probe
    few = np.where(np.arange(len(Y)) < 24, Y, -1)
    classifier = FineTuneClassifier(
        simclr(max_epochs=1), strategy=strategy, max_epochs=3, batch_size=8, random_state=0
    )
    unbroken = clone(classifier).fit(rows, few)
    kill(classifier, rows, step=step, folder=tmp_path, y=few)
    for first in (step, None):
        log, of_ssl = Steps(), Steps()
        continued = clone(classifier).set_params(
            checkpoint=tmp_path, callbacks=[log], transformer__callbacks=[of_ssl]
        )
        continued.fit(rows, few)
        np.testing.assert_array_equal(continued.predict_proba(X), unbroken.predict_proba(X))
        assert_same_history(continued.history_, unbroken.history_)
        assert log.steps[:1] == ([] if first is None else [first])  # finished, the second time
        assert continued.transformer_.callbacks[0].steps == []  # so was the pretraining
        assert continued.transformer_.checkpoint is None


def test_the_pretraining_of_a_fine_tuning_continues(tmp_path):
    few = np.where(np.arange(len(Y)) < 24, Y, -1)
    classifier = FineTuneClassifier(simclr(), strategy="probe")
    unbroken = clone(classifier).fit(X, few)
    broken = clone(classifier).set_params(checkpoint=every_step(tmp_path))
    with pytest.raises(Killed):
        broken.set_params(transformer__callbacks=[KillAt(5)]).fit(X, few)
    log = Steps()
    continued = clone(classifier).set_params(checkpoint=tmp_path, transformer__callbacks=[log])
    continued.fit(X, few)
    assert continued.transformer_.callbacks[0].steps == [5, 6, 7, 8, 9]
    assert_same_fit(continued.transformer_, unbroken.transformer_)


def test_a_transformer_may_have_a_folder_of_its_own(tmp_path):
    ssl = simclr(checkpoint=tmp_path / "ssl")
    FineTuneClassifier(ssl, strategy="full", max_epochs=1, checkpoint=tmp_path / "labels").fit(X, Y)
    assert len(files_in(tmp_path / "ssl")) == 1
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["fine-tuning"]


# Files ----------------------------------------------------------------------------------------


def test_the_last_two_files_are_kept(tmp_path):
    kill(simclr(), X, step=6, folder=tmp_path)
    assert files_in(tmp_path) == ["step-000000000004.safetensors", "step-000000000005.safetensors"]
    simclr(checkpoint=tmp_path).fit(X)
    assert files_in(tmp_path) == ["step-000000000005.safetensors", "step-000000000009.safetensors"]


def test_intervals(tmp_path, monkeypatch):
    saved = []
    save = checkpoints.CheckpointFolder._save
    monkeypatch.setattr(
        checkpoints.CheckpointFolder,
        "_save",
        lambda self, state, n_steps: (saved.append(n_steps), save(self, state, n_steps)),
    )
    clock = iter(range(0, 60 * 1000, 60))  # a minute passes whenever somebody looks
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(clock))
    for name, checkpoint, expected in [
        ("a", {"minutes": 0}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("b", {"minutes": None}, [9]),
        ("c", {"minutes": None, "epochs": 1}, [3, 6, 9]),
        ("d", {"minutes": None, "epochs": 2}, [6, 9]),
        ("e", {"minutes": 4}, [4, 8, 9]),
        ("f", {"minutes": 4, "epochs": 1}, [3, 6, 9]),
    ]:
        saved.clear()
        simclr(checkpoint=Checkpoint(tmp_path / name, **checkpoint)).fit(X)
        assert saved == expected, name


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = b""
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "empty", "flipped"])
def test_a_damaged_file_is_skipped_and_said(how, tmp_path):
    kill(simclr(), X, step=6, folder=tmp_path)
    older, newest = files_in(tmp_path)
    damage(tmp_path / newest, how)
    with pytest.warns(UserWarning, match=rf"{newest} cannot be .* continues from {older}\."):
        continued = simclr(checkpoint=tmp_path).fit(X)
    assert_same_fit(continued, simclr().fit(X))


def test_if_all_files_are_damaged_the_fit_starts_over(tmp_path):
    kill(simclr(), X, step=6, folder=tmp_path)
    for name in files_in(tmp_path):
        damage(tmp_path / name, "flipped")
    with pytest.warns(UserWarning, match="The fit starts from the beginning"):
        continued = simclr(checkpoint=tmp_path).fit(X)
    assert_same_fit(continued, simclr().fit(X))


def test_what_a_killed_write_leaves_behind_is_removed(tmp_path):
    kill(simclr(), X, step=6, folder=tmp_path)
    (tmp_path / ".123.tmp").write_bytes(b"half of a file")
    assert_same_fit(simclr(checkpoint=tmp_path).fit(X), simclr().fit(X))
    assert list(tmp_path.glob(".*")) == []


def test_a_full_disk_is_reported_and_the_older_file_lives(tmp_path, monkeypatch):
    kill(simclr(), X, step=4, folder=tmp_path)
    before = files_in(tmp_path)

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.warns(UserWarning, match=r"step 9 could not .*No space.*-000000000003\.s"):
            fitted = simclr(checkpoint=tmp_path).fit(X)
    assert_same_fit(fitted, simclr().fit(X))
    assert files_in(tmp_path) == before
    assert list(tmp_path.glob(".*")) == []
    assert_same_fit(simclr(checkpoint=tmp_path).fit(X), fitted)


# Whose folder it is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": 0.5}, r"lr: None in the folder, 0\.5 now"),
        ({"max_epochs": 4}, "max_epochs: 3 in the folder, 4 now"),
        ({"random_state": 1}, "random_state: 0 in the folder, 1 now"),
        ({"encoder": with_dropout}, "encoder: None in the folder, .*test_checkpoints.with_dropout"),
        ({"optimizer": torch.optim.SGD}, "optimizer: .*AdamW in the folder, .*SGD now"),
        (
            {"augment": FeatureCorruption(rate=0.7)},
            r"augment: None in the folder, FeatureCorruption.*rate.*0\.7",
        ),
        ({"warm_start": True}, "warm_start: False in the folder, True now"),
    ],
)
def test_a_fit_with_other_parameters_is_refused(params, message, tmp_path):
    kill(simclr(), X, step=4, folder=tmp_path)
    before = files_in(tmp_path)
    with pytest.raises(ValueError, match=rf"holds another fit(.|\n)*{message}") as error:
        simclr(checkpoint=tmp_path, **params).fit(X)
    assert "delete this one" in str(error.value)
    assert files_in(tmp_path) == before
    assert_same_fit(simclr(checkpoint=tmp_path).fit(X), simclr().fit(X))


def test_another_method_is_refused(tmp_path):
    kill(simclr(), X, step=4, folder=tmp_path)
    with pytest.raises(ValueError, match=r"class: .*SimCLRTransformer in the folder, .*VICReg"):
        make("VICRegTransformer", modality="table", checkpoint=tmp_path).fit(X)


@pytest.mark.parametrize("rows", [X[:-1], X[:, 1:], np.where(X.max() == X, 0, X)])
def test_other_data_are_refused(rows, tmp_path):
    kill(simclr(), X, step=4, folder=tmp_path)
    with pytest.raises(ValueError, match=r"data: 44 rows of shape .* in the folder, .* rows"):
        simclr(checkpoint=tmp_path).fit(rows)


def test_other_initial_weights_are_refused(tmp_path):
    fitted = simclr(warm_start=True).fit(X)
    others = simclr(warm_start=True, random_state=1).fit(X).set_params(random_state=0)
    broken = _copy_of(fitted).set_params(checkpoint=every_step(tmp_path), callbacks=[KillAt(5)])
    with pytest.raises(Killed):
        broken.fit(X)
    with pytest.raises(ValueError, match="initial weights: sha256"):
        others.set_params(checkpoint=tmp_path).fit(X)


def test_parameters_without_effect_may_change(tmp_path, capsys):
    kill(simclr(), X, step=4, folder=tmp_path)
    continued = simclr(checkpoint=Checkpoint(tmp_path, epochs=1), verbose=1, device="cpu").fit(X)
    assert_same_fit(continued, simclr().fit(X))


def test_another_version_is_said(tmp_path, monkeypatch):
    kill(simclr(), X, step=4, folder=tmp_path)
    monkeypatch.setattr(identity, "__version__", "99.0")
    with pytest.warns(UserWarning, match=r"digits may differ.*: sklearn-ssl .* then, 99\.0 now"):
        simclr(checkpoint=tmp_path).fit(X)


def test_parameters_may_be_corrected_before_anything_is_saved(tmp_path):
    with pytest.raises(Killed):
        simclr(checkpoint=tmp_path, callbacks=[KillAt(4)]).fit(X)
    corrected = simclr(checkpoint=tmp_path, lr=0.01).fit(X)
    assert_same_fit(corrected, simclr(lr=0.01).fit(X))


def test_a_folder_in_use_is_refused(tmp_path):
    class FitInFit(Callback):
        def on_train_begin(self, net, **kwargs):
            with pytest.raises(ValueError, match="in use by another fit"):
                simclr(checkpoint=tmp_path).fit(X)

    simclr(checkpoint=tmp_path, callbacks=[FitInFit()]).fit(X)


def test_cross_validation_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cross-validation"):
        cross_val_score(simclr(checkpoint=tmp_path), X, cv=2, error_score="raise")


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder, but it is a file"):
        simclr(checkpoint=tmp_path / "file").fit(X)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"folder": 3}, TypeError),
        ({"folder": "a", "minutes": -1}, ValueError),
        ({"folder": "a", "minutes": "10"}, TypeError),
        ({"folder": "a", "epochs": 0}, ValueError),
        ({"folder": "a", "epochs": 1.5}, TypeError),
    ],
)
def test_bad_arguments(args, error):
    with pytest.raises(error, match=next(reversed(args))):
        Checkpoint(**args)


# What a history may hold, and the progress bar --------------------------------------------------


def test_what_cannot_be_saved_is_named(tmp_path):
    class RecordObject(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("thing", object())

    with pytest.raises(TypeError, match="epochs/0/thing is a object, which cannot be saved"):
        simclr(checkpoint=every_step(tmp_path), callbacks=[RecordObject()]).fit(X)


def test_the_progress_bar_begins_where_the_fit_continues(tmp_path, monkeypatch):
    kill(simclr(), X, step=6, folder=tmp_path)
    bars = []

    class Kept(Bar):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            bars.append(self)

    monkeypatch.setattr("sklearn_ssl.training.loop.Bar", Kept)
    simclr(checkpoint=tmp_path, verbose=1).fit(X)
    assert (bars[0].initial, bars[0].n, bars[0].total) == (5, 9, 9)
