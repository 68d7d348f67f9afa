"""scikit-learn's checks with SCIPY_ARRAY_API, in a process: SciPy reads it when it is imported."""

import os
import subprocess
import sys
from pathlib import Path

CHECK_EVERY_ESTIMATOR = """
import warnings

from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import estimator_checks_generator

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.semi_supervised import LabeledOnly
from tests.test_common import ESTIMATORS
from tests.test_examples import RotationTransformer
from tests.few_labels.test_fine_tune import BOTH, STRATEGIES, checked

warnings.simplefilter("error")
transformers = [Estimator(max_epochs=1) for Estimator in [*ESTIMATORS, RotationTransformer]]
fine_tuned = [checked(Estimator, strategy) for Estimator in BOTH for strategy in STRATEGIES]
labeled_only = [LabeledOnly(LogisticRegression()), LabeledOnly(Ridge())]
for estimator in transformers + fine_tuned + labeled_only:
    checks = {check.func.__name__: check for _, check in estimator_checks_generator(estimator)}
    checks["check_array_api_input"](estimator)  # skipped, with an exception, without the variable

for _, check in estimator_checks_generator(SimCLRTransformer(max_epochs=1)):
    check(SimCLRTransformer(max_epochs=1))
"""


def test_sklearn_checks_with_scipy_array_api():
    run = subprocess.run(
        [sys.executable, "-c", CHECK_EVERY_ESTIMATOR],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-5000:]
