"""Exported estimators give in onnxruntime, and in torch alone, what they give here."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tokenizers import Tokenizer
from torch import nn

from sklearn_ssl import (
    CausalLMEmbedder,
    FineTuneClassifier,
    FineTuneRegressor,
    MaskedAutoencoder,
    MaskedLMEmbedder,
    NextFrameEmbedder,
    SCARFTransformer,
    Sent2VecTransformer,
    SimCLRTransformer,
    TS2VecTransformer,
    VIMETransformer,
    export,
    export_onnx,
)
from sklearn_ssl.encoders import MLPEncoder
from tests.encoders.tiny_models import TEXTS as TEXTS_OF_BERT
from tests.encoders.tiny_models import save_bert
from tests.helpers import SENTENCES
from tests.test_common import every_kind, first_fit, fits, fitted  # noqa: F401 - fixtures

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")

ONE_EPOCH, UNTRAINED = ({"max_epochs": n, "random_state": 0} for n in (1, 0))
OUTPUTS = {
    "representation": "transform",
    "label": "predict",
    "probabilities": "predict_proba",
    "prediction": "predict",
}

rng = np.random.default_rng(0)
NUMBERS = rng.normal(size=(40, 3))
Y = np.arange(40) % 3
TABLE = pd.DataFrame(
    {
        "a": NUMBERS[:, 0] + Y,
        "color": np.array(["red", "green", None, "blue"])[rng.integers(4, size=40)],
        "b": np.where(Y == 0, np.nan, 1e9 + NUMBERS[:, 1]),
    }
)
IMAGES = rng.integers(256, size=(40, 9, 10, 3), dtype=np.uint8)
SERIES = 100 + rng.normal(size=(40, 2, 13)).cumsum(axis=2)
GAPS = np.where(rng.random(SERIES.shape) < 0.2, np.nan, SERIES)
GAPS[3, :, 8:] = GAPS[4] = np.nan
VIDEOS = rng.random((40, 4, 6, 8)).astype(np.float32)
VIDEOS[3, 2:] = np.nan
TEXTS = SENTENCES * 8
STRINGS = np.array(["no", "maybe", "yes"])[Y]
SEVERAL = np.column_stack([Y == 0, Y > 0, Y > 1])


def probe(transformer, **params):
    return FineTuneClassifier(transformer, strategy="probe", random_state=0, **params)


# Each of the encoders, and each kind of head: an unfitted estimator, X and y.
CASES = {
    "table, labels are strings": (probe(SCARFTransformer(**ONE_EPOCH)), TABLE, STRINGS),
    "quantiles, no probabilities": (
        probe(VIMETransformer(scaling="quantile", **ONE_EPOCH), head=RidgeClassifier()),
        NUMBERS,
        Y == 1,
    ),
    "tokens of tables": (MaskedAutoencoder(**ONE_EPOCH), TABLE, None),
    "images, several labels": (
        FineTuneClassifier(
            SimCLRTransformer(modality="image", **ONE_EPOCH), strategy="full", **ONE_EPOCH
        ),
        IMAGES,
        SEVERAL,
    ),
    "tokens of images": (MaskedAutoencoder(modality="image", **ONE_EPOCH), IMAGES, None),
    "series, a number": (
        FineTuneRegressor(SimCLRTransformer(modality="series", **ONE_EPOCH), random_state=0),
        SERIES,
        1e4 + Y,
    ),
    "rocket": (
        SimCLRTransformer(modality="series", encoder="rocket", **ONE_EPOCH),
        SERIES[:, 0],
        None,
    ),
    "tokens of series": (MaskedAutoencoder(modality="series", **ONE_EPOCH), SERIES, None),
    "TS2Vec": (TS2VecTransformer(**ONE_EPOCH), GAPS, None),
    "next frames of series": (NextFrameEmbedder(**ONE_EPOCH), GAPS, None),
    "next frames of videos": (NextFrameEmbedder(**ONE_EPOCH), VIDEOS, None),
    "words, two classes": (probe(Sent2VecTransformer(**ONE_EPOCH)), TEXTS, Y > 0),
    "masked language model": (MaskedLMEmbedder(**UNTRAINED), TEXTS, None),
    "causal language model": (CausalLMEmbedder(pooling="last", **UNTRAINED), TEXTS, None),
}


def written(estimator, tmp_path):
    """Return a session of an estimator's file, and its metadata."""
    export_onnx(estimator, tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    return session, session.get_modelmeta().custom_metadata_map


def as_numbers(X, metadata):
    """Return the rows that a file takes, made from X and the metadata alone."""
    if isinstance(X, pd.DataFrame):
        assert json.loads(metadata["feature_names"]) == list(X)
        categories = json.loads(metadata["categories"])
        coded = X.copy()
        for name, known in zip(X, categories):
            if known is not None:
                codes = {value: code for code, value in enumerate(known, start=1)}
                values = X[name].astype(object).where(X[name].notna(), None)
                coded[name] = [codes.get(value, 0) for value in values]
        return coded.to_numpy(np.float64)
    if isinstance(X, list):
        tokenizer = Tokenizer.from_str(metadata["tokenizer"])
        begin, end = int(metadata["begin"]), int(metadata["end"])
        texts = [tokenizer.encode(text, add_special_tokens=False).ids for text in X]
        rows = np.full((len(X), 2 + max(map(len, texts))), -1)
        for row, ids in zip(rows, texts):
            row[: len(ids) + 2] = [begin, *ids, end]
        return rows
    return X.astype(np.float32) if X.dtype == np.uint8 else X


def assert_same_outputs(estimator, X, session, rows):
    """Compare all outputs of 1, 7 and 300 rows with those of the estimator."""
    names = [output.name for output in session.get_outputs()]
    assert names == [name for name in OUTPUTS if name in names]
    for name in names:
        expected = getattr(estimator, OUTPUTS[name])(X)
        for n in (1, 7, 300):
            some = np.resize(np.arange(len(rows)), n)
            (got,) = session.run([name], {"rows": rows[some]})
            if expected.dtype.kind == "f":
                scale = max(1, np.abs(expected).max())
                np.testing.assert_allclose(got, expected[some], rtol=0, atol=1e-4 * scale)
            else:
                np.testing.assert_array_equal(got, expected[some])


@pytest.mark.parametrize(("estimator", "X", "y"), CASES.values(), ids=CASES)
def test_onnxruntime_gives_the_same(estimator, X, y, tmp_path, random_streams_untouched):
    estimator.fit(X, y)
    session, metadata = written(estimator, tmp_path)
    assert metadata["estimator"] == type(estimator).__name__
    assert_same_outputs(estimator, X, session, as_numbers(X, metadata))
    (rows,) = session.get_inputs()
    assert rows.shape[0] == "n"


@pytest.mark.slow
def test_onnxruntime_gives_the_same_for_a_model_of_transformers(tmp_path):
    folder, target = tmp_path / "bert", tmp_path / "onnx"
    target.mkdir()
    ssl = MaskedLMEmbedder(pretrained=save_bert(folder), **UNTRAINED).fit(TEXTS_OF_BERT)
    session, metadata = written(ssl, target)
    assert_same_outputs(ssl, TEXTS_OF_BERT, session, as_numbers(TEXTS_OF_BERT, metadata))


@every_kind
def test_the_network_gives_what_transform_does(Estimator, fitted):  # noqa: F811
    fit, X = fitted
    ssl = fit(Estimator, max_epochs=0)
    network = export.RowsToOutputs(ssl.input_spec_, ssl.task_)
    with torch.no_grad():
        (Z,) = network(torch.from_numpy(X).to(ssl.input_spec_.raw_dtype))
    np.testing.assert_allclose(Z, ssl.transform(X), rtol=0, atol=1e-5)


def test_a_program_of_torch_gives_the_same(tmp_path):
    classifier = probe(SimCLRTransformer(**ONE_EPOCH)).fit(NUMBERS, STRINGS)
    torch.export.save(export.export_program(classifier), tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    for n in (1, 40):
        label, probabilities = program(torch.from_numpy(NUMBERS[:n]))
        assert list(classifier.classes_[label.numpy()]) == list(classifier.predict(NUMBERS[:n]))
        expected = classifier.predict_proba(NUMBERS[:n])
        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)


# What cannot be exported ----------------------------------------------------------------------


@pytest.fixture
def ssl():
    return SimCLRTransformer(**UNTRAINED).fit(NUMBERS)


def test_a_folder_that_is_missing(ssl, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"create the folder .*no_folder first"):
        export_onnx(ssl, tmp_path / "no_folder" / "model.onnx")
    with pytest.raises(IsADirectoryError, match="pass the path of a file"):
        export_onnx(ssl, tmp_path)


@pytest.mark.parametrize(
    ("estimator", "error", "match"),
    [
        (SimCLRTransformer(), NotFittedError, "SimCLRTransformer instance is not fitted"),
        (probe(SimCLRTransformer()), NotFittedError, "FineTuneClassifier instance is not"),
        (make_pipeline(SimCLRTransformer()), TypeError, "Got Pipeline; of a Pipeline"),
        (StandardScaler(), TypeError, "Got StandardScaler"),
        (SimCLRTransformer, TypeError, "Got ABCMeta|Got type"),
    ],
)
def test_what_is_no_fitted_estimator(estimator, error, match, tmp_path):
    with pytest.raises(error, match=match):
        export_onnx(estimator, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("head", "match"),
    [
        (KNeighborsClassifier(), r"head=KNeighborsClassifier\(\) is not one. Export the transf"),
        (SGDClassifier(loss="log_loss", alpha=1), "has probabilities of another kind"),
    ],
)
def test_a_head_that_is_not_linear(ssl, head, match, tmp_path):
    classifier = probe(ssl, head=head).fit(NUMBERS, Y)
    with pytest.raises(ValueError, match=match):
        export_onnx(classifier, tmp_path / "model.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_package_that_is_missing(ssl, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-ssl\[onnx\]'"):
        export_onnx(ssl, tmp_path / "model.onnx")


class Moody(MLPEncoder):
    """Decides by the numbers in a batch what it computes."""

    def forward(self, batch):
        return super().forward(batch if batch.sum() > 0 else -batch)


def test_an_encoder_that_torch_cannot_follow(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("the last model")
    ssl = SimCLRTransformer(encoder=Moody, **UNTRAINED).fit(NUMBERS)
    with pytest.raises(
        ValueError, match=r"(?s)cannot follow the encoder, Moody: .* must not decid"
    ):
        export_onnx(ssl, path)
    assert path.read_text() == "the last model"


class Bessel(nn.Linear):
    """Uses an operator that ONNX lacks."""

    def __init__(self, shape):
        super().__init__(shape[0], 2)

    def forward(self, batch):
        return super().forward(torch.special.i0e(batch))


def test_an_operator_that_onnx_lacks(tmp_path):
    ssl = SimCLRTransformer(encoder=Bessel, **UNTRAINED).fit(NUMBERS)
    with pytest.raises(ValueError, match=r"torch\.onnx cannot follow the encoder, Bessel"):
        export_onnx(ssl, tmp_path / "model.onnx")


def test_a_file_with_other_outputs_is_not_written(ssl, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_text("the last model")
    monkeypatch.setattr(export, "TOLERANCE", -1)
    with pytest.raises(RuntimeError, match=r"output representation of onnxruntime .* for 1 row"):
        export_onnx(ssl, path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the last model"]
