"""The training loop: a skorch net over batches of rows."""

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from skorch import NeuralNet
from skorch.utils import TeeGenerator

from sklearn_ssl.training.batches import IndexBatches
from sklearn_ssl.training.callbacks import (
    Bar,
    KeepBest,
    ProgressBar,
    StopTraining,
    check_callbacks,
    end_batch,
    end_epoch,
)
from sklearn_ssl.training.checkpoints import CheckpointFolder
from sklearn_ssl.training.collapse import CollapseWatch, watched_embeddings
from sklearn_ssl.training.distributed import current, is_first, of_first
from sklearn_ssl.training.identity import (
    digest_of_rows,
    digest_of_weights,
    environment,
    in_words,
)
from sklearn_ssl.training.inference import fixed_views
from sklearn_ssl.training.net_state import laid_out_as, restore, state_of
from sklearn_ssl.training.runtime import THREADS, seeded_global_stream

WARM_UP = 0.05  # share of the steps in which the learning rate rises
MAX_SEED = 2**62
BOOKKEEPING = ("epoch", "batches", "train_batch_count", "valid_batch_count")  # skorch's own


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How to train: everything that does not depend on the rows.

    Parameters
    ----------
    seed : int
        Seed of the shuffles and the views, unless a training resumes earlier random streams.
    n_epochs, planned_epochs : int
        Epochs to run now, and in the whole training, which determines the schedules.
    batch_size, optimizer, lr, weight_decay
        As in :class:`~sklearn_ssl.BaseSSLTransformer`.
    autocast_dtype : torch.dtype or None
    cosine : bool, default=True
        Whether the learning rate falls to 0 over the planned epochs.
    patience : int or None, default=None
        Epochs without a better held-out loss after which training stops; the weights of the best
        epoch are then kept.
    callbacks : sequence
        skorch callbacks, or ``(name, callback)`` pairs.
    progress_name : str or None, default=None
        Title of the progress bar; None shows none.
    watch : CollapseWatch or None, default=None
        Monitors the embeddings of each epoch.
    parts : sequence
        Further objects whose state checkpoints hold, with torch's methods ``state_dict`` and
        ``load_state_dict``.
    checkpoints : CheckpointFolder or None, default=None
        Where the state is saved now and then, and from where a training continues.
    """

    seed: int
    n_epochs: int
    planned_epochs: int
    batch_size: int
    optimizer: Callable
    lr: float
    weight_decay: float
    autocast_dtype: torch.dtype | None
    cosine: bool = True
    patience: int | None = None
    callbacks: Sequence = ()
    progress_name: str | None = None
    watch: CollapseWatch | None = None
    parts: Sequence = ()
    checkpoints: CheckpointFolder | None = None


def train(task, rows, plan, *, spec, device, valid_rows=None, resume_state=None, embed=None):
    """Train a pretext task in place.

    Parameters
    ----------
    task : PretextTask
    rows : RowBlocks
        Rows to train on.
    plan : TrainingPlan
    spec : Spec
    device : torch.device
    valid_rows : RowBlocks or None, default=None
        Rows for the held-out loss.
    resume_state : dict or None, default=None
        What an earlier call returned, to continue with its optimizer and, unless a new schedule
        begins (``plan.cosine``), with its random streams.
    embed : callable or None, default=None
        Function of a task and X, as passed by the user, that returns the representations of X. It
        is there for callbacks, as ``net.embed``.

    Returns
    -------
    history : dict of str to list of float
        For each epoch "train_loss", with held-out rows "valid_loss", "duration" in seconds,
        "embedding_std" and "effective_rank" as :func:`~sklearn_ssl.collapse.embedding_spread`
        measures them on the last batch, and whatever callbacks record.
    resume_state : dict
    """
    check_callbacks(plan.callbacks)
    batches_per_epoch = len(IndexBatches(rows, plan.batch_size, None))
    bar = watched = interrupts = nullcontext()
    internal, parts = [], [*plan.parts]
    if plan.watch is not None:
        watched = watched_embeddings(task, plan.watch.seen)
        internal.append(plan.watch)
        parts.append(plan.watch)
    if plan.progress_name is not None and is_first():
        n_steps = plan.n_epochs * batches_per_epoch
        bar = Bar(total=n_steps, desc=plan.progress_name, unit="step", delay=2)
        internal.append(ProgressBar(bar))
    if plan.patience is not None:
        internal.append(KeepBest(plan.patience))
        parts.append(internal[-1])
    if plan.checkpoints is not None:
        _identify(plan.checkpoints, task, rows, valid_rows, device)
        interrupts = plan.checkpoints.interrupts
    if current() is not None:
        current().agree(_facts(task, rows, plan, valid_rows, resume_state))
    net = PretextNet(
        task,
        plan,
        spec=spec,
        valid_rows=valid_rows,
        n_steps=plan.planned_epochs * batches_per_epoch,
        device=device,
        embed=embed,
        callbacks=[*internal, *plan.callbacks],
        parts={type(part).__name__: part for part in parts},
    )
    try:
        with bar, watched, interrupts:
            net.initialize()
            net.seed(plan.seed)
            if resume_state is not None:
                net.load_optimizer(resume_state)
                if not plan.cosine:
                    net.load_streams(resume_state)
            net.partial_fit(rows)
            net.check_weights()
            resume_state = net.resume_state()
    finally:
        task.generator = None
    history = _columns(net.history)
    if current() is not None:  # other processors may round in another way, and have other clocks
        history = current().of_first(history)
        current().take_from_first([*task.parameters(), *task.buffers()])
    return history, resume_state


def _facts(task, rows, plan, valid_rows, resume_state):
    """Return in words what has to be the same in all processes that share a training."""
    names = ("seed", "n_epochs", "planned_epochs", "batch_size", "lr", "weight_decay")
    return {
        "task": in_words(type(task)),
        "X": digest_of_rows(rows),
        "held-out rows": None if valid_rows is None else digest_of_rows(valid_rows),
        "initial weights": digest_of_weights(task),
        "optimizer": in_words(plan.optimizer),
        "precision": in_words(plan.autocast_dtype),
        "steps done before": None if resume_state is None else resume_state["n_steps_done"],
        **{name: getattr(plan, name) for name in names},
    }


def _identify(checkpoints, task, rows, valid_rows, device):
    """Raise if a folder of checkpoints is that of other data or of other initial weights."""
    checkpoints.identify({"data": digest_of_rows(rows)})
    if valid_rows is not None:
        checkpoints.identify({"held-out data": digest_of_rows(valid_rows)})
    checkpoints.identify({"initial weights": digest_of_weights(task)})
    checkpoints.compare(environment(device))


class PretextNet(NeuralNet):
    """The loop over epochs and batches around a pretext task.

    skorch provides the callbacks, the history and the loop over the batches of an epoch. The task
    returns its own loss, batches are index batches of nearly equal size, learning rate and weight
    decay are set at every step, and the task's hooks run before and after the optimizer.
    """

    def __init__(self, task, plan, *, spec, valid_rows, n_steps, device, embed, callbacks, parts):
        self.plan = plan
        self.parts = parts
        self.spec = spec
        self.embed = embed
        self.valid_rows = valid_rows
        self.n_steps = n_steps
        self.n_steps_done = 0
        self.n_steps_restored = 0
        self.n_epochs_done = 0
        self.n_batches_done = 0  # of the epoch that has begun
        self.begun_epoch = {}  # its history until it was interrupted
        self.stopped = False
        super().__init__(
            task,
            criterion=torch.nn.Identity,
            optimizer=plan.optimizer,
            lr=plan.lr,
            max_epochs=plan.n_epochs,
            batch_size=plan.batch_size,
            device=str(device),
            callbacks=callbacks,
            callbacks__print_log=None,
            verbose=0,
        )

    def seed(self, random_state):
        """Start the streams of a fit: `order` for shuffles, the task's for views and masks."""
        self.order = torch.Generator().manual_seed(random_state)
        self.epoch_order = self.order.get_state()
        self.module_.generator = torch.Generator(self.device).manual_seed(random_state)

    def resume_state(self):
        """Return what a later fit needs, in addition to the task, to continue this one."""
        return {
            "optimizer": self.optimizer_.state_dict(),
            "optimizer_name": in_words(self.plan.optimizer),
            "order": self.order.get_state(),
            "views": self.module_.generator.get_state(),
            "device": torch.device(self.device).type,
            "n_steps_done": self.n_steps_done,
        }

    def load_optimizer(self, state):
        """Continue with an optimizer, unless another one has been chosen since."""
        if state["optimizer_name"] != in_words(self.plan.optimizer):
            return
        # The optimizer changes its tensors in place, and a fit may fail: work on a copy.
        self.optimizer_.load_state_dict(copy.deepcopy(state["optimizer"]))
        for parameter, moments in self.optimizer_.state.items():
            moments |= {name: laid_out_as(parameter, value) for name, value in moments.items()}

    def load_streams(self, state):
        self.order.set_state(state["order"])
        self.epoch_order = state["order"]
        if state["device"] == torch.device(self.device).type:  # otherwise streams differ in kind
            self.module_.generator.set_state(state["views"])
        self.n_steps_done = state["n_steps_done"]

    # Data -------------------------------------------------------------------------------------

    def get_iterator(self, dataset, training=False):
        return IndexBatches(dataset, self.batch_size, self.order if training else None)

    def _to_batch(self, rows):
        return self.spec.to_tensor(rows, self.device)

    # A step -----------------------------------------------------------------------------------

    def initialize_optimizer(self, triggered_directly=None):
        """Give weight decay to matrices and kernels, not to biases and normalizations."""
        lr_scales = self.module_.lr_scales()
        groups = {}
        for parameter in self.module_.parameters():
            if parameter.requires_grad:
                key = (parameter.ndim > 1, lr_scales.get(parameter, 1.0))
                groups.setdefault(key, []).append(parameter)
        groups = [
            {
                "params": parameters,
                "weight_decay": self.plan.weight_decay * decays,
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
                "of parameters, including vectors, and lr; pass other arguments with "
                "functools.partial, or use another one, such as torch.optim.AdamW."
            ) from error
        if not all(hasattr(self.optimizer_, name) for name in ("step", "zero_grad", "state_dict")):
            raise TypeError(
                "optimizer must return a torch optimizer when it is called with parameters and "
                f"lr, as torch.optim.AdamW does; got {type(self.optimizer_).__name__}."
            )
        return self

    def train_step(self, batch, **fit_params):
        """Take one step; return its loss, for the history and the callbacks."""
        THREADS.next_step()
        self._set_schedules()
        if not self.module_.training:
            self.module_.train()
        self.optimizer_.zero_grad()
        with seeded_global_stream(self._draw_seed(), self.device):
            loss = self._loss(batch)
            self._check_finite(loss)
            loss.backward()
        if current() is not None:
            self._average_gradients()
        self.module_.after_backward(self.progress)
        named_parameters = TeeGenerator(self.module_.named_parameters())  # read more than once
        self.notify(
            "on_grad_computed", named_parameters=named_parameters, batch=batch, training=True
        )
        self.optimizer_.step()
        self.n_steps_done += 1
        self.module_.after_step(self.progress)
        return {"loss": loss, "y_pred": loss}

    def _average_gradients(self):
        """Average the gradients over processes, and tell these if this one is to be stopped."""
        parameters = self.module_.parameters()
        if self.plan.checkpoints is None:
            current().average_gradients(parameters)
        else:
            self.plan.checkpoints.interrupts.agree(partial(current().average_gradients, parameters))

    def _draw_seed(self):
        """Return the seed of the global random stream for the next step."""
        return int(torch.randint(MAX_SEED, (), generator=self.order))

    def _set_schedules(self):
        """Set the learning rate and the weight decay of the next step."""
        lr = self.lr * self._lr_factor()
        weight_decay = self.module_.weight_decay_at(self.progress, self.plan.weight_decay)
        for group in self.optimizer_.param_groups:
            group["lr"] = lr * group["lr_scale"]
            if group["decays"]:
                group["weight_decay"] = weight_decay

    @property
    def progress(self):
        """The fraction of the planned steps that is done, from 0 to 1.

        Calls of ``partial_fit`` have no planned end: their schedules stop halfway, because at the
        end of a schedule nothing moves anymore.
        """
        return min(self.n_steps_done / self.n_steps, 1.0 if self.plan.cosine else 0.5)

    def _lr_factor(self):
        """Linear warm-up, then half a cosine to 0 or, in ``partial_fit``, a constant."""
        warm_up = max(1, round(WARM_UP * self.n_steps))
        if self.n_steps_done < warm_up:
            return (self.n_steps_done + 1) / warm_up
        if not self.plan.cosine:
            return 1.0
        progress = (self.n_steps_done - warm_up) / max(1, self.n_steps - warm_up)
        return 0.5 * (1 + math.cos(math.pi * progress))

    def validation_step(self, batch, **fit_params):
        self.module_.eval()
        with torch.no_grad():
            loss = self._loss(batch)
        return {"loss": loss, "y_pred": loss}

    def _loss(self, rows):
        device_type = torch.device(self.device).type
        enabled = self.plan.autocast_dtype is not None
        with torch.autocast(device_type, dtype=self.plan.autocast_dtype, enabled=enabled):
            self.module_.processes = current()
            try:
                loss = self.module_(self._to_batch(rows))
            except RuntimeError as error:
                if not enabled or "bfloat16" not in str(error).lower():
                    raise
                raise ValueError(
                    f"{type(self.module_).__name__} cannot be trained in bfloat16 ({error}). Use "
                    'precision="float32".'
                ) from error
            finally:
                self.module_.processes = None
        # Inside a caller's autocast, torch would reuse this step's weights in the next one.
        torch.clear_autocast_cache()
        return loss

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
        """Raise an error if the last step, after which no loss is computed, spoiled the weights."""
        if not all(parameter.isfinite().all() for parameter in self.module_.parameters()):
            raise ValueError(
                f"The weights of {type(self.module_).__name__} are not finite after the last step. "
                f"Try a smaller lr (it is {self.lr:g}) or weight_decay (it is "
                f'{self.plan.weight_decay:g}), precision="float32", or look for extreme values '
                "in X."
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
        self._continue_from_checkpoint()
        datasets = {"dataset_train": X, "dataset_valid": self.valid_rows}
        while self.n_epochs_done < self.max_epochs and not self.stopped:
            self.notify("on_epoch_begin", **datasets)
            self.history[-1].update(self.begun_epoch)
            self.run_single_epoch(self._batches_to_do(X), True, "train", self.train_step)
            self._measure_held_out_loss()
            try:
                self.notify("on_epoch_end", **datasets)
            except StopTraining:
                self.stopped = True
            if current() is not None:
                self.stopped = current().in_any(self.stopped)
            self._epoch_done()
        self.notify("on_train_end", X=X, y=y)
        return self

    def _batches_to_do(self, rows):
        """Yield the batches of an epoch; not those that were done before the fit was killed."""
        self.order.set_state(self.epoch_order)
        batches = self.get_iterator(rows, training=True).shuffled()
        for _ in range(self.n_batches_done):
            self._draw_seed()
        for indices in batches[self.n_batches_done :]:
            yield rows[indices]
            self.n_batches_done += 1
            if self.n_batches_done < len(batches):
                self._save_checkpoint()

    def _epoch_done(self):
        self.n_epochs_done += 1
        self.n_batches_done = 0
        self.begun_epoch = {}
        self.epoch_order = self.order.get_state()
        self._save_checkpoint(
            n_epochs=self.n_epochs_done,
            last=self.stopped or self.n_epochs_done == self.max_epochs,
        )

    def _continue_from_checkpoint(self):
        if self.plan.checkpoints is None:
            return
        state = of_first(self.plan.checkpoints.take())
        if state is not None:
            restore(self, state)
            self.n_steps_restored = self.n_steps_done

    def _save_checkpoint(self, **place):
        """Save the state if it is time: all callbacks have been told of the last step."""
        if self.plan.checkpoints is not None:
            n_steps = self.n_steps_done
            self.plan.checkpoints.step_done(lambda: state_of(self), n_steps=n_steps, **place)

    def _measure_held_out_loss(self):
        if self.valid_rows is None:
            return
        batches = self.get_iterator(self.valid_rows)
        with fixed_views(self.module_, self.device):
            self.run_single_epoch(batches, False, "valid", self.validation_step)


def _columns(history):
    """Return everything recorded for each epoch, by skorch or a callback, as lists of floats."""
    names = {"train_loss": None, "valid_loss": None, "dur": None}  # first, in this order
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
