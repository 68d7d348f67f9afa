"""Files of pretrained models, of texts and of images: what is wrong with them, in plain words."""

import re

from sklearn_ssl.encoders.huggingface import quiet

LFS = b"version https://git-lfs"  # begins a pointer file
LOCALLY = {"local_files_only": True, "trust_remote_code": False}


def read_weights(reader, folder, config, **options):
    """Read a model of transformers with its weights; nothing is downloaded, and nothing unpickled.

    Parameters
    ----------
    reader : type
        A class with the method ``from_pretrained``.
    folder : Path
    config : transformers.PreTrainedConfig
    **options
        Passed on to the class.

    Returns
    -------
    model : transformers.PreTrainedModel
    report : dict
        Which arrays are missing or superfluous.

    Raises
    ------
    ValueError
        If there are no weights that can be read.
    """
    try:
        with quiet():
            return reader.from_pretrained(
                folder,
                config=config,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                **LOCALLY,
                **options,
            )
    except Exception as error:  # of transformers, safetensors or the system
        raise ValueError(
            f"transformers cannot read weights from {str(folder)!r}, where a model.safetensors "
            f"is expected: {str(error).rstrip('.')}.{_hint_of_files(folder)}"
        ) from error


def check_layers(folder, model, report, prefix=""):
    """Refuse weights that leave a part of a model uninitialized, or have additional layers.

    Parameters
    ----------
    folder : str or path
    model : transformers.PreTrainedModel
        As loaded from the folder.
    report : dict
        Of ``from_pretrained``, with ``output_loading_info=True``.
    prefix : str, default=""
        Begins the names of the arrays that are needed; those of poolers are not.

    Raises
    ------
    ValueError
        If the arrays do not fit, or are not finite.
    """
    lacking = [n for n in lacking_in(report) if n.startswith(prefix) and "pooler" not in n]
    if lacking:
        raise ValueError(
            f"The weights in {str(folder)!r} lack {len(lacking)} of the arrays that config.json "
            f"asks for, or have them in another shape: {some(lacking)}. Save the whole model "
            "again, with model.save_pretrained(folder), or correct config.json."
        )
    check_finite(folder, model)
    base = f"{model.base_model_prefix}."
    layers = {re.sub(r"\d+", "0", name.removeprefix(base)) for name in model.state_dict()}
    surplus = [
        name
        for name in sorted(report["unexpected_keys"])
        if re.search(r"\d", name) and re.sub(r"\d+", "0", name.removeprefix(base)) in layers
    ]
    if surplus:
        raise ValueError(
            f"The weights in {str(folder)!r} have {len(surplus)} arrays of layers that config.json "
            f"does not know: {some(surplus)}. Correct the number of layers there."
        )


def check_finite(source, model):
    """Refuse weights with NaN or infinite numbers."""
    broken = [name for name, weights in model.named_parameters() if not weights.isfinite().all()]
    if broken:
        raise ValueError(
            f"The weights in {str(source)!r} have {len(broken)} arrays with NaN or infinite "
            f"numbers: {some(broken)}. The file is damaged, or a training had diverged."
        )


def lacking_in(report):
    """Return the names of arrays that a folder lacks, or has in another shape."""
    return sorted(report["missing_keys"] | {name for name, *_ in report["mismatched_keys"]})


def some(names):
    """Return the first names, for a message."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _hint_of_files(folder):
    """Return what to do about files that are not weights."""
    for path in folder.glob("*.safetensors"):
        if path.is_file() and path.stat().st_size < 1000 and path.read_bytes().startswith(LFS):
            return f" {path.name} is a pointer of Git LFS: fetch the file itself with git lfs pull."
    if not any(folder.glob("*.bin")):
        return ""
    return (
        " Files with the ending .bin are pickles, which may run any code and are not read: if you "
        "trust them, load the model with transformers once, and save it by save_pretrained, "
        "which writes safetensors."
    )
