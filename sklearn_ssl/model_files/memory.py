"""A bound on the memory of a network that is built from what a file says."""

import math
from numbers import Real

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SMALLEST = 4096  # bytes that a tensor counts at least: many small ones take time


class BoundedMemory(TorchDispatchMode):
    """Raise an error before new tensors take more than a number of bytes, all of them together.

    Parameters
    ----------
    n_bytes : int
    """

    def __init__(self, n_bytes):
        super().__init__()
        self.left = n_bytes

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        options = kwargs or {}
        if "pin_memory" in options and not isinstance(args[0], torch.Tensor):  # a new tensor
            itemsize = (options.get("dtype") or torch.float32).itemsize
            self.left -= max(_n_elements(args) * itemsize, SMALLEST)
            if self.left < 0:
                raise ValueError("the network that it describes is larger than its arrays")
        return function(*args, **options)


def _n_elements(args):
    """Return an upper bound for a tensor that is made from a shape, or from the ends of a range."""
    if isinstance(args[0], list | tuple):
        return math.prod(args[0])
    return max(int(argument) for argument in args if isinstance(argument, Real))
