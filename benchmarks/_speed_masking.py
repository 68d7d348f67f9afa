"""Speed of MaskedAutoencoder and SCARFTransformer, against public ones of the same sizes."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._memory import in_new_process, sampled_peak
from benchmarks._timing import Row, compare, interleaved, seconds, show, show_ratio, timed
from benchmarks.datasets import load_fashion_mnist
from sklearn_ssl import MaskedAutoencoder, SCARFTransformer
from sklearn_ssl.encoders import ViTEncoder

BATCH_SIZE = 256
MASK_RATIOS = (0.25, 0.5, 0.75, 0.9)


def masked_autoencoder(**params):
    """Return the estimator that is measured: its defaults, for one epoch."""
    shared = {"modality": "image", "batch_size": BATCH_SIZE, "max_epochs": 1, "random_state": 0}
    return MaskedAutoencoder(**{**shared, **params})


def mae(size):
    """Images a second of MaskedAutoencoder, against `transformers.ViTMAEForPreTraining`.

    Ours is the whole call of `fit` for one epoch of Fashion-MNIST; the other is an epoch of a plain
    loop without set-up. Patches, widths, depths, heads, mask ratio and fused AdamW are the same,
    and so are the numbers of weights. *Model alone*: neither augments, and the other reads batches
    from one tensor; at our default sizes, and 192 wide, 6 deep, with a decoder 96 wide and 2 deep.
    *As its example trains*: both crop and flip, the other PIL images in a DataLoader, as
    transformers' `run_mae.py` does.
    """
    from benchmarks._vit_mae import vit_mae_epoch  # here, for others shall do without transformers

    X = load_fashion_mnist()[0][: size.mae_images]
    large = {
        "encoder": partial(ViTEncoder, width=192, depth=6, pooling="grid"),
        "decoder_width": 96,
        "decoder_depth": 2,
    }
    alone = {"augment": _same}
    for name, params, n_workers in (
        ("model alone, default sizes", alone, None),
        ("model alone, 192 wide, 6 deep", {**alone, **large}, None),
        ("as its example trains, no workers", {}, 0),
        ("as its example trains, 2 workers", {}, 2),
    ):
        ours = masked_autoencoder(**params)
        measures = [timed(ours.fit, X), timed(vit_mae_epoch(ours, X, n_workers))]
        times = interleaved(measures, size.method_rounds)
        what = f"MaskedAutoencoder, {name}, {len(X):,} images of 28 x 28"
        yield compare(what, *times, "ViTMAEForPreTraining", n_rows=len(X), at_least=1.5)


def _same(batch):
    return batch


def mask_ratio(size):
    """Images a second of MaskedAutoencoder by the part of the patches that is hidden.

    The whole call of `fit` for one epoch, defaults otherwise. The encoder sees visible patches
    only: the more are hidden, the less work.
    """
    X = load_fashion_mnist()[0][: size.mae_images]
    fits = [masked_autoencoder(mask_ratio=ratio) for ratio in MASK_RATIOS]
    times = interleaved([timed(fit.fit, X) for fit in fits], size.method_rounds)
    for ratio, of_fit in zip(MASK_RATIOS, times):
        yield Row(
            f"MaskedAutoencoder, mask ratio {ratio:g}",
            show(of_fit, len(X)),
            f"mask ratio {MASK_RATIOS[0]:g}: {show(times[0], len(X))}",
            show_ratio(times[0], of_fit),
        )


def scarf(size):
    """Rows a second of SCARFTransformer, against the SCARF of TabularS3L.

    Ours is the whole call of `fit` for one epoch on a table of 64 columns; the other an epoch of a
    plain loop over its data set, its DataLoader without workers and its loss, on rows that were
    scaled before. Widths, depths and batch size are the same.
    """
    from benchmarks._scarf import public_scarf_epoch

    X = np.random.default_rng(0).normal(size=(size.scarf_rows, 64))
    ours = SCARFTransformer(batch_size=BATCH_SIZE, max_epochs=1, random_state=0)
    measures = [timed(ours.fit, X), timed(public_scarf_epoch(ours, X))]
    times = interleaved(measures, size.method_rounds)
    what = f"SCARFTransformer, table of {len(X):,} x 64"
    yield compare(what, *times, "TabularS3L", n_rows=len(X), at_least=3)


def million(size):
    """A memory-mapped table of a million rows: time and memory of an epoch of SCARFTransformer.

    The table has 32 columns of float32, and holes. Each figure of memory is from a process of its
    own, measured as in the part *memory*: the peak during `fit` above what was there before, at all
    the rows and at a tenth of them. The shuffled order grows with the rows, some 16 bytes for each
    while it is made. The ratio is the growth of the peak over that of X, as in that part.
    """
    many, few = size.million_rows, size.million_rows // 10
    of_many, time_many = in_new_process(fit_of_a_file, many)
    of_few, time_few = in_new_process(fit_of_a_file, few)
    n_bytes = 32 * 4 * many
    growth = (of_many - of_few) / (n_bytes * (1 - few / many))
    what = f"Peak memory of `fit`, {many:,} rows of {n_bytes / 2**20:,.0f} MiB"
    yield Row(
        what,
        f"{of_many / 2**20:,.1f} MiB",
        f"{few:,} rows: {of_few / 2**20:,.1f} MiB",
        f"{growth:.3g}",
        "at most 0.25",
        "yes" if growth <= 0.25 else "no",
    )
    yield Row(
        f"`fit` for one epoch, {many:,} rows",
        f"{many / time_many:,.0f} rows/s",
        f"{few:,} rows: {few / time_few:,.0f} rows/s",
        f"{(many / time_many) / (few / time_few):.3g}",
    )


def fit_of_a_file(n_rows):
    """Return the bytes and the seconds that a fit on a memory-mapped table takes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, 32))
        rng = np.random.default_rng(0)
        for start in range(0, n_rows, 10_000):
            block = rng.normal(size=(min(10_000, n_rows - start), 32))
            X[start : start + len(block)] = np.where(rng.random(block.shape) < 0.01, np.nan, block)
        X.flush()
        X = np.load(path, mmap_mode="r")
        ssl = SCARFTransformer(batch_size=BATCH_SIZE, max_epochs=1, random_state=0)
        ssl.fit(X[:1000])  # loads what is loaded once
        with sampled_peak() as peak:
            time = seconds(ssl.fit, X)
        return peak["bytes"], time
