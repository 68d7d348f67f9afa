"""Each benchmark runs from end to end on a few rows, and the renderer takes what it writes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from benchmarks import (
    brown,
    calibration,
    forecasts,
    pretrained_images,
    quality,
    report,
    selection,
    store,
    survey,
    survey_tables,
    tables_gain,
    tasks,
    texts,
    videos,
)
from benchmarks.datasets import load_efficientnet_lite0
from benchmarks.speed import __main__ as speed
from benchmarks.speed.memory import peak_memory
from sklearn_ssl import methods


def quickly(module, folder, *arguments):
    module.main(["--quick", "--results", str(folder), *arguments])


def columns(name):
    return list(store.read(store.RESULTS / name)[0])


def test_every_method_is_measured():
    files = Path(methods.__file__).parent.glob("[a-z]*.py")
    assert {M.__module__ for M in quality.METHODS.values()} == {
        f"sklearn_ssl.methods.{path.stem}" for path in files
    }


def test_a_method_is_measured_under_its_own_name():
    known = ["MoCoV3", "VICReg, frozen", "CausalLM (dropout=0.0)", "raw features"]
    measured = [name for name in quality.METHODS if quality.is_measured(name, known)]
    assert measured == ["CausalLM", "MoCoV3", "VICReg"]


def test_quality(tmp_path):
    quickly(quality, tmp_path, "--pages", "quality", "--methods", "SimCLR")
    rows = store.read(tmp_path / "quality.csv")
    assert list(rows[0]) == columns("quality.csv")
    assert {row["method"] for row in rows if row["role"] == "ours"} == {"SimCLR"}
    scores = [float(row["mean"]) for row in rows if row["metric"] == "accuracy"]
    assert len(scores) == 2 * 3  # numbers of labels; the method, and the same network without it
    assert 0 < min(scores) < max(scores) <= 1
    table = "\n".join(report.data_set(tmp_path, "quick_digits"))
    assert "Pretrained on 225 rows." in table
    assert "| SimCLR |" in table


# Where few labels say nothing of far rows, LabelSpreading divides by zero.
@pytest.mark.filterwarnings("ignore:invalid value encountered in divide:RuntimeWarning")
@pytest.mark.parametrize(
    "data", ["quick_table", pytest.param("quick_texts", marks=pytest.mark.slow)]
)
def test_few_labels(tmp_path, data):
    quickly(quality, tmp_path, "--pages", "few_labels", "--data", data)
    rows = store.read(tmp_path / "few_labels.csv")
    assert list(rows[0]) == columns("few_labels.csv")
    methods = {row["method"] for row in rows}
    assert {"LabelSpreading", "SelfTrainingClassifier", "HistGradientBoosting"} < methods
    assert any(method.endswith("probe, then fine-tuned") for method in methods)
    assert report.verdicts(tmp_path, "5")[0].startswith(f"- {data}: ")
    measured_again = len(rows)
    quickly(quality, tmp_path, "--pages", "few_labels", "--data", data)  # nothing is missing
    assert len(store.read(tmp_path / "few_labels.csv")) == measured_again


def test_survey(tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "DRAWS", 2)
    quickly(survey, tmp_path, "--seeds", "0", "--labels", "5", "10")
    rows = store.read(tmp_path / "survey.csv")
    assert list(rows[0]) == columns("survey.csv")
    scores = {row["method"]: row["scores"] for row in rows if row["labels"] == "10"}
    assert {"VIME, frozen", "LabelSpreading", "boosted trees", "supervised network"} < set(scores)
    assert all(len(found.split()) == 2 for found in scores.values())
    measured_again = len(rows)
    quickly(survey, tmp_path, "--seeds", "0", "--labels", "5", "10")  # nothing is missing
    assert len(store.read(tmp_path / "survey.csv")) == measured_again
    assert report.survey_tables.survey_sets(tmp_path)[2].startswith("| quick_table | table | 0.")
    survey_tables.plot(tmp_path, tmp_path / "survey.svg")
    assert "<svg" in (tmp_path / "survey.svg").read_text(encoding="utf-8")


def test_survey_knows_its_data_sets():
    names = {make.__name__ for make in tasks.SURVEY}
    assert len(names) == len(tasks.SURVEY) >= 30
    assert set(survey.KEPT_APART) < names


@pytest.mark.parametrize(
    ("lead", "word"),
    [
        (0.01, "ahead"),
        (0.0099, "level"),
        (-0.0099, "level"),
        (-0.0101, "behind"),
        (-0.01, "behind"),
    ],
)
def test_a_point_decides(lead, word):
    assert survey_tables.verdict(lead) == word


def test_the_recipe_for_few_series_needs_no_training():
    assert survey_tables.recipe("series", 67) == "fixed kernels"
    assert survey_tables.recipe("series", 8000) == "SimCLR, probe, then fine-tuned"
    assert survey_tables.recipe("table", 67) == "VIME, probe, then fine-tuned"


def test_counts_take_the_best_rival_of_each_set(tmp_path):
    scores = [
        *[("a", "table", "VIME, probe, then fine-tuned", "ours", "0.9 0.7")],
        *[("a", "table", "PCA", "rival", "0.7 0.7"), ("a", "table", "HOG", "rival", "0.79 0.8")],
        *[("magic", "series", "SimCLR, probe, then fine-tuned", "ours", "0.5 0.5")],
        *[("magic", "series", "PCA", "rival", "0.6 0.6")],
    ]
    keys = ("dataset", "kind", "method", "role", "scores")
    rows = [dict(zip(keys, row)) | {"labels": 10, "seed": 0, "n_rows": 2000} for row in scores]
    store.replace(tmp_path / "survey.csv", rows, key=("dataset", "method"))
    table = survey_tables.survey_counts(tmp_path)
    assert table[0] == "| labels per class | 1 | 5 | 10 | 100 |"
    assert [line for line in table[2:] if "/ 1" in line or "1 /" in line] == [
        "| tables | - | - | 0 / 1 / 0 | - |",
        "| series | - | - | 0 / 0 / 1 | - |",
        "| **all** | - | - | 0 / 1 / 1 | - |",
        "| those kept apart | - | - | 0 / 0 / 1 | - |",
    ]
    assert survey_tables.survey_rivals(tmp_path)[2:] == [
        "| PCA | 1 / 0 / 1 | +0.0 | -10.0 |",
        "| HOG | 0 / 1 / 0 | +0.5 | +0.5 |",
    ]


def test_regression(tmp_path):
    quickly(quality, tmp_path, "--pages", "regression")
    rows = store.read(tmp_path / "regression.csv")
    assert {row["metric"] for row in rows} == {"r2", "mean_absolute_error"}
    assert {row["labels"] for row in rows} == {"20", "60", "200"}
    assert min(float(row["mean"]) for row in rows if row["metric"] == "mean_absolute_error") > 0
    assert report.regression(tmp_path, "r2")[0] == "|  | labels | 20 | 60 | 200 |"


def test_validation_writes_nothing(tmp_path, capsys):
    arguments = ["--pages", "regression", "--validation", "--set", "lr=1e-3"]
    quickly(quality, tmp_path, *arguments)
    assert (
        "quick_numbers | VIME (lr=0.001), probe: the default | r2 | 20 | "
        in capsys.readouterr().out
    )
    assert not list(tmp_path.iterdir())


def test_selection(tmp_path):
    quickly(selection, tmp_path)
    for name in ("selection.csv", "selection_summary.csv"):
        assert list(store.read(tmp_path / name)[0]) == columns(name)
    table = "\n".join(report.selection(tmp_path, "quick"))
    assert "| SimCLR, defaults | 0." in table
    assert "| *one draw of labels* | " in table


def test_tables_gain(tmp_path):
    quickly(tables_gain, tmp_path)
    rows = store.read(tmp_path / "tables_gain.csv")
    assert list(rows[0]) == columns("tables_gain.csv")
    assert [row["labels"] for row in rows] == ["all labels", "a quarter"]
    assert report.gains(tmp_path)[2].startswith("| breast_cancer | ")


def test_forecasts(tmp_path):
    quickly(forecasts, tmp_path)
    rows = store.read(tmp_path / "forecasts.csv")
    assert list(rows[0]) == columns("forecasts.csv")
    errors = {row["method"]: float(row["mean"]) for row in rows if row["metric"] == "all steps"}
    assert 0 < errors["Ridge"] < errors["last value"]
    assert errors["NextFrame"] != errors["untrained NextFrame"]
    assert report.forecasts(tmp_path)[2].startswith("| digits (100 x 6 + 2) | last value | ")
    assert report.forecast_leads(tmp_path)[3].startswith("| Ridge | ")


def test_forecast_steps_of_test_windows_come_after_all_training_windows():
    train, test = forecasts.cut(np.arange(60.0).reshape(1, 60), seen=8, steps=2)
    assert train.shape[1:] == test.shape[1:] == (1, 10)
    assert train.max() == 39
    assert test[:, :, 8:].min() == 40
    assert test.max() == 59


def test_ridge_of_changes_continues_a_line():
    X = np.arange(8.0) + 10 * np.arange(20)[:, None, None]
    far = X[:, :, :6] + 1000
    np.testing.assert_allclose(forecasts.ridge_of_changes(X, far, 2, 0), X[:, :, 6:] + 1000)


def test_calibration(tmp_path):
    quickly(calibration, tmp_path, "--strategies", "probe", "fixmatch")
    rows = store.read(tmp_path / "calibration.csv")
    assert list(rows[0]) == columns("calibration.csv")
    methods = {row["method"] for row in rows}
    assert {"probe, temperature, out of fold", "fixmatch, as it is"} < methods
    assert "fixmatch, sigmoid, out of fold" not in methods
    errors = [float(row["mean"]) for row in rows if row["metric"] == "calibration_error"]
    assert 0 < min(errors) <= max(errors) < 1


def test_brown(tmp_path):
    quickly(brown, tmp_path)
    rows = store.read(tmp_path / "brown.csv")
    assert list(rows[0]) == columns("brown.csv")
    bits = {row["model"]: float(row["bits_per_byte"]) for row in rows}
    assert bits["bigram of bytes, Kneser-Ney"] < bits["unigram of bytes"] < 8
    assert 0 < bits["CausalLMEmbedder"] < 8


SLOW_PARTS = ("lightly", "methods", "mae", "million", "language_models")
NOT_RUN = ("memory", "scarf", "bags", "sentences")  # eight processes; packages that tests lack


# lightly's head of DINO uses a function of torch that is deprecated.
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "part",
    [
        pytest.param(part, marks=[pytest.mark.slow] if part in SLOW_PARTS else [])
        for part in speed.PARTS
        if part not in NOT_RUN
    ],
)
def test_speed(tmp_path, part):
    quickly(speed, tmp_path, "--only", part)
    rows = store.read(tmp_path / "speed.csv")
    assert list(rows[0]) == columns("speed.csv")
    assert {row["part"] for row in rows} == {part}
    assert len(report.speed(tmp_path, part)) == 4 + len(rows)


def test_peak_memory_is_measured():
    peak, n_bytes = peak_memory("images", "transform", 256)
    assert n_bytes == 256 * 28 * 28
    assert abs(peak) < 2**30


def test_speed_of_some_methods_is_printed(tmp_path, capsys):
    quickly(speed, tmp_path, "--only", "methods", "--methods", "SimCLR")
    assert "SimCLRTransformer, 256 images of 28 x 28 | " in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "module",
    [
        *(brown, calibration, forecasts, pretrained_images, quality, selection),
        *(speed, survey, tables_gain, texts, videos),
    ],
)
def test_quick_figures_do_not_reach_the_results(module, capsys):
    with pytest.raises(SystemExit):
        module.main(["--quick"])
    assert "--quick needs --results" in capsys.readouterr().err


def test_texts(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "SEEDS", 1)
    quickly(texts, tmp_path)
    rows = store.read(tmp_path / "texts.csv")
    assert {"TF-IDF", "Sent2Vec", "Sent2Vec, beside TF-IDF, C searched"} < {
        row["method"] for row in rows
    }
    assert "| Sent2Vec, untrained |" in "\n".join(report.texts(tmp_path))
    assert len(report.text_leads(tmp_path)) == 2 + 2  # header; numbers of labels


def test_pretrained_images(tmp_path):
    quickly(pretrained_images, tmp_path)
    rows = store.read(tmp_path / "pretrained_images.csv")
    assert list(rows[0]) == list(store.COLUMNS)
    assert {row["method"] for row in rows} == {"raw pixels", "raw pixels, standardized"}
    table = report.pretrained_images(tmp_path)
    assert table[:3:2] == ["## quick", "|  | labels per class | 1 | 5 | 10 | 100 | minutes |"]


def test_efficientnet_sees_a_flower(load_or_skip):
    model = load_or_skip(load_efficientnet_lite0).eval()
    photo = Image.fromarray(load_sample_image("flower.jpg")).resize((224, 224))
    pixels = torch.from_numpy(np.array(photo)).movedim(-1, 0)[None] / 127.5 - 1
    with torch.no_grad():
        assert model(pixels).argmax() == 985  # a daisy


@pytest.mark.slow
def test_videos(tmp_path):
    quickly(videos, tmp_path)
    rows = store.read(tmp_path / "videos.csv")
    assert list(rows[0]) == columns("videos.csv")
    assert {row["task"] for row in rows} == {"digit", "speed"}
    assert {"raw pixels", "untrained encoder", "NextFrame, states alone", "supervised network"} < {
        row["method"] for row in rows
    }
    measured_again = len(rows)
    quickly(videos, tmp_path)  # nothing is missing
    assert len(store.read(tmp_path / "videos.csv")) == measured_again


@pytest.mark.parametrize("make", videos.DATA.values(), ids=videos.DATA)
def test_clips_are_labeled_by_what_they_show(make, load_or_skip):
    clips = load_or_skip(make)
    assert clips.X.shape[1:4] == (videos.N_FRAMES, videos.SIDE, videos.SIDE)
    for X, y in ((clips.X, clips.y), (clips.X_test, clips.y_test)):
        assert all(len(answers) == len(X) for answers in y.values())
        if "direction" in y:
            still = (X[:, 0] == X[:, -1]).all(axis=(1, 2, 3))
            np.testing.assert_array_equal(still, y["direction"] == 0)
        if "speed" in y:
            assert set(y["speed"]) == set(range(1, 9))
