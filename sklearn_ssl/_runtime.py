"""Where and how torch computes: device, precision, threads and the global random stream."""

import threading
from contextlib import contextmanager

import joblib
import torch

# Sums depend on how many threads share them. A fit gives the same numbers in the main process, in
# threads and in joblib's workers because they all use this many: the cores that the process may
# use, whatever OMP_NUM_THREADS or torch.set_num_threads say.
N_THREADS = joblib.cpu_count(only_physical_cores=True)

_GLOBAL_STREAM = threading.RLock()


@contextmanager
def pinned_threads():
    """Compute with :data:`N_THREADS` threads, and restore the caller's number."""
    before = torch.get_num_threads()
    torch.set_num_threads(N_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded_global_stream(seed, device="cpu"):
    """Start torch's global random stream at a seed, and put the caller's stream back.

    Modules of others (initialisation, dropout, a user's augmentation) draw from the global
    stream. One block at a time may hold it, so that fits in threads do not mix theirs.
    """
    streams = [torch.default_generator]
    device = torch.device(device)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        streams.append(torch.cuda.default_generators[index])
    with _GLOBAL_STREAM:
        states = [stream.get_state() for stream in streams]
        try:
            for stream in streams:
                stream.manual_seed(seed)
            yield
        finally:
            for stream, state in zip(streams, states):
                stream.set_state(state)


def resolve_device(device):
    """Return the torch.device that a name means; "auto" is a GPU where there is one.

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
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}). "
            'Use device="cpu", or "auto" for a GPU where there is one.'
        ) from error
    return resolved


def resolve_precision(precision, device):
    """Return the dtype for autocast, or None to compute in float32.

    "auto" is bfloat16 where the hardware multiplies it natively; elsewhere it is emulated, and a
    hundred times slower than float32.
    """
    if precision == "auto":
        precision = "bfloat16" if _has_native_bfloat16(device) else "float32"
    return torch.bfloat16 if precision == "bfloat16" else None


def _has_native_bfloat16(device):
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in torch 2.8
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))
