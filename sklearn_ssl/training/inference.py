"""Results of a trained task, in batches: embeddings and held-out losses."""

from contextlib import contextmanager

import numpy as np
import torch

from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.training.runtime import THREADS, seeded_global_stream

HELD_OUT_SEED = 0
N_TRIED = 8  # rows that show whether embeddings are finite


def row_batches(rows, batch_size):
    """Yield all rows in order, in the fewest batches, with sizes that differ by at most one."""
    n_batches = -(-len(rows) // batch_size)
    for indices in np.array_split(np.arange(len(rows)), n_batches):
        yield rows[indices]


@torch.inference_mode()
def embed(task, rows, spec, *, device):
    """Return the representations of rows, of shape ``(n, output_dim)``, in float32."""
    task.eval()
    embeddings = None
    for indices, batch in spec.batches_to_embed(rows, task.encoder):
        THREADS.next_step()
        output = _as_numpy(task.encode(spec.to_tensor(batch, device)))[: len(indices)]
        if embeddings is None:
            embeddings = np.empty((len(rows), output.shape[1]), dtype=np.float32)
        embeddings[indices] = output
    return embeddings


def mean_of_pieces(embeddings, owners, shares):
    """Return the representation of each row of X, from those of its pieces.

    Parameters
    ----------
    embeddings : ndarray of shape (n_pieces, ...)
    owners, shares : ndarray of shape (n_pieces,)
        As returned by ``Spec.rows_of``.
    """
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    if len(starts) == len(owners):
        return embeddings
    shares = shares.astype(np.float32).reshape(-1, *[1] * (embeddings.ndim - 1))
    return np.add.reduceat(shares * embeddings, starts)


@torch.inference_mode()
def embeds_finitely(task, rows, spec, device):
    """Return whether the first few rows have embeddings without NaN and infinity."""
    task.eval()
    first_rows = rows[np.arange(min(len(rows), N_TRIED))]
    with seeded_global_stream(HELD_OUT_SEED, device):  # a user's encoder may draw
        return bool(task.encode(spec.to_tensor(first_rows, device)).isfinite().all())


@torch.inference_mode()
def embed_views(task, rows, spec, augment, *, n_views, seed, device):
    """Return the representations of random views of rows, of shape ``(n, n_views, output_dim)``.

    A row's views depend on the seed and on its place, not on the other rows, unless their lengths
    differ.
    """
    task.eval()
    augment = resolve_augmentation(augment, spec).to(device)
    generator = torch.Generator(device).manual_seed(seed)
    embeddings = None
    with seeded_global_stream(seed, device):
        # Full batches, because the views of a batch are drawn together.
        for indices, batch in spec.batches_to_embed(rows, task.encoder, full=True):
            batch = spec.to_tensor(batch, device)
            views = make_views(augment, batch, n_views, generator).chunk(n_views)
            n = len(indices)
            output = np.stack([_as_numpy(task.encode(view))[:n] for view in views], axis=1)
            if embeddings is None:
                embeddings = np.empty((len(rows), *output.shape[1:]), dtype=np.float32)
            embeddings[indices] = output
    return embeddings


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


@contextmanager
def modes_kept(task):
    """Put all modules back into their modes, training or evaluation, afterwards."""
    modes = {module: module.training for module in task.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


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
