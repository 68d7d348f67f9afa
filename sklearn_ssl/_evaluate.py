"""What a trained task says of data: embeddings and held-out losses, in batches."""

from contextlib import contextmanager

import numpy as np
import torch

from sklearn_ssl._runtime import seeded_global_stream

HELD_OUT_SEED = 0


def row_batches(rows, batch_size):
    """Yield all rows in order, in the fewest batches, of sizes that differ by one at most."""
    n_batches = -(-len(rows) // batch_size)
    for indices in np.array_split(np.arange(len(rows)), n_batches):
        yield rows[indices]


@torch.inference_mode()
def embed(task, X, spec, *, batch_size, device):
    """Return the representation of X, of shape ``(n, output_dim)``, in float32.

    Every batch has `batch_size` rows, the last one filled up: a matrix product rounds differently
    at another size, and a row's embedding must not depend on the rows beside it.
    """
    task.eval()
    n = len(X)
    embeddings = None
    for start in range(0, n, batch_size):
        rows = X[start : start + batch_size]
        n_rows = len(rows)
        if n_rows < batch_size:
            padding = np.zeros((batch_size - n_rows, *rows.shape[1:]), rows.dtype)
            rows = np.concatenate([rows, padding])
        output = task.encode(spec.to_tensor(rows, device))[:n_rows].float().cpu().numpy()
        if embeddings is None:
            embeddings = np.empty((n, output.shape[1]), dtype=np.float32)
        embeddings[start : start + n_rows] = output
    return embeddings


@contextmanager
def fixed_views(task, device):
    """Give the task the same stream of views each time, and its own stream back afterwards."""
    own_generator = task.generator
    task.generator = torch.Generator(device).manual_seed(HELD_OUT_SEED)
    try:
        with seeded_global_stream(HELD_OUT_SEED, device):
            yield
    finally:
        task.generator = own_generator


@torch.inference_mode()
def pretext_loss(task, rows, spec, *, batch_size, device):
    """Return the mean pretext loss over rows, in evaluation mode, under fixed views."""
    task.eval()
    total = 0.0
    with fixed_views(task, device):
        for batch in row_batches(rows, batch_size):
            total += task(spec.to_tensor(batch, device)).item() * len(batch)
    return total / len(rows)
