"""One fit shared by several processes, exactly as one process would do it.

If ``torch.distributed`` is initialized, all its processes make the same fit, each with all of X::

    for each batch:                          # the same rows everywhere
        views = augment(batch)               # the same views
        h = all_gather(encoder(own views))   # PretextTask.shared: the only part that differs
        loss = ...                           # the same loss, of all rows
        backward, then average the gradients over the processes

What compares rows (negatives, queues, centers, prototypes, statistics of heads) sees whole batches
and needs no change. What networks do to each row by itself, most of the work, is shared.

Gradients are exact: every process knows the gradient of all of h, as the loss is the same. Times
the number of processes, its own part goes back into the encoder, so that the average over the
processes is the sum over the rows; gradients of what is not shared are equal, and so is their
average. One all-reduce of all gradients does this. DistributedDataParallel would hide it behind the
backward pass, but allows a network only one forward pass for each backward pass, and counts only
what its own ``forward`` does.
"""

import pickle
import threading
import traceback
import warnings
from contextlib import ExitStack, contextmanager

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sklearn_ssl.training.runtime import global_streams

_ONE_FIT = threading.Lock()  # collective calls of two fits would be mixed up
_ACTIVE = threading.local()  # `processes`, of the thread that fits


def current():
    """Return the processes that share the fit of this thread; None if it is not shared."""
    return getattr(_ACTIVE, "processes", None)


def is_first():
    """Return whether this process shows progress and writes checkpoints: alone, or the first."""
    return current() is None or current().rank == 0


def of_first(value):
    """Return the value that the first process has: any object that can be pickled."""
    return value if current() is None else current().of_first(value)


@contextmanager
def shared_fit():
    """Share a fit with the other processes of ``torch.distributed``, if it is initialized.

    If the fit fails in one process, it fails in all of them: no other process waits.

    Raises
    ------
    ValueError
        If another thread of this process shares a fit.
    """
    in_group = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if not in_group or current() is not None:  # a fit that is part of another one
        yield
        return
    if not _ONE_FIT.acquire(blocking=False):
        raise ValueError(
            "Another thread of this process shares a fit with the processes of torch.distributed. "
            "Fit one estimator after the other, for example with n_jobs=1."
        )
    with ExitStack() as stack:
        stack.callback(_ONE_FIT.release)
        _ACTIVE.processes = processes = Processes()
        stack.callback(vars(_ACTIVE).clear)
        if processes.rank > 0:
            stack.enter_context(warnings.catch_warnings(action="ignore"))
        try:
            yield
        except BaseException as error:
            # Tracebacks hold the group, whose connections must be closed to wake the others.
            traceback.clear_frames(error.__traceback__)
            processes.leave()
            processes.raise_first(error)
            raise
        processes.raise_first(None)
        processes.leave()


class LostContactError(Exception):
    """The others do not take part in the fit any longer."""


