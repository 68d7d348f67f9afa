"""The memory of a network is bounded before it is taken, and that of loading by the file's size."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from sklearn_ssl import SimCLRTransformer, save_model
from sklearn_ssl.model_files.memory import SMALLEST, BoundedMemory


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(10**6, 10**6),
        lambda: torch.zeros(10**12),
        lambda: torch.randn(10**6, 10**6, generator=torch.Generator()),
        lambda: torch.arange(10**12),
        lambda: torch.arange(1, 10**12),
        lambda: torch.full((10**6, 10**6), 1.0),
        lambda: torch.empty(10**12, dtype=torch.bool),
        lambda: [torch.zeros(1) for _ in range(3 * 2**20 // SMALLEST)],
    ],
)
def test_a_network_larger_than_the_bound_is_refused(make):
    with BoundedMemory(2**21), pytest.raises(ValueError, match="larger than its arrays"):
        make()


def test_a_network_within_the_bound_computes_as_usual():
    torch.manual_seed(0)
    x, network = torch.ones(3, 8), nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4))
    expected = network(x)
    torch.manual_seed(0)
    with BoundedMemory(2**21):
        x, network = torch.ones(3, 8), nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4))
        assert torch.equal(torch.cat([network(x)]), expected)


LOAD = """
import re, sys
from pathlib import Path
from sklearn_ssl import load_model

def in_memory(name):
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{name}:\\s+(\\d+) kB", status).group(1))

load_model(sys.argv[1])  # a small one: what a process needs anyway
before = in_memory("VmRSS")
model = load_model(sys.argv[2])
print(in_memory("VmHWM") - before)
"""
FIRST = 20e6  # bytes that torch takes for the first convolutions of a process


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux has /proc/self/status.")
def test_loading_takes_at_most_twice_the_file(digits, tmp_path):
    X = digits[0][:8]
    paths = tmp_path / "small", tmp_path / "large"
    for path, encoder in zip(paths, (None, "resnet18"), strict=True):
        ssl = SimCLRTransformer(image_shape=(8, 8), encoder=encoder, max_epochs=0).fit(X)
        save_model(ssl, path)
    size = paths[1].stat().st_size
    assert size > 40e6
    command = [sys.executable, "-c", LOAD, *paths]
    taken = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert taken <= 2 * size + FIRST
