"""Files of weights that belong to no library: safetensors, or torch's own without unpickling."""

import torch
from safetensors.torch import load_file

from sklearn_ssl.encoders._model_files import check_finite, some


def read_state(path):
    """Return the arrays in a file, by name; nothing but arrays is unpickled.

    Parameters
    ----------
    path : Path
        Read as safetensors if it has that ending, and else by ``torch.load(weights_only=True)``.

    Raises
    ------
    ValueError
        If the file is damaged, or holds anything but arrays.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of torch, safetensors, pickle or the system
        reason = str(error).splitlines()[0]
        raise ValueError(f"{str(path)!r} is not a file of weights alone: {reason}") from error


def load_state(model, state, path):
    """Give a model the arrays of a file, all of them.

    Raises
    ------
    ValueError
        If names or shapes differ, or numbers are not finite.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state]
    other = [
        f"{n} {tuple(state[n].shape)}" for n in own if n in state and state[n].shape != own[n].shape
    ]
    surplus = [name for name in state if name not in own]
    parts = {"lacks": missing, "has in another shape": other, "has, without a place,": surplus}
    found = [f"{what} {len(names)} ({some(names)})" for what, names in parts.items() if names]
    if found:
        raise ValueError(
            f"The arrays in {str(path)!r} are not those of a {type(model).__name__} of this size: "
            f"the file {'; '.join(found)}."
        )
    model.load_state_dict(state)
    check_finite(path, model)
