"""Fits shared by two processes: the same numbers as in one process, and the same end in both."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from filelock import FileLock

import sklearn_ssl
from sklearn_ssl import Checkpoint, PretextTask
from sklearn_ssl.training.distributed import WholeBatch, is_first, of_first, shared_fit
from tests.training import shared_fits
from tests.training.shared_fits import BROKEN_RULES, CASES, ENDS, KINDS_OF_FITS

SAME_LOSS, SAME_WEIGHT = 1e-9, 1e-8  # in float64
METHODS = {
    name
    for name in sklearn_ssl.__all__
    if name.endswith(("Transformer", "Autoencoder", "Embedder")) and not name.startswith("Base")
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}


def results_of(folder, *commands):
    """Return the results of the fits of some processes, which run once for all tests."""
    files = [folder / f"{kind}-{rank}-of-{size}.pt" for kind, rank, size in commands]
    with FileLock(folder / f"{files[0].name}.lock"):
        if not all(file.exists() for file in files):
            errors = run(folder, *commands)
            assert all(file.exists() for file in files), "\n".join(errors)
    return [torch.load(file, weights_only=False) for file in files]


def run(folder, *commands):
    """Run the fits in processes at the same time; return what they write to stderr."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.training.shared_fits", *command, folder],
            env={**os.environ, **ONE_THREAD},
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    try:
        return [process.communicate(timeout=900)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that all workers of pytest have in common."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    folder = folder / "shared-fits"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def fits(folder):
    """Results of one process, and of two that share the fits."""
    return results_of(folder, *[("float64", rank, size) for rank, size in ("01", "02", "12")])


@pytest.fixture(scope="module")
def ends(folder):
    """Results of two processes whose fits end early."""
    return results_of(folder, ("ends", "0", "2"), ("ends", "1", "2"))


def test_every_method_is_tried():
    assert {case.split(" ")[0] for case in CASES} == METHODS


@pytest.mark.parametrize("case", [*CASES, *KINDS_OF_FITS])
def test_a_shared_fit_is_that_of_one_process(case, fits):
    one, first, second = (results[case] for results in fits)
    assert len(first["losses"]) == len(one["losses"]) > 3
    np.testing.assert_allclose(first["losses"], one["losses"], rtol=0, atol=SAME_LOSS)
    assert first["weights"].keys() == one["weights"].keys()
    for name, weight in one["weights"].items():
        torch.testing.assert_close(first["weights"][name], weight, rtol=0, atol=SAME_WEIGHT)
        assert torch.equal(first["weights"][name], second["weights"][name])
    for name, values in one["history"].items():
        np.testing.assert_allclose(first["history"][name], values, rtol=0, atol=SAME_WEIGHT)
    assert first["losses"] == second["losses"]
    assert first["history"] == second["history"]


@pytest.mark.parametrize("rule", BROKEN_RULES)
def test_each_rule_is_needed(rule, fits):
    case, _ = BROKEN_RULES[rule]
    one, first = fits[0][case]["losses"], fits[1][rule]["losses"]
    assert max(np.abs(np.subtract(one[: len(first)], first))) > 1e5 * SAME_LOSS


@pytest.mark.parametrize(
    ("end", "kind", "message"),
    [
        ("other rows", "ValueError", "differ in:\n  X: 75 rows .* in process 0, 75 rows .* 1$"),
        ("more rows", "ValueError", "75 rows .* in process 0, 70 rows .* in process 1"),
        ("another batch size", "ValueError", "batch_size: 15 in process 0, 16 in process 1$"),
        ("bad X in one process", "ValueError", "Found array with 0 feature"),
        ("an error of one process", "OSError", "^disk full$"),
        ("an error in the last step", "OSError", "^too late$"),
        ("Ctrl-C without a checkpoint", "KeyboardInterrupt", "^$"),
        ("own noise", "ValueError", "A network draws random numbers for its rows"),
    ],
)
def test_an_error_ends_the_fit_everywhere(end, kind, message, ends):
    for got_kind, got_message in (results[end] for results in ends):
        assert got_kind == kind
        with pytest.raises(ValueError, match=message):
            raise ValueError(got_message)


def test_an_error_that_cannot_be_pickled(ends):
    first, second = (results["an error of the first process"] for results in ends)
    assert first == ("OwnError", "own")
    assert second == ("RuntimeError", "OwnError: own")


def test_a_failed_fit_changes_no_estimator(ends):
    assert [results["after a failed fit"] for results in ends] == [True, True]


def test_a_stop_in_one_process_stops_all(ends):
    assert [results["a stop"] for results in ends] == [2, 2]


def test_ctrl_c_in_one_process_leaves_a_checkpoint(ends):
    (message, *first), (_, *second) = (results["Ctrl-C"] for results in ends)
    assert "The fit was interrupted after step 8." in message
    assert first[0] == second[0] == list(range(9, 21))
    for resumed, unbroken in (first[1:], second[1:]):
        assert_equal(resumed, unbroken)


def test_a_killed_process_ends_the_others_and_leaves_a_checkpoint(ends, folder):
    kind, message = ends[0]["a process is killed"]
    assert kind == "RuntimeError"
    assert "A process of torch.distributed has ended" in message
    steps = shared_fits.Steps()
    checkpoint = Checkpoint(folder / "killed", minutes=0)
    with warnings.catch_warnings(action="ignore"):  # about another number of threads
        shared_fits.simclr(checkpoint=checkpoint, callbacks=[steps]).fit(shared_fits.WITHOUT_NAN)
    assert steps.steps[0] in (7, 8)


@pytest.mark.parametrize("fit", ["no seed", "bfloat16"])
def test_all_processes_have_the_same_weights(fit, ends):
    assert_equal(*(results[fit] for results in ends))


def test_a_second_shared_fit_at_the_same_time_is_refused(ends):
    for results in ends:
        (message,) = results["another thread"]
        assert "Another thread of this process shares a fit" in message


def test_the_first_process_alone_warns_and_shows_progress(ends):
    first, second = (results["warnings"] for results in ends)
    assert len(first[0]) == 1
    assert "starts from random weights" in first[0][0]
    assert second[0] == []
    assert (first[1], second[1]) == (1, 0)


def test_every_end_is_looked_at(ends):
    assert ends[1].keys() == ENDS.keys() - {"a process is killed"}


def assert_equal(weights, others):
    assert weights.keys() == others.keys()
    assert all(torch.equal(weight, others[name]) for name, weight in weights.items())


# Without a group ---------------------------------------------------------------------------------


def test_alone_nothing_is_shared():
    task = PretextTask()
    x = torch.arange(3.0)
    with shared_fit():
        assert task.shared(lambda rows: rows + 1, x).tolist() == [1, 2, 3]
        assert task.shared_mean(lambda rows: rows.mean(), x, count=None) == 1
        assert is_first()
        assert of_first("own") == "own"


def test_a_group_of_one_process_shares_nothing(tmp_path):
    store = f"file://{tmp_path}/store"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        with shared_fit():
            assert is_first()
        assert shared_fits.simclr(max_epochs=1).fit(shared_fits.WITHOUT_NAN).n_iter_ == 1
    finally:
        dist.destroy_process_group()


class OneOfOne:
    """Processes, of which there is one."""

    size = 1

    def own(self, n):
        return slice(0, n)

    def sum(self, x):
        return x.clone()


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalization_of_one_process_is_torchs_own(shape, affine):
    kind = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}[len(shape)]
    outputs, states, gradients = [], [], []
    for shared in (False, True):
        torch.manual_seed(0)
        norm = kind(shape[1], affine=affine).double()
        x = torch.randn(shape, dtype=torch.float64).requires_grad_()
        with WholeBatch(OneOfOne(), len(x), []) if shared else torch.enable_grad():
            output = norm(x)
        output.square().sin().sum().backward()
        outputs.append(output)
        states.append(norm.state_dict())
        gradients.append([x.grad, *(p.grad for p in norm.parameters())])
    for own, torchs in (outputs, *zip(*gradients)):
        torch.testing.assert_close(own, torchs, rtol=1e-10, atol=1e-12)
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-12, atol=1e-12)


def test_dropout_of_something_else_than_rows_is_refused():
    with (
        pytest.raises(ValueError, match="its first axis is not that of the 4 rows"),
        WholeBatch(OneOfOne(), 4, []),
    ):
        torch.nn.functional.dropout(torch.ones(5, 4))
