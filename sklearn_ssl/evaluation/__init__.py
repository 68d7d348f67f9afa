"""Evidence: does pretraining beat what you have, with the few labels that you have?"""

from sklearn_ssl.evaluation.evaluate import evaluate_representation
from sklearn_ssl.evaluation.history import HistoryDisplay
from sklearn_ssl.evaluation.label_curves import LabelCurveDisplay
from sklearn_ssl.evaluation.report import RepresentationReport

__all__ = [
    "HistoryDisplay",
    "LabelCurveDisplay",
    "RepresentationReport",
    "evaluate_representation",
]
