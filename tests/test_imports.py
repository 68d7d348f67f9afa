"""Rules on imports that import-linter cannot express; ``make lint`` checks the others."""

import ast
import sys
from pathlib import Path

import pytest

import sklearn_ssl

ROOT = Path(sklearn_ssl.__file__).parent
SOURCES = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.rglob("*.py"))}
DEPENDENCIES = {"joblib", "numpy", "scipy", "skorch", "sklearn", "tokenizers", "torch"}
DEPENDENCIES |= {"PIL", "filelock", "safetensors", "torchvision", "tqdm"}
OPTIONAL = {"matplotlib", "pandas", "timm", "transformers"}  # imported inside functions
OPTIONAL |= {"onnx", "onnxruntime", "onnxscript"}


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


def undeclared_packages(source):
    """Return the packages that a source imports although pyproject.toml does not name them."""
    known = DEPENDENCIES | OPTIONAL | {"sklearn_ssl"} | sys.stdlib_module_names
    return {name.split(".")[0] for name in imported_names(source)} - known


def private_names_of_sklearn(source):
    """Return the names of scikit-learn with an underscore, which may change with any release."""
    names = {name for name in imported_names(source) if name.startswith("sklearn.")}
    return {name for name in names if "._" in name}


@pytest.mark.parametrize("file", SOURCES)
def test_a_module_imports_declared_dependencies_only(file):
    assert undeclared_packages(SOURCES[file].read_text()) == set()


@pytest.mark.parametrize("file", [file for file in SOURCES if file != "_sklearn_compat.py"])
def test_private_names_of_sklearn_are_in_one_module(file):
    assert private_names_of_sklearn(SOURCES[file].read_text()) == set()


def test_forbidden_imports_are_found():
    assert undeclared_packages("def f():\n    import keras.layers") == {"keras"}
    assert private_names_of_sklearn("from sklearn.base import _fit_context, clone") == {
        "sklearn.base._fit_context"
    }
    assert private_names_of_sklearn("import sklearn.utils._tags") == {"sklearn.utils._tags"}
