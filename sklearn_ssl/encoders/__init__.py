"""Encoders: networks that turn a batch into ``(n, output_dim)`` representations."""

from sklearn_ssl.encoders.bag import BagEncoder
from sklearn_ssl.encoders.factory import make_encoder
from sklearn_ssl.encoders.image import ConvEncoder, torchvision_encoder
from sklearn_ssl.encoders.rocket import KernelFeatures, RocketEncoder
from sklearn_ssl.encoders.series import SeriesEncoder
from sklearn_ssl.encoders.tabular import FeatureEmbedding, MLPEncoder
from sklearn_ssl.encoders.temporal import TemporalEncoder
from sklearn_ssl.encoders.text import TextEncoder
from sklearn_ssl.encoders.tokens import FeatureTokenEncoder, SeriesTokenEncoder, TokenEncoder
from sklearn_ssl.encoders.vit import ViTEncoder

__all__ = [
    "BagEncoder",
    "ConvEncoder",
    "FeatureEmbedding",
    "FeatureTokenEncoder",
    "KernelFeatures",
    "MLPEncoder",
    "RocketEncoder",
    "SeriesEncoder",
    "SeriesTokenEncoder",
    "TemporalEncoder",
    "TextEncoder",
    "TokenEncoder",
    "ViTEncoder",
    "make_encoder",
    "torchvision_encoder",
]
