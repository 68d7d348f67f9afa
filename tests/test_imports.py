"""Who may import whom: the rules that keep a method one file and the leaves free of each other."""

import ast
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import sklearn_ssl

ROOT = Path(sklearn_ssl.__file__).parent
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(ROOT.rglob("*.py"))
}

# For each module: what it may import of the package, and which other packages. `defaults` and
# `_version` hold constants only, and may be imported by all.
RULES = {
    "__init__": ("_base _base_text _version _workers collapse finetune methods.* pretext", ""),
    "_version": ("", ""),
    "_workers": ("", ""),
    "defaults": ("", ""),
    "_sklearn_compat": ("", "sklearn"),
    "_seeds": ("", "numpy sklearn"),
    # the leaves
    "losses": ("", "torch"),
    "heads": ("", "torch"),
    "augment": ("", "torch torchvision"),
    "pretext": ("", "torch"),
    "encoders.huggingface": ("encoders.*", "torch transformers"),
    "encoders.*": ("encoders.*", "torch torchvision"),
    "collapse": ("", "torch"),
    "datasets": ("", "numpy scipy sklearn"),
    "masking": ("", "torch"),
    "optim": ("", "torch"),
    "reconstruction": ("", "torch"),
    "tokenization": ("", "numpy tokenizers"),
    "vocabulary_loss": ("", "torch"),
    # the shared machinery
    "_columns": ("", "numpy"),
    "_containers": ("", "numpy"),
    "_rows": ("_columns", "numpy torch"),
    "_tables": ("_columns", "numpy"),
    "_far_numbers": ("_columns", "numpy"),
    "_images": ("", "numpy"),
    "_series": ("", "numpy"),
    "_modality": ("_images", "numpy"),
    "_inputs": (
        "_columns _containers _far_numbers _images _modality _rows _series _tables",
        "numpy scipy sklearn torch",
    ),
    "_runtime": ("", "joblib torch"),
    "_evaluate": ("_runtime augment", "numpy torch"),
    "_hooks": ("collapse", "skorch tqdm"),
    "_net": ("_evaluate _hooks _runtime collapse", "numpy skorch torch"),
    "_callbacks": ("_hooks", "sklearn"),
    "inspection": ("_evaluate _runtime", "numpy sklearn torch"),
    "_measures": ("_containers", "numpy scipy sklearn"),
    "metrics": ("_evaluate _measures _runtime _seeds", "numpy sklearn"),
    "_parameters": ("", "sklearn"),
    "_persistence": ("_runtime", "torch"),
    "_base": (
        "_callbacks _evaluate _hooks _inputs _modality _net _parameters _persistence "
        "_runtime _seeds _series _tables pretext encoders encoders.__init__",
        "numpy sklearn torch",
    ),
    "_texts": ("_containers tokenization", "numpy torch"),
    "_base_text": ("_base _runtime _texts optim tokenization encoders.*", "numpy sklearn torch"),
    # few labels: on any fitted estimator, through the contract
    "_lost_marks": ("", "numpy"),
    "_labels": ("_callers _lost_marks", "numpy"),
    "_callers": ("", "numpy sklearn"),
    "_labeled_folds": ("_callers _labels", "numpy sklearn"),
    "_targets": ("", "numpy sklearn torch"),
    "_label_weights": ("", "numpy sklearn"),
    "_linear_heads": ("", "numpy scipy sklearn"),
    "_fine_tune_task": ("_evaluate augment pretext", "numpy torch"),
    "_base_finetune": (
        "_base _callbacks _containers _fine_tune_task _inputs _label_weights _labels "
        "_linear_heads _net _parameters _runtime _seeds augment",
        "numpy sklearn torch",
    ),
    "finetune": ("_base _base_finetune _targets", "sklearn"),
    "_draws": ("", "numpy"),
    "semi_supervised": ("_draws _labeled_folds _labels", "sklearn"),
    "_protocol": ("_containers _draws _labels", "numpy sklearn"),
    "_representations": ("_base collapse finetune", "numpy scipy sklearn"),
    "_rivals": (
        "_base_finetune _labels _representations semi_supervised",
        "numpy pandas scipy sklearn",
    ),
    "_label_curves": ("evaluation", "matplotlib sklearn"),
    "_report": ("_label_curves _representations", "numpy scipy sklearn"),
    "evaluation": (
        "_label_curves _labels _protocol _report _representations _rivals _seeds",
        "numpy sklearn",
    ),
    # the methods: the base and the leaves, never another method
    "methods.__init__": ("", ""),
    "methods.*": (
        "_base _base_text _evaluate _runtime _tables _texts augment heads losses masking optim "
        "pretext reconstruction tokenization vocabulary_loss encoders.*",
        "numpy sklearn torch",
    ),
}
EVERYBODY_MAY = ("defaults", "_version")