class Processes:
    """All processes of ``torch.distributed``, in a group for one fit.

    Attributes
    ----------
    rank, size : int
    """

    def __init__(self):
        self.group = dist.new_group()
        dist.barrier()  # a process whose fit fails at once would leave before all are connected
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.whole_batch = None  # while a shared function runs

    # Beginning and end ------------------------------------------------------------------------

    def agree(self, facts):
        """Raise if facts about a fit, a dict of texts or numbers, differ between processes."""
        of_all = [None] * self.size
        self._call(dist.all_gather_object, of_all, facts)
        other = [
            f"{name}: " + ", ".join(f"{of[name]} in process {i}" for i, of in enumerate(of_all))
            for name in facts
            if any(of.get(name) != facts[name] for of in of_all)
        ]
        if other:
            raise ValueError(
                "The processes of torch.distributed share a fit, so all of them must call it with "
                "the same rows of X and the same parameters; they differ in:\n  "
                + "\n  ".join(other)
            )

    def of_first(self, value):
        """Return the value of the first process."""
        values = [value]
        self._call(dist.broadcast_object_list, values, src=0)
        return values[0]

    def in_any(self, flag):
        """Return whether a flag is true in any process."""
        flags = [None] * self.size
        self._call(dist.all_gather_object, flags, bool(flag))
        return any(flags)

    @torch.no_grad()
    def take_from_first(self, tensors):
        """Overwrite tensors with those of the first process."""
        for tensor in tensors:
            copy = tensor.contiguous()
            self._call(dist.broadcast, copy, src=0)
            tensor.copy_(copy)

    def raise_first(self, error):
        """Tell the others how the fit ended here; raise the first error of another process.

        Parameters
        ----------
        error : BaseException or None
            If it is not due to another process, it is left to the caller to raise.
        """
        own = None if isinstance(error, LostContactError) else error
        outcomes = [None] * self.size
        try:
            dist.all_gather_object(outcomes, own and _packed(own))
        except RuntimeError as silence:
            if own is not None:
                return
            reason = str(error or silence).split(". ")[0]
            raise RuntimeError(
                "A process of torch.distributed has ended, or has not answered in time, so the fit "
                f"ends in process {self.rank}, too ({reason}). Start all processes again; with a "
                "checkpoint, the fit continues from there."
            ) from None
        if own is None and any(outcomes):
            rank = next(i for i, outcome in enumerate(outcomes) if outcome)
            first = pickle.loads(outcomes[rank])
            first.add_note(f"This error was raised in process {rank} of torch.distributed.")
            raise first from None

    def leave(self):
        """Close the connections of this fit. Whoever waits for this process gets an error."""
        group, self.group = self.group, None
        dist.destroy_process_group(group)

    # A step -----------------------------------------------------------------------------------

    def rows(self, function, rows, generator):
        """Return ``function(*rows)``, of which each process computes some rows.

        See :meth:`sklearn_ssl.PretextTask.shared`.
        """
        n = len(rows[0])
        if self.whole_batch is not None or n < self.size:  # inside of another one; or too few
            return function(*rows)
        outputs = self._own_part(function, rows, generator)
        if len(outputs) != self.lengths(n)[self.rank]:
            raise ValueError(
                "A shared function must return one row for each of its rows, got "
                f"{len(outputs)} for {self.lengths(n)[self.rank]}."
            )
        return _Gather.apply(outputs, self, n)

    def mean(self, function, rows, generator, count):
        """Return a mean loss. See :meth:`sklearn_ssl.PretextTask.shared_mean`."""
        n = len(rows[0])
        if self.whole_batch is not None or n < self.size:
            return function(*rows)
        mean = self._own_part(function, rows, generator)
        weight = self.lengths(n)[self.rank]
        if count is not None:
            weight = count(*(x[self.own(n)] for x in rows))
        weight = torch.as_tensor(weight, dtype=mean.dtype, device=mean.device)
        total, weight = _Sum.apply(torch.stack([mean * weight, weight]), self)
        return total / weight.clamp(min=1)

    def _own_part(self, function, rows, generator):
        n = len(rows[0])
        own = self.own(n)
        rows = [_Slice.apply(x, self) if x.requires_grad else x[own] for x in rows]
        streams = [*global_streams(rows[0].device), *([generator] if generator else [])]
        with WholeBatch(self, n, streams):
            return function(*rows)

    def average_gradients(self, parameters, flag=False):
        """Replace gradients by their means over the processes; return whether any flag is true.

        A parameter has no gradient afterwards if it had none in any process.
        """
        parameters = [p for p in parameters if p.requires_grad]
        had = [p.grad is not None for p in parameters]
        for p in parameters:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        flags = parameters[0].new_tensor([*had, flag])
        flat = self.sum(torch.cat([*(p.grad.flatten() for p in parameters), flags]))
        *means, flags = flat.split([*(p.numel() for p in parameters), len(flags)])
        *had, flag = (flags > 0).tolist()
        for p, mean, some in zip(parameters, means, had):
            p.grad = p.grad.copy_(mean.view(p.shape) / self.size) if some else None
        return flag

    # Rows -------------------------------------------------------------------------------------

    def lengths(self, n):
        """Return how many of `n` rows each process has; they differ by at most one."""
        return [n // self.size + (rank < n % self.size) for rank in range(self.size)]

    def own(self, n):
        """Return which of `n` rows this process has, as a slice."""
        lengths = self.lengths(n)
        start = sum(lengths[: self.rank])
        return slice(start, start + lengths[self.rank])

    def gather(self, rows, n):
        """Return the `n` rows of all processes; `rows` are those of this one."""
        lengths = self.lengths(n)
        padded = rows.new_zeros(lengths[0], *rows.shape[1:])  # gloo needs equal lengths
        padded[: len(rows)] = rows
        pieces = [torch.empty_like(padded) for _ in lengths]
        self._call(dist.all_gather, pieces, padded)
        return torch.cat([piece[:length] for piece, length in zip(pieces, lengths)])

    def sum(self, x):
        """Return the sum of a tensor over the processes."""
        total = x.clone(memory_format=torch.contiguous_format)
        self._call(dist.all_reduce, total)
        return total

    def _call(self, collective, *args, **kwargs):
        try:
            collective(*args, group=self.group, **kwargs)
            return
        except RuntimeError as error:
            lost = LostContactError(str(error))
        raise lost  # here, where no traceback holds the group


class WholeBatch(TorchFunctionMode):
    """While it is active, functions of some rows do what they do to them in the whole batch.

    These are batch normalization, whose statistics are those of all rows, and dropout, also in
    attention, whose mask is drawn for all rows.

    Parameters
    ----------
    processes : Processes
    n : int
        Rows in the whole batch.
    streams : list of torch.Generator
        Nothing else may draw from them: each process would draw for its own rows.
    """

    def __init__(self, processes, n, streams):
        super().__init__()
        self.processes = processes
        self.n = n
        self.own = processes.own(n)
        self.streams = streams

    def __enter__(self):
        self.processes.whole_batch = self
        self._remember_streams()
        return super().__enter__()

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.processes.whole_batch = None
        if exception[0] is None:
            self._check_streams()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        own = {
            F.batch_norm: self.batch_norm,
            F.dropout: self.dropout,
            F.scaled_dot_product_attention: self.attention,
        }
        return own.get(function, function)(*args, **(kwargs or {}))

    def gather(self, rows):
        """Return the rows of the whole batch, without gradients."""
        return self.processes.gather(rows.detach(), self.n)

    def batch_norm(
        self,
        input,
        running_mean,
        running_var,
        weight=None,
        bias=None,
        training=False,
        momentum=0.1,
        eps=1e-5,
    ):
        """Do what torch's function of this name does to the whole batch."""
        if not training:
            return F.batch_norm(
                input, running_mean, running_var, weight, bias, training, momentum, eps
            )
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = [0, *range(2, x.ndim)]
        shape = (1, -1, *[1] * (x.ndim - 2))
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums = _Sum.apply(torch.cat([x.sum(axes), count]), self.processes)
        mean, n = sums[:-1] / sums[-1], sums[-1]
        centered = x - mean.view(shape)
        variance = _Sum.apply(centered.square().sum(axes), self.processes) / n
        if running_mean is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((variance * n / (n - 1)).to(running_var.dtype), momentum)
        x = centered * (variance + eps).rsqrt().view(shape)
        x = x if weight is None else x * weight.view(shape)
        x = x if bias is None else x + bias.view(shape)
        return x.to(input.dtype)

    def dropout(self, input, p=0.5, training=True, inplace=False):
        """Do what torch's function of this name does to these rows of the whole batch."""
        if not training or p == 0:
            return F.dropout(input, p, training, inplace)
        if len(input) != self.own.stop - self.own.start:
            raise ValueError(
                f"Dropout of a tensor of shape {tuple(input.shape)} cannot be shared by processes: "
                f"its first axis is not that of the {self.own.stop - self.own.start} rows."
            )
        self._check_streams()
        factors = F.dropout(input.new_ones(self.n, *input.shape[1:]), p)
        self._remember_streams()
        return input * factors[self.own]

    def attention(
        self, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **options
    ):
        """Do what torch's scaled_dot_product_attention does to these rows of the whole batch.

        With dropout, torch computes it in this way on the CPU; on a GPU, its fused kernels draw
        other masks.
        """
        if dropout_p == 0 or options.get("enable_gqa"):
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, **options
            )
        scores = query @ key.transpose(-2, -1) * (options.get("scale") or query.shape[-1] ** -0.5)
        if is_causal:
            attn_mask = torch.ones_like(scores[(0,) * (scores.ndim - 2)], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return self.dropout(scores.softmax(dim=-1), dropout_p) @ value

    def _remember_streams(self):
        self.states = [stream.get_state() for stream in self.streams]

    def _check_streams(self):
        if not all(map(torch.equal, self.states, (s.get_state() for s in self.streams))):
            raise ValueError(
                "A network draws random numbers for its rows. Processes can share that only if it "
                "calls dropout or scaled_dot_product_attention of torch.nn.functional, as "
                "torch.nn.Dropout does; each of them would draw other numbers than one process. "
                "Switch off what else drops or draws, such as stochastic depth, or fit in one "
                "process."
            )


# Functions of autograd --------------------------------------------------------------------------
# Inside of what is shared, gradients are those of the loss, times the number of processes.


class _Slice(torch.autograd.Function):
    """From all rows to those of this process."""

    @staticmethod
    def forward(ctx, whole, processes):
        ctx.processes, ctx.n = processes, len(whole)
        return whole[processes.own(len(whole))].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, d_rows):
        return ctx.processes.gather(d_rows, ctx.n) / ctx.processes.size, None


class _Gather(torch.autograd.Function):
    """From the rows of this process to all rows, of which all processes compute the same loss."""

    @staticmethod
    def forward(ctx, rows, processes, n):
        ctx.processes, ctx.n = processes, n
        return processes.gather(rows, n)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_whole):
        return d_whole[ctx.processes.own(ctx.n)] * ctx.processes.size, None, None


class _Sum(torch.autograd.Function):
    """The sum over the processes; each of them has a gradient of it, and these are added up."""

    @staticmethod
    def forward(ctx, x, processes):
        ctx.processes = processes
        return processes.sum(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_total):
        return ctx.processes.sum(d_total), None


def _packed(error):
    """Return an error as bytes; as a RuntimeError if it cannot be pickled."""
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
    except Exception:  # whatever a foreign error raises
        packed = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return packed
