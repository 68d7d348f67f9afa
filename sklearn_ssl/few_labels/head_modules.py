"""Fitted heads as torch modules: from representations to labels, probabilities or numbers."""

import numpy as np
import torch
from torch import nn

from sklearn_ssl.few_labels.linear_heads import linear_weights
from sklearn_ssl.few_labels.targets import Classes

LARGEST_DIFFERENCE = 1e-6  # of probabilities


class HeadModule(nn.Module):
    """A linear layer, in float64 as in scikit-learn; subclasses turn its outputs into predictions.

    Parameters
    ----------
    coef : ndarray of shape (n_outputs, width)
    intercept : ndarray of shape (n_outputs,)
    names : tuple of str
        Of the predictions that ``forward`` returns.
    """

    def __init__(self, coef, intercept, names):
        super().__init__()
        # Row by row in memory, because torch.export.save warns of any other order.
        self.register_buffer("coef", torch.tensor(np.ascontiguousarray(coef), dtype=torch.float64))
        self.register_buffer("intercept", torch.tensor(intercept, dtype=torch.float64))
        self.names = names

    def forward(self, h):
        decisions = h.double() @ self.coef.T + self.intercept  # [n, n_outputs]
        return self.predictions(decisions)[: len(self.names)]


class OneLabelHead(HeadModule):
    """Returns the place of the label among the classes, and the probability of each class."""

    def predictions(self, decisions):
        return decisions.argmax(dim=1), decisions.softmax(dim=1)


class ManyLabelsHead(HeadModule):
    """Returns whether a row has each label, 0 or 1, and the probability of each."""

    def predictions(self, decisions):
        return (decisions > 0).long(), decisions.sigmoid()


class NumberHead(HeadModule):
    """Returns a number for each row."""

    def predictions(self, decisions):
        return (decisions[:, 0],)


def head_module(estimator, Z):
    """Return the head of a fitted estimator as a module.

    Parameters
    ----------
    estimator : FineTuneClassifier or FineTuneRegressor
    Z : ndarray of shape (n, width)
        Representations on which the head and the module are compared.

    Raises
    ------
    ValueError
        If the head is not linear, or computes probabilities in another way.
    """
    head, has_probabilities = estimator.head_, hasattr(estimator, "predict_proba")
    weights = linear_weights(head, Z)
    if weights is None:
        raise _not_linear(estimator, "is not one")
    if estimator._regression:
        return NumberHead(*weights, ("prediction",))
    names = ("label", "probabilities") if has_probabilities else ("label",)
    if head.predict(Z).ndim == 2:
        module = ManyLabelsHead(*weights, names)
    else:
        module = OneLabelHead(*Classes.layer_weights(*weights), names)
    if has_probabilities:
        probabilities = module(torch.from_numpy(Z))[1].numpy()
        if not np.allclose(probabilities, head.predict_proba(Z), rtol=0, atol=LARGEST_DIFFERENCE):
            raise _not_linear(estimator, "has probabilities of another kind")
    return module


def _not_linear(estimator, how):
    """Return the error for a head that cannot be exported."""
    return ValueError(
        f"Only linear heads can be exported, such as {estimator._Targets.linear_heads}; "
        f"head={estimator.head_} {how}. Export the transformer_ of the "
        f"{type(estimator).__name__}, and convert its head_, for example with skl2onnx."
    )
