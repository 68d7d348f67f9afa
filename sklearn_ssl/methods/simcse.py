"""SimCSE, unsupervised (Gao et al., 2021, https://arxiv.org/abs/2104.08821).

::

    for each batch of texts x:
        h_a, h_b = encoder(x), encoder(x)  # the same texts; dropout drops different states
        z_a, z_b = head(h_a), head(h_b)    # in training only
        loss = info_nce(z_a, z_b)          # find the other pass of a text among n
"""

from contextlib import contextmanager
from numbers import Real

import torch
from torch import nn

from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.language_model import BaseTextTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.losses import info_nce
from sklearn_ssl.pretext import MAX_GRAD_NORM, PretextTask


class SimCSETask(PretextTask):
    """Recognize a text after a second pass with different dropout."""

    max_grad_norm = MAX_GRAD_NORM

    def __init__(self, encoder, temperature):
        super().__init__()
        self.encoder = encoder
        self.temperature = temperature
        width = encoder.output_dim
        self.projection_head = nn.Sequential(nn.Linear(width, width), nn.Tanh())

    def forward(self, ids):
        with dropping(
            self.encoder
        ):  # also for held-out rows: without dropout, both passes are equal
            h = self.shared(self.encoder, torch.cat([ids, ids]))
            z = self.projection_head(h)  # [2n, width]
        return info_nce(*z.chunk(2), self.temperature)


@contextmanager
def dropping(module):
    """Switch on the dropout layers of a module, whatever mode it is in."""
    at_rest = [m for m in module.modules() if isinstance(m, nn.Dropout) and not m.training]
    for layer in at_rest:
        layer.train()
    try:
        yield
    finally:
        for layer in at_rest:
            layer.eval()


class SimCSETransformer(BaseTextTransformer):
    """Contrastive representations of texts from two passes with dropout (SimCSE).

    The same text goes through a transformer twice. Dropout makes the passes differ, and with a
    contrastive loss the network learns to find each text's other pass in the batch [1]_.
    ``transform`` returns the pooled states, before the projection head.

    Parameters
    ----------
    temperature : float, default=0.05
        Divisor of the cosine similarities in the loss.
    dropout : float, default=0.1
        The only difference between the two passes; must be above 0.

    Notes
    -----
    In the paper, the transformer is a pretrained BERT, which is refined on a million sentences.
    From random weights it only learns which texts share words, and a fit without `pretrained` warns
    of it. :class:`~sklearn_ssl.Sent2VecTransformer` learns from texts alone; so does
    :class:`~sklearn_ssl.SimCLRTransformer`, which compares crops of texts.

    References
    ----------
    .. [1] T. Gao, X. Yao, D. Chen, "SimCSE: Simple Contrastive Learning of Sentence Embeddings",
       EMNLP 2021, https://arxiv.org/abs/2104.08821

    Examples
    --------
    >>> from sklearn_ssl import SimCSETransformer
    >>> texts = ["the cat sat on the mat", "the dog lay on the rug", "it rains", "cats and dogs"]
    >>> ssl = SimCSETransformer(max_epochs=5, random_state=0).fit(texts)
    >>> ssl.transform(texts).shape
    (4, 128)
    """

    temperature: float = param(0.05, Interval(Real, 0, None, closed="neither"))
    dropout: float = param(0.1, Interval(Real, 0, 1, closed="neither"))

    _relative_cost = 2.0  # two passes
    _from_random_weights = "it hardly learns more than guessing"
    _fewest_to_score = 2  # it compares texts with each other
    _collapse_remedies = {"temperature": "smaller", "lr": "smaller"}
    _fewest_directions = 2.5  # negatives push embeddings apart in all directions

    def _make_task(self, spec):
        return SimCSETask(self._make_encoder(spec), self.temperature)
