"""Files of fitted estimators: what is in them, how large they are, and what they give back."""

import copy
import io
import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
import torch

from sklearn_ssl import ModelFileError, SimCLRTransformer
from sklearn_ssl.base import estimator as base_estimator
from sklearn_ssl.base import persistence


def fit(modality_data, **more):
    params, X = modality_data
    options = {"max_epochs": 1, "random_state": 0, **params, **more}
    return SimCLRTransformer(**options).fit(X), X


def n_bytes_of_weights(estimator):
    return sum(t.numel() * t.element_size() for t in estimator.task_.state_dict().values())


def size_of_file(estimator, path):
    joblib.dump(estimator, path)
    return path.stat().st_size


FRESH_PROCESS = """
import sys, joblib
pairs = joblib.load(sys.argv[1])
joblib.dump([(joblib.load(path).transform(X), joblib.load(path).score(X)) for path, X in pairs],
            sys.argv[2])
"""


def test_a_fresh_process_embeds_alike(digits, tmp_path):
    X = digits[0][:64]
    inputs = {
        "table": ({}, X),
        "image": ({"image_shape": (8, 8)}, X),
        "series": ({"modality": "series"}, X.reshape(-1, 8, 8)),
        "resnet": ({"image_shape": (8, 8), "encoder": "resnet18", "n_components": 8}, X[:8]),
    }
    pairs, expected = [], []
    for name, modality_data in inputs.items():
        estimator, X_in = fit(modality_data)
        joblib.dump(estimator, tmp_path / name)
        pairs.append((tmp_path / name, X_in))
        expected.append((estimator.transform(X_in), estimator.score(X_in)))
    joblib.dump(pairs, tmp_path / "pairs")
    command = [sys.executable, "-c", FRESH_PROCESS, tmp_path / "pairs", tmp_path / "results"]
    subprocess.run(command, check=True)
    for (Z, score), (Z_fresh, score_fresh) in zip(
        expected, joblib.load(tmp_path / "results"), strict=True
    ):
        np.testing.assert_array_equal(Z_fresh, Z)
        assert score_fresh == score


@pytest.mark.parametrize("n_epochs", [1, 200])
def test_file_is_hardly_larger_than_the_weights(modality_data, n_epochs, tmp_path):
    params, X = modality_data
    estimator, _ = fit(
        (params, X[:8]), max_epochs=n_epochs, early_stopping=True, n_iter_no_change=n_epochs
    )
    assert len(estimator.history_["valid_loss"]) == n_epochs
    assert size_of_file(estimator, tmp_path / "file") <= 1.2 * n_bytes_of_weights(estimator) + 20e3


@pytest.mark.parametrize("n_features", [1, 300, 800, 3000])
def test_file_of_a_wide_table_is_hardly_larger_than_the_weights(n_features, tmp_path):
    X = np.random.default_rng(0).normal(size=(8, n_features))
    estimator, _ = fit(({}, X))
    assert size_of_file(estimator, tmp_path / "file") <= 1.2 * n_bytes_of_weights(estimator) + 20e3


def test_file_does_not_grow_with_the_rows(digits, tmp_path):
    X = digits[0]
    few, many = (size_of_file(fit(({}, rows))[0], tmp_path / "file") for rows in (X[:32], X[:1700]))
    assert abs(many - few) < 500


def test_file_holds_no_optimizer_and_no_data(modality_data):
    estimator, X = fit(modality_data, early_stopping=True)
    estimator.partial_fit(X)
    content = pickle.dumps(estimator)
    row = X.reshape(len(X), -1)[5]
    for dtype in (np.float64, np.float32):
        assert row.astype(dtype).tobytes() not in content
    for word in (b"exp_avg", b"skorch", b"Generator", b"PretextNet", b"SimCLRTask"):
        assert word not in content


