"""Whatever surrounds an estimator - torch's settings, threads, forks - its numbers are the same."""

import pickle

import numpy as np
import pytest
from conftest import TORCH_SETTINGS, all_torch_settings, torch_state
from test_common import every_kind, make

from sklearn_ssl import FineTuneClassifier, FineTuneRegressor, SimCLRTransformer, VIMETransformer
from sklearn_ssl.inspection import attention_maps
from sklearn_ssl.metrics import embed_views


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
