"""A saved estimator consists of parameters and arrays; its networks are built again."""

import warnings

import torch

from sklearn_ssl._version import __version__
from sklearn_ssl.training.runtime import resolve_device, seeded_global_stream, torch_settings


class SavedAsArraysMixin:
    """Pickle an estimator without its task: save weights as arrays, and rebuild with
    ``_make_task``.

    Put this class before ``BaseEstimator``.
    """

    def __getstate__(self):
        whole = super().__getstate__()
        state = {name: whole[name] for name in whole if name not in ("_resume_state", "task_")}
        task = whole.get("task_")
        if task is not None:
            state["_task_arrays"] = {
                name: tensor.cpu().numpy() for name, tensor in task.state_dict().items()
            }
            state["_sklearn_ssl_version"] = __version__
        return state

    def __setstate__(self, state):
        added = ("_task_arrays", "_sklearn_ssl_version")
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
            self.task_ = self._rebuild_task(arrays)

    @torch_settings()
    def _rebuild_task(self, arrays):
        with seeded_global_stream(0):
            task = type(self)(**self._task_params)._make_task(self.input_spec_)
        task.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in arrays.items()})
        try:
            device = resolve_device(self._task_params["device"])
        except ValueError:  # fitted on a device that this machine lacks
            device = torch.device("cpu")
        return task.to(device, memory_format=torch.channels_last).eval()
