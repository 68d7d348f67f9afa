"""Measure the speed and the memory of the estimators, and write doc/speed.md.

    python -m benchmarks.speed                   # half an hour, on a machine that does nothing else
    python -m benchmarks.speed --only methods    # one part of it
    python -m benchmarks.speed --report          # write doc/speed.md from the last run of each part
    python -m benchmarks.speed --quick           # minutes: does it run? The figures mean nothing

The rows of each part are a file in build/speed/ as soon as it is measured. What is restricted to
some methods is printed only:

    python -m benchmarks.speed --only methods --methods moco byol

Every figure is a ratio of two things that are measured in turn, in one process and with the same
number of threads. Needs the extra `bench`, ts3l (pip install --no-deps ts3l), Fashion-MNIST, the
Brown corpus, the UCI sentences and MiniLM (see benchmarks.datasets).
"""

import argparse
import copy
import inspect
import math
import tempfile
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from skorch.callbacks import Callback

from benchmarks._memory import in_new_process, sampled_peak
from benchmarks._speed_masking import mae, mask_ratio, million, scarf
from benchmarks._speed_text import language_models, sentences
from benchmarks._timing import (
    Row,
    compare,
    interleaved,
    markdown_table,
    read_part,
    seconds,
    show,
    show_ratio,
    timed,
    write_part,
)
from benchmarks.datasets import load_fashion_mnist
from sklearn_ssl import (
    BarlowTwinsTransformer,
    BYOLTransformer,
    DINOTransformer,
    LeJEPATransformer,
    MoCoTransformer,
    MoCoV3Transformer,
    SimCLRTransformer,
    SimSiamTransformer,
    SwAVTransformer,
    VICRegTransformer,
    defaults,
)
from sklearn_ssl._seeds import draw_seed
from sklearn_ssl.augment import ImageAugmentation, make_views
from sklearn_ssl.data.image import ImageSpec
from sklearn_ssl.data.rows import RowBlocks
from sklearn_ssl.training.runtime import (
    N_THREADS,
    resolve_precision,
    seeded_global_stream,
    torch_settings,
)

BATCH_SIZE = 256
LR, WEIGHT_DECAY = 2e-3, 1e-4  # SimCLR's defaults
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build" / "speed"
REPORT = ROOT / "doc" / "speed.md"
MODALITY = {"table": "table", "images": "image"}
METHODS = {
    "simclr": SimCLRTransformer,
    "moco": MoCoTransformer,
    "moco_v3": MoCoV3Transformer,
    "byol": BYOLTransformer,
    "simsiam": SimSiamTransformer,
    "barlow_twins": BarlowTwinsTransformer,
    "vicreg": VICRegTransformer,
    "swav": SwAVTransformer,
    "dino": DINOTransformer,
    "lejepa": LeJEPATransformer,
}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    n_rounds: int
    table_rows: int
    images: int
    inference_images: int
    memory_rows: int
    method_rounds: int
    method_images: int
    mae_images: int
    scarf_rows: int
    million_rows: int
    brown_documents: int
    sentences: int
    methods: tuple = tuple(METHODS)


FULL = Size(
    n_rounds=11,
    table_rows=10_000,
    images=5_120,
    inference_images=10_000,
    memory_rows=10_000,
    method_rounds=3,
    method_images=2_560,
    mae_images=2_560,
    scarf_rows=1_280,
    million_rows=1_000_000,
    brown_documents=15,
    sentences=1_000,
)
QUICK = Size(
    n_rounds=1,
    table_rows=512,
    images=256,
    inference_images=256,
    memory_rows=64,
    method_rounds=1,
    method_images=256,
    mae_images=256,
    scarf_rows=256,
    million_rows=20_000,
    brown_documents=2,
    sentences=100,
)


def make_table(n_rows):
    """Return a table of 64 columns in float64, as most users have it."""
    return np.random.default_rng(0).normal(size=(n_rows, 64))


