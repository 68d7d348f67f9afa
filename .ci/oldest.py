"""Print the oldest supported version of each package that ``make test-oldest`` needs, for pip."""

import tomllib
from pathlib import Path

TOOLS_OF_LINT = {"codespell", "import-linter", "ruff"}
# Tested with the newest only: transformers, which needs newer tokenizers than the oldest, and what
# torch exports with.
LEFT_OUT = TOOLS_OF_LINT | {"transformers", "onnx", "onnxruntime", "onnxscript"}

text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
project = tomllib.loads(text)["project"]
for requirement in project["dependencies"] + project["optional-dependencies"]["test"]:
    name, version = requirement.split(">=")
    if name not in LEFT_OUT:
        print(f"{name}=={version}")
