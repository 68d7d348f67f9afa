"""Files of estimators: what comes back, and what happens to files that are not good."""

import copy
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import sklearn
import torch
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_ssl
from sklearn_ssl import (
    BaseSSLTransformer,
    CausalLMEmbedder,
    Checkpoint,
    FineTuneClassifier,
    FineTuneRegressor,
    MaskedAutoencoder,
    MaskedLMEmbedder,
    ModelFileError,
    NextFrameEmbedder,
    PretextTask,
    SimCLRTransformer,
    VIMETransformer,
    load_model,
    register_model_class,
    save_model,
)
from sklearn_ssl._array_files import read_arrays, write_arrays
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.callbacks import KNNProbe
from sklearn_ssl.encoders import KernelFeatures, RocketEncoder
from sklearn_ssl.model_files import allowed
from sklearn_ssl.semi_supervised import LabeledOnly
from tests.encoders.tiny_models import TEXTS, save_bert, save_gpt2
from tests.helpers import SENTENCES, through_model_file


@pytest.fixture(autouse=True)
def nothing_is_registered(monkeypatch):
    monkeypatch.setattr(allowed, "_REGISTERED", {})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"


@pytest.fixture(scope="module")
def X(digits):  # noqa: N802
    return digits[0][:60]


@pytest.fixture(scope="module")
def y(digits):
    return digits[1][:60]


@pytest.fixture(scope="module")
def ssl(X):
    return SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0).fit(X)


# What comes back ------------------------------------------------------------------------------
# Every estimator, with each kind of data: test_copies_embed_alike in test_common.py and
# test_common_text.py.


@pytest.mark.parametrize(
    "params",
    [
        {"encoder": "vit", "image_shape": (8, 8), "n_components": 4},
        {"encoder": "rocket", "modality": "series"},
        {"encoder": RocketEncoder, "modality": "series"},
        {"encoder": KernelFeatures, "modality": "series", "max_epochs": 0},
        {"encoder": partial(RocketEncoder, width=16), "modality": "series"},
        {"optimizer": partial(torch.optim.SGD, momentum=0.9), "lr": 0.01},
        {"augment": [ImageAugmentation(scale=(0.5, 1)), ImageAugmentation()], "modality": "image"},
        {"random_state": np.random.RandomState(3), "early_stopping": True},
        {"scaling": "quantile", "categorical_features": [0, 3]},
    ],
    ids=lambda params: "-".join(params),
)
def test_parameters_of_every_kind(params, X):
    rows = X[:20].reshape(-1, 8, 8) if "modality" in params else X[:20]
    estimator = SimCLRTransformer(**{"max_epochs": 1, "random_state": 0, **params}).fit(rows)
    twin = through_model_file(estimator)
    np.testing.assert_array_equal(twin.transform(rows), estimator.transform(rows))
    assert twin.score(rows) == estimator.score(rows)
    assert repr(twin.get_params()) == repr(estimator.get_params()) or "RandomState" in repr(params)
    twin.partial_fit(rows)


def test_frames_of_names_categories_and_gaps(X):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:20, 2], "b": np.where(X[:20, 3] > 8, "high", None), "c": 1.5})
    frame.loc[3, "c"] = np.nan
    estimator = VIMETransformer(max_epochs=1, random_state=0).set_output(transform="pandas")
    twin = through_model_file(estimator.fit(frame))
    assert twin.transform(frame).equals(estimator.transform(frame))
    assert twin.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        twin.transform(frame.rename(columns={"a": "z"}))