def estimator(kind, method="simclr", **params):
    """Return the estimator that is measured: its defaults, but for the length of a fit."""
    return METHODS[method](
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
    seed = draw_seed(ours.random_state)
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
    from benchmarks._lightly import (
        lightly_epoch,  # here, for `memory` wants processes without lightly
    )

    X = load_fashion_mnist()[0][: size.images]
    fits = {"": estimator("images", max_epochs=1)}
    if resolve_precision("auto", torch.device("cpu")) is not None:
        fits[" in float32"] = estimator("images", max_epochs=1, precision="float32")
    recipes = {f"lightly, {n} workers": lightly_epoch(fits[""], X, n) for n in (0, 2)}
    measures = [timed(fit.fit, X) for fit in fits.values()] + [*map(timed, recipes.values())]
    times = interleaved(measures, size.n_rounds)
    of_lightly = dict(zip(recipes, times[len(fits) :]))
    best = min(of_lightly, key=lambda name: np.median(of_lightly[name]))
    for precision, of_fit in zip(fits, times):
        for name, of_recipe in of_lightly.items():
            what = f"`fit`{precision}, {len(X):,} images of 28 x 28"
            name += ", its better one" if name == best else ""
            yield compare(what, of_fit, of_recipe, name, n_rows=len(X), at_least=3)


def each_method(size):
    """Yield names and estimators: each method at its defaults, and multi-crop with local views.

    By default, multi-crop has local views of large images only.
    """
    for method in size.methods:
        ours = estimator("images", method, max_epochs=1)
        name = type(ours).__name__
        yield name, ours
        if hasattr(ours, "n_local"):
            yield f"{name}(n_local=4)", estimator("images", method, max_epochs=1, n_local=4)


def methods(size):
    """Images a second of each method on Fashion-MNIST, against the same one from lightly's parts.

    As above, ours is the whole call of `fit` for one epoch, in the precision that it chooses, and
    lightly's an epoch of the loop of its examples, in float32 and without set-up. lightly gives the
    loss, the heads, the prototypes, the memory bank, the updates of averaged networks and the
    views; widths, the size of the queue, the number and sizes of crops, and the strengths of the
    augmentation are ours. The number of workers is the one that was better for SimCLR in this run.

    The networks are checked to have the same kernels and matrices, and both see as many views. What
    lightly's parts do not have: a loss of MoCo v3 (torch's cross-entropy is used) and, for MoCo v2,
    a head with one batch normalisation (that of BYOL is used). Its DINO and LeJEPA crop with
    bicubic interpolation, ours with bilinear; its prototypes of SwAV have a bias, and the last
    normalisation of SimSiam has no weights; as in its example, its DINO does not clip gradients.
    """
    from benchmarks._lightly import lightly_epoch

    X = load_fashion_mnist()[0][: size.method_images]
    worker_counts = (0, 2)
    for name, ours in each_method(size):
        recipes = [lightly_epoch(ours, X, n) for n in worker_counts]
        measures = [timed(ours.fit, X), *map(timed, recipes)]
        of_fit, *of_recipes = interleaved(measures, size.method_rounds)
        for n_workers, of_recipe in zip(worker_counts, of_recipes):
            what = f"{name}, {len(X):,} images of 28 x 28"
            other = f"lightly, {n_workers} workers"
            yield compare(what, of_fit, of_recipe, other, n_rows=len(X), at_least=3)
        if len(recipes) > 1:  # SimCLR's, which come first
            worker_counts = (worker_counts[np.argmin(np.median(of_recipes, axis=1))],)


def costs(size):
    """The time of an epoch of each method, compared with SimCLR.

    Each is the whole call of `fit` for one epoch on Fashion-MNIST, all of them in turn. With
    `max_epochs=None`, an expensive method gets fewer epochs. The target is the cost that this
    reckons with, `_relative_cost`; it is reached within 15 %.
    """
    X = load_fashion_mnist()[0][: size.method_images]
    names, fits = zip(*each_method(size))
    times = interleaved([timed(fit.fit, X) for fit in fits], size.n_rounds)
    for name, fit, of_fit in list(zip(names, fits, times))[1:]:
        ratio = np.median(of_fit) / np.median(times[0])
        target = reached = ""
        if getattr(fit, "n_local", None) is None:  # at its defaults
            target = f"{fit._relative_cost:g}"
            reached = "yes" if abs(ratio / fit._relative_cost - 1) <= 0.15 else "no"
        yield Row(
            f"Epoch of {name}, {len(X):,} images of 28 x 28",
            show(of_fit),
            f"SimCLR: {show(times[0])}",
            show_ratio(of_fit, times[0]),
            target,
            reached,
        )


# Augmentation -----------------------------------------------------------------------------------


def augmentation(size):
    """Two views of images, as tensors, by `ImageAugmentation` and by lightly's transform.

    Ours takes uint8 arrays, 256 images at a time; lightly's takes PIL images, one at a time. The
    strengths are the same. lightly's runs in one thread, so ours is also measured in one.
    """
    from benchmarks._lightly import PILImages, two_views

    X = load_fashion_mnist()[0][: size.images // 4]
    spec = ImageSpec.describe(RowBlocks(X), (1, *X.shape[1:]))
    augment = ImageAugmentation().adapt(spec)
    generator = torch.Generator().manual_seed(0)
    dataset = PILImages(X, two_views(augment, side=28))

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


BENCHMARKS = {
    "fit": fit_loop,
    "lightly": against_lightly,
    "methods": methods,
    "costs": costs,
    "augmentation": augmentation,
    "transform": transform,
    "memory": memory,
    "mae": mae,
    "mask_ratio": mask_ratio,
    "scarf": scarf,
    "million": million,
    "language_models": language_models,
    "sentences": sentences,
}


def measure(name, size):
    """Run a part of the benchmark, print its rows as they come, and return them."""
    rows = []
    with torch_settings():
        for row in BENCHMARKS[name](size):
            print(" | ".join(astuple(row)), flush=True)
            rows.append(row)
    return rows


def write_report():
    """Write doc/speed.md from the last run of each part."""
    missing = [name for name in BENCHMARKS if not (RESULTS / f"{name}.json").exists()]
    if missing:
        raise SystemExit(
            f"doc/speed.md needs all parts, and {RESULTS} lacks some. Measure them:\n"
            + "\n".join(f"    python -m benchmarks.speed --only {name}" for name in missing)
        )
    REPORT.write_text(report({name: read_part(RESULTS / f"{name}.json") for name in BENCHMARKS}))
    print(f"Written to {REPORT}")


def report(parts):
    """Return the Markdown text of what was measured."""
    lines = [
        "# Speed",
        "",
        "Written by `python -m benchmarks.speed`. Figures are medians. A ratio is that of two "
        "medians, measured in turn in one run, with the smallest and largest ratio of a round: "
        "where the target is an upper limit, how much more time or memory is needed, where it is a "
        "lower one, how many times faster we are.",
    ]
    for name, (rows, machine) in parts.items():
        text = inspect.getdoc(BENCHMARKS[name])
        lines += ["", f"## {name}", "", text, "", *machine, "", *markdown_table(rows)]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="little data; nothing is written")
    parser.add_argument("--only", choices=BENCHMARKS, help="one part; the report is not written")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        help="with --only methods or costs: some of them beside SimCLR; nothing is written",
    )
    parser.add_argument(
        "--report", action="store_true", help="measure nothing: write doc/speed.md from all parts"
    )
    args = parser.parse_args()
    if args.methods and args.only not in ("methods", "costs"):
        parser.error("--methods needs --only methods or --only costs")
    if args.report:
        if args.quick or args.only:
            parser.error("--report goes alone")
        write_report()
        return

    size = QUICK if args.quick else FULL
    if args.methods:
        chosen = {"simclr", *args.methods}  # what the others are compared with
        size = replace(size, methods=tuple(name for name in METHODS if name in chosen))
    for name in [args.only] if args.only else BENCHMARKS:
        rows = measure(name, size)
        if not args.quick and not args.methods:
            write_part(RESULTS / f"{name}.json", rows)
    if not args.quick and not args.only:
        write_report()


if __name__ == "__main__":
    main()
