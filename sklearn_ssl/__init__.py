"""Self-supervised learning with scikit-learn's tools."""

from sklearn_ssl._version import __version__
from sklearn_ssl.base.arrays import BaseSSLTransformer
from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.base.language_model import BaseTextTransformer
from sklearn_ssl.collapse import CollapseWarning
from sklearn_ssl.data.image_folder import list_images, load_images
from sklearn_ssl.export import export_onnx
from sklearn_ssl.few_labels.fine_tune import FineTuneClassifier, FineTuneRegressor
from sklearn_ssl.methods.barlow_twins import BarlowTwinsTransformer
from sklearn_ssl.methods.byol import BYOLTransformer
from sklearn_ssl.methods.causal_lm import CausalLMEmbedder
from sklearn_ssl.methods.dino import DINOTransformer
from sklearn_ssl.methods.lejepa import LeJEPATransformer
from sklearn_ssl.methods.mae import MaskedAutoencoder
from sklearn_ssl.methods.masked_lm import MaskedLMEmbedder
from sklearn_ssl.methods.moco import MoCoTransformer
from sklearn_ssl.methods.moco_v3 import MoCoV3Transformer
from sklearn_ssl.methods.next_frame import NextFrameEmbedder
from sklearn_ssl.methods.scarf import SCARFTransformer
from sklearn_ssl.methods.sent2vec import Sent2VecTransformer
from sklearn_ssl.methods.simclr import SimCLRTransformer
from sklearn_ssl.methods.simcse import SimCSETransformer
from sklearn_ssl.methods.simsiam import SimSiamTransformer
from sklearn_ssl.methods.swav import SwAVTransformer
from sklearn_ssl.methods.ts2vec import TS2VecTransformer
from sklearn_ssl.methods.tsdae import TSDAETransformer
from sklearn_ssl.methods.vicreg import VICRegTransformer
from sklearn_ssl.methods.vime import VIMETransformer
from sklearn_ssl.model_files import (
    ModelFileError,
    load_model,
    model_card,
    register_model_class,
    save_model,
)
from sklearn_ssl.pretext import PretextTask
from sklearn_ssl.training.checkpoints import Checkpoint

__all__ = [
    "BYOLTransformer",
    "BarlowTwinsTransformer",
    "BasePretrainer",
    "BaseSSLTransformer",
    "BaseTextTransformer",
    "CausalLMEmbedder",
    "Checkpoint",
    "CollapseWarning",
    "DINOTransformer",
    "FineTuneClassifier",
    "FineTuneRegressor",
    "LeJEPATransformer",
    "MaskedAutoencoder",
    "MaskedLMEmbedder",
    "MoCoTransformer",
    "MoCoV3Transformer",
    "ModelFileError",
    "NextFrameEmbedder",
    "PretextTask",
    "SCARFTransformer",
    "Sent2VecTransformer",
    "SimCLRTransformer",
    "SimCSETransformer",
    "SimSiamTransformer",
    "SwAVTransformer",
    "TS2VecTransformer",
    "TSDAETransformer",
    "VICRegTransformer",
    "VIMETransformer",
    "__version__",
    "export_onnx",
    "list_images",
    "load_images",
    "load_model",
    "model_card",
    "register_model_class",
    "save_model",
]
