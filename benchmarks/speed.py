"""Measure the speed and the memory of SimCLRTransformer, and write doc/speed.md.

    python benchmarks/speed.py                  # minutes, on a machine that does nothing else
    python benchmarks/speed.py --only transform # one measurement, printed
    python benchmarks/speed.py --quick          # seconds: does it run? The figures mean nothing

Every figure is a ratio of two things that are measured in turn, in one process and with the same
number of threads. Needs lightly, and Fashion-MNIST (see sklearn_ssl.datasets).
"""

import argparse
import copy
import inspect
import math
import multiprocessing
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from _timing import Row, compare, interleaved, machine, markdown_table, seconds, show
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, Dataset

from sklearn_ssl import SimCLRTransformer, defaults
from sklearn_ssl._inputs import RowBlocks, describe
from sklearn_ssl._runtime import N_THREADS, pinned_threads, resolve_precision, seeded_global_stream
from sklearn_ssl.augment import ImageAugmentation, make_views
from sklearn_ssl.datasets import load_fashion_mnist
from sklearn_ssl.encoders import ConvEncoder

BATCH_SIZE = 256
LR, WEIGHT_DECAY = 2e-3, 1e-4  # the estimator's defaults
REPORT = Path(__file__).parents[1] / "doc" / "speed.md"
MODALITY = {"table": "table", "images": "image"}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    n_rounds: int
    table_rows: int
    images: int
    inference_images: int
    memory_rows: int


FULL = Size(11, table_rows=10_000, images=5_120, inference_images=10_000, memory_rows=10_000)
QUICK = Size(1, table_rows=512, images=256, inference_images=256, memory_rows=64)


def make_table(n_rows):
    """Return a table of 64 columns in float64, as most users have it."""
    return np.random.default_rng(0).normal(size=(n_rows, 64))


def estimator(kind, **params):
    """Return the estimator that is measured: its defaults, but for the length of a fit."""
    return SimCLRTransformer(
        modality=MODALITY[kind], **{"batch_size": BATCH_SIZE, "random_state": 0, **params}
    )


# The loop of fit --------------------------------------------------------------------------------


def fit_loop(size):
    """The loop of `fit` against a bare torch loop that takes the same steps.

    Both train the same task, from the same initial weights, on the same batches, with the same
    optimiser (fused AdamW), learning rates and preparation of batches. What is compared is the time
    of an epoch, the median of those of a fit; set-up is what `fit` does before its first epoch and
    after its last: validation, description of the data, construction of the networks.
    """
    images = load_fashion_mnist()[0]
    yield from compare_loops("table", make_table(size.table_rows), size, at_most=1.10)
    yield from compare_loops("images", images[: size.images], size, at_most=1.03)


def compare_loops(kind, X, size, at_most):
    n_epochs = 3
    clock = EpochClock()
    ours = estimator(kind, max_epochs=n_epochs, callbacks=[clock])
    set_up = []

    def fit():
        total = seconds(ours.fit, X)
        set_up.append(total - sum(clock.durations()))
        return np.median(clock.durations())

    def loop():
        durations, losses = bare_loop(copy.deepcopy(task), spec, X, n_epochs, seed)
        # Later epochs have other orders, for the estimator draws a seed for each step from the same
        # stream; the work is the same.
        if not np.isclose(losses[0], ours.loss_curve_[0], rtol=1e-3):
            raise RuntimeError(f"The loops differ: {losses[0]} and {ours.loss_curve_[0]}")
        return np.median(durations)

    fit()
    spec = ours.input_spec_
    seed = int(np.random.RandomState(ours.random_state).randint(np.iinfo(np.int32).max))
    with seeded_global_stream(seed):
        task = ours._make_task(spec).to(memory_format=torch.channels_last)

    of_fit, of_loop = interleaved([fit, loop], size.n_rounds)
    what = f"Epoch of `fit`, {kind}, {' x '.join(map(str, X.shape))}"
    yield compare(what, of_fit, of_loop, "bare torch loop", at_most=at_most)
    yield Row(f"Set-up of that `fit`, {kind}", show(set_up[-size.n_rounds :]))


