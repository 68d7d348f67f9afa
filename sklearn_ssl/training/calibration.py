"""What networks learn from rows without training: statistics of these and of their own outputs."""

from itertools import islice

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from sklearn_ssl.training.inference import twin
from sklearn_ssl.training.loop import IndexBatches
from sklearn_ssl.training.runtime import seeded_global_stream

N_BATCHES = 16  # batches that determine the statistics
N_MEASURED = 256  # rows that a network measures before any training


def measure_rows(task, rows, spec, device):
    """Show training rows to the modules of an untrained task that have a method ``measure_rows``.

    Parameters
    ----------
    task : PretextTask
    rows : RowBlocks
    spec : InputSpec
    device : torch.device
    """
    modules = [module for module in task.modules() if hasattr(module, "measure_rows")]
    if modules:
        n = len(rows)
        indices = np.linspace(0, n - 1, min(n, N_MEASURED)).astype(np.intp)
        batch = spec.to_tensor(rows[indices], device)
        for module in modules:
            module.measure_rows(batch)


@torch.no_grad()
def calibrate_batch_norms(task, rows, spec, *, batch_size, device, random_state):
    """Give the batch normalizations of a task the mean statistics of a few batches.

    Otherwise they would leave their inputs unchanged, and an untrained network would be at a
    disadvantage compared with trained ones. The batches go through the task as in training, with
    its views and masks. Parameters and other buffers stay as they are.

    Parameters
    ----------
    task : PretextTask
    rows : RowBlocks
    spec : InputSpec
    batch_size : int
    device : torch.device
    random_state : int
        Seed of the choice of rows and of the views.
    """
    shadow = twin(task).train()
    norms = _trained_norms(shadow)
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    shadow.generator = torch.Generator(device).manual_seed(random_state)
    order = torch.Generator().manual_seed(random_state)
    with seeded_global_stream(random_state, device):
        for batch in islice(IndexBatches(rows, batch_size, order), N_BATCHES):
            shadow(spec.to_tensor(batch, device))
    for own, calibrated in zip(_trained_norms(task.train()), norms):
        if calibrated.num_batches_tracked:
            own.load_state_dict(calibrated.state_dict())


def _trained_norms(task):
    """Return the batch normalizations that track statistics, of a task in training mode."""
    return [
        module
        for module in task.modules()
        if isinstance(module, _BatchNorm) and module.training and module.running_mean is not None
    ]
