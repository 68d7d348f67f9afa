"""The promise of plot_your_own_pretext_task.py: a few lines make an estimator that passes it all.

The examples themselves are run by ``make test``.
"""

import sys
import types
from pathlib import Path

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.test_common import MORE_CHECKS

EXAMPLE = Path(__file__).parents[1] / "examples" / "plot_your_own_pretext_task.py"


def _definitions():
    """Return the source of the task and its estimator, the first part of the example."""
    first_part, rest = EXAMPLE.read_text().split("# %%\n# That was all")
    assert rest
    return first_part


def _own_transformer():
    module = types.ModuleType("own_pretext_task")
    sys.modules[module.__name__] = module  # so that its classes can be pickled by name
    exec(compile(_definitions(), EXAMPLE, "exec"), module.__dict__)
    return module.RotationTransformer


RotationTransformer = _own_transformer()


def test_task_and_estimator_take_under_60_lines():
    assert len(_definitions().splitlines()) < 60


@parametrize_with_checks([RotationTransformer(max_epochs=1)])
def test_sklearn_check(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@pytest.mark.parametrize("check", MORE_CHECKS, ids=lambda check: check.__name__)
def test_sklearn_check_of_its_own_suite(check):
    check("RotationTransformer", RotationTransformer(max_epochs=1))
