"""Fitted estimators outside of this package: as ONNX files, and as programs of torch.

::

    rows of X -> scaling -> encoder -> representation [-> head -> label, probabilities]
"""

import copy
import json
import os
from pathlib import Path

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_ssl._array_files import replacing
from sklearn_ssl._version import __version__
from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.data.spec import shown_shape
from sklearn_ssl.few_labels.base import BaseFineTuner
from sklearn_ssl.few_labels.head_modules import OneLabelHead, head_module
from sklearn_ssl.training.runtime import torch_settings

__all__ = ["export_onnx", "export_program"]

# The version in which torch's exporter is written, so that nothing has to be converted. onnxruntime
# reads it from 1.14 on, of February 2023.
OPSET = 18
N_TRIED = 5  # rows on which an exported network is compared with the estimator
TOLERANCE = 1e-4  # of the largest number in an output, or of 1 if that is larger


def export_onnx(estimator, path):
    """Write a fitted estimator to an ONNX file, which onnxruntime runs without torch.

    Rows of X go in as they are, because their scaling is a part of the network. Nothing checks
    them: a row that ``transform`` would refuse has some output. The network is computed in float32,
    and its outputs agree with those of the estimator within 1e-4. This is verified on a few rows
    before the file is written.

    Parameters
    ----------
    estimator : estimator of this package
        Fitted: a transformer, a FineTuneClassifier or a FineTuneRegressor. A head must be linear,
        as LogisticRegression and all that is trained with the encoder are. For a Pipeline, export
        its first step, and convert the others with skl2onnx.
    path : str or path
        An existing file is replaced at the end; if anything fails, it stays as it was.

    Raises
    ------
    ImportError
        If onnx, onnxruntime or onnxscript is missing: ``pip install 'sklearn-ssl[onnx]'``.
    TypeError
        If `estimator` is not one of those above.
    ValueError
        If it is not fitted, if its head is not linear, or if the encoder cannot be exported, which
        happens to encoders of your own whose code depends on the numbers in a batch.
    RuntimeError
        If the outputs of the exported network differ from those of the estimator.
    OSError
        If the folder of `path` does not exist, for example.

    See Also
    --------
    sklearn_ssl.export.export_program : The same network for torch.

    Notes
    -----
    The input ``rows`` has the shape of X in ``fit``, with any number of rows. It is float64 for
    tables and series, float32 for images and videos, also if X was uint8, and int64 for texts.
    Missing numbers are NaN, categories are codes, texts are ids of tokens; :doc:`/onnx` shows how
    to make codes and ids from the metadata of the file. All series are as long as those in ``fit``;
    if the estimator accepts missing numbers, shorter ones are filled up with NaN at their end.

    Outputs are ``representation`` of a transformer, in float32; ``label`` and, if the head has
    them, ``probabilities`` of a classifier, as ``predict`` and ``predict_proba`` return them; and
    ``prediction`` of a regressor.

    The operator set of the file is version 18, which onnxruntime reads from version 1.14 on.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ssl import FineTuneClassifier, SimCLRTransformer, export_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> ssl = SimCLRTransformer(max_epochs=1, random_state=0)
    >>> classifier = FineTuneClassifier(ssl, strategy="probe").fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "iris.onnx"
    ...     export_onnx(classifier, path)
    ...     session = onnxruntime.InferenceSession(path)
    >>> label, probabilities = session.run(None, {"rows": X})
    >>> np.array_equal(label, classifier.predict(X))
    True
    >>> bool(np.abs(probabilities - classifier.predict_proba(X)).max() < 1e-4)
    True
    """
    onnx, onnxruntime = _import_onnx()
    path = _writable(path)
    network, rows, expected = _network_of(estimator)
    model = _onnx_model(_program(network, rows), network)
    if isinstance(network.head, OneLabelHead):
        _name_labels(onnx, model, estimator.classes_)
    onnx.helper.set_model_props(model, _metadata(estimator, network.spec))
    content = model.SerializeToString()
    _check_outputs(onnxruntime, content, rows.numpy(), expected)
    with replacing(path) as temporary, open(temporary, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def export_program(estimator):
    """Return a fitted estimator as a program of torch, which runs without this package.

    Parameters
    ----------
    estimator : estimator of this package
        As in :func:`~sklearn_ssl.export_onnx`.

    Returns
    -------
    program : torch.export.ExportedProgram
        Its module takes rows, and returns a tuple of the outputs that
        :func:`~sklearn_ssl.export_onnx` names; labels are places among ``classes_``.
        ``torch.export.save`` writes it to a file.

    Raises
    ------
    TypeError, ValueError
        As in :func:`~sklearn_ssl.export_onnx`.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.export import export_program
    >>> X = load_iris().data
    >>> program = export_program(SimCLRTransformer(max_epochs=1, random_state=0).fit(X))
    >>> (Z,) = program.module()(torch.from_numpy(X))
    >>> Z.shape
    torch.Size([150, 256])
    """
    network, rows, _ = _network_of(estimator)
    return _program(network, rows)


class RowsToOutputs(nn.Module):
    """All that a fitted estimator does with rows, except for checking them, as one network.

    Parameters
    ----------
    spec : Spec
    task : PretextTask
    head : HeadModule or None
        None means the representation is the output.
    """

    def __init__(self, spec, task, head=None):
        super().__init__()
        self.spec = spec
        self.task = task
        self.head = head
        self.names = ("representation",) if head is None else head.names

    def forward(self, rows):
        h = self.task.encode(self.spec.batch_of(rows))
        return (h,) if self.head is None else self.head(h)


def _import_onnx():
    """Return the packages onnx and onnxruntime."""
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise ImportError(
            "export_onnx needs the packages onnx, onnxruntime and onnxscript: "
            "pip install 'sklearn-ssl[onnx]'"
        ) from error
    return onnx, onnxruntime


def _writable(path):
    """Return a path to which a file can be written; nobody wants to learn that at the end."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: create the folder {path.parent} first.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: pass the path of a file.")
    return path


@torch_settings()
@torch.no_grad()
def _network_of(estimator):
    """Return an estimator as a network, rows to try it on, and the estimator's outputs for them."""
    if not isinstance(estimator, BasePretrainer | BaseFineTuner):
        raise TypeError(
            "Only estimators of sklearn_ssl can be exported: a transformer, a FineTuneClassifier "
            f"or a FineTuneRegressor. Got {type(estimator).__name__}; of a Pipeline or a search, "
            "export the fitted transformer in it."
        )
    check_is_fitted(estimator)
    is_tuned = isinstance(estimator, BaseFineTuner)
    transformer = estimator.transformer_ if is_tuned else estimator
    spec, task = transformer.input_spec_, copy.deepcopy(transformer.task_).eval()
    task.to("cpu", memory_format=torch.contiguous_format)  # torch.export.save warns of any other
    task.requires_grad_(False)
    rows = spec.example_rows(transformer, N_TRIED)
    Z = task.encode(spec.to_tensor(rows)).numpy()
    rows = torch.from_numpy(rows).to(spec.raw_dtype)
    if not is_tuned:
        return RowsToOutputs(spec, task), rows, {"representation": Z}
    head = head_module(estimator, Z)
    methods = {"label": "predict", "probabilities": "predict_proba", "prediction": "predict"}
    expected = {name: getattr(estimator.head_, methods[name])(Z) for name in head.names}
    return RowsToOutputs(spec, task, head), rows, expected


@torch_settings()
@torch.no_grad()
def _program(network, rows):
    """Return the program of a network, for any number of rows."""
    names = _names_of_lengths(network.spec)
    lengths = dict.fromkeys(names, torch.export.Dim.DYNAMIC)
    try:
        return torch.export.export(network, (rows,), dynamic_shapes=(lengths,), strict=False)
    except Exception as error:  # whatever a user's encoder may raise
        raise _not_exportable(network, "torch.export", error) from error


def _names_of_lengths(spec):
    """Return the names of the axes of rows whose lengths may vary, by their places."""
    axes = enumerate(("n", *spec.raw_shape))
    return {place: length for place, length in axes if isinstance(length, str)}


@torch_settings()
def _onnx_model(program, network):
    """Return a program as an ONNX model."""
    try:
        return torch.onnx.export(
            program,
            input_names=["rows"],
            output_names=network.names,
            dynamic_shapes=(_names_of_lengths(network.spec),),
            opset_version=OPSET,
            verbose=False,
        ).model_proto
    except Exception as error:  # of which there are many kinds
        raise _not_exportable(network, "torch.onnx", error) from error


def _not_exportable(network, tool, error):
    return ValueError(
        f"{tool} cannot follow the encoder, {type(network.task.encoder).__name__}: "
        f"{type(error).__name__}: {str(error).strip()}\nAn encoder of your own must not decide by "
        "the numbers in a batch, or by len(batch), what it computes; batch.shape[0] is fine."
    )


def _name_labels(onnx, model, classes):
    """Let a model return labels, in place of their places among the classes."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["place" if name == "label" else name for name in node.output]
    dtype = object if classes.dtype.kind in "UT" else classes.dtype
    graph.initializer.append(onnx.numpy_helper.from_array(classes.astype(dtype), "classes"))
    graph.node.append(onnx.helper.make_node("Gather", ["classes", "place"], ["label"]))
    graph.output[0].type.tensor_type.elem_type = graph.initializer[-1].data_type


def _metadata(estimator, spec):
    """Return what to know about a file, as strings."""
    facts = {
        "estimator": type(estimator).__name__,
        "sklearn_ssl_version": __version__,
        "rows": f"{spec.modality} of shape {shown_shape(spec.raw_shape)}",
        **spec.raw_facts,
    }
    for name, attribute in (("feature_names", "feature_names_in_"), ("classes", "classes_")):
        if hasattr(estimator, attribute):
            facts[name] = getattr(estimator, attribute).tolist()
    return {k: fact if isinstance(fact, str) else json.dumps(fact) for k, fact in facts.items()}


def _check_outputs(onnxruntime, content, rows, expected):
    """Raise an error if a model has other outputs than the estimator, for one row or for all."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for n in (1, len(rows)):
        for name, wanted in expected.items():
            (got,) = session.run([name], {"rows": rows[:n]})
            difference = _difference(got, wanted[:n])
            if not difference <= TOLERANCE:
                raise RuntimeError(
                    f"The output {name} of onnxruntime {onnxruntime.__version__} differs from that "
                    f"of the estimator by {difference:.1g} of its largest number, for {n} row(s). "
                    "The file was not written. Try other versions of torch, onnxscript and "
                    "onnxruntime, and please report it."
                )


def _difference(got, wanted):
    """Return the largest difference, relative to the largest number or to 1; 1 between labels."""
    if got.shape != wanted.shape or wanted.dtype.kind != "f":
        return float(not np.array_equal(got, wanted))
    return np.abs(got - wanted).max() / max(1, np.abs(wanted).max())
