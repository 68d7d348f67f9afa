"""Vectors of words that predict hidden words: Sent2Vec, and what masked language models start from.

The method is described in :mod:`sklearn_ssl.methods.sent2vec`.
"""

import torch
from torch import nn

from sklearn_ssl import defaults
from sklearn_ssl.encoders.bag import BagEncoder
from sklearn_ssl.masking import mask_types
from sklearn_ssl.optim import adamw
from sklearn_ssl.pretext import PretextTask
from sklearn_ssl.training.loop import TrainingPlan, train
from sklearn_ssl.vocabulary_loss import linear_cross_entropy

MASK_RATIO = 0.5
SUBSAMPLING = 1e-4
LR = 2e-2
TOKENS_TO_SEE, MOST_EPOCHS = 20_000_000, 30


class Sent2VecTask(PretextTask):
    """Predict the hidden words of a text from the mean of the others."""

    def __init__(self, encoder, frequency, *, mask_ratio, subsampling):
        super().__init__()
        self.encoder = encoder
        self.mask_ratio = mask_ratio
        frequency = frequency.clamp(min=1e-12)
        self.head = nn.Linear(encoder.output_dim, len(frequency))
        nn.init.zeros_(self.head.weight)
        self.head.bias.data = frequency.log()  # a blind guess is the best start
        self.register_buffer("importance", (subsampling / frequency).sqrt().clamp(max=1))

    def forward(self, ids):
        if self.training and len(ids) > 1:
            with torch.no_grad():
                self.shared(self.encoder, ids)  # updates the center and the scale of the means
        ids, hidden, answers = mask_types(self.encoder.known(ids), self.mask_ratio, self.generator)
        return self.shared_mean(self._loss, ids, hidden, answers)

    def _loss(self, ids, hidden, answers):
        h = self.encoder.bag(ids, (ids >= 0) & ~hidden)  # [n, width]
        ids = ids.clamp(min=0)
        share = self.importance[ids] * answers  # [n, length]
        share = share / share.sum(dim=1, keepdim=True).clamp(min=1e-12)
        return linear_cross_entropy(h, self.head.weight, ids, self.head.bias, share)


def sent2vec_task(spec, width, *, mask_ratio=MASK_RATIO, subsampling=SUBSAMPLING):
    """Return an untrained task for texts described by a TextSpec, with vectors of this width."""
    frequency = spec.frequency()
    encoder = BagEncoder(spec.vocabulary_size, width, ignored=spec.meaningless, frequency=frequency)
    return Sent2VecTask(encoder, frequency, mask_ratio=mask_ratio, subsampling=subsampling)


def default_epochs(n_tokens):
    """Return how often texts are read: 20,000,000 tokens in all, but each 1 to 30 times."""
    return int(min(max(TOKENS_TO_SEE / n_tokens, 1), MOST_EPOCHS))


def train_word_vectors(rows, spec, width, *, seed, device, autocast_dtype):
    """Return the vectors of all tokens that Sent2Vec learns from rows at its defaults.

    Parameters
    ----------
    rows : TokenRows
    spec : TextSpec
    width : int
    seed : int
    device : torch.device
    autocast_dtype : torch.dtype or None

    Returns
    -------
    vectors : torch.Tensor of shape (vocabulary_size, width)
    """
    task = sent2vec_task(spec, width).to(device)
    n_epochs = default_epochs(len(rows) * spec.n_tokens / spec.n_samples)
    plan = TrainingPlan(
        seed=seed,
        n_epochs=n_epochs,
        planned_epochs=n_epochs,
        batch_size=defaults.batch_size(len(rows)),
        optimizer=adamw,
        lr=LR,
        weight_decay=0.0,
        autocast_dtype=autocast_dtype,
    )
    train(task, rows, plan, spec=spec, device=device)
    return task.encoder.embedding.weight.detach()
