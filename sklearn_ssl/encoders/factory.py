"""From the parameter `encoder` of an estimator to a network that has been tested on a batch."""

import copy
from contextlib import contextmanager

import torch
from torch import nn

from sklearn_ssl.encoders.tabular import FeatureEmbedding
from sklearn_ssl.encoders.temporal import TemporalEncoder

N_TRIED = 3  # rows that show what an encoder returns


def make_encoder(encoder, spec, n_components=None):
    """Build the encoder of an estimator and check it on a batch of the right shape.

    Parameters
    ----------
    encoder : None, str or callable
        None means the default of the kind of data. For images, "vit" is :class:`ViTEncoder`, and
        any other string a torchvision model; for series, "rocket" is :class:`RocketEncoder`. A
        callable receives the shape of one row of a batch and returns a module. A table with
        categories or missing numbers passes through a :class:`FeatureEmbedding` first; the encoder
        receives its outputs, and their number as shape.
    spec : Spec
        Provides the default and the named encoders, and the shape of a row.
    n_components : int or None
        Width of a linear layer after the encoder; None keeps the encoder's own width.

    Returns
    -------
    module : torch.nn.Module
        Its attribute ``output_dim`` is the width of its representations.

    Raises
    ------
    ValueError
        If the name is unknown, or the module does not map ``(n, *shape)`` to ``(n, output_dim)``.
    TypeError
        If the callable does not return a module, or is a module itself.
    """
    if spec.encoder_options:
        embedding = FeatureEmbedding(**spec.encoder_options)
        module = nn.Sequential(embedding, _build(encoder, spec, (embedding.output_dim,)))
    else:
        module = _build(encoder, spec, spec.shape)
    return finish_encoder(module, spec, n_components, "encoder", repr(encoder))


def finish_encoder(module, spec, n_components, name, shown):
    """Check an encoder on a batch, add a linear layer if need be, and set its ``output_dim``.

    Parameters
    ----------
    module : torch.nn.Module
    spec : Spec
    n_components : int or None
        Width of a linear layer after it.
    name, shown : str
        The parameter that it comes from, and its value, for messages.
    """
    output_dim = _output_dim(module, spec.blank_batch(N_TRIED), name, shown)
    if n_components is not None:
        module = nn.Sequential(module, nn.Linear(output_dim, n_components))
        output_dim = n_components
    module.output_dim = output_dim
    return module


def _build(encoder, spec, shape):
    if encoder is None:
        return spec.default_encoder(shape)
    if isinstance(encoder, str):
        return spec.named_encoder(encoder, shape)
    return build_module(encoder, shape)


def make_temporal_encoder(encoder, shape, *, causal):
    """Build a network that returns states, and check it on a batch of the right shape.

    Parameters
    ----------
    encoder : None or callable
        None means :class:`TemporalEncoder`. A callable receives `shape` and returns a module.
    shape : tuple of int
        ``(channels, time)``.
    causal : bool
        Whether no state may depend on later frames.

    Returns
    -------
    module : torch.nn.Module
        Maps ``(n, channels, time)`` to ``(n, width, time)``.
    width : int

    Raises
    ------
    ValueError
        If there is only one frame, or the module does not return states, or is not causal although
        it must be.
    TypeError
        If `encoder` does not return a module, or is a module itself.
    """
    if shape[1] < 2:
        raise ValueError(
            "X has series of 1 frame (n_features = 1 if it has two dimensions), expected at least "
            "two: nothing follows a single frame."
        )
    if encoder is None:
        module = TemporalEncoder(shape, causal=causal)
        return module, module.input_projection.out_channels
    module = build_module(encoder, shape)
    series = torch.randn(2, *shape)
    with _refusing_batches("encoder", repr(encoder), shape):
        states = _states_in_training(module, series)
    n, _, time = series.shape
    got = _shape_of(states)
    if len(got) != 3 or got[::2] != (n, time):
        raise ValueError(
            "encoder must return a state for each frame, a tensor of shape (n, width, time); for a "
            f"batch of shape {tuple(series.shape)} it returned {got}."
        )
    if causal:
        _check_causal(module, series, states)
    return module, got[1]


def build_module(encoder, shape, kind=nn.Module, **columns):
    """Call a user's `encoder`, and check that it returns a new network.

    Parameters
    ----------
    encoder : callable
    shape : tuple of int
        Of one row of a batch.
    kind : type, default=torch.nn.Module
        What the network must be an instance of.
    **columns
        Passed on to `encoder`: what it must know about the columns of a table.

    Returns
    -------
    module : kind

    Raises
    ------
    TypeError
        If `encoder` does not return such a network, or is a module itself.
    """
    name = "torch.nn.Module" if kind is nn.Module else kind.__name__
    if isinstance(encoder, (nn.Module, str)):
        is_module = isinstance(encoder, nn.Module)
        got = f"a module ({type(encoder).__name__})" if is_module else repr(encoder)
        raise TypeError(
            f"encoder must be a function that returns a new {name}, got {got}: every fit starts "
            "from a new network. Pass the class, a functools.partial of it, or a function of the "
            "input's shape."
        )
    module = encoder(shape, **columns)
    if not isinstance(module, kind):
        raise TypeError(
            f"encoder must return a {name} when called with the shape of one row, {shape}; got "
            f"{type(module).__name__}."
        )
    return module


def _output_dim(module, batch, name, shown):
    """Return how wide the representations of a module are; they must be vectors of numbers."""
    was_training, shape = module.training, tuple(batch.shape[1:])
    module.eval()
    with _refusing_batches(name, shown, shape), torch.no_grad():
        output = module(batch)
    module.train(was_training)
    got = _shape_of(output)
    if len(got) != 2 or got[0] != N_TRIED:
        raise ValueError(
            f"{name} must return one vector for each row, a tensor of shape (n, width); for a "
            f"batch of {N_TRIED} rows of shape {shape} it returned {got}. Pool and flatten its "
            "output."
        )
    if output.shape[1] == 0 or output.dtype != torch.float32:
        raise ValueError(
            f"{name} must return torch.float32 numbers, at least one for each row; for a batch of "
            f"{N_TRIED} rows it returned a tensor of shape {got} and {output.dtype}."
        )
    return output.shape[1]


def _check_causal(module, series, states):
    """Raise an error if the states of earlier frames change with the last frame."""
    time = series.shape[2]
    changed = series.clone()
    changed[:, :, -1] += 1
    change = (_states_in_training(module, changed) - states)[:, :, :-1].abs().amax(dim=(0, 1))
    leaks = torch.nonzero(change > 1e-5 * (1 + states.abs().max()))[:, 0].tolist()
    if leaks:
        raise ValueError(
            f"encoder must be causal, but the states of {len(leaks)} of the {time - 1} frames "
            f"before the last one, such as frame {leaks[-1]}, change with frame {time - 1}, "
            "the last one. Pad convolutions on the left only, mask attention, and do not "
            "normalize over the time or, in training, over the batch."
        )


@torch.no_grad()
def _states_in_training(module, series):
    """Return the states of a copy in training mode, with the same dropout at every call."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return copy.deepcopy(module).train()(series)


@contextmanager
def _refusing_batches(name, shown, shape):
    """If an encoder raises an error, add the shape of its batches."""
    try:
        yield
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ValueError(
            f"{name}={shown} cannot take batches of shape (n, {', '.join(map(str, shape))}): "
            f"{error}"
        ) from error


def _shape_of(output):
    """Return the shape of an output or, if it is not a tensor, the name of its type."""
    return tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
