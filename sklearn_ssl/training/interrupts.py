"""Ctrl-C and SIGTERM that wait for the end of a step."""

import signal
import threading
import time
import warnings

ONE_SIGNAL = 1.0  # seconds in which a terminal and torchrun may send the same signal


class Interrupts:
    """A context in which Ctrl-C and SIGTERM are noted, for :meth:`check` to raise them.

    The second one is raised where it arrives, as without this context. Signals that the process
    ignores stay ignored. In other threads than the main one, which alone receives signals, the
    context has no effect.

    Parameters
    ----------
    shared : bool, default=False
        Whether several processes share the fit: they have to end it after the same step.

    Attributes
    ----------
    received : int or None
        The signal.
    agreed : bool or None
        Whether any of the processes that share a fit has received one, as all of them know after
        the last step; None if no fit is shared.
    """

    def __init__(self, shared=False):
        self.received = None
        self.received_at = None
        self.agreed = False if shared else None
        self.handlers = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind, error, traceback):
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if error is None:
            self.check()

    @property
    def pending(self):
        """Whether the fit is to end after this step."""
        return self.received is not None if self.agreed is None else self.agreed

    def agree(self, in_any):
        """Let all processes end after the same step.

        Parameters
        ----------
        in_any : callable
            Says whether a flag is true in any process.
        """
        self.agreed = in_any(self.received is not None)

    def check(self, message="The fit was interrupted."):
        """Raise what has been received: KeyboardInterrupt, or SystemExit for SIGTERM."""
        if self.received == signal.SIGTERM:
            warnings.warn(message, UserWarning, stacklevel=2)
            raise SystemExit(128 + signal.SIGTERM)  # as a shell reports it
        if self.received == signal.SIGINT or self.agreed:
            raise KeyboardInterrupt(message)

    def _receive(self, number, frame):
        before, self.received = self.received, number
        if before is None:
            self.received_at = time.monotonic()
        elif self.agreed is None or time.monotonic() - self.received_at > ONE_SIGNAL:
            self.check()