class EpochClock(Callback):
    """Notes when epochs begin; they last until the next one, so nothing of the loop is missed."""

    def on_train_begin(self, net, **kwargs):
        self.marks = []

    def on_epoch_begin(self, net, **kwargs):
        self.marks.append(perf_counter())

    def on_train_end(self, net, **kwargs):
        self.marks.append(perf_counter())

    def durations(self):
        """Return the seconds of each epoch of the last fit."""
        return np.diff(self.marks)


def bare_loop(task, spec, X, n_epochs, seed):
    """Train a task as plainly as torch allows; return the seconds and the loss of each epoch."""
    task.train()
    task.generator = torch.Generator().manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    parameters = list(task.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, fused=True)
    dtype = resolve_precision("auto", torch.device("cpu"))
    n_batches = -(-len(X) // BATCH_SIZE)
    n_steps = n_epochs * n_batches
    warm_up = max(1, round(0.05 * n_steps))

    durations, losses, step = [], [], 0
    for _ in range(n_epochs):
        start, total = perf_counter(), 0.0
        permutation = torch.randperm(len(X), generator=order, dtype=torch.int32).numpy()
        for indices in np.array_split(permutation, n_batches):
            if step < warm_up:
                factor = (step + 1) / warm_up
            else:
                factor = 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (n_steps - warm_up)))
            for group in optimizer.param_groups:
                group["lr"] = LR * factor
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                loss = task(spec.to_tensor(X[np.sort(indices)]))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(indices)
            step += 1
        durations.append(perf_counter() - start)
        losses.append(total / len(X))
    return durations, losses


# Against lightly --------------------------------------------------------------------------------


def against_lightly(size):
    """Images a second on Fashion-MNIST, end to end, against lightly's own SimCLR recipe.

    Ours is the whole call of `fit` for one epoch, set-up included. lightly's is an epoch of the
    loop of its examples, without set-up: its transform on PIL images, a DataLoader, two forward
    passes, its loss, and AdamW. The encoder is the same class, the projection head has the same
    layers and widths, batches have 256 images, and both use the same number of threads.
    """
    X = load_fashion_mnist()[0][: size.images]
    fits = {"": estimator("images", max_epochs=1)}
    if resolve_precision("auto", torch.device("cpu")) is not None:
        fits[" in float32"] = estimator("images", max_epochs=1, precision="float32")
    recipes = {f"lightly, {n} workers": lightly_recipe(X, n) for n in (0, 2)}

    def timed(function, *args):
        return lambda: seconds(function, *args)

    measures = [timed(fit.fit, X) for fit in fits.values()] + [*map(timed, recipes.values())]
    times = interleaved(measures, size.n_rounds)
    of_lightly = dict(zip(recipes, times[len(fits) :]))
    best = min(of_lightly, key=lambda name: np.median(of_lightly[name]))
    for precision, of_fit in zip(fits, times):
        for name, of_recipe in of_lightly.items():
            what = f"`fit`{precision}, {len(X):,} images of 28 x 28"
            name += ", its better one" if name == best else ""
            yield compare(what, of_fit, of_recipe, name, n_rows=len(X), at_least=3)


def lightly_transform():
    """Return lightly's two views with the strengths of ours for a grey image of 28 x 28.

    Crop (0.3, 1), flip with 0.5, jitter of strength 0.8 for four images in five, no blur. What has
    no meaning in grey (saturation, hue, turning grey) is switched off, as ours does by itself;
    that spares lightly time. Its default normalisation has three channels and would silently make
    three of one, so it gets the mean and deviation of Fashion-MNIST.
    """
    from lightly.transforms import SimCLRTransform

    return SimCLRTransform(
        input_size=28,
        min_scale=0.3,
        cj_strength=0.8,
        cj_sat=0.0,
        cj_hue=0.0,
        random_gray_scale=0.0,
        gaussian_blur=0.0,
        normalize={"mean": [0.286], "std": [0.353]},
    )


class PILImages(Dataset):
    """Grey PIL images, made beforehand: decoding them is not lightly's business."""

    def __init__(self, X, transform):
        from PIL import Image

        self.images = [Image.fromarray(image) for image in X]
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index])


