"""What the benchmarks share: interleaved timing, comparisons as rows of a table, the machine."""

import datetime
import json
import platform
from dataclasses import asdict, astuple, dataclass
from importlib.metadata import version
from time import perf_counter

import numpy as np
import torch

from sklearn_ssl.training.runtime import N_THREADS, resolve_precision

PACKAGES = (
    "torch",
    "torchvision",
    "scikit-learn",
    "skorch",
    "numpy",
    "scipy",
    "lightly",
    "transformers",
)


@dataclass
class Row:
    """A line of the table, every cell of it ready to be printed."""

    measurement: str
    ours: str
    other: str = ""
    ratio: str = ""
    target: str = ""
    reached: str = ""


def seconds(function, *args):
    """Return how long a call takes."""
    start = perf_counter()
    function(*args)
    return perf_counter() - start


def timed(function, *args):
    """Return a function that calls this one and returns the seconds."""
    return lambda: seconds(function, *args)


def interleaved(measures, n_rounds):
    """Call each of some functions in turn, A B A B ..., after a first round that does not count.

    A machine that slows down in between slows all of them, so ratios hold where times do not.

    Parameters
    ----------
    measures : list of callable
        Each returns the seconds that it measured, so that its own preparations need not count.
    n_rounds : int

    Returns
    -------
    times : ndarray of shape (len(measures), n_rounds)
    """
    for measure in measures:
        measure()
    return np.array([[measure() for measure in measures] for _ in range(n_rounds)]).T


def compare(measurement, ours, other, name, *, n_rows=None, at_most=None, at_least=None):
    """Compare two series of times that were measured in turn.

    Parameters
    ----------
    measurement : str
    ours, other : ndarray of shape (n_rounds,)
        Seconds.
    name : str
        What `other` is.
    n_rows : int or None
        Rows that were worked on in each of the times; None shows times in place of rows a second.
    at_most, at_least : float or None
        The target. With `at_most` the ratio says how much longer we take, with `at_least` how many
        times faster we are.

    Returns
    -------
    row : Row
        With the ratio of the medians, and the smallest and largest ratio of a round.
    """
    slower = at_most is not None
    above, below = (ours, other) if slower else (other, ours)
    ratio = np.median(above) / np.median(below)
    target = at_most if slower else at_least
    reached = ratio <= target if slower else ratio >= target
    return Row(
        measurement,
        show(ours, n_rows),
        f"{name}: {show(other, n_rows)}",
        show_ratio(above, below),
        f"at {'most' if slower else 'least'} {target:g}",
        "yes" if reached else "no",
    )


def show(times, n_rows=None):
    """Return the median of some seconds as text: milliseconds, or rows a second."""
    median = np.median(times)
    return f"{1000 * median:,.1f} ms" if n_rows is None else f"{n_rows / median:,.0f} rows/s"


def show_ratio(above, below):
    """Return the ratio of the medians as text, with the smallest and largest ratio of a round."""
    ratio, rounds = np.median(above) / np.median(below), above / below
    return f"{ratio:.3g} ({rounds.min():.3g} to {rounds.max():.3g})"


def machine():
    """Return lines of Markdown that say what the figures depend on."""
    native = resolve_precision("auto", torch.device("cpu")) is torch.bfloat16
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"- {datetime.date.today().isoformat()}, Python {platform.python_version()}, {packages}",
        f"- {platform.machine()}, cores: {N_THREADS}, vector instructions "
        f"{torch.backends.cpu.get_cpu_capability()}, "
        f"{'native bfloat16, which' if native else 'no native bfloat16, so float32 is what'} "
        '`precision="auto"` uses',
    ]


def markdown_table(rows):
    """Return rows as the lines of a Markdown table."""
    header = ("Measurement", "sklearn_ssl", "Compared with", "Ratio", "Target", "Reached")
    lines = [header, ("---",) * len(header), *map(astuple, rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def write_part(path, rows):
    """Write rows to a JSON file, with the machine that they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(part, indent=1) + "\n")


def read_part(path):
    """Return the rows of such a file, and the lines that say what they depend on."""
    part = json.loads(path.read_text())
    return [Row(**row) for row in part["rows"]], part["machine"]
