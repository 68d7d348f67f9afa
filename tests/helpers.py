"""What several test files share: sentences, tasks on their own, settings of torch."""

import copy
import pickle
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
import skops.io
import torch

from sklearn_ssl import load_model, save_model
from sklearn_ssl.data import AUTO_MODALITY, KINDS, modality_of
from sklearn_ssl.data.rows import RowBlocks
from sklearn_ssl.data.text import TextSpec
from sklearn_ssl.model_files import SKOPS_TRUSTED_TYPES
from sklearn_ssl.training import runtime, threads

SENTENCES = [
    "The cat sat on the mat.",
    "A dog lay on the rug, and the cat lay on the dog.",
    "It rains.",
    "To be or not to be, that is the question.",
    "dogs",
]


def batch_shape(row_shape, modality="auto", image_shape=None):
    """Return the shape that rows have in a batch, and the kind of data that they are."""
    estimator = SimpleNamespace(
        modality=modality,
        image_shape=image_shape,
        image_size=None,
        _modalities=tuple(KINDS),
        _auto_modality=AUTO_MODALITY,
    )
    kind = KINDS[modality_of(estimator, np.empty((0, *row_shape)))]
    return kind.batch_shape(estimator, row_shape), kind


def describe(X, modality="auto", **options):
    """Return the description of rows, as a fit makes it."""
    shape, kind = batch_shape(X.shape[1:], modality)
    return kind.describe(RowBlocks(X), shape, **options)


def spec_of(modality, shape, n=40, seed=0):
    """Describe random data whose batches have rows of a shape; words, if they are texts."""
    if modality == "text":
        return TextSpec.of_words([f"word{i}" for i in range(1000)])
    row_shape = (*shape[1:], shape[0]) if modality == "image" else shape
    rows = RowBlocks(np.random.default_rng(seed).random((n, *row_shape)))
    return KINDS[modality].describe(rows, shape)


def batch_of(X, modality="auto"):
    """Return rows as the batch that a task is given, and their description."""
    if modality == "text":
        rows, spec = TextSpec.read(SimpleNamespace(), [X])
        return spec.to_tensor(rows[np.arange(len(rows))]), spec
    spec = describe(X, modality)
    return spec.to_tensor(X), spec


def make_task(estimator, spec, seed=0):
    """Return the untrained task of an estimator, in training mode, with a generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        task = estimator._make_task(spec)
    task.generator = torch.Generator().manual_seed(seed)
    return task.train()


def through_skops(estimator):
    """Return what skops loads of what it saved, if it trusts our types and optimizers only."""
    content = skops.io.dumps(estimator)
    return skops.io.loads(content, trusted=SKOPS_TRUSTED_TYPES)


def through_model_file(estimator):
    """Return what is loaded from a file of arrays and JSON."""
    with TemporaryDirectory() as folder:
        save_model(estimator, Path(folder) / "model")
        return load_model(Path(folder) / "model")


every_copy = pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda estimator: pickle.loads(pickle.dumps(estimator)),
        through_skops,
        through_model_file,
    ],
    ids=["copy", "deepcopy", "pickle", "skops", "model_file"],
)


class Outputs:
    """Keeps the last input and output of some modules, by name."""

    def __init__(self, **modules):
        self.inputs = {}
        for name, module in modules.items():
            module.register_forward_hook(self._keep(name))

    def _keep(self, name):
        def keep(module, args, output):
            self.inputs[name] = args[0]
            setattr(self, name, output)

        return keep


class ConstantPredictor(torch.nn.Module):
    """Predicts the same whatever it is given: gradients can only flow through the targets."""

    def __init__(self, dim):
        super().__init__()
        self.p = torch.nn.Parameter(torch.randn(dim))

    def forward(self, z):
        return self.p.expand_as(z)


def train_step(task, batch, progress, lr=0.1):
    """Make one step of plain gradient descent, with all the hooks of a task; return the loss."""
    loss = task(batch)
    loss.backward()
    task.after_backward(progress)
    with torch.no_grad():
        for parameter in task.parameters():
            if parameter.grad is not None:
                parameter -= lr * parameter.grad
                parameter.grad = None
    task.after_step(progress)
    return loss.detach()


def fit_and_record_momenta(monkeypatch, estimator, X):
    """Fit, and return the momentum of every update of a part of the averaged network."""
    momenta = []
    module = sys.modules[type(estimator).__module__]
    ema_update = module.ema_update

    def record(target, online, momentum):
        momenta.append(momentum)
        ema_update(target, online, momentum)

    monkeypatch.setattr(module, "ema_update", record)
    estimator.fit(X)
    return momenta


@contextmanager
def _default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _float32_products(precision):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


# What users, or libraries that they import, may have set when they call an estimator.
TORCH_SETTINGS = {
    "float64": lambda: _default_dtype(torch.float64),
    "bfloat16": lambda: _default_dtype(torch.bfloat16),
    "float16": lambda: _default_dtype(torch.float16),
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "products": lambda: _float32_products("medium"),
}


@contextmanager
def all_torch_settings():
    """All of them at once; fail if they are others in the end."""
    with ExitStack() as stack:
        for name in ("float64", "inference_mode", "autocast", "device", "products"):
            stack.enter_context(TORCH_SETTINGS[name]())
        before = torch_state()
        yield
        assert torch_state() == before


def torch_state():
    """Return what estimators must leave as it is."""
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
    )


def assert_equal_but_for_rounding(Z, expected):
    """Routines of torch depend on the number of rows, and add up in another order."""
    np.testing.assert_allclose(Z, expected, rtol=1e-4, atol=1e-6)


def assert_layer_is_at_rest(task, batch):
    """Check that the linear layer of a fine-tuning is where its loss is smallest."""
    weight = task.head.linear.weight
    task(batch).backward()
    assert weight.grad.abs().max() < 1e-5
    task.zero_grad()
    weight.data *= 1.1
    task(batch).backward()
    assert weight.grad.abs().max() > 1e-4


@contextmanager
def two_cores():
    """Compute with two threads, as on a machine with two free cores."""
    before, team = torch.get_num_threads(), runtime.THREADS
    known = threads.N_CORES, team.undisturbed, threads.most_undisturbed
    threads.N_CORES, team.undisturbed, threads.most_undisturbed = 2, 2, lambda most: most
    torch.set_num_threads(2)
    try:
        yield
    finally:
        threads.N_CORES, team.undisturbed, threads.most_undisturbed = known
        torch.set_num_threads(before)
