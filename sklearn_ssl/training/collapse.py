"""Collapse: embeddings that no longer tell rows apart, and how a fit notices.

A pretext loss can fall because the networks learn, or because they give the same answer for all
rows. The spread of the embeddings that the loss compares tells which.
"""

import warnings
from contextlib import contextmanager

import torch
from skorch.callbacks import Callback
from torch.nn import functional as F

# Below this, embeddings count as equal; healthy fits have 0.7 or more, with VICReg 0.3.
SMALLEST_STD = 0.1
# Before this step, embeddings still depend mostly on the initial weights.
FEWEST_STEPS = 100


class CollapseWarning(UserWarning):
    """Embeddings have become nearly the same for all rows, or vary along very few directions."""

    __module__ = "sklearn_ssl.collapse"  # where users find it


@torch.no_grad()
def embedding_spread(z, lengths_count=False):
    """Measure how far apart embeddings are.

    Parameters
    ----------
    z : torch.Tensor of shape (n, d)
    lengths_count : bool, default=False
        Most losses only use directions, so embeddings are first normalized to length 1. If a loss
        aims for components with standard deviation 1, its embeddings are used as they are: when
        they collapse, they shrink to 0 in all directions.

    Returns
    -------
    std : float
        Standard deviation of the embeddings per dimension (root mean square over the dimensions).
        For normalized embeddings it is multiplied by the root of d, so it ranges from 0, if all are
        equal, to 1, if their mean is 0.
    effective_rank : float
        Number of directions in which they vary: ``sum(v) ** 2 / sum(v ** 2)``, with the variances v
        along the principal axes. Between 1 and d; 1 if they do not vary. It is the participation
        ratio, which needs no singular values.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.collapse import embedding_spread
    >>> embedding_spread(torch.eye(3).repeat(2, 1))  # an equilateral triangle, about its middle
    (0.81..., 2.0...)
    """
    n, d = z.shape
    z = z.float() if lengths_count else F.normalize(z.float(), dim=1) * d**0.5
    z = z - z.mean(dim=0)
    gram = z @ z.T if n < d else z.T @ z  # same eigenvalues; the smaller one
    total, squares = gram.trace(), gram.square().sum()
    std = (total / (n * d)).sqrt()
    rank = total.square() / squares if squares > 0 else torch.ones(())
    return std.item(), rank.item()


def symptom(std, effective_rank, fewest_directions):
    """Describe what is wrong with a spread; None if it is healthy.

    Parameters
    ----------
    std, effective_rank : float
        As returned by :func:`embedding_spread`.
    fewest_directions : float
        Effective rank of the poorest embeddings that do not count as collapsed. It depends on the
        method: negatives push embeddings apart in all directions, but those of a healthy DINO may
        lie near a plane.
    """
    if std < SMALLEST_STD:
        return (
            f"are nearly the same for all rows (their standard deviation is {std:.2g}, about 1 if "
            "they are well spread)"
        )
    if effective_rank < fewest_directions:
        return f"vary along very few directions (effective rank {effective_rank:.2g})"
    return None


@contextmanager
def watched_embeddings(task, seen):
    """Keep in `seen` the latest embeddings of a task in training.

    They are the outputs of its ``projection_head``, which is what joint-embedding losses compare
    and what collapses first, or of its encoder if it has no such head.

    Parameters
    ----------
    task : PretextTask
    seen : list
        Its one element is replaced at each training step.
    """

    def keep(module, inputs, output):
        if task.training:
            shared = task.processes and task.processes.whole_batch
            seen[:] = [shared.gather(output) if shared else output.detach()]

    handle = getattr(task, "projection_head", task.encoder).register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


class CollapseWatch(Callback):
    """Record the spread of the last embeddings of each epoch, and warn of a collapse once.

    It warns in the second half of the training, when the weights have had time to change.

    Parameters
    ----------
    name : str
        Name of the estimator, for the warning.
    remedies : dict of str to (str, float)
        Parameters that protect the method from collapse, the most likely one first: for each,
        "larger" or "smaller", and its value.
    fewest_directions : float
        As in :func:`symptom`.
    lengths_count : bool
        As in :func:`embedding_spread`.

    Attributes
    ----------
    seen : list of torch.Tensor
        Holds the last embeddings, see :func:`watched_embeddings`.
    """

    def __init__(self, name, remedies, fewest_directions, lengths_count):
        self.name = name
        self.remedies = remedies
        self.fewest_directions = fewest_directions
        self.lengths_count = lengths_count
        self.seen = []
        self.warned = False

    def on_epoch_end(self, net, **kwargs):
        if not self.seen:  # a task that calls its encoder in another way
            return
        spread = embedding_spread(self.seen[0], self.lengths_count)
        for name, value in zip(("embedding_std", "effective_rank"), spread):
            net.history.record(name, value)
        fewest_directions = min(
            self.fewest_directions, len(self.seen[0]) / 4
        )  # few rows, few directions
        late = net.n_steps_done >= FEWEST_STEPS and net.progress >= 0.5
        if late and not self.warned and (what := symptom(*spread, fewest_directions)):
            self.warned = True
            warnings.warn(self._advice(what), CollapseWarning, stacklevel=2)

    def state_dict(self):
        return {"warned": self.warned}

    def load_state_dict(self, state):
        self.warned = state["warned"]

    def _advice(self, what):
        remedies = ", ".join(
            f"a {change} {name} (it is {value:g})"
            for name, (change, value) in self.remedies.items()
        )
        return (
            f"{self.name} has collapsed: the embeddings that its loss compares {what}. A falling "
            f"loss means nothing then. Try {remedies}, or an augmentation that changes less. The "
            "spread of each epoch is in history_."
        )