def test_other_methods_of_an_estimator(X):
    images = X.reshape(-1, 8, 8)
    mae = MaskedAutoencoder(modality="image", max_epochs=1, random_state=0).fit(images)
    twin = through_model_file(mae)
    for got, expected in zip(twin.reconstruct(images), mae.reconstruct(images), strict=True):
        np.testing.assert_array_equal(got, expected)
    series = X.reshape(-1, 4, 16)
    nextframe = NextFrameEmbedder(max_epochs=1, random_state=0).fit(series)
    np.testing.assert_array_equal(
        through_model_file(nextframe).predict_next(series), nextframe.predict_next(series)
    )
    writer = CausalLMEmbedder(max_epochs=1, width=16, depth=1, random_state=0).fit(SENTENCES)
    twin = through_model_file(writer)
    assert twin.generate("The", random_state=0) == writer.generate("The", random_state=0)
    assert twin.perplexity(SENTENCES) == pytest.approx(writer.perplexity(SENTENCES), abs=0)


@pytest.mark.parametrize(
    ("Estimator", "save"), [(MaskedLMEmbedder, save_bert), (CausalLMEmbedder, save_gpt2)]
)
def test_a_pretrained_model_without_its_folder(Estimator, save, tmp_path):
    folder = save(tmp_path / "folder")
    estimator = Estimator(pretrained=folder, max_epochs=1, random_state=0).fit(TEXTS)
    folder.rename(tmp_path / "moved")
    twin = through_model_file(estimator)
    np.testing.assert_array_equal(twin.transform(TEXTS), estimator.transform(TEXTS))
    assert twin.score(TEXTS) == estimator.score(TEXTS)
    assert twin.pretrained == folder


@pytest.mark.parametrize("strategy", ["probe", "probe-then-full", "full", "fixmatch"])
def test_classifiers(strategy, ssl, X, y):
    names = np.array(["zero", "one", "two", *map(str, range(3, 10))])[y]
    few = np.where(np.arange(len(y)) < 30, names, None)
    classifier = FineTuneClassifier(ssl, strategy=strategy, max_epochs=1, random_state=0)
    twin = through_model_file(classifier.fit(X, few))
    np.testing.assert_array_equal(twin.predict_proba(X), classifier.predict_proba(X))
    assert twin.predict(X).tolist() == classifier.predict(X).tolist()
    assert twin.classes_.tolist() == classifier.classes_.tolist()
    assert twin.score(X, few) == classifier.score(X, few)
    assert twin.history_ == classifier.history_


@pytest.mark.parametrize("strategy", ["probe", "probe-then-full", "full"])
@pytest.mark.parametrize("head", [None, Ridge(alpha=3.0), LinearRegression()])
def test_regressors(strategy, head, ssl, X, y):
    if strategy == "full" and head is not None:
        head = None
    few = np.where(np.arange(len(y)) < 30, y, np.nan)
    regressor = FineTuneRegressor(ssl, strategy=strategy, head=head, max_epochs=1, random_state=0)
    twin = through_model_file(regressor.fit(X, few))
    np.testing.assert_array_equal(twin.predict(X), regressor.predict(X))


def test_several_labels_class_weights_and_frozen_transformers(ssl, X, y):
    many = np.column_stack([y % 2, y > 4])
    heads = [None, OneVsRestClassifier(LogisticRegression(C=10))]
    for head in heads:
        classifier = FineTuneClassifier(FrozenEstimator(ssl), strategy="probe", head=head)
        twin = through_model_file(classifier.fit(X, many))
        np.testing.assert_array_equal(twin.predict_proba(X), classifier.predict_proba(X))
    weights = {k: 1.0 + k for k in range(10)}
    classifier = FineTuneClassifier(ssl, strategy="probe", class_weight=weights).fit(X, y)
    twin = through_model_file(classifier)
    assert twin.class_weight == weights
    np.testing.assert_array_equal(twin.predict_proba(X), classifier.predict_proba(X))


def test_the_steps_of_a_pipeline(ssl, X, y):
    few = np.where(np.arange(len(y)) < 40, y, -1)
    pipeline = make_pipeline(ssl, LabeledOnly(LogisticRegression(max_iter=1000))).fit(X, few)
    steps = [(name, through_model_file(step)) for name, step in pipeline.steps]
    twin = sklearn.pipeline.Pipeline(steps)
    np.testing.assert_array_equal(twin.predict_proba(X), pipeline.predict_proba(X))


