"""The card of a model: what it says, and what it must not say."""

import json

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sklearn_ssl import (
    FineTuneClassifier,
    Sent2VecTransformer,
    SimCLRTransformer,
    VIMETransformer,
    model_card,
)
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.semi_supervised import LabeledOnly


def test_a_card_of_a_transformer(digits):
    X = digits[0][:60]
    ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=2, random_state=0).fit(X)
    card = model_card(ssl)
    assert card.startswith("# SimCLRTransformer\n\n## Training data\n\n- kind: image\n")
    for line in ("- n_samples: 60", "- row_shape: (64,)", "- epochs: 2", "- random_state: 0"):
        assert f"\n{line}\n" in card
    first, last = ssl.history_["train_loss"]
    assert f"- train_loss: {first:.4g} in the first epoch, {last:.4g} in the last" in card
    assert f"- numpy: {np.__version__}\n" in card
    assert "Evaluation" not in card


def test_a_card_of_a_classifier_with_its_evaluation(digits):
    X, y = (part[:150] for part in digits)
    ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0).fit(X)
    report = evaluate_representation(ssl, X, y, labels_per_class=(1, 3), n_draws=2)
    card = model_card(FineTuneClassifier(ssl, max_epochs=1).fit(X, y), report)
    assert card.startswith("# FineTuneClassifier\n")
    assert "\n## Training of the SimCLRTransformer\n" in card
    assert "\n- transformer: SimCLRTransformer\n" in card
    assert "\n| labels per class | 1 | 3 |\n" in card
    accuracy = report.mean["pretrained"][1]
    assert f" | {accuracy:.3f} |\n" in card
    assert report.summary in card
    results = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert model_card(ssl, results).split("## Evaluation")[1] == card.split("## Evaluation")[1]


def test_a_card_tells_nothing_of_single_rows():
    pd = pytest.importorskip("pandas")
    names = [f"patient {i}" for i in range(4)] * 5
    frame = pd.DataFrame({"name": names, "age": np.arange(20) + 0.515625})
    card = model_card(VIMETransformer(max_epochs=1).fit(frame))
    assert "patient" not in card
    assert ".515625" not in card
    texts = ["the secret word is xylophone"] * 20
    assert "xylophone" not in model_card(Sent2VecTransformer(max_epochs=1).fit(texts))


def test_only_fitted_estimators_of_this_package_have_a_card(digits):
    with pytest.raises(NotFittedError):
        model_card(SimCLRTransformer())
    head = LabeledOnly(LogisticRegression(max_iter=1000)).fit(digits[0][:99], digits[1][:99])
    with pytest.raises(TypeError, match="got LabeledOnly"):
        model_card(head)
