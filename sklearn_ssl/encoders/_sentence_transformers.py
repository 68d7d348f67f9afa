"""What the files of a sentence-transformers folder ask for, in addition to the model itself."""

import json
from pathlib import Path
from typing import NamedTuple

POOLINGS = {"cls": "cls", "mean": "mean", "lasttoken": "last"}
# Unit length is left to scikit-learn's Normalizer: with few labels it is worse in a classifier with
# a penalty (0.60 against 0.71 with 20 labels on sentences of MiniLM).
KNOWN = {"Transformer", "Pooling", "Normalize", "Dropout"}


class SentenceModel(NamedTuple):
    """What is done around a transformers model.

    Attributes
    ----------
    path : str
        Where it is in the folder.
    pooling : str
        One of our poolings, or the name of an unknown one.
    max_length : int or None
        Maximum number of tokens of a text.
    lower_case : bool
        Whether texts are lowercased.
    left_out : tuple of str
        Unknown modules that change the output.
    """

    path: str = ""
    pooling: str = "mean"
    max_length: int | None = None
    lower_case: bool = False
    left_out: tuple = ()


def read_sentence_model(folder):
    """Return the :class:`SentenceModel` of a folder; a plain transformers model has the defaults.

    Raises
    ------
    ValueError
        If its files cannot be read.
    """
    folder = Path(folder)
    if not (folder / "modules.json").is_file():
        return SentenceModel()
    try:
        modules = {
            module["type"].rsplit(".")[-1]: module.get("path", "")
            for module in _read(folder / "modules.json")
        }
        pooling = "mean"
        if "Pooling" in modules:
            pooling = _pooling(_read(folder / modules["Pooling"] / "config.json"))
        path = modules.get("Transformer", "")
        options = folder / path / "sentence_bert_config.json"
        options = _read(options) if options.is_file() else {}
        max_length = options.get("max_seq_length") and int(options["max_seq_length"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"The modules.json of {str(folder)!r} is not that of a model of sentence-transformers: "
            f"{type(error).__name__}: {error}. Without the file, the folder is "
            "read as a model of transformers."
        ) from error
    return SentenceModel(
        path=path,
        pooling=pooling,
        max_length=max_length,
        lower_case=bool(options.get("do_lower_case", False)),
        left_out=tuple(sorted(set(modules) - KNOWN)),
    )


def _pooling(options):
    """Return the name of the pooling that a config.json asks for; several are joined by +."""
    names = options.get("pooling_mode")
    if names is None:
        switches = {
            name.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens"): on
            for name, on in options.items()
            if name.startswith("pooling_mode_")
        }
        names = [name for name, on in switches.items() if on] or ["mean"]
    names = [names] if isinstance(names, str) else names
    return "+".join(POOLINGS.get(name, name) for name in names)


def _read(path):
    return json.loads(path.read_text(encoding="utf-8"))
