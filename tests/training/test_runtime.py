"""Whatever surrounds an estimator - torch's settings, threads, forks - its numbers are the same."""

import copy
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sklearn_ssl import (
    BaseSSLTransformer,
    FineTuneClassifier,
    FineTuneRegressor,
    MaskedAutoencoder,
    NextFrameEmbedder,
    PretextTask,
    SimCLRTransformer,
    VIMETransformer,
)
from sklearn_ssl.inspection import attention_maps
from sklearn_ssl.metrics import embed_views
from sklearn_ssl.training import runtime
from tests.helpers import TORCH_SETTINGS, all_torch_settings, torch_state
from tests.test_common import every_kind, make


@pytest.fixture(name="X")
def rows(digits):
    return digits[0][:96]


def answers(estimator, X):
    """Return all that a fitted estimator says of data, as arrays."""
    said = {"transform": estimator.transform(X), "score": estimator.score(X)}
    if hasattr(estimator, "reconstruct"):
        said["reconstruct"] = estimator.reconstruct(X).prediction
    if hasattr(estimator, "predict_next"):
        said["predict_next"] = estimator.predict_next(X, steps=2)
    if estimator.input_spec_.modality in ("table", "image", "series"):
        said["embed_views"] = embed_views(estimator, X, random_state=0)
    if hasattr(getattr(estimator, "encoder_", None), "attention"):
        said["attention"] = attention_maps(estimator, X)
    return said


