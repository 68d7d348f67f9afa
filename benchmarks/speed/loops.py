"""The loop of `fit` and of `transform` against the plainest ones that torch allows."""

import copy
import math
from time import perf_counter

import numpy as np
import torch
from skorch.callbacks import Callback

from benchmarks.speed.timing import (
    BATCH_SIZE,
    compare,
    interleaved,
    make_table,
    row,
    seconds,
    show,
    timed,
)
from sklearn_ssl import (
    CausalLMEmbedder,
    MaskedAutoencoder,
    NextFrameEmbedder,
    Sent2VecTransformer,
    SimCLRTransformer,
    TS2VecTransformer,
    VIMETransformer,
    defaults,
)
from sklearn_ssl._seeds import draw_seed
from sklearn_ssl.datasets import load_scipy_docstrings
from sklearn_ssl.training.runtime import resolve_precision, seeded_global_stream

LR, WEIGHT_DECAY = 2e-3, 1e-4  # SimCLR's defaults
SETTINGS = {"batch_size": BATCH_SIZE, "random_state": 0}
MODALITY = {"table": "table", "images": "image"}


def fit(size):
    """The loop of `fit` against a bare torch loop that takes the same steps."""
    yield from compare_loops("table", make_table(size.rows), size, at_most=1.1)
    yield from compare_loops("images", size.load_images(size.images), size, at_most=1.03)


def compare_loops(kind, X, size, at_most):
    n_epochs = 3
    clock = EpochClock()
    settings = {**SETTINGS, "max_epochs": n_epochs, "callbacks": [clock]}
    ours = SimCLRTransformer(modality=MODALITY[kind], **settings)
    set_up = []

    def of_whole_fit():
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

    of_whole_fit()
    spec = ours.input_spec_
    seed = draw_seed(ours.random_state)
    with seeded_global_stream(seed):
        task = ours._make_task(spec).to(memory_format=torch.channels_last)

    of_fit, of_loop = interleaved([of_whole_fit, loop], size.n_rounds)
    what = f"Epoch of `fit`, {kind}, {' x '.join(map(str, X.shape))}"
    yield compare(what, of_fit, of_loop, "bare torch loop", at_most=at_most)
    yield row(f"Set-up of that `fit`, {kind}", show(set_up[-size.n_rounds :]))


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


def transform(size):
    """The method `transform` against a bare inference loop of the same batch size."""
    images = size.load_images(size.rows, train=False)
    for kind, X in (("table", make_table(size.rows)), ("images", images)):
        fitted = SimCLRTransformer(modality=MODALITY[kind], max_epochs=1, **SETTINGS)
        fitted.fit(X[:BATCH_SIZE])
        np.testing.assert_allclose(
            bare_inference(fitted, X), fitted.transform(X), rtol=1e-3, atol=1e-4
        )
        measures = [timed(fitted.transform, X), timed(bare_inference, fitted, X)]
        times = interleaved(measures, size.n_rounds)
        what = f"`transform`, {kind}, {' x '.join(map(str, X.shape))}"
        yield compare(what, *times, "bare torch loop", n_rows=len(X), at_most=1.05)


def one_row(size):
    """The method `transform` of one row against the same network without anything around it.

    Texts are divided into tokens on both sides.
    """
    images = size.load_images(BATCH_SIZE)
    series = np.random.default_rng(0).normal(size=(BATCH_SIZE, 2, 200))
    texts = load_scipy_docstrings()[0][:32]
    once = {"max_epochs": 1, "random_state": 0}
    for what, ssl, X in (
        ("SimCLR, table", SimCLRTransformer(**once), make_table(BATCH_SIZE)),
        ("VIME, table", VIMETransformer(**once), make_table(BATCH_SIZE)),
        ("SimCLR, images", SimCLRTransformer(modality="image", **once), images),
        ("MaskedAutoencoder, images", MaskedAutoencoder(modality="image", **once), images),
        ("SimCLR, series", SimCLRTransformer(modality="series", **once), series),
        ("TS2Vec, series", TS2VecTransformer(**once), series),
        ("NextFrame, series", NextFrameEmbedder(**once), series),
        ("CausalLM, texts", CausalLMEmbedder(**once), texts),
        ("Sent2Vec, texts", Sent2VecTransformer(**once), texts),
    ):
        fitted = ssl.fit(X)
        for n_rows, n_rounds in ((1, 10 * size.n_rounds), (len(X), size.n_rounds)):
            measures = [timed(fitted.transform, X[:n_rows]), timed(bare_call(fitted, X[:n_rows]))]
            times = interleaved(measures, n_rounds)
            at_most = 3.0 if n_rows == 1 else 1.05
            yield compare(f"{what}, rows: {n_rows}", *times, "bare torch call", at_most=at_most)


def bare_call(fitted, X):
    """Return a function that computes the representation of X at once, without any checks."""
    task, spec = fitted.task_.eval(), fitted.input_spec_
    checked = spec.rows_of(fitted, X)[0]

    @torch.inference_mode()
    def call():
        rows = spec.rows_of(fitted, X)[0] if isinstance(X[0], str) else checked
        return task.encode(spec.to_tensor(rows[np.arange(len(rows))])).numpy()

    return call


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
