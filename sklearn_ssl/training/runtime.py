"""Where and how torch computes: device, precision, threads and the global random stream."""

import os
import threading
from contextlib import ExitStack, contextmanager
from functools import cache

import torch
from torch.nn import functional as F

from sklearn_ssl.training.threads import Threads

THREADS = Threads()

# Fits in threads take turns, a step at a time. Two small fits take 1.2 to 1.3 times as long as one
# after the other, on 2 cores. Side by side they took 8.6 s instead of 0.2 s: the same numbers
# require the same number of torch threads in each, and both OpenMP teams spin on the same cores.
_GLOBAL_STREAM = threading.RLock()
LONGEST_WAIT = 2.0  # seconds that a fork waits for the step of another thread's fit
_FORKING = threading.local()


def _before_fork():
    """Let another thread finish its step: otherwise torch's locks would be copied in use."""
    _FORKING.holds_stream = _GLOBAL_STREAM.acquire(timeout=LONGEST_WAIT)


def _after_fork_in_parent():
    if _FORKING.holds_stream:
        _GLOBAL_STREAM.release()


def _after_fork_in_child():
    """Start without the parent's threads, and with one thread: OpenMP's threads are gone too."""
    global _GLOBAL_STREAM
    THREADS.forked()
    _GLOBAL_STREAM = threading.RLock()
    _SHARED_SETTINGS.keep_own_thread()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


@contextmanager
def torch_settings():
    """Compute as in a new process, whatever the caller has set, and restore the caller's settings.

    Numbers are float32 on the CPU unless requested otherwise, with gradients and without autocast.
    Of the caller's settings, the number of threads alone counts, as a limit.
    """
    with ExitStack() as stack:
        stack.enter_context(_SHARED_SETTINGS)
        stack.enter_context(torch.inference_mode(False))  # no torch.no_grad() either
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device_type in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        THREADS.begin()
        stack.callback(THREADS.next_step)
        yield


class _SharedSettings:
    """Settings that all threads share: those of a new process while any thread is inside.

    The last thread that leaves restores what the first one found. Of torch's number of threads,
    each thread has its own copy, and restores it.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = []  # contains a thread once for each time it has entered

    def __enter__(self):
        with self.lock:
            if not self.inside:
                self.found = torch.get_default_dtype(), _matmul_precision()
                self.n_threads = torch.get_num_threads()
                self._set(torch.float32, "highest")
                THREADS.limit(self.n_threads)
            self.inside.append(threading.get_ident())

    def __exit__(self, *exception):
        with self.lock:
            self.inside.remove(threading.get_ident())
            if threading.get_ident() not in self.inside:
                torch.set_num_threads(self.n_threads)
            if not self.inside:
                self._set(*self.found)

    def keep_own_thread(self):
        """Forget the other threads, after a fork."""
        self.lock = threading.Lock()
        if self.inside:
            self.inside = [thread for thread in self.inside if thread == threading.get_ident()]
            if not self.inside:
                self._set(*self.found)

    @staticmethod
    def _set(dtype, matmul_precision):
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        if matmul_precision and _matmul_precision() not in (None, matmul_precision):
            torch.set_float32_matmul_precision(matmul_precision)


def _matmul_precision():
    """Return torch's precision of float32 products, None if backends differ."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


_SHARED_SETTINGS = _SharedSettings()


@contextmanager
def seeded_global_stream(seed, device="cpu"):
    """Start torch's global random stream at a seed, and restore the caller's stream.

    Other modules (initialization, dropout, a user's augmentation) draw from the global stream.
    One block at a time may hold it, so that fits in threads do not mix theirs. They would not be
    faster side by side, see :data:`_GLOBAL_STREAM`.
    """
    streams = global_streams(torch.device(device))
    with _GLOBAL_STREAM:
        states = [stream.get_state() for stream in streams]
        try:
            for stream in streams:
                stream.manual_seed(seed)
            yield
        finally:
            for stream, state in zip(streams, states):
                stream.set_state(state)


def global_streams(device):
    """Return the generators from which torch draws by default, of the CPU and of a device."""
    streams = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        streams.append(torch.cuda.default_generators[index])
    return streams


def resolve_device(device):
    """Return the torch.device for a name; "auto" means a GPU if there is one.

    Raises
    ------
    ValueError
        If torch cannot compute there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}). Use "
            'device="cpu", or "auto" for a GPU if there is one.'
        ) from error
    return resolved


def resolve_precision(precision, device):
    """Return the dtype for autocast, or None to compute in float32.

    "auto" means bfloat16 if the hardware multiplies it natively and correctly; otherwise it is
    emulated, a hundred times slower than float32.

    Raises
    ------
    ValueError
        If bfloat16 is requested but its products are wrong.
    """
    if precision == "auto":
        native = _has_native_bfloat16(device) and _bfloat16_is_right(device)
        precision = "bfloat16" if native else "float32"
    elif precision == "bfloat16" and not _bfloat16_is_right(device):
        raise ValueError(
            'precision="bfloat16" cannot be used here: its products are wrong, as happens if '
            "OMP_THREAD_LIMIT is smaller than the number of cores. Remove that limit, or use "
            'precision="float32".'
        )
    return torch.bfloat16 if precision == "bfloat16" else None


def _has_native_bfloat16(device):
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in torch 2.8
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))


@cache
def _bfloat16_is_right(device):
    """Return whether a product is the same as in float32: if threads are missing, parts are 0."""
    a, b = (torch.ones(n, 64, device=device) for n in (256, 512))
    product = F.linear(a.bfloat16(), b.bfloat16())
    return torch.equal(product.float(), F.linear(a, b))
