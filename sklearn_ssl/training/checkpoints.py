"""Checkpoints: files in a folder, from which the same fit continues if it was killed."""

import os
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from filelock import FileLock, Timeout
from sklearn.utils import check_scalar

from sklearn_ssl._array_files import ModelFileError, read_arrays, write_arrays
from sklearn_ssl.training.distributed import current, is_first
from sklearn_ssl.training.interrupts import Interrupts
from sklearn_ssl.training.state_arrays import as_arrays, from_arrays

FORMAT = "1"
N_KEPT = 2  # files: the newest, and the one before in case that it is damaged
NAME, ALL_NAMES = "step-{:012d}.safetensors", "step-*.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit saves its state, for the parameter ``checkpoint``.

    ``checkpoint="folder"`` is the same as ``checkpoint=Checkpoint("folder")``.

    Parameters
    ----------
    folder : str or path
        Of one fit; it is created if it does not exist. The two newest files are kept; each is about
        three times as large as the weights, because Adam keeps two averages for each weight.
    minutes : float, default=10.0
        Time between two files; 0 means after each step. With None, time does not matter.
    epochs : int, default=None
        Number of epochs between two files, whatever `minutes` is. With None, epochs do not matter.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or negative.

    Notes
    -----
    :doc:`/long_fits` says what a checkpoint holds, and what happens if a file is damaged, the disk
    is full, or the folder is that of another fit.

    Examples
    --------
    >>> from sklearn_ssl import Checkpoint, SimCLRTransformer
    >>> ssl = SimCLRTransformer(checkpoint=Checkpoint("digits", minutes=None, epochs=5))
    """

    folder: str | os.PathLike
    minutes: float | None = 10.0
    epochs: int | None = None

    def __post_init__(self):
        if not isinstance(self.folder, str | os.PathLike):
            raise TypeError(f"folder must be a str or a path, got {self.folder!r}.")
        if self.minutes is not None:
            check_scalar(self.minutes, "minutes", Real, min_val=0)
        if self.epochs is not None:
            check_scalar(self.epochs, "epochs", Integral, min_val=1)

    def part(self, name):
        """Return the same for one of several fits: a folder in this folder."""
        return Checkpoint(Path(self.folder) / name, self.minutes, self.epochs)


def as_checkpoint(checkpoint):
    """Return the value of the parameter ``checkpoint`` as a Checkpoint, or None."""
    if checkpoint is None or isinstance(checkpoint, Checkpoint):
        return checkpoint
    return Checkpoint(checkpoint)


@contextmanager
def locked_folder(checkpoint):
    """Yield the folder of a fit, locked against other fits; None if there is no checkpoint.

    Parameters
    ----------
    checkpoint : str, path, Checkpoint or None

    Raises
    ------
    ValueError
        If another fit uses the folder, or if it is a file.
    """
    checkpoint = as_checkpoint(checkpoint)
    if checkpoint is None:
        yield None
        return
    if not is_first():
        yield FolderOfTheFirst()
        return
    path = Path(checkpoint.folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ValueError(f"checkpoint='{path}' must be a folder, but it is a file.") from error
    lock = FileLock(path / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            f"checkpoint='{path}' is in use by another fit. Use another folder; searches and "
            "cross-validation, which fit several times, need checkpoint=None."
        ) from error
    try:
        yield CheckpointFolder(path, checkpoint.minutes, checkpoint.epochs)
    finally:
        lock.release()


class FolderOfTheFirst:
    """What other processes that share a fit have in place of the folder: only the first writes."""

    def __init__(self):
        self.interrupts = Interrupts(shared=True)

    def begin(self, facts, seed):
        return seed

    def identify(self, facts):
        pass

    def compare(self, environment):
        pass

    def take(self):
        return None

    def step_done(self, make_state, **place):
        if self.interrupts.pending:
            self.interrupts.check()


class CheckpointFolder:
    """The files of one fit.

    Parameters
    ----------
    path : Path
        Nothing else may write there.
    minutes, epochs
        As in :class:`Checkpoint`.

    Attributes
    ----------
    facts : dict of str to str
        What identifies the fit.
    state : dict or None
        The state in the newest good file, until it is taken.
    """

    def __init__(self, path, minutes, epochs):
        self.path = path
        self.minutes = minutes
        self.epochs = epochs
        self.interrupts = Interrupts(shared=current() is not None)
        for file in path.glob(".*.tmp"):  # left over by a process that was killed
            file.unlink()
        self.good, metadata, self.state = self._newest()
        self.begun = self.state is not None
        self.facts = metadata.get("facts", {})
        self.environment = metadata.get("environment", {})
        self.identify({"format of checkpoints": FORMAT})

    # What fit it is ---------------------------------------------------------------------------

    def identify(self, facts):
        """Compare facts about the fit with those in the folder, which gets them if it has none.

        Raises
        ------
        ValueError
            If they differ.
        """
        other = [
            f"{name}: {self.facts.get(name)} in the folder, {value} now"
            for name, value in facts.items()
            if self.begun and self.facts.get(name) != value
        ]
        if other:
            raise ValueError(
                f"checkpoint='{self.path}' holds another fit. They differ in:\n  "
                + "\n  ".join(other)
                + "\nUse another folder, or delete this one. Searches and cross-validation, which "
                "fit several times, need checkpoint=None."
            )
        self.facts |= facts

    def begin(self, facts, seed):
        """Identify the fit by its parameters; return its seed: the first one, if it continues."""
        self.identify(facts)
        return self.facts.setdefault("seed", seed)

    def compare(self, environment):
        """Warn if what may change last digits is not what it was when the fit began."""
        other = [
            f"{name} {self.environment.get(name)} then, {value} now"
            for name, value in environment.items()
            if self.begun and self.environment.get(name) != value
        ]
        if other:
            warnings.warn(
                f"The fit in checkpoint='{self.path}' continues in another environment, so its "
                f"last digits may differ from those of an unbroken fit: {'; '.join(other)}.",
                UserWarning,
                stacklevel=2,
            )
        self.environment = environment

    # Reading and writing ----------------------------------------------------------------------

    def take(self):
        """Return the state to continue from, or None, and start the clock."""
        self.saved_at = time.monotonic()
        state, self.state = self.state, None
        return state

    def step_done(self, make_state, *, n_steps, n_epochs=None, last=False):
        """Save the state if it is time; raise Ctrl-C or SIGTERM if it has been received.

        Parameters
        ----------
        make_state : callable
            Returns the state.
        n_steps : int
            Steps of the fit that are done.
        n_epochs : int, default=None
            Epochs that are done, if the step was the last one of its epoch.
        last : bool, default=False
            Whether the fit ends after this step.
        """
        minutes = (time.monotonic() - self.saved_at) / 60
        interrupted = self.interrupts.pending
        by_clock = self.minutes is not None and minutes >= self.minutes
        by_epochs = None not in (self.epochs, n_epochs) and n_epochs % self.epochs == 0
        if interrupted or last or by_clock or by_epochs:
            self._save(make_state(), n_steps)
        if interrupted:
            self.interrupts.check(
                f"The fit was interrupted after step {n_steps}. To continue, call fit again with "
                f"the same parameters and data, checkpoint='{self.path}' included."
            )

    def _newest(self):
        """Return the newest good file, in a list, with its metadata and its state."""
        damaged = []
        for path in sorted(self.path.glob(ALL_NAMES), reverse=True):
            try:
                arrays, metadata = read_arrays(path)
            except ModelFileError:
                damaged.append(path.name)
                continue
            self._warn_of(damaged, f"The fit continues from {path.name}.")
            return [path], metadata, from_arrays(arrays, metadata["state"])
        self._warn_of(damaged, "The fit starts from the beginning.")
        return [], {}, None

    def _warn_of(self, damaged, what_follows):
        if damaged:
            names = " and ".join(damaged)
            message = f"In checkpoint='{self.path}', {names} cannot be read. {what_follows}"
            warnings.warn(message, UserWarning, stacklevel=2)

    def _save(self, state, n_steps):
        """Write a file, and remove all but the last two good ones."""
        path = self.path / NAME.format(n_steps)
        arrays, tree = as_arrays(state)
        metadata = {"facts": self.facts, "environment": self.environment, "state": tree}
        try:
            write_arrays(path, arrays, metadata)
        except OSError as error:
            older = f"{self.good[-1].name} remains" if self.good else "there is none yet"
            warnings.warn(
                f"The checkpoint after step {n_steps} could not be written ({error}); {older}. The "
                "fit continues.",
                UserWarning,
                stacklevel=2,
            )
        else:
            self.good = [*(file for file in self.good if file != path), path][-N_KEPT:]
            for file in set(self.path.glob(ALL_NAMES)) - set(self.good):
                file.unlink()
        self.saved_at = time.monotonic()