def rule_of(module):
    """Return the first rule whose pattern fits a module: exact names stand before patterns."""
    exact = RULES.get(module)
    return exact or next(rule for pattern, rule in RULES.items() if fnmatch(module, pattern))


def imported_names(source):
    """Return the dotted names that a source imports, wherever in the file it does."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_module(name):
    """Return the module of the package that a dotted name lies in: the longest that exists."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        candidate = ".".join(parts[:length])
        if candidate in SOURCES:
            return candidate
        if f"{candidate}.__init__" in SOURCES:
            return f"{candidate}.__init__"
    return "__init__"


def violations(module, source):
    """Return the imports of a module that its rule forbids."""
    own, others = (words.split() for words in rule_of(module))
    found = []
    for name in imported_names(source):
        package = name.split(".")[0]
        if package == "sklearn_ssl":
            target = own_module(name)
            allowed = target in EVERYBODY_MAY or any(fnmatch(target, p) for p in own)
            allowed |= target == "_sklearn_compat" and "sklearn" in others
        else:
            allowed = package in others or package in sys.stdlib_module_names
        if not allowed:
            found.append(name)
    return found


@pytest.mark.parametrize("module", SOURCES)
def test_module_imports_only_what_it_may(module):
    assert violations(module, SOURCES[module].read_text()) == []


def test_every_rule_is_used():
    assert [p for p in RULES if not any(fnmatch(module, p) for module in SOURCES)] == []


def private_names_of_sklearn(source):
    """Return the imported names of scikit-learn that it does not document."""
    return sorted(
        name
        for name in imported_names(source)
        if name.split(".")[0] == "sklearn" and any(p.startswith("_") for p in name.split("."))
    )


@pytest.mark.parametrize("module", sorted(SOURCES.keys() - {"_sklearn_compat"}))
def test_private_names_of_sklearn_come_from_one_module(module):
    assert private_names_of_sklearn(SOURCES[module].read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "from sklearn.utils import _safe_indexing",
        "from sklearn.utils._param_validation import Interval",
        "def f():\n    import sklearn.utils._param_validation",
    ],
)
def test_a_private_name_of_sklearn_is_found(source):
    assert private_names_of_sklearn(source)


def test_only_the_net_and_its_hooks_import_skorch():
    importers = [
        module
        for module, path in SOURCES.items()
        if any(name.split(".")[0] == "skorch" for name in imported_names(path.read_text()))
    ]
    assert importers == ["_hooks", "_net"]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("methods.other", "from sklearn_ssl.methods.simclr import SimCLRTask"),
        ("methods.other", "import sklearn_ssl.methods.simclr"),
        ("methods.other", "from sklearn_ssl.methods import simclr"),
        ("methods.other", "from sklearn_ssl import SimCLRTransformer"),
        ("methods.other", "def f():\n    import skorch"),
        ("losses", "from sklearn_ssl.heads import mlp_head"),
        ("losses", "import numpy"),
        ("encoders.other", "from sklearn_ssl._base import BaseSSLTransformer"),
        ("defaults", "import torch"),
        ("_base", "from sklearn_ssl.methods.simclr import SimCLRTask"),
    ],
)
def test_a_forbidden_import_is_found(module, source):
    assert violations(module, source)