def lightly_recipe(X, n_workers):
    """Return a function that trains for one epoch as lightly's SimCLR example does."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    encoder = ConvEncoder((1, *X.shape[1:]))
    with torch.no_grad():
        width = encoder(torch.zeros(2, 1, *X.shape[1:])).shape[1]
    model = nn.Sequential(
        encoder, SimCLRProjectionHead(width, *defaults.projection_dims(width))
    ).train()
    loader = DataLoader(
        PILImages(X, lightly_transform()),
        batch_size=BATCH_SIZE,
        shuffle=True,
        drop_last=True,  # as in its examples; the number of images is a multiple of the batch size
        num_workers=n_workers,
        persistent_workers=n_workers > 0,  # so that starting them is not measured
    )
    criterion = NTXentLoss(temperature=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)

    def epoch():
        for x0, x1 in loader:
            loss = criterion(model(x0), model(x1))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return epoch


# Augmentation -----------------------------------------------------------------------------------


def augmentation(size):
    """Two views of images, as tensors, by `ImageAugmentation` and by lightly's transform.

    Ours takes uint8 arrays, 256 images at a time; lightly's takes PIL images, one at a time. The
    strengths are the same. lightly's runs in one thread, so ours is also measured in one.
    """
    X = load_fashion_mnist()[0][: size.images // 4]
    spec = describe(RowBlocks(X), "image", (1, *X.shape[1:]))
    augment = ImageAugmentation().adapt(spec)
    generator = torch.Generator().manual_seed(0)
    dataset = PILImages(X, lightly_transform())

    def ours(n_threads):
        torch.set_num_threads(n_threads)
        for start in range(0, len(X), BATCH_SIZE):
            batch = spec.to_tensor(X[start : start + BATCH_SIZE])
            make_views(augment, batch, 2, generator)
        torch.set_num_threads(N_THREADS)

    def lightlys():
        for index in range(len(dataset)):
            dataset[index]

    thread_counts = sorted({1, N_THREADS})
    measures = [lambda n=n: seconds(ours, n) for n in thread_counts]
    *times, of_lightly = interleaved([*measures, lambda: seconds(lightlys)], size.n_rounds)
    for n_threads, of_ours in zip(thread_counts, times):
        what = f"Two views of {len(X):,} images of 28 x 28, threads: {n_threads}"
        name = "lightly's transform"
        yield compare(what, of_ours, of_lightly, name, n_rows=len(X), at_least=20)


# transform --------------------------------------------------------------------------------------


def transform(size):
    """The method `transform` against a bare inference loop of the same batch size.

    `transform` also checks its input, and fills up the last batch so that a row's representation
    does not depend on the rows beside it.
    """
    images = load_fashion_mnist(train=False)[0][: size.inference_images]
    for kind, X in (("table", make_table(size.table_rows)), ("images", images)):
        fitted = estimator(kind, max_epochs=1).fit(X[:BATCH_SIZE])
        np.testing.assert_allclose(
            bare_inference(fitted, X), fitted.transform(X), rtol=1e-3, atol=1e-4
        )
        times = interleaved(
            [lambda: seconds(fitted.transform, X), lambda: seconds(bare_inference, fitted, X)],  # noqa: B023 - called at once
            size.n_rounds,
        )
        what = f"`transform`, {kind}, {' x '.join(map(str, X.shape))}"
        yield compare(what, *times, "bare torch loop", n_rows=len(X), at_most=1.05)


@torch.inference_mode()
def bare_inference(fitted, X):
    """Return the representation of X by the plainest loop."""
    task, spec = fitted.task_.eval(), fitted.input_spec_
    batch_size = defaults.inference_batch_size(spec.shape)
    outputs = [
        task.encode(spec.to_tensor(X[start : start + batch_size])).numpy()
        for start in range(0, len(X), batch_size)
    ]
    return np.concatenate(outputs)


# Memory -----------------------------------------------------------------------------------------


def memory(size):
    """Peak memory of `fit` and `transform` on memory-mapped X, at n rows and at ten times as many.

    Each figure is from a process of its own: the largest anonymous memory (RssAnon) while the
    method runs, above that before the call, without the weights of the model and without the
    representations that are returned. Pages of the file that X is mapped from do not count: the
    system takes them back when it needs them, and they make ru_maxrss grow with X. Before the
    call, a fit on 64 rows has loaded what is loaded once. Both n are at least the 10,000 rows from
    which `fit` describes X. The ratio is the growth of the peak over that of X: 1 would be a copy
    of X, 4 one of uint8 images in float32. What does grow is the order of the rows, 4 bytes for
    each; the allocator makes a peak vary by some 10 MiB from one process to the next.
    """
    few, many = size.memory_rows, 10 * size.memory_rows
    for kind in MODALITY:
        for method in ("fit", "transform"):
            (peak_few, X_few), (peak_many, X_many) = (
                in_new_process(peak_memory, kind, method, n) for n in (few, many)
            )
            growth = (peak_many - peak_few) / (X_many - X_few)
            yield Row(
                f"Peak memory of `{method}`, {kind}, {many:,} rows of {X_many / 2**20:,.1f} MiB",
                f"{peak_many / 2**20:,.1f} MiB",
                f"{few:,} rows of {X_few / 2**20:,.1f} MiB: {peak_few / 2**20:,.1f} MiB",
                f"{growth:.3g}",
                "at most 0.25",
                "yes" if growth <= 0.25 else "no",
            )


def in_new_process(function, *args):
    """Return what a function returns in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(function, *args).result()


