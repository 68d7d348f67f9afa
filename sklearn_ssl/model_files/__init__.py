"""Files of fitted estimators that hold arrays and JSON, and run nothing when they are loaded."""

from sklearn_ssl._array_files import ModelFileError
from sklearn_ssl.model_files.allowed import SKOPS_TRUSTED_TYPES, register_model_class
from sklearn_ssl.model_files.card import model_card
from sklearn_ssl.model_files.files import load_model, save_model

__all__ = [
    "SKOPS_TRUSTED_TYPES",
    "ModelFileError",
    "load_model",
    "model_card",
    "register_model_class",
    "save_model",
]
