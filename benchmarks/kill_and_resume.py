"""Does a fit that was killed at any instant end with the same bits as an unbroken one?

    python -m benchmarks.kill_and_resume             # 100 kills, a few minutes on one core
    python -m benchmarks.kill_and_resume --kills 10

Each fit runs in a process of its own, on a few rows. When it has written its first checkpoint, it
gets a SIGKILL after a random time, and the same call continues in another process. All methods take
turns, and both ways to learn from labels; the intervals of the checkpoints are random.
"""

import argparse
import hashlib
import mmap
import os
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback

import sklearn_ssl
from sklearn_ssl import Checkpoint, FineTuneClassifier
from sklearn_ssl.training import checkpoints

OF_TABLES = ("SCARFTransformer", "VIMETransformer")
OF_TEXTS = (
    *("CausalLMEmbedder", "MaskedLMEmbedder", "Sent2VecTransformer"),
    *("SimCSETransformer", "TSDAETransformer"),
)
RNG = np.random.default_rng(0)
TABLE, SERIES = RNG.normal(size=(64, 8)), RNG.normal(size=(64, 4, 8))
TEXTS = [f"the cat number {i % 7} sat on {'the mat ' * (i % 4)}" for i in range(64)]
LABELS = np.where(np.arange(64) < 32, np.arange(64) % 2, -1)
SHARED = {"max_epochs": 4, "batch_size": 16}
MOST_MINUTES = 0.3 / 60  # between checkpoints


# What is fitted -----------------------------------------------------------------------------------


def cases():
    """Return fits by name: an estimator, rows and labels."""
    fits = {}
    for name in sorted(sklearn_ssl.__all__):
        if name.endswith(("Transformer", "Autoencoder", "Embedder")) and name[:4] != "Base":
            Estimator = getattr(sklearn_ssl, name)
            kind = {"modality": "series"} if "modality" in Estimator().get_params() else {}
            rows = TABLE if name in OF_TABLES else TEXTS if name in OF_TEXTS else SERIES
            fits[name] = Estimator(**SHARED, **kind, random_state=0), rows, None
    ssl = sklearn_ssl.SimCLRTransformer(max_epochs=1, modality="table", random_state=0)
    easy = TABLE + 6 * (np.arange(64) % 2)[:, None]  # FixMatch must be no worse than its probe
    for strategy in ("probe-then-full", "fixmatch"):
        classifier = FineTuneClassifier(ssl, strategy=strategy, **SHARED, random_state=0)
        fits[strategy] = classifier, easy, LABELS
    early = sklearn_ssl.SimCLRTransformer(
        max_epochs=8, batch_size=16, early_stopping=True, n_iter_no_change=2, random_state=0
    )
    fits["early stopping"] = early, TABLE, None
    return fits


def digest(estimator):
    """Return a digest of weights, optimizer, head and history, without durations."""
    ssl = getattr(estimator, "transformer_", estimator)
    arrays, _ = checkpoints.as_arrays([ssl.task_.state_dict(), ssl._resume_state])
    heads = vars(getattr(estimator, "head_", estimator))
    history = {name: heard for name, heard in estimator.history_.items() if name != "duration"}
    sha256 = hashlib.sha256(repr([history, heads.get("coef_"), heads.get("intercept_")]).encode())
    for array in arrays.values():
        sha256.update(torch.as_tensor(array).contiguous().numpy().tobytes())
    return sha256.hexdigest()


# A fit in a process of its own --------------------------------------------------------------------


class Place(Callback):
    """Where a fit is, in memory that the parent process shares."""

    NAMES = ("n_steps", "n_saved", "saved_at", "is_writing")

    def __init__(self):
        self.numbers = np.frombuffer(mmap.mmap(-1, 8 * len(self.NAMES)), np.int64)

    def __deepcopy__(self, memo):
        return self

    def read(self):
        return dict(zip(self.NAMES, self.numbers.tolist()))

    def on_batch_end(self, net, training, **kwargs):
        self.numbers[0] += training

    def watch_writing(self):
        """Note in this process when a file of a checkpoint is begun and when it is complete."""
        write = checkpoints.write_arrays

        def watched(*args):
            self.numbers[3] = 1
            write(*args)
            self.numbers[1:4] = self.numbers[1] + 1, self.numbers[0], 0

        checkpoints.write_arrays = watched


def fork(work):
    """Call a function in another process; return the id of that."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def fit(case, checkpoint, result, place=None):
    """Start a fit, which writes its digest to a file."""
    estimator, rows, labels = case

    def work():
        warnings.simplefilter("ignore")
        estimator.set_params(checkpoint=checkpoint)
        if place is not None:
            place.watch_writing()
            estimator.set_params(callbacks=[place])
            if labels is not None:
                estimator.transformer.set_params(callbacks=[place])
        result.write_text(digest(estimator.fit(rows, labels)))

    return fork(work)


def wait(pid):
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise RuntimeError(f"a fit ended with status {status}")


def kill(case, folder, rng, longest):
    """Kill a fit between two of its checkpoints; return where it was, None if it was faster."""
    place = Place()
    minutes = rng.choice([0.0, rng.uniform(0, MOST_MINUTES)])  # 0: many are within a file
    pid = fit(case, Checkpoint(folder, minutes=minutes), folder / "result", place)
    while place.read()["n_saved"] == 0:
        time.sleep(0.001)
        if os.waitpid(pid, os.WNOHANG)[0]:
            return None
    time.sleep(rng.uniform(0, longest))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return place.read() if os.WIFSIGNALED(status) else None


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    fits = cases()
    expected, longest = {}, {}
    counts = Counter()
    while counts["kills"] < options.kills:
        name = list(fits)[counts["tries"] % len(fits)]
        counts["tries"] += 1
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            result = folder / "result"
            if name not in expected:
                started = time.monotonic()
                wait(fit(fits[name], None, result))
                longest[name] = time.monotonic() - started
                expected[name] = result.read_text()
                result.unlink()
            place = kill(fits[name], folder, rng, longest[name])
            if place is None:
                continue
            files = [path.name for path in folder.rglob("*") if path.is_file()]
            again = Place()
            wait(fit(fits[name], folder, result, again))
            equal = result.read_text() == expected[name]
        n_lost = place["n_steps"] - place["saved_at"]
        n_unfinished = sum(file.endswith(".tmp") for file in files)
        counts.update(
            kills=1, equal=equal, writing=place["is_writing"], between=n_lost > 0, tmp=n_unfinished
        )
        print(
            f"{name}: killed after step {place['n_steps']}, {n_lost} after a checkpoint"
            f"{', in a file' if place['is_writing'] else ''}; continued with "
            f"{again.read()['n_steps']} steps: {'equal' if equal else 'DIFFERENT'}",
            flush=True,
        )
    print(
        f"{counts['equal']} of {counts['kills']} equal; {counts['writing']} killed while a file "
        f"was written ({counts['tmp']} left an unfinished one), {counts['between']} with steps "
        "done since the last one"
    )


if __name__ == "__main__":
    main()