def test_a_whole_pipeline_once_its_classes_are_registered(ssl, X, y, path):
    pipeline = make_pipeline(ssl, StandardScaler(), KNeighborsClassifier(algorithm="brute"))
    pipeline.fit(X, y)
    with pytest.raises(ValueError, match=r"sklearn\.pipeline\.Pipeline, which .*register_model_cl"):
        save_model(pipeline, path)
    assert not path.exists()
    for cls in (sklearn.pipeline.Pipeline, StandardScaler, KNeighborsClassifier):
        register_model_class(cls)
    np.testing.assert_array_equal(through_model_file(pipeline).predict(X), pipeline.predict(X))


def test_an_unfitted_estimator_stays_unfitted(X):
    twin = through_model_file(SimCLRTransformer(temperature=0.3))
    assert vars(twin) == vars(SimCLRTransformer(temperature=0.3))
    with pytest.raises(NotFittedError):
        twin.transform(X)


def test_what_a_step_asks_of_metadata_routing(ssl):
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = copy.deepcopy(ssl).set_fit_request(X_unlabeled="more")
        twin = through_model_file(estimator)
        assert repr(twin.get_metadata_routing()) == repr(estimator.get_metadata_routing())
        assert twin.get_metadata_routing().fit.requests == {"X_unlabeled": "more"}


def test_a_loaded_estimator_goes_on(ssl, X):
    twin, other = through_model_file(ssl), copy.deepcopy(ssl)
    twin.partial_fit(X)
    assert twin.loss_curve_[:-1] == ssl.loss_curve_
    assert twin.set_params(warm_start=True).fit(X).n_iter_ == 3
    np.testing.assert_array_equal(other.transform(X), ssl.transform(X))


def test_a_file_of_a_file(ssl, X):
    twin = through_model_file(through_model_file(ssl))
    np.testing.assert_array_equal(twin.transform(X), ssl.transform(X))


def test_equal_estimators_give_equal_files(ssl, tmp_path):
    save_model(ssl, tmp_path / "a")
    save_model(load_model(tmp_path / "a"), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_loading_draws_nothing(ssl, path, random_streams_untouched):
    save_model(ssl, path)
    load_model(path)


def test_a_file_holds_no_rows(ssl, X, path):
    save_model(ssl, path)
    content = path.read_bytes()
    for dtype in (np.float64, np.float32):
        assert X[5].astype(dtype).tobytes() not in content
    weights = sum(t.nbytes for t in ssl.task_.state_dict().values())
    assert len(content) <= weights + 20_000


FRESH_PROCESS = """
import sys
import numpy as np
from sklearn_ssl import load_model
np.save(sys.argv[3], load_model(sys.argv[1]).transform(np.load(sys.argv[2])))
"""


def test_a_fresh_process_embeds_alike(ssl, X, path, tmp_path):
    save_model(ssl, path)
    np.save(tmp_path / "X.npy", X)
    arguments = [path, tmp_path / "X.npy", tmp_path / "Z.npy"]
    subprocess.run([sys.executable, "-c", FRESH_PROCESS, *arguments], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "Z.npy"), ssl.transform(X))


# Code of the user -----------------------------------------------------------------------------


def my_net(shape):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 6))


def twice(batch):
    return 2 * batch


class MyTask(PretextTask):
    def __init__(self, encoder, noise):
        super().__init__()
        self.encoder, self.noise = encoder, noise

    def forward(self, batch):
        return self.encoder(batch).square().mean() + self.noise


class MyTransformer(BaseSSLTransformer):
    noise: float = 0.5

    def _make_task(self, spec):
        return MyTask(self._make_encoder(spec), self.noise)


