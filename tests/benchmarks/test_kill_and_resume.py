"""Fits that get a SIGKILL, a few of those that the benchmark kills."""

import subprocess
import sys


def test_killed_fits_end_with_the_same_bits():
    command = [sys.executable, "-m", "benchmarks.kill_and_resume", "--kills", "5"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "\n5 of 5 equal; " in output
