"""The whole state of a training between two steps: what a checkpoint holds."""

import torch


def state_of(net):
    """Return all that another process needs to continue a training after its last step.

    Parameters
    ----------
    net : PretextNet

    Returns
    -------
    state : dict
        It shares memory with the networks and the optimizer.
    """
    in_epoch = net.n_batches_done > 0
    finished = net.history[:-1] if in_epoch else net.history[:]
    return {
        **net.resume_state(),
        "order": net.epoch_order,
        "tensors": _tensors_of(net.module_),
        "parts": {name: part.state_dict() for name, part in net.parts.items()},
        "n_epochs_done": net.n_epochs_done,
        "n_batches_done": net.n_batches_done,
        "stopped": net.stopped,
        "epochs": [_without_batches(epoch) for epoch in finished],
        "begun_epoch": net.history[-1] if in_epoch else {},
    }


def restore(net, state):
    """Put a training, just begun, where another one was when its state was taken.

    Parameters
    ----------
    net : PretextNet
    state : dict
        As returned by :func:`state_of`.
    """
    net.load_optimizer(state)
    net.load_streams(state)
    _load_tensors(net.module_, state["tensors"])
    for name, part in net.parts.items():
        part.load_state_dict(state["parts"][name])
    net.n_epochs_done = state["n_epochs_done"]
    net.n_batches_done = state["n_batches_done"]
    net.stopped = state["stopped"]
    net.history.extend({"batches": [], **epoch} for epoch in state["epochs"])
    net.begun_epoch = state["begun_epoch"]


def laid_out_as(parameter, value):
    """Return a value of the optimizer for a parameter in the same order in memory.

    A file holds tensors row by row, but fused optimizers go through parameters and their moments
    in the order of the memory.
    """
    if not isinstance(value, torch.Tensor) or value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _without_batches(epoch):
    return {name: value for name, value in epoch.items() if name != "batches"}


def _tensors_of(module):
    """Return parameters and buffers, also those that are no part of a saved model."""
    return {**dict(module.named_buffers()), **module.state_dict()}


def _load_tensors(module, tensors):
    saved_with_model = module.state_dict().keys()
    module.load_state_dict({name: tensors[name] for name in saved_with_model})
    for name, buffer in module.named_buffers():
        if name not in saved_with_model:
            buffer.copy_(tensors[name])