def test_functions_and_estimators_of_ones_own(X, path):
    estimator = MyTransformer(encoder=my_net, max_epochs=1, noise=0.25).fit(X)
    with pytest.raises(ValueError, match=r"MyTransformer, which .*register_model_class"):
        save_model(estimator, path)
    register_model_class(MyTransformer)
    with pytest.raises(ValueError, match=r"encoder holds .*my_net, .*register_model_class"):
        save_model(estimator, path)
    register_model_class(my_net)
    save_model(estimator, path)
    twin = load_model(path)
    assert twin.noise == 0.25
    np.testing.assert_array_equal(twin.transform(X), estimator.transform(X))
    allowed._REGISTERED.clear()  # as in another process
    with pytest.raises(ModelFileError, match=r"names 'tests.*MyTransformer', .*register_model_cl"):
        load_model(path)


def test_callbacks_are_left_out_with_a_warning(X, y, path):
    probe = KNNProbe(X, y)
    estimator = SimCLRTransformer(max_epochs=1, callbacks=[probe], augment=twice).fit(X)
    register_model_class(twice)
    with pytest.warns(UserWarning, match="saved without its callbacks"):
        save_model(estimator, path)
    assert load_model(path).callbacks is None
    assert estimator.callbacks == [probe]


@pytest.mark.parametrize("as_object", [False, True])
def test_the_folder_of_checkpoints_is_left_out(X, path, tmp_path, as_object):
    folder = tmp_path / "fit"
    checkpoint = Checkpoint(folder) if as_object else folder
    estimator = SimCLRTransformer(max_epochs=1, checkpoint=checkpoint).fit(X)
    save_model(estimator, path)
    assert load_model(path).checkpoint is None
    assert estimator.checkpoint == checkpoint


def test_training_continues_if_the_optimizer_is_saved_too(X, path):
    estimator = SimCLRTransformer(max_epochs=1, random_state=0).fit(X)
    save_model(estimator.with_optimizer(), path)
    twin = load_model(path).partial_fit(X)
    np.testing.assert_array_equal(twin.transform(X), estimator.partial_fit(X).transform(X))


# Versions -------------------------------------------------------------------------------------


def test_versions_are_in_the_file(ssl, path):
    save_model(ssl, path)
    versions = read_arrays(path)[1]["versions"]
    assert versions["sklearn_ssl"] == sklearn_ssl.__version__
    assert versions["scikit-learn"] == sklearn.__version__


def changed(path, change):
    """Change the JSON of a file, and write it with the right sha256."""
    arrays, metadata = read_arrays(path)
    arrays, metadata = change(arrays, metadata) or (arrays, metadata)
    write_arrays(path, arrays, metadata)


def test_another_version_of_this_package_is_warned_of(ssl, path):
    save_model(ssl, path)

    def change(arrays, metadata):
        metadata["model"]["state"]["dict"]["_sklearn_ssl_version"] = "0.0.7"

    changed(path, change)
    with pytest.warns(UserWarning, match=r"was saved by sklearn-ssl 0\.0\.7"):
        load_model(path)


def test_another_version_of_sklearn_is_warned_of(ssl, X, y, path):
    save_model(FineTuneClassifier(ssl, strategy="probe").fit(X, y), path)

    def change(arrays, metadata):
        head = metadata["model"]["state"]["dict"]["head_"]
        head["state"]["dict"]["_sklearn_version"] = "1.0"

    changed(path, change)
    with pytest.warns(InconsistentVersionWarning, match="LogisticRegression from version 1.0"):
        load_model(path)


@pytest.mark.parametrize("value", [2, "1", None])
def test_another_format_is_refused(ssl, path, value):
    save_model(ssl, path)
    changed(path, lambda arrays, metadata: metadata.update(format=value))
    with pytest.raises(ModelFileError, match=rf"has the format {value}, but .* loads the format 1"):
        load_model(path)


# Files that are not good ----------------------------------------------------------------------


@pytest.mark.parametrize("thing", [None, {"a": 1}, SimCLRTransformer, torch.nn.Linear(2, 2)])
def test_only_estimators_are_saved(thing, path):
    with pytest.raises(TypeError, match="save_model saves estimators, got"):
        save_model(thing, path)


