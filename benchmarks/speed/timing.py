"""What the parts share: times taken in turn, rows of the results, loops of peers, the machine."""

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset

from benchmarks.datasets import load_fashion_mnist
from sklearn_ssl.training.runtime import resolve_precision
from sklearn_ssl.training.threads import N_CORES

PACKAGES = (
    *("torch", "torchvision", "scikit-learn", "skorch", "numpy", "scipy"),
    *("lightly", "transformers", "gensim"),
)
BATCH_SIZE = 256


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    n_rounds: int
    method_rounds: int
    rows: int  # of tables, and of the tenth of those that are memory-mapped
    images: int
    method_images: int
    million_rows: int
    documents: int
    quick: bool = False
    methods: tuple = ()  # None of them means all

    def load_images(self, n, *, train=True):
        """Return images of 28x28 in uint8: of clothes, or with `quick` scikit-learn's digits."""
        if not self.quick:
            return load_fashion_mnist(train=train)[0][:n]
        digits = np.kron(load_digits().images[:n] * (255 / 16), np.ones((3, 3)))
        return np.pad(digits.astype(np.uint8), ((0, 0), (2, 2), (2, 2)))


FULL = Size(11, 3, rows=10_000, images=5_120, method_images=2_560, million_rows=10**6, documents=15)
QUICK = Size(1, 1, 256, 256, 256, million_rows=10_000, documents=50, quick=True)


def make_table(n_rows):
    """Return a table of 64 columns in float64, as most users have it."""
    return np.random.default_rng(0).normal(size=(n_rows, 64))


# Times in turn ------------------------------------------------------------------------------------


def seconds(function, *args):
    """Return how long a call takes."""
    start = perf_counter()
    function(*args)
    return perf_counter() - start


def timed(function, *args):
    """Return a function that calls this one and returns the seconds."""
    return lambda: seconds(function, *args)


def interleaved(measures, n_rounds):
    """Call functions that return seconds in turn, A B A B ..., after a round that does not count.

    A machine that slows down in between slows all of them, so ratios hold where times do not.

    Returns
    -------
    times : ndarray of shape (len(measures), n_rounds)
    """
    for measure in measures:
        measure()
    return np.array([[measure() for measure in measures] for _ in range(n_rounds)]).T


# Rows of the results ------------------------------------------------------------------------------


def row(measurement, ours, other="", ratio="", target="", reached=""):
    """Return a row of the file, every cell of it ready to be printed."""
    reached = {True: "yes", False: "no"}.get(reached, "")
    cells = {"measurement": measurement, "ours": ours, "other": other, "ratio": ratio}
    return {**cells, "target": target, "reached": reached}


def compare(measurement, ours, other, name, *, n_rows=None, at_most=None, at_least=None):
    """Compare two series of seconds that were measured in turn.

    Parameters
    ----------
    measurement : str
    ours, other : ndarray of shape (n_rounds,)
    name : str
        What `other` is.
    n_rows : int or None
        Rows that were worked on in each of the times; None shows times in place of rows a second.
    at_most, at_least : float or None
        The target. With `at_most` the ratio says how much longer we take, with `at_least` how many
        times faster we are.

    Returns
    -------
    row : dict
        With the ratio of the medians, and the smallest and largest ratio of a round.
    """
    above, below = (other, ours) if at_most is None else (ours, other)
    ratio = np.median(above) / np.median(below)
    if at_most is None:
        target, reached = f"at least {at_least:g}", ratio >= at_least
    else:
        target, reached = f"at most {at_most:g}", ratio <= at_most
    shown = f"{name}: {show(other, n_rows)}"
    return row(
        measurement, show(ours, n_rows), shown, show_ratio(above, below), target, bool(reached)
    )


def growth(measurement, many, few, size_many, size_few, name):
    """Return a row of the growth of a peak of memory, relative to that of X; all in bytes."""
    grown = (many - few) / (size_many - size_few)
    shown = f"{name}: {few / 2**20:,.1f} MiB"
    ours = f"{many / 2**20:,.1f} MiB"
    return row(measurement, ours, shown, f"{grown:.3g}", "at most 0.25", bool(grown <= 0.25))


def show(times, n_rows=None):
    """Return the median of seconds as text: milliseconds, or rows a second."""
    median = np.median(times)
    return f"{1000 * median:,.1f} ms" if n_rows is None else f"{n_rows / median:,.0f} rows/s"


def show_ratio(above, below):
    """Return the ratio of the medians as text, with the smallest and largest ratio of a round."""
    ratio, rounds = np.median(above) / np.median(below), above / below
    return f"{ratio:.3g} ({rounds.min():.3g} to {rounds.max():.3g})"


def machine():
    """Say what the figures depend on."""
    native = resolve_precision("auto", torch.device("cpu")) is torch.bfloat16
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    precision = "native bfloat16, which" if native else "no native bfloat16, so float32 is what"
    return (
        f"Python {platform.python_version()}, {packages}; {platform.machine()}, cores: {N_CORES},"
        f" vector instructions {torch.backends.cpu.get_cpu_capability()}, {precision} "
        '`precision="auto"` uses'
    )


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


# Loops of peers -----------------------------------------------------------------------------------


class PILImages(Dataset):
    """Gray PIL images, made beforehand: decoding them is not the business of what is measured."""

    def __init__(self, X, transform):
        self.images = [Image.fromarray(image) for image in X]
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index])


def loader(dataset, batch_size, n_workers=0, **options):
    """Return a DataLoader whose workers stay, so that starting them is not measured."""
    persistent = n_workers > 0
    settings = {"shuffle": True, "num_workers": n_workers, "persistent_workers": persistent}
    return DataLoader(dataset, batch_size, **settings, **options)


def plain_epoch(loss_of, batches, optimizer, clip=None):
    """Return a function that trains for an epoch as the examples of most packages do.

    Parameters
    ----------
    loss_of : callable
        Returns the loss of a batch.
    batches : iterable
        Makes the batches of an epoch each time.
    optimizer : torch.optim.Optimizer
    clip : float or None
        Largest norm of the gradients.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    def epoch():
        for batch in batches:
            loss = loss_of(batch)
            loss.item()
            optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(weights, clip)
            optimizer.step()

    return epoch