def assert_same_answers(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


# torch's settings -----------------------------------------------------------------------------


@every_kind
def test_settings_of_torch_have_no_say(Estimator, modality_data):
    params, X = modality_data
    estimator = make(Estimator, params).fit(X)
    expected = answers(estimator, X)
    expected_later = make(Estimator, params).fit(X).partial_fit(X).transform(X)
    saved = pickle.dumps(estimator)
    with all_torch_settings():
        assert_same_answers(answers(estimator, X), expected)
        again = make(Estimator, params).fit(X)
        assert_same_answers(answers(again, X), expected)
        assert_same_answers(answers(pickle.loads(saved), X), expected)
        np.testing.assert_array_equal(again.partial_fit(X).transform(X), expected_later)
    assert_same_answers(answers(again.fit(X), X), expected)


@pytest.mark.parametrize("setting", TORCH_SETTINGS)
def test_each_setting_has_no_say_and_is_left_alone(X, setting):
    params = {"encoder": "vit", "image_shape": (8, 8), "max_epochs": 1, "random_state": 0}
    params |= {"early_stopping": True, "precision": "bfloat16"}
    expected = answers(SimCLRTransformer(**params).fit(X), X)
    with TORCH_SETTINGS[setting]():
        before = torch_state()
        estimator = SimCLRTransformer(**params).fit(X)
        assert_same_answers(answers(estimator, X), expected)
        twin = pickle.loads(pickle.dumps(estimator))
        assert_same_answers(answers(twin, X), expected)
        assert torch_state() == before
        with pytest.raises(ValueError, match="63 features"):
            estimator.fit(X[:, 1:], X_unlabeled=X)
        assert torch_state() == before


@pytest.mark.parametrize("strategy", ["probe", "full", "probe-then-full"])
@pytest.mark.parametrize("FineTuner", [FineTuneClassifier, FineTuneRegressor])
def test_settings_have_no_say_in_fine_tuning(X, digits, FineTuner, strategy):
    y = digits[1][:96]

    def predicted():
        ssl = VIMETransformer(max_epochs=1, random_state=0)
        model = FineTuner(ssl, strategy=strategy, max_epochs=2, random_state=0).fit(X, y)
        return model.predict(X)

    expected = predicted()
    with all_torch_settings():
        np.testing.assert_array_equal(predicted(), expected)


# Threads --------------------------------------------------------------------------------------


def in_threads(function, n_calls=16):
    """Return what a function returns in eight threads at once."""
    with ThreadPoolExecutor(8) as pool:
        return [future.result() for future in [pool.submit(function) for _ in range(n_calls)]]


@every_kind
def test_a_fitted_estimator_serves_any_number_of_threads(Estimator, modality_data):
    params, X = modality_data
    estimator = make(Estimator, params).fit(X)
    expected = answers(estimator, X)
    weights = {name: value.clone() for name, value in estimator.task_.state_dict().items()}
    for said in in_threads(lambda: answers(estimator, X), 8):
        assert_same_answers(said, expected)
    assert all(torch.equal(weights[name], v) for name, v in estimator.task_.state_dict().items())


@pytest.mark.parametrize("FineTuner", [FineTuneClassifier, FineTuneRegressor])
def test_a_fine_tuned_estimator_serves_any_number_of_threads(X, digits, FineTuner):
    ssl = VIMETransformer(max_epochs=1, random_state=0)
    model = FineTuner(ssl, strategy="full", max_epochs=1, random_state=0).fit(X, digits[1][:96])
    expected = model.predict(X)
    for predicted in in_threads(lambda: model.predict(X)):
        np.testing.assert_array_equal(predicted, expected)


class Fickle(PretextTask):
    """Changes its modes, its buffers and its attributes whenever its loss is asked for."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(0.5)
        self.register_buffer("n_calls", torch.tensor(0.0))

    def forward(self, batch):
        self.dropout.train()
        time.sleep(0.001)
        loss = self.encoder(batch).square().mean() * (1 + self.n_calls)
        self.n_calls += 1
        self.dropout.eval()
        return loss

    def encode(self, batch):
        return self.dropout(self.encoder(batch))


class FickleTransformer(BaseSSLTransformer):
    def _make_task(self, spec):
        return Fickle(self._make_encoder(spec))


def test_scoring_leaves_a_fickle_task_as_it_was(X):
    estimator = FickleTransformer(max_epochs=1, random_state=0).fit(X)
    score, Z = estimator.score(X), estimator.transform(X)
    n_calls = float(estimator.task_.n_calls)

    def both():
        return estimator.score(X), estimator.transform(X)

    for score_there, Z_there in in_threads(both):
        assert score_there == score
        np.testing.assert_array_equal(Z_there, Z)
    assert estimator.task_.n_calls == n_calls


def test_a_refit_beside_other_threads(X):
    params = {"max_epochs": 4, "random_state": 0}
    estimator = SimCLRTransformer(**params).fit(X)
    others = X + np.arange(64)
    before = estimator.transform(X)
    after = SimCLRTransformer(**params).fit(others).transform(X)
    refit = threading.Thread(target=estimator.fit, args=(others,))
    refit.start()
    seen = []
    while refit.is_alive():
        seen.append(estimator.transform(X))
    np.testing.assert_array_equal(estimator.transform(X), after)
    known = [before, after]
    assert all(any(np.array_equal(Z, one) for one in known) for Z in seen)
    assert np.array_equal(seen[0], before)


SAYING = {
    MaskedAutoencoder: lambda mae, X: mae.reconstruct(X)["prediction"],
    NextFrameEmbedder: lambda series, X: series.predict_next(X),
    FineTuneClassifier: lambda model, X: model.predict_proba(X),
    FineTuneRegressor: lambda model, X: model.predict(X),
}


@pytest.mark.parametrize("Estimator", SAYING)
def test_what_is_said_during_a_refit_is_of_one_fit(X, Estimator):
    params = {"max_epochs": 1, "random_state": 0}
    if Estimator in (FineTuneClassifier, FineTuneRegressor):
        params = {"transformer": VIMETransformer(**params)}
    y = np.arange(len(X)) % 2
    fits = [(X, y), (9 * X + np.arange(64), y[::-1])]
    models = [Estimator(**params).fit(*fit) for fit in fits]
    known = [SAYING[Estimator](model, X) for model in models]
    assert not np.array_equal(*known)
    estimator, ended = copy.copy(models[0]), threading.Event()

    def change():  # as the end of a refit does, again and again
        while not ended.is_set():
            for model in models:
                vars(estimator).update(vars(model))
            time.sleep(1e-4)  # without it, the other thread waits for the interpreter at every step

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(30):
            said = SAYING[Estimator](estimator, X)
            assert any(np.array_equal(said, one) for one in known)
    finally:
        ended.set()
        changing.join()


# Forks ----------------------------------------------------------------------------------------

FORKS = """
import os, pickle, signal, threading, time, warnings
import numpy as np
from sklearn_ssl import SimCLRTransformer

warnings.simplefilter("ignore", DeprecationWarning)  # of os.fork beside threads
X = np.random.default_rng(0).normal(size=(400, 64))
ssl = SimCLRTransformer(max_epochs=1, random_state=0).fit(X)  # OpenMP's threads are started
saved = pickle.dumps(ssl)
fit = SimCLRTransformer(max_epochs=10**6).fit
threading.Thread(target=fit, args=(X,), daemon=True).start()
time.sleep(0.5)


def child():
    pickle.loads(saved).transform(X)
    SimCLRTransformer(max_epochs=1).fit(X).score(X)


outcomes = []
for _ in range(5):
    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    deadline = time.time() + 20
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.time() < deadline:
        time.sleep(0.02)
    if ended[0] == 0:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    outcomes.append("hangs" if ended[0] == 0 else os.waitstatus_to_exitcode(ended[1]))
print(outcomes, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_children_do_not_hang():
    limits = ("LOKY_MAX_CPU_COUNT", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in limits}
    command = [sys.executable, "-c", FORKS]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)
    assert run.stdout.strip() == "[0, 0, 0, 0, 0]", run.stderr[-2000:]


def test_a_fork_within_a_callers_settings(X):
    # What the hooks do, without a fork: another thread is inside, and is not there in the child.
    settings = runtime._SharedSettings()
    torch.set_default_dtype(torch.float64)
    try:
        other = threading.Thread(target=settings.__enter__)
        other.start()
        other.join()
        assert torch.get_default_dtype() == torch.float32
        settings.keep_own_thread()
        assert torch.get_default_dtype() == torch.float64
        with settings:
            settings.keep_own_thread()
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


# bfloat16 -------------------------------------------------------------------------------------


@pytest.fixture
def wrong_bfloat16(monkeypatch):
    """Products of bfloat16 of which half is lost, as where OpenMP has fewer threads than asked."""

    def linear(a, b):
        product = a.float() @ b.float().T
        if a.dtype == torch.bfloat16:
            product[len(a) // 2 :] = 0
        return product.to(a.dtype)

    monkeypatch.setattr(runtime, "F", SimpleNamespace(linear=linear))
    monkeypatch.setattr(runtime, "_has_native_bfloat16", lambda device: True)
    runtime._bfloat16_is_right.cache_clear()
    yield
    runtime._bfloat16_is_right.cache_clear()


def test_auto_is_no_bfloat16_whose_products_are_wrong(X, wrong_bfloat16):
    params = {"max_epochs": 1, "random_state": 0}
    Z = SimCLRTransformer(**params).fit_transform(X)
    expected = SimCLRTransformer(precision="float32", **params).fit_transform(X)
    np.testing.assert_array_equal(Z, expected)
    with pytest.raises(ValueError, match=r'"bfloat16" cannot be used here.*OMP_THREAD_LIMIT'):
        SimCLRTransformer(precision="bfloat16", **params).fit(X)


def test_auto_is_bfloat16_where_it_is_native(monkeypatch):
    monkeypatch.setattr(runtime, "_has_native_bfloat16", lambda device: True)
    assert runtime.resolve_precision("auto", torch.device("cpu")) == torch.bfloat16
    monkeypatch.setattr(runtime, "_has_native_bfloat16", lambda device: False)
    assert runtime.resolve_precision("auto", torch.device("cpu")) is None