def test_pickles_and_other_files_are_refused(ssl, path):
    for content in (b"", b"\x80\x04\x95", b"PK\x03\x04" + bytes(100), b"{}", bytes(64)):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"is not a file of sklearn_ssl"):
            load_model(path)
    write_arrays(path, {"w": np.arange(3)}, {})
    with pytest.raises(ModelFileError, match="has the format None"):
        load_model(path)


N_MUTATED, N_HOSTILE = 1900, 100


def test_mutated_and_truncated_files_are_refused(ssl, path):
    save_model(ssl, path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for i in range(N_MUTATED):
        mutated = bytearray(content)
        place = int(rng.integers(len(content) if i % 2 else 20_000))  # half of them in the header
        few = rng.bytes(rng.integers(1, 100))
        if i % 5 == 0:
            del mutated[place:]
        elif i % 5 == 1:
            del mutated[place : place + len(few)]
        elif i % 5 == 2:
            mutated[place:place] = few
        elif i % 5 == 3:
            mutated[place] ^= 1 << int(rng.integers(8))
        else:
            mutated[place : place + 8] = rng.bytes(8)
        path.write_bytes(mutated)
        with pytest.raises(ModelFileError, match=str(path)):
            load_model(path)


# From here on, the sha256 is right: somebody has made the file on purpose.


@pytest.fixture(scope="module")
def content(ssl, X, y, tmp_path_factory):
    """Arrays and JSON of a good file."""
    path = tmp_path_factory.mktemp("good") / "model"
    save_model(FineTuneClassifier(ssl, strategy="probe").fit(X, y), path)
    return read_arrays(path)


def refused(path, content, change, match=""):
    """Change the content of a good file, and check that it is refused."""
    arrays, metadata = dict(content[0]), copy.deepcopy(content[1])
    change(arrays, metadata)
    write_arrays(path, arrays, metadata)
    with pytest.raises(ModelFileError, match=rf"{path} .*{match}"):
        load_model(path)


def state_of(metadata, *names):
    state = metadata["model"]["state"]["dict"]
    for name in names:
        state = state[name]
        state = state["state"]["dict"] if "state" in state else state.get("dict", state)
    return state


def test_the_content_of_a_good_file_is_loaded(content, path, X):
    write_arrays(path, *content)
    assert load_model(path).predict(X).shape == (60,)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "../../x", "joblib.load", None, 3])
@pytest.mark.parametrize(
    "put",
    [
        lambda state, name: state.update(transformer={"object": name, "state": {"dict": {}}}),
        lambda state, name: state.update(head={"name": name}),
        lambda state, name: state.update(augment={"partial": [{"name": name}, {"tuple": []}, {}]}),
    ],
    ids=["object", "name", "partial"],
)
def test_names_of_anything_else_are_refused(content, path, name, put):
    def change(arrays, metadata):
        put(state_of(metadata), name)

    refused(path, content, change, "neither of sklearn_ssl nor registered")


WEIGHT = "transformer_._task_arrays.projection_head.0.weight"


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (lambda w: w.double(), "is float64 of shape .* has float32"),
        (lambda w: w.half(), "is float16 of shape"),
        (lambda w: w.int(), "is int32 of shape"),
        (lambda w: w[:-1], "of shape"),
        (lambda w: w[None], "of shape"),
        (lambda w: w.flatten(), "of shape"),
        (lambda w: w[:0], "of shape"),
    ],
)
def test_arrays_of_another_dtype_or_shape_are_refused(content, path, array, match):
    def change(arrays, metadata):
        arrays[WEIGHT] = array(arrays[WEIGHT])
        del state_of(metadata, "transformer_")["_task_checksum"]

    refused(path, content, change, match)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda arrays, _: arrays.pop(WEIGHT), WEIGHT),
        (lambda arrays, _: arrays.update(more=torch.zeros(3)), "not an estimator with its arrays"),
        (lambda _, metadata: metadata.pop("model"), "model"),
        (lambda _, metadata: metadata.update(model={"dict": {}}), "not an estimator"),
        (lambda _, metadata: metadata.update(model=[]), "not an estimator"),
        (lambda _, metadata: metadata.update(model={"name": "sklearn_ssl.optim.adamw"}), "not an"),
        (lambda _, metadata: metadata.update(model={"eval": "1"}), "eval"),
        (lambda _, metadata: metadata.update(model={}), "loaded"),
        (lambda _, metadata: metadata["model"].update(more=1), "more"),
        (lambda _, metadata: metadata["model"].update(state=[]), "loaded"),
        (lambda _, metadata: metadata["model"].update(state={"dict": []}), "loaded"),
    ],
)
def test_other_structures_are_refused(content, path, change, match):
    refused(path, content, change, match)


