"""The training loop: a skorch net over batches of rows."""

import copy
import inspect
import math
from contextlib import nullcontext, suppress

import numpy as np
import torch
from skorch import NeuralNet

from sklearn_ssl.training.callbacks import (
    Bar,
    KeepBest,
    ProgressBar,
    StopTraining,
    check_callbacks,
    end_batch,
    end_epoch,
)
from sklearn_ssl.training.collapse import watched_embeddings
from sklearn_ssl.training.inference import fixed_views, row_batches
from sklearn_ssl.training.runtime import seeded_global_stream

WARM_UP = 0.05  # part of the steps in which the learning rate rises
MAX_SEED = 2**62
BOOKKEEPING = ("epoch", "batches", "train_batch_count", "valid_batch_count")  # skorch's own
SORTED_TOGETHER = 50  # batches of rows of different lengths


class PretextNet(NeuralNet):
    """skorch's loop around a pretext task.

    The task returns its own loss, batches are index batches of nearly equal size, learning rate and
    weight decay are set at every step, and the task's hooks stand around the optimiser.
    """

    def __init__(
        self, task, *, spec, valid_rows, n_steps, cosine, autocast_dtype, weight_decay, **kwargs
    ):
        self.spec = spec
        self.valid_rows = valid_rows
        self.n_steps = n_steps
        self.cosine = cosine
        self.autocast_dtype = autocast_dtype
        self.weight_decay = weight_decay
        self.n_steps_done = 0
        super().__init__(task, criterion=torch.nn.Identity, callbacks__print_log=None, **kwargs)

    def seed(self, random_state):
        """Start the streams of a fit: `order` for shuffles, the task's for views and masks."""
        self.order = torch.Generator().manual_seed(random_state)
        self.module_.generator = torch.Generator(self.device).manual_seed(random_state)

    def resume_state(self):
        """Return what a later fit needs, beside the task, to go on as if it were one."""
        return {
            "optimizer": self.optimizer_.state_dict(),
            "order": self.order.get_state(),
            "views": self.module_.generator.get_state(),
            "n_steps_done": self.n_steps_done,
        }

    def load_resume_state(self, state):
        # The optimiser changes its tensors in place: work on a copy, for a fit may fail.
        self.optimizer_.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.order.set_state(state["order"])
        self.module_.generator.set_state(state["views"])
        self.n_steps_done = state["n_steps_done"]

    # Data -------------------------------------------------------------------------------------

    def get_split_datasets(self, X, y=None, **fit_params):
        return X, self.valid_rows

    def get_iterator(self, dataset, training=False):
        return IndexBatches(dataset, self.batch_size, self.order if training else None)

    def _to_batch(self, rows):
        return self.spec.to_tensor(rows, self.device)

    # A step -----------------------------------------------------------------------------------

    def initialize_optimizer(self, triggered_directly=None):
        """Weight decay is for matrices and kernels; biases and normalisations have none."""
        lr_scales = self.module_.lr_scales()
        groups = {}
        for parameter in self.module_.parameters():
            if parameter.requires_grad:
                key = (parameter.ndim > 1, lr_scales.get(parameter, 1.0))
                groups.setdefault(key, []).append(parameter)
        groups = [
            {
                "params": parameters,
                "weight_decay": self.weight_decay * decays,
                "decays": decays,
                "lr_scale": lr_scale,
            }
            for (decays, lr_scale), parameters in groups.items()
        ]
        options = {"lr": self.lr}
        if "fused" in inspect.signature(self.optimizer).parameters:
            options["fused"] = True
        try:
            self.optimizer_ = self.optimizer(groups, **options)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"optimizer={self.optimizer!r} cannot be used: {error}. It is called with groups "
                "of parameters, vectors among them, and lr; give it what else it needs by "
                "functools.partial, or use another one, such as torch.optim.AdamW."
            ) from error
        if not all(hasattr(self.optimizer_, name) for name in ("step", "zero_grad", "state_dict")):
            raise TypeError(
                "optimizer must return a torch optimizer when it is called with parameters and "
                f"lr, as torch.optim.AdamW does; got {type(self.optimizer_).__name__}."
            )
        return self

    def train_step(self, batch, **fit_params):
        weight_decay = self.module_.weight_decay_at(self.progress, self.weight_decay)
        for group in self.optimizer_.param_groups:
            group["lr"] = self.lr * self._lr_factor() * group["lr_scale"]
            if group["decays"]:
                group["weight_decay"] = weight_decay
        step = super().train_step(batch, **fit_params)
        self.n_steps_done += 1
        self.module_.after_step(self.progress)
        return step

    @property
    def progress(self):
        """The part of the planned steps that is done, from 0 to 1.

        A series of ``partial_fit`` has no end: its schedules stop half way, for at their end
        nothing moves any more.
        """
        return min(self.n_steps_done / self.n_steps, 1.0 if self.cosine else 0.5)

    def train_step_single(self, batch, **fit_params):
        if not self.module_.training:
            self.module_.train()
        seed = int(torch.randint(MAX_SEED, (), generator=self.order))
        with seeded_global_stream(seed, self.device):
            loss = self._loss(batch)
            self._check_finite(loss)
            loss.backward()
        self.module_.after_backward(self.progress)
        return {"loss": loss, "y_pred": loss}

    def validation_step(self, batch, **fit_params):
        self.module_.eval()
        with torch.no_grad():
            loss = self._loss(batch)
        return {"loss": loss, "y_pred": loss}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if training or iterator is None:
            return super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        with fixed_views(self.module_, self.device):
            return super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)

    def _loss(self, rows):
        device_type = torch.device(self.device).type
        enabled = self.autocast_dtype is not None
        with torch.autocast(device_type, dtype=self.autocast_dtype, enabled=enabled):
            try:
                loss = self.module_(self._to_batch(rows))
            except RuntimeError as error:
                if not enabled or "bfloat16" not in str(error).lower():
                    raise
                raise ValueError(
                    f"{type(self.module_).__name__} cannot be trained in bfloat16 ({error}). Use "
                    'precision="float32".'
                ) from error
        # Within an autocast of the caller's, torch would keep this step's weights for the next.
        torch.clear_autocast_cache()
        return loss

    def _lr_factor(self):
        """Linear warm-up, then half a cosine to 0 or, in ``partial_fit``, a constant."""
        warm_up = max(1, round(WARM_UP * self.n_steps))
        if self.n_steps_done < warm_up:
            return (self.n_steps_done + 1) / warm_up
        if not self.cosine:
            return 1.0
        progress = (self.n_steps_done - warm_up) / max(1, self.n_steps - warm_up)
        return 0.5 * (1 + math.cos(math.pi * progress))

    def _check_finite(self, loss):
        if loss.numel() != 1:
            raise ValueError(
                "A pretext task must return a scalar loss; "
                f"{type(self.module_).__name__} returned shape {tuple(loss.shape)}."
            )
        if not math.isfinite(loss.item()):
            raise ValueError(
                f"The {self.module_.loss_name} is {loss.item()} at step {self.n_steps_done + 1} of "
                f"{self.n_steps}. Try {self.module_.remedies.format(lr=self.lr)}."
            )

    def check_weights(self):
        """Raise if the last step, whose loss nobody asks for, has made weights that are none."""
        if not all(parameter.isfinite().all() for parameter in self.module_.parameters()):
            raise ValueError(
                f"The weights of {type(self.module_).__name__} are not finite after the last step. "
                f"Try a smaller lr (it is {self.lr:g}) or weight_decay (it is "
                f'{self.weight_decay:g}), precision="float32", or look for extreme values in X.'
            )

    # The whole fit ----------------------------------------------------------------------------

    def notify(self, method_name, **kwargs):
        """Tell the callbacks; at the end of an epoch they may stop the training."""
        ending = {"on_epoch_end": end_epoch, "on_batch_end": end_batch}.get(method_name)
        if ending is None:
            super().notify(method_name, **kwargs)
            return
        for _, callback in self.callbacks_:
            ending(callback, self, **kwargs)

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Run the epochs. Unlike skorch's own, it lets Ctrl-C through."""
        self.notify("on_train_begin", X=X, y=y)
        with suppress(StopTraining):
            self.fit_loop(X)
        self.notify("on_train_end", X=X, y=y)
        return self


