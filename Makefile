# `make demo` and `make test` do all set-up on a fresh machine: a virtual environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest
# Everything runs on the CPU. A +cpu build of torch is smaller: make PIP_OPTIONS="--index-url ..."
PIP_OPTIONS ?=
# Pages without running the examples: make doc SPHINXOPTS="-D plot_gallery=0"
SPHINXOPTS ?=

.PHONY: demo test lint unit examples test-oldest doc benchmarks clean

demo: $(VENV)/.installed
	MPLBACKEND=agg $(BIN)/python examples/plot_digits.py

test: lint unit examples

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports

# A process for each core, and a thread for each process. Neighbors stay together, as far as both
# are busy until the end: they share fitted estimators.
ONE_THREAD := OMP_NUM_THREADS=1 LOKY_MAX_CPU_COUNT=1
IN_PARALLEL := --numprocesses=auto --dist=worksteal

unit: $(VENV)/.installed-test
	$(ONE_THREAD) $(BIN)/python -m pytest $(IN_PARALLEL)

examples: $(VENV)/.installed-test
	for example in examples/plot_*.py; do \
		echo "== $$example"; \
		SKLEARN_SSL_QUICK=1 MPLBACKEND=agg $(BIN)/python $$example || exit 1; \
	done

# The tests that depend most on other packages, with the oldest versions that pyproject.toml allows,
# without two that take minutes.
# Old packages beside new ones warn about each other.
OLDEST_TESTS := \
	tests/test_common.py::test_sklearn_check \
	tests/test_common.py::test_sklearn_check_of_its_own_suite \
	tests/data/test_columns.py tests/data/test_containers.py tests/data/test_table.py \
	tests/few_labels/test_fine_tune.py tests/base/test_persistence.py \
	tests/test_model_selection.py tests/test_semi_supervised.py tests/test_tokenization.py \
	tests/training --ignore=tests/training/test_collapse.py \
	--ignore=tests/training/test_distributed.py tests/methods/test_simclr.py

test-oldest: $(OLDEST)/.installed
	PYTHONPATH=$(CURDIR) $(ONE_THREAD) $(OLDEST)/bin/python -m pytest $(IN_PARALLEL) \
		-m "not slow" -W ignore::DeprecationWarning $(OLDEST_TESTS)

doc: $(VENV)/.installed-doc
	$(BIN)/sphinx-build -W --keep-going $(SPHINXOPTS) doc doc/_build/html

benchmarks: $(VENV)/.installed-test
	for name in survey quality texts pretrained_images selection tables_gain calibration forecasts \
		videos brown speed report; do \
		$(BIN)/python -m benchmarks.$$name || exit 1; \
	done

clean:
	rm -rf $(VENV) $(OLDEST) demo_output doc/_build doc/auto_examples doc/generated

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --editable . "matplotlib>=3.9"
	touch $@

$(VENV)/.installed-test: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --editable ".[test]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-doc: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --editable ".[doc]"
	touch $@

$(OLDEST)/.installed: pyproject.toml .ci/oldest.py
	$(PYTHON) -m venv $(OLDEST)
	$(PYTHON) .ci/oldest.py > $(OLDEST)/requirements.txt
	$(OLDEST)/bin/python -m pip install --quiet $(PIP_OPTIONS) \
		--requirement $(OLDEST)/requirements.txt
	touch $@
