"""Encoders: networks that turn a batch into ``(n, output_dim)`` representations."""

import torch
from torch import nn

from sklearn_ssl.encoders.image import ConvEncoder, torchvision_encoder
from sklearn_ssl.encoders.series import SeriesEncoder
from sklearn_ssl.encoders.tabular import FeatureEmbedding, MLPEncoder
from sklearn_ssl.encoders.temporal import TemporalEncoder
from sklearn_ssl.encoders.text import TextEncoder
from sklearn_ssl.encoders.tokens import FeatureTokenEncoder, SeriesTokenEncoder, TokenEncoder
from sklearn_ssl.encoders.vit import ViTEncoder

__all__ = [
    "ConvEncoder",
    "FeatureEmbedding",
    "FeatureTokenEncoder",
    "MLPEncoder",
    "SeriesEncoder",
    "SeriesTokenEncoder",
    "TemporalEncoder",
    "TextEncoder",
    "TokenEncoder",
    "ViTEncoder",
    "make_encoder",
    "torchvision_encoder",
]

N_TRIED = 3  # rows that show what an encoder returns
DEFAULT_ENCODERS = {"image": ConvEncoder, "table": MLPEncoder, "series": SeriesEncoder}


def make_encoder(encoder, spec, n_components=None):
    """Build the encoder of an estimator and check it on a batch of the right shape.

    Parameters
    ----------
    encoder : None, str or callable
        None is the default of the modality. For images, "vit" is :class:`ViTEncoder`, and any other
        string a torchvision model. A callable is given the shape of one row of a batch and returns
        a module. In front of the encoder of a table with categories or missing numbers stands a
        :class:`FeatureEmbedding`; the encoder is given its outputs, and their number as shape.
    spec : InputSpec
        Its ``modality`` and ``shape`` are read, and of a table ``cardinalities`` and ``missing``.
    n_components : int or None
        Width of a linear layer behind the encoder; None keeps the encoder's own width.

    Returns
    -------
    module : torch.nn.Module
        Its attribute ``output_dim`` says how wide its representations are.

    Raises
    ------
    ValueError
        If the name is unknown, or the module does not map ``(n, *shape)`` to ``(n, output_dim)``.
    TypeError
        If the callable does not return a module, or is a module itself.
    """
    if spec.modality == "table" and any((*(spec.cardinalities or ()), *(spec.missing or ()))):
        embedding = FeatureEmbedding(spec.cardinalities, spec.missing)
        module = nn.Sequential(embedding, _build(encoder, spec.modality, (embedding.output_dim,)))
    else:
        module = _build(encoder, spec.modality, spec.shape)
    output_dim = _output_dim(module, encoder, spec.shape)
    if n_components is not None:
        module = nn.Sequential(module, nn.Linear(output_dim, n_components))
        output_dim = n_components
    module.output_dim = output_dim
    return module


def _build(encoder, modality, shape):
    if encoder is None:
        return DEFAULT_ENCODERS[modality](shape)
    if isinstance(encoder, str):
        if modality != "image":
            raise ValueError(
                f"encoder={encoder!r} names an image model, but X is a {modality}. Use "
                "encoder=None or a function that returns a module."
            )
        if encoder == "vit":
            return ViTEncoder(shape)
        return torchvision_encoder(encoder, shape)
    if isinstance(encoder, nn.Module):
        raise TypeError(
            "encoder must be a function that returns a new module, got a module "
            f"({type(encoder).__name__}): every fit starts from a network of its own. Pass the "
            "class, a functools.partial of it, or a function of the input's shape."
        )
    module = encoder(shape)
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"encoder must return a torch.nn.Module when it is called with the shape of one row, "
            f"{shape}; got {type(module).__name__}."
        )
    return module


def _output_dim(module, encoder, shape):
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            output = module(torch.zeros(N_TRIED, *shape))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ValueError(
            f"encoder={encoder!r} cannot take batches of shape (n, {', '.join(map(str, shape))}): "
            f"{error}"
        ) from error
    module.train(was_training)
    _check_output(output, shape)
    return output.shape[1]


def _check_output(output, shape):
    """Raise if the output of an encoder is not a vector of numbers for each row."""
    is_tensor = isinstance(output, torch.Tensor)
    got = tuple(output.shape) if is_tensor else type(output).__name__
    if not is_tensor or output.ndim != 2 or len(output) != N_TRIED:
        raise ValueError(
            "encoder must return one vector for each row, a tensor of shape (n, width); for a "
            f"batch of {N_TRIED} rows of shape {shape} it returned {got}. Pool and flatten its "
            "output."
        )
    if output.shape[1] == 0 or output.dtype != torch.float32:
        raise ValueError(
            "encoder must return floating point numbers of torch.float32, one at least for each "
            f"row; for a batch of {N_TRIED} rows it returned a tensor of shape {got} and "
            f"{output.dtype}."
        )