class NamesOnly(pickle.Unpickler):
    """Writes down every name that it is asked for, as skops lists types."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content))
        self.names = set()

    def find_class(self, module, name):
        self.names.add(f"{module}.{name}")
        return super().find_class(module, name)


def test_file_names_nothing_but_our_types_and_arrays(modality_data):
    estimator, X = fit(modality_data, early_stopping=True)
    reader = NamesOnly(pickle.dumps(estimator.partial_fit(X)))
    reader.load()
    spec = estimator.input_spec_
    assert reader.names <= {
        "sklearn_ssl.methods.simclr.SimCLRTransformer",
        f"sklearn_ssl.data.{spec.modality}.{type(spec).__name__}",
        "torch.optim.adamw.AdamW",
        "numpy.ndarray",
        "numpy.dtype",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
    }


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda estimator: pickle.loads(pickle.dumps(estimator))],
    ids=["deepcopy", "pickle"],
)
def test_unfitted_estimators_stay_unfitted(duplicate):
    estimator = SimCLRTransformer(temperature=0.3, n_components=5)
    twin = duplicate(estimator)
    assert twin.get_params() == estimator.get_params()
    assert set(vars(twin)) == set(vars(estimator))


def test_loading_draws_nothing_and_goes_on(modality_data, random_streams_untouched):
    estimator, X = fit(modality_data)
    twin = pickle.loads(pickle.dumps(estimator))
    for name, value in vars(estimator).items():
        if name not in ("task_", "input_spec_", "_resume_state"):
            assert vars(twin)[name] == value, name
    assert not twin.task_.training
    losses = twin.loss_curve_
    twin.partial_fit(X)
    assert twin.loss_curve_[:-1] == losses
    twin.set_params(warm_start=True).fit(X)
    assert twin.n_iter_ == 3


def test_a_pickle_of_a_pickle(modality_data):
    estimator, X = fit(modality_data)
    first = pickle.dumps(estimator)
    again = pickle.loads(pickle.dumps(pickle.loads(first)))
    np.testing.assert_array_equal(again.transform(X), estimator.transform(X))
    assert abs(len(pickle.dumps(again)) - len(first)) < 1000


def test_parameters_changed_after_fit_do_not_matter(modality_data):
    estimator, X = fit(modality_data, n_components=6)
    Z = estimator.transform(X)
    changed = {"n_components": 3, "encoder": "resnet18", "modality": "auto", "augment": np.sin}
    estimator.set_params(**changed, image_shape=(2, 2), device="cuda:77", temperature=9)
    twin = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(twin.transform(X), Z)
    assert twin.get_params() == estimator.get_params()
    assert twin.score(X) == estimator.score(X)


def test_a_fit_on_a_gpu_is_loaded_without_one(modality_data, monkeypatch):
    # Stands in for a GPU where there is none: device 77 is the CPU during the fit.
    with monkeypatch.context() as patch:
        patch.setattr(base_estimator, "resolve_device", lambda device: torch.device("cpu"))
        estimator, X = fit(modality_data, device="cuda:77")
    twin = pickle.loads(pickle.dumps(estimator))
    assert {p.device.type for p in twin.task_.parameters()} == {"cpu"}
    np.testing.assert_array_equal(twin.transform(X), estimator.transform(X))
    with pytest.raises(ValueError, match="device='cuda:77' cannot be used here"):
        twin.fit(X)


def test_files_hold_arrays_that_need_no_gpu(modality_data):
    estimator, _ = fit(modality_data)
    state = estimator.__getstate__()
    assert "task_" not in state
    assert all(isinstance(array, np.ndarray) for array in state["_task_arrays"].values())
    assert state["_task_arrays"].keys() == estimator.task_.state_dict().keys()


def test_another_version_is_warned_of(modality_data, monkeypatch):
    estimator, X = fit(modality_data)
    with monkeypatch.context() as patch:
        patch.setattr(persistence, "__version__", "0.0.7")
        content = pickle.dumps(estimator)
    with pytest.warns(UserWarning, match=r"saved by sklearn-ssl 0\.0\.7"):
        twin = pickle.loads(content)
    np.testing.assert_array_equal(twin.transform(X), estimator.transform(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(twin))  # saved again, by this version


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_a_flipped_bit_in_a_compressed_file_is_found(digits, tmp_path, place):
    estimator, _ = fit(({}, digits[0][:64]))
    joblib.dump(estimator, tmp_path / "file", compress=3)
    content = bytearray((tmp_path / "file").read_bytes())
    content[int(place * len(content))] ^= 64
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(Exception):  # noqa: B017, PT011 - of zlib, or of the pickle that it spoils
        joblib.load(tmp_path / "file")


def test_a_flipped_bit_in_the_weights_is_found(digits, tmp_path):
    estimator, _ = fit(({}, digits[0][:64]))
    path = tmp_path / "file"
    joblib.dump(estimator, path)
    content = path.read_bytes()
    for weights in estimator.task_.state_dict().values():
        changed = bytearray(content)
        changed[content.index(weights.numpy().tobytes())] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ModelFileError, match="SimCLRTransformer is damaged: its weights are"):
            joblib.load(path)


def test_files_without_a_checksum_are_loaded(digits):
    estimator, X = fit(({}, digits[0][:64]))
    state = estimator.__getstate__()
    del state["_task_checksum"]  # as in files of the first versions
    twin = SimCLRTransformer.__new__(SimCLRTransformer)
    twin.__setstate__(state)
    np.testing.assert_array_equal(twin.transform(X), estimator.transform(X))


def test_memory_maps_of_a_file_may_be_read_only(digits, tmp_path):
    estimator, X = fit(({}, digits[0][:64]))
    joblib.dump(estimator, tmp_path / "file")
    twin = joblib.load(tmp_path / "file", mmap_mode="r")
    np.testing.assert_array_equal(twin.transform(X), estimator.transform(X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.astype(np.float64), "is float64 of shape .* has float32 of shape"),
        (lambda a: a[:-1], r"is float32 of shape \(\d+, \d+\), .* has float32 of shape"),
        (None, "is missing, but the network that the parameters describe has float32"),
    ],
)
def test_arrays_of_another_network_are_refused(digits, change, message):
    state = fit(({}, digits[0][:64]))[0].__getstate__()
    del state["_task_checksum"]
    arrays = state["_task_arrays"]
    name = next(name for name, array in arrays.items() if array.ndim == 2)
    array = arrays.pop(name)
    if change is not None:
        arrays[name] = change(array)
    with pytest.raises(ValueError, match=message):
        SimCLRTransformer.__new__(SimCLRTransformer).__setstate__(state)


# The optimizer ----------------------------------------------------------------------------------


def weights_after(estimator, method, X):
    getattr(estimator, method)(X)
    return estimator.task_.state_dict()


@pytest.mark.parametrize("method", ["partial_fit", "fit"])
@pytest.mark.parametrize("fitted_by", ["partial_fit", "fit"])
def test_training_continues_after_loading_with_the_optimizer(
    modality_data, fitted_by, method, tmp_path
):
    params, X = modality_data
    estimator = SimCLRTransformer(**params, max_epochs=1, warm_start=True, random_state=0)
    getattr(estimator, fitted_by)(X)
    joblib.dump(estimator.with_optimizer(), tmp_path / "file")
    joblib.dump(estimator, tmp_path / "small")
    whole, small = (joblib.load(tmp_path / name) for name in ("file", "small"))
    expected = weights_after(estimator, method, X)
    continued = weights_after(whole, method, X)
    assert all(torch.equal(continued[name], expected[name]) for name in expected)
    with_new_optimizer = weights_after(small, method, X)
    assert not all(torch.equal(with_new_optimizer[name], expected[name]) for name in expected)
    joblib.dump(whole, tmp_path / "again")  # an estimator like any other
    assert not hasattr(joblib.load(tmp_path / "again"), "_resume_state")


def test_the_optimizer_is_saved_only_on_request(digits, tmp_path):
    estimator, _ = fit(({}, digits[0][:64]))
    small = size_of_file(estimator, tmp_path / "file")
    assert size_of_file(estimator.with_optimizer(), tmp_path / "file") > 2.5 * small
    assert size_of_file(estimator, tmp_path / "file") == small


@pytest.mark.parametrize("method", ["partial_fit", "fit"])
def test_another_optimizer_begins_with_a_state_of_its_own(digits, method):
    estimator, X = fit(({}, digits[0][:64]), warm_start=True)
    estimator.set_params(optimizer=torch.optim.SGD, lr=1e-3)
    getattr(estimator, method)(X)
    assert np.isfinite(estimator.transform(X)).all()