def peak_memory(kind, method, n_rows):
    """Return the bytes that a method needs beside X, weights and result, and the bytes of X."""
    with tempfile.TemporaryDirectory() as folder:
        X = memory_mapped(kind, n_rows, Path(folder) / "X.npy")
        fitted = estimator(kind, max_epochs=1, n_components=64).fit(X[:64])
        if method == "transform":
            with sampled_peak() as peak:
                Z = fitted.transform(X)
            return peak["bytes"] - Z.nbytes, X.nbytes
        with sampled_peak() as peak:
            fitted.fit(X)
        weights = sum(tensor.nbytes for tensor in fitted.task_.state_dict().values())
        return peak["bytes"] - weights, X.nbytes


def memory_mapped(kind, n_rows, path):
    """Write X to a file, a block at a time, and return it memory-mapped."""
    block = make_table(1000) if kind == "table" else load_fashion_mnist(train=False)[0][:1000]
    X = np.lib.format.open_memmap(path, "w+", block.dtype, (n_rows, *block.shape[1:]))
    for start in range(0, n_rows, len(block)):
        X[start : start + len(block)] = block[: n_rows - start]
    X.flush()
    return np.load(path, mmap_mode="r")


@contextmanager
def sampled_peak(interval=0.001):
    """Give a dict whose "bytes" is, after the block, the peak of anonymous memory above the start.

    The memory is sampled a thousand times a second: a step takes ten times as long at least.
    """
    start = anonymous_memory()
    peak, done = {"bytes": 0}, threading.Event()

    def sample():
        while not done.wait(interval):
            peak["bytes"] = max(peak["bytes"], anonymous_memory() - start)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield peak
    finally:
        done.set()
        sampler.join()


def anonymous_memory():
    """Return the bytes of this process's memory that no file backs (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no RssAnon: memory is measured on Linux only.")


BENCHMARKS = {
    "fit": fit_loop,
    "lightly": against_lightly,
    "augmentation": augmentation,
    "transform": transform,
    "memory": memory,
}


def report(rows, names):
    """Return the Markdown text of what was measured."""
    lines = [
        "# Speed",
        "",
        "Written by `python benchmarks/speed.py`. Figures are medians. A ratio is that of two "
        "medians, measured in turn in one run, with the smallest and largest ratio of a round: "
        "where the target is an upper limit, how much more time or memory is needed, where it is a "
        "lower one, how many times faster we are.",
        "",
        *machine(),
        "",
        *markdown_table(rows),
    ]
    for name in names:
        lines += ["", f"## {name}", "", inspect.getdoc(BENCHMARKS[name])]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="little data; nothing is written")
    parser.add_argument(
        "--only", choices=BENCHMARKS, help="one measurement, which is printed but not written"
    )
    args = parser.parse_args()

    names = [args.only] if args.only else list(BENCHMARKS)
    rows = []
    with pinned_threads():
        for name in names:
            for row in BENCHMARKS[name](QUICK if args.quick else FULL):
                print(row.measurement, "|", row.ours, "|", row.other, "|", row.ratio, flush=True)
                rows.append(row)
    text = report(rows, names)
    if args.quick or args.only:
        print(text)
    else:
        REPORT.write_text(text)
        print(f"Written to {REPORT}")


if __name__ == "__main__":
    main()