@pytest.mark.parametrize("name", ["predict", "__class__", "_kind_of", "__setstate__", "fit"])
def test_methods_are_not_replaced(content, path, name):
    def change(arrays, metadata):
        state_of(metadata)[name] = {"name": "sklearn_ssl.optim.adamw"}

    refused(path, content, change, f"{name} is not what a file may set")


@pytest.mark.parametrize(
    "changes",
    [
        {"n_components": 2**16},
        {"n_components": 10**9},
        {"n_components": -1},
        {"n_components": 10**30},
        {"encoder": "resnet152"},
        {"encoder": "../../encoder"},
        {"encoder": {"name": "torch.optim.adamw.AdamW"}},
        {"encoder": {"name": "sklearn_ssl.encoders.text.TextEncoder"}},
        {"temperature": "x", "n_components": "x"},
        {"unknown": 1},
        {"augment": "os.system"},
        {"device": 3},
        {"max_epochs": {"float": "nan"}},
    ],
    ids=str,
)
def test_parameters_that_do_not_fit_the_arrays_are_refused(content, path, changes):
    def change(arrays, metadata):
        state_of(metadata, "transformer_", "_task_params").update(changes)

    refused(path, content, change)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": {"tuple": [1, 10**6, 10**6]}},
        {"shape": {"tuple": [1, 80, 80]}, "row_shape": 3},
        {"shape": None},
        {"shape": {"tuple": [-1, 8, 8]}},
        {"n_samples": None},
        {"more": 1},
    ],
    ids=str,
)
def test_descriptions_that_do_not_fit_the_arrays_are_refused(content, path, changes):
    def change(arrays, metadata):
        state_of(metadata, "transformer_", "input_spec_").update(changes)

    refused(path, content, change)


def places(value, place=()):
    """Yield the place of each value inside of JSON."""
    yield place
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*place, key))


def test_any_value_replaced_by_a_name_of_something_else_is_refused(content, path):
    # {"dict": {"name": "os.system"}} is data, a dictionary of one word
    everywhere = [p for p in places(content[1]["model"]) if p and p[-1] != "dict"]
    rng = np.random.default_rng(0)
    evil = [
        {"name": "os.system"},
        {"object": "os.system", "state": {"dict": {}}},
        {"array": "../x"},
    ]
    for i in range(N_HOSTILE):
        *outer, key = everywhere[rng.integers(len(everywhere))]

        def change(arrays, metadata, i=i, outer=outer, key=key):
            value = metadata["model"]
            for name in outer:
                value = value[name]
            value[key] = evil[i % len(evil)]

        refused(path, content, change)


@pytest.mark.parametrize(
    "around",
    [lambda v: [v], lambda v: {"tuple": [v]}, lambda v: {"dict": {"a": v}}],
    ids=["list", "tuple", "dict"],
)
def test_values_that_are_nested_too_deep_are_refused(content, path, around):
    value = 1
    for _ in range(3_000):
        value = around(value)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # to write it
    try:
        arrays, metadata = dict(content[0]), copy.deepcopy(content[1])
        state_of(metadata)["more"] = value
        write_arrays(path, arrays, metadata)
    finally:
        sys.setrecursionlimit(limit)
    with pytest.raises(ModelFileError, match=str(path)):
        load_model(path)