class IndexBatches:
    """Batches of rows, fetched by index arrays, of sizes that differ by one at most.

    No row is dropped and no batch is left with a single row, which batch normalisation could not
    take. Rows are sorted within a batch, so that memory-mapped data is read forwards. Those that
    have ``lengths`` are put together with others about as long.

    Parameters
    ----------
    rows : RowBlocks or TokenRows
    batch_size : int
        Largest number of rows in a batch.
    order : torch.Generator or None
        Shuffles anew in every epoch; None keeps the order of the rows.
    """

    def __init__(self, rows, batch_size, order):
        self.rows = rows
        self.batch_size = batch_size
        self.order = order

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self):
        n_rows = len(self.rows)
        if self.order is None:
            yield from row_batches(self.rows, self.batch_size)
            return
        permutation = torch.randperm(n_rows, generator=self.order, dtype=torch.int32).numpy()
        batches = np.array_split(permutation, len(self))
        if hasattr(self.rows, "lengths"):
            batches = self._of_like_length(batches)
        for indices in batches:
            yield self.rows[np.sort(indices)]

    def _of_like_length(self, batches):
        """Sort the rows of some batches at a time by their lengths, so that little is padded."""
        sorted_batches = []
        for start in range(0, len(batches), SORTED_TOGETHER):
            some = batches[start : start + SORTED_TOGETHER]
            rows = np.concatenate(some)
            rows = rows[np.argsort(self.rows.lengths[rows], kind="stable")]
            sorted_batches += np.array_split(rows, len(some))
        order = torch.randperm(len(sorted_batches), generator=self.order)
        return [sorted_batches[i] for i in order]


