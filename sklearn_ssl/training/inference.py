"""Results of a trained task, in batches: embeddings and held-out losses."""

from contextlib import contextmanager

import numpy as np
import torch

from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.training.runtime import seeded_global_stream

HELD_OUT_SEED = 0
N_TRIED = 8  # rows that show whether embeddings are finite


def row_batches(rows, batch_size):
    """Yield all rows in order, in the fewest batches, with sizes that differ by at most one."""
    n_batches = -(-len(rows) // batch_size)
    for indices in np.array_split(np.arange(len(rows)), n_batches):
        yield rows[indices]


@torch.inference_mode()
def embed(task, X, spec, *, batch_size, device):
    """Return the representation of X, of shape ``(n, output_dim)``, in float32.

    Every batch has `batch_size` rows, the last one filled up: a matrix product rounds differently
    at another size, and a row's embedding must not depend on the other rows.
    """
    task.eval()
    embeddings = None
    for rows, batch in _full_batches(X, spec, batch_size, device):
        output = _as_numpy(task.encode(batch))[: rows.stop - rows.start]
        if embeddings is None:
            embeddings = np.empty((len(X), output.shape[1]), dtype=np.float32)
        embeddings[rows] = output
    return embeddings


@torch.inference_mode()
def embeds_finitely(task, rows, spec, device):
    """Return whether the first few rows have embeddings without NaN and infinity."""
    task.eval()
    first_rows = rows[np.arange(min(len(rows), N_TRIED))]
    with seeded_global_stream(HELD_OUT_SEED, device):  # a user's encoder may draw
        return bool(task.encode(spec.to_tensor(first_rows, device)).isfinite().all())


@torch.inference_mode()
def embed_views(task, X, spec, augment, *, n_views, seed, batch_size, device):
    """Return the representations of random views of X, of shape ``(n, n_views, output_dim)``.

    A row's views depend on the seed and on its place, not on the other rows.
    """
    task.eval()
    augment = resolve_augmentation(augment, spec).to(device)
    generator = torch.Generator(device).manual_seed(seed)
    embeddings = None
    with seeded_global_stream(seed, device):
        for rows, batch in _full_batches(X, spec, batch_size, device):
            views = make_views(augment, batch, n_views, generator).chunk(n_views)
            n_rows = rows.stop - rows.start
            output = np.stack([_as_numpy(task.encode(view))[:n_rows] for view in views], axis=1)
            if embeddings is None:
                embeddings = np.empty((len(X), *output.shape[1:]), dtype=np.float32)
            embeddings[rows] = output
    return embeddings


def _full_batches(X, spec, batch_size, device):
    """Yield slices of rows, each with a batch that starts with them; its end may be padding."""
    for start in range(0, len(X), batch_size):
        rows = X[start : start + batch_size]
        places = slice(start, start + len(rows))
        if len(rows) < batch_size:
            padding = np.zeros((batch_size - len(rows), *rows.shape[1:]), rows.dtype)
            rows = np.concatenate([rows, padding])
        yield places, spec.to_tensor(rows, device)


def _as_numpy(tensor):
    return tensor.float().cpu().numpy()


def twin(module, known=None):
    """Return a module with the same parameters, whose buffers, modes and attributes are its own."""
    known = {} if known is None else known  # a module may occur in two places
    if id(module) not in known:
        known[id(module)] = copied = module.__new__(type(module))
        vars(copied).update(vars(module))
        copied._buffers = {
            name: None if buffer is None else buffer.clone()
            for name, buffer in module._buffers.items()
        }
        copied._modules = {
            name: None if child is None else twin(child, known)
            for name, child in module._modules.items()
        }
    return known[id(module)]


@contextmanager
def fixed_views(task, device):
    """Give the task the same stream of views each time, and restore its own stream afterwards."""
    own_generator = task.generator
    task.generator = torch.Generator(device).manual_seed(HELD_OUT_SEED)
    try:
        with seeded_global_stream(HELD_OUT_SEED, device):
            yield
    finally:
        task.generator = own_generator


@torch.inference_mode()
def pretext_loss(task, rows, spec, *, batch_size, device):
    """Return the mean pretext loss over rows, in evaluation mode, under fixed views.

    The task is not changed, because other threads may use it.
    """
    task = twin(task).eval()
    total = 0.0
    with fixed_views(task, device):
        for batch in row_batches(rows, batch_size):
            total += task(spec.to_tensor(batch, device)).item() * len(batch)
    return total / len(rows)
