"""The picture of a history."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sklearn_ssl import FineTuneClassifier, MaskedAutoencoder, SimCLRTransformer
from sklearn_ssl.callbacks import KNNProbe
from sklearn_ssl.evaluation import HistoryDisplay

PARAMS = {"image_shape": (8, 8), "max_epochs": 2, "random_state": 0}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()] if ax.get_legend() else []


def test_panels_of_a_fit_with_a_probe(digits):
    X, y = digits[0][:100], digits[1][:100]
    probe = KNNProbe(X, y)
    ssl = SimCLRTransformer(**PARAMS, early_stopping=True, callbacks=[("probe", probe)]).fit(X)
    display = HistoryDisplay.from_estimator(ssl)
    assert [ax.get_title() for ax in display.axes_] == [
        *("loss", "spread: embedding_std", "directions: effective_rank"),
        "quality: knn_accuracy",
    ]
    assert {ax.get_xlabel() for ax in display.axes_} == {"epoch"}
    assert [legend(ax) for ax in display.axes_] == [
        *(["training", "held-out rows"], ["collapsed"], ["collapsed"]),
        ["before training"],
    ]
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), [1, 2])
        np.testing.assert_array_equal(line.get_ydata(), ssl.history_[name])
    bands = [ax.patches[0] for ax in display.axes_[1:3]]
    assert [band.get_height() for band in bands] == [0.1, 2.5]  # where a SimCLR warns
    assert display.axes_[3].lines[1].get_ydata()[0] == probe.initial_score_
    display.figure_.draw_without_rendering()


def test_a_fit_that_compares_no_embeddings_has_one_panel(digits):
    mae = MaskedAutoencoder(image_shape=(8, 8), max_epochs=1).fit(digits[0][:50])
    display = HistoryDisplay.from_estimator(mae)
    assert [ax.get_title() for ax in display.axes_] == ["loss"]
    assert legend(display.axes_[0]) == ["training"]


def test_a_classifier_that_trained(digits):
    X, y = digits[0][:100], digits[1][:100]
    ssl = SimCLRTransformer(**PARAMS).fit(X)
    tuned = FineTuneClassifier(ssl, strategy="full", max_epochs=2).fit(X, y)
    display = HistoryDisplay.from_estimator(tuned)
    assert list(display.lines_) == ["train_loss"]


def test_epochs_without_a_score_are_gaps():
    history = {"train_loss": [3.0, 2.0, 1.0], "knn_r2": [math.nan, 0.5, 0.6]}
    display = HistoryDisplay(history=history).plot()
    np.testing.assert_array_equal(display.lines_["knn_r2"].get_ydata(), history["knn_r2"])
    assert [ax.get_title() for ax in display.axes_] == ["loss", "quality: knn_r2"]
    display.figure_.draw_without_rendering()


def test_given_axes():
    display = HistoryDisplay(history={"train_loss": [2.0], "embedding_std": [1.0]})
    figure, axes = plt.subplots(2, 1)
    assert display.plot(axes, color="black") is display
    assert display.figure_ is figure
    assert list(display.axes_) == list(axes)
    assert {line.get_color() for line in display.lines_.values()} == {"black"}
    with pytest.raises(ValueError, match="2 panels to draw, got 1 axes"):
        display.plot(axes[:1])


def test_what_has_no_history(digits):
    with pytest.raises(NotFittedError):
        HistoryDisplay.from_estimator(SimCLRTransformer())
    pipeline = make_pipeline(PCA(2)).fit(digits[0])
    with pytest.raises(TypeError, match=r"Pipeline does not have.*pipeline\[-1\]"):
        HistoryDisplay.from_estimator(pipeline)
