"""A saved estimator consists of parameters and arrays; its networks are built again."""

import copy
import warnings
import zlib

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl._array_files import ModelFileError
from sklearn_ssl._version import __version__
from sklearn_ssl.training.runtime import resolve_device, seeded_global_stream, torch_settings
from sklearn_ssl.training.state_arrays import as_arrays, from_arrays


class SavedAsArraysMixin:
    """Pickle an estimator without its task: save weights as arrays, and rebuild with
    ``_make_task``.

    Put this class before ``BaseEstimator``.
    """

    _saves_optimizer = False

    def with_optimizer(self):
        """Return a copy whose files hold the optimizer too, to continue the training after loading.

        ``partial_fit``, and ``fit`` with ``warm_start=True``, of the loaded estimator then do the
        same as if it had not been saved. With Adam the file is about three times as large.

        Returns
        -------
        estimator : estimator
            It shares its weights with this one.
        """
        check_is_fitted(self, "task_")
        twin = copy.copy(self)
        twin._saves_optimizer = True
        return twin

    def __getstate__(self):
        whole = super().__getstate__()
        left_out = ("_resume_state", "_saves_optimizer", "task_")
        state = {name: whole[name] for name in whole if name not in left_out}
        task = whole.get("task_")
        if task is not None:
            state["_task_arrays"] = {
                name: _array(tensor) for name, tensor in task.state_dict().items()
            }
            state["_task_checksum"] = _checksum(state["_task_arrays"])
            state["_sklearn_ssl_version"] = __version__
            if self._saves_optimizer:
                arrays, tree = as_arrays(whole["_resume_state"])
                arrays = {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
                state["_resume_arrays"] = arrays, tree
        return state

    def __setstate__(self, state):
        added = ("_task_arrays", "_task_checksum", "_resume_arrays", "_sklearn_ssl_version")
        super().__setstate__({name: state[name] for name in state if name not in added})
        arrays, version = state.get("_task_arrays"), state.get("_sklearn_ssl_version", __version__)
        if version != __version__:
            warnings.warn(
                f"{type(self).__name__} was saved by sklearn-ssl {version} and is loaded by "
                f"{__version__}. Its results may differ; fit it again if possible.",
                UserWarning,
                stacklevel=2,
            )
        if arrays is not None:
            checksum = _checksum(arrays)
            if state.get("_task_checksum", checksum) != checksum:  # older files have none
                raise ModelFileError(
                    f"The file of this {type(self).__name__} is damaged: its weights are not those "
                    "that were saved. Copy or download it again."
                )
            self.task_ = self._rebuild_task(arrays)
        if "_resume_arrays" in state:
            arrays, tree = state["_resume_arrays"]
            arrays = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
            self._resume_state = from_arrays(arrays, tree)

    @torch_settings()
    def _rebuild_task(self, arrays):
        with seeded_global_stream(0):
            task = type(self)(**self._task_params)._make_task(self.input_spec_)
        _check_arrays(task, arrays)
        task.load_state_dict({name: _tensor(array) for name, array in arrays.items()})
        try:
            device = resolve_device(self._task_params["device"])
        except ValueError:  # fitted on a device that this machine lacks
            device = torch.device("cpu")
        return task.to(device, memory_format=torch.channels_last).eval()


def _checksum(arrays):
    """Return a number that changes with any byte of the arrays; pickle has none."""
    checksum = 0
    for name in sorted(arrays):
        checksum = zlib.crc32(np.ascontiguousarray(arrays[name]), checksum)
    return checksum


def _check_arrays(task, arrays):
    """Refuse arrays that are not those of a task; load_state_dict would convert their dtypes."""
    expected = {name: _kind(_array(tensor)) for name, tensor in task.state_dict().items()}
    got = {name: _kind(array) for name, array in arrays.items()}
    for name in expected | got:
        if got.get(name) != expected.get(name):
            raise ValueError(
                f"The saved array {name!r} is {got.get(name, 'missing')}, but the network that "
                f"the parameters describe has {expected.get(name, 'no such array')}."
            )


def _array(tensor):
    return tensor.cpu().numpy()


def _kind(array):
    return f"{array.dtype} of shape {array.shape}"


def _tensor(array):
    """Return an array as a tensor, without a copy if it may be written to."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())