def train(
    task,
    rows,
    *,
    spec,
    device,
    random_state,
    n_epochs,
    planned_epochs,
    batch_size,
    optimizer,
    lr,
    weight_decay,
    autocast_dtype,
    cosine=True,
    valid_rows=None,
    patience=None,
    callbacks=(),
    progress_name=None,
    watch=None,
    resume_state=None,
):
    """Train a pretext task in place.

    Parameters
    ----------
    task : PretextTask
    rows, valid_rows : RowBlocks
        Rows to train on; rows for the held-out loss, or None.
    spec : InputSpec
    device : torch.device
    random_state : int
        Seed of the shuffles and the views, unless `resume_state` goes on with earlier streams.
    n_epochs, planned_epochs : int
        Epochs to run now, and in the whole training, by which schedules go.
    batch_size, optimizer, lr, weight_decay
        As in :class:`~sklearn_ssl.BaseSSLTransformer`.
    autocast_dtype : torch.dtype or None
    cosine : bool, default=True
        Whether the learning rate falls to 0 over the planned epochs.
    patience : int or None
        Epochs without a better held-out loss after which training stops; the weights of the best
        epoch are kept then.
    callbacks : sequence
        skorch callbacks, or ``(name, callback)`` pairs.
    progress_name : str or None
        Title of the progress bar; None shows none.
    watch : CollapseWatch or None
        Looks at the embeddings of each epoch.
    resume_state : dict or None
        What an earlier call returned, to go on with its optimiser and random streams.

    Returns
    -------
    history : dict of str to list of float
        For each epoch "train_loss", with held-out rows "valid_loss", "duration" in seconds,
        "embedding_std" and "effective_rank" as :func:`~sklearn_ssl.collapse.embedding_spread`
        measures them on the last batch, and whatever callbacks record.
    resume_state : dict
    """
    check_callbacks(callbacks)
    batches_per_epoch = len(IndexBatches(rows, batch_size, None))
    internal, bar = [watch] if watch else [], nullcontext()
    if progress_name is not None:
        bar = Bar(total=n_epochs * batches_per_epoch, desc=progress_name, unit="step", delay=2)
        internal.append(ProgressBar(bar))
    if patience is not None:
        internal.append(KeepBest(patience))
    net = PretextNet(
        task,
        spec=spec,
        valid_rows=valid_rows,
        n_steps=planned_epochs * batches_per_epoch,
        cosine=cosine,
        autocast_dtype=autocast_dtype,
        weight_decay=weight_decay,
        optimizer=optimizer,
        lr=lr,
        max_epochs=n_epochs,
        batch_size=batch_size,
        device=str(device),
        callbacks=[*internal, *callbacks],
        verbose=0,
    )
    try:
        watched = watched_embeddings(task, watch.seen) if watch else nullcontext()
        with bar, watched:
            net.initialize()
            net.seed(random_state)
            if resume_state is not None:
                net.load_resume_state(resume_state)
            net.partial_fit(rows)
            net.check_weights()
            resume_state = net.resume_state()
    finally:
        task.generator = None
    return _columns(net.history), resume_state


def _columns(history):
    """Return what is recorded of each epoch, by skorch or a callback, as lists of floats."""
    names = {"train_loss": None, "valid_loss": None, "dur": None}  # first, and in this order
    names |= {name: None for epoch in history for name in epoch if name not in BOOKKEEPING}
    if not any("valid_loss" in epoch for epoch in history):
        del names["valid_loss"]
    return {
        {"dur": "duration"}.get(name, name): [
            _number(epoch.get(name, math.nan)) for epoch in history
        ]
        for name in names
        if not name.endswith("_best")
    }


def _number(value):
    try:
        return value if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return value


def join_histories(before, after):
    """Return the history of a training that was continued; NaN where a column was not recorded."""
    lengths = len(before["train_loss"]), len(after["train_loss"])
    holes = [[math.nan] * length for length in lengths]
    return {
        name: before.get(name, holes[0]) + after.get(name, holes[1]) for name in {**before, **after}
    }
