"""TSDAE: write a text again from its representation (Wang et al., 2021).

https://arxiv.org/abs/2104.06979

::

    for each batch of token ids x_1 ... x_T:
        h = encoder(x without 60 % of its tokens)  # one vector for the whole text
        s_t = decoder(x_1 ... x_t, h)              # causal, and of the text it is given h alone
        logits_t = embeddings @ s_t                # the encoder's, tied; of tokens in the texts
        loss = mean over t of cross_entropy(logits_t, x_t+1)
    embedding = encoder(x)
"""

import math
from numbers import Integral, Real

import torch
from torch import nn

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.language_model import BaseTextTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.encoders.text import TextBlock, initialize, rotary_turns
from sklearn_ssl.masking import delete_tokens
from sklearn_ssl.pretext import MAX_GRAD_NORM, PretextTask
from sklearn_ssl.vocabulary_loss import linear_cross_entropy

MOST_HEADS = 8  # of a block of the decoder
LR_SCALE = 20.0  # of a new decoder behind a pretrained encoder


class TSDAETask(PretextTask):
    """Write the tokens of a text, given a representation of some of them."""

    max_grad_norm = MAX_GRAD_NORM

    def __init__(self, encoder, decoder, deletion, *, marks, known):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.deletion = deletion
        self.marks = marks  # ids of the beginning and the end, which stay
        place = torch.full((len(encoder.embedding.weight) + 1,), -1)
        place[known] = torch.arange(len(known))
        self.register_buffer("known", known)
        self.register_buffer("place", place)  # of a token among the known ones; the last is padding

    def forward(self, ids):
        return self.shared_mean(self._loss, self.shortened(ids), ids, count=self._count)

    def _count(self, shortened, ids):
        """Return how many tokens the loss is a mean of."""
        return (self.place[ids[:, 1:]] >= 0).sum()

    def _loss(self, shortened, ids):
        h = self.encoder(shortened)  # [n, output_dim]
        read, target = ids[:, :-1], self.place[ids[:, 1:]]
        asked = target >= 0
        embedding = self.encoder.embedding
        states = self.decoder(embedding(read.clamp(min=0)), h)  # [n, length - 1, width]
        return linear_cross_entropy(states[asked], embedding.weight[self.known], target[asked])

    def shortened(self, ids):
        """Return rows without most of their tokens."""
        deletable = ids >= 0
        for mark in self.marks:
            deletable &= ids != mark
        ids = delete_tokens(ids, deletable, self.deletion, self.generator)
        return ids[:, (ids >= 0).any(dim=0)]


class TextDecoder(nn.Module):
    """Causal transformer that is told by one vector what to write.

    TSDAE's decoder attends to the vector. Attention to a single key always has the weight 1, so it
    is a linear map of the vector, added to all states; here each block begins with it.

    Parameters
    ----------
    width : int
        Width of the states, an even number: that of the embedded tokens.
    vector_width : int
    max_length : int
        Maximum number of tokens in a row.
    depth : int
        Number of blocks.
    """

    def __init__(self, width, vector_width, max_length, depth):
        super().__init__()
        n_heads = math.gcd(width // 2, MOST_HEADS)  # rotary positions turn pairs
        self.register_buffer("turns", rotary_turns(max_length, width // n_heads), persistent=False)
        self.from_vector = nn.ModuleList(nn.Linear(vector_width, width) for _ in range(depth))
        self.blocks = nn.ModuleList(
            TextBlock(width, n_heads, causal=True, norm_first=True, dropout=0.0)
            for _ in range(depth)
        )
        self.last_norm = nn.LayerNorm(width)
        initialize(self)

    def forward(self, x, h):
        """Return the states of tokens, ``(n, length, width)``.

        Parameters
        ----------
        x : torch.Tensor of shape (n, length, width)
            The embedded tokens.
        h : torch.Tensor of shape (n, vector_width)
            What to write.
        """
        turns = self.turns[: x.shape[1]].to(x.dtype)
        for block, from_vector in zip(self.blocks, self.from_vector):
            x = block(x + from_vector(h)[:, None], turns, None, None)
        return self.last_norm(x)


class TSDAETransformer(BaseTextTransformer):
    """Representations of texts from which the texts can be written again (TSDAE).

    A transformer reads a text without most of its tokens, and from its representation alone a small
    decoder must write the whole text, token by token [1]_. ``transform`` returns the representation
    of the whole text. It is made to adapt a pretrained model of sentences to your texts, and a fit
    without `pretrained` warns.

    Parameters
    ----------
    deletion : float, default=0.6
        Probability with which a token is left out of what the encoder reads; at least one stays.
        The default is the paper's.
    decoder_depth : int, default=1
        Blocks of the decoder, which is as wide as the embedding of tokens.
    batch_size : int, default=None
        Largest number of pieces of text in a step. None means as many as have about 512 tokens,
        from 8 to 256. Larger steps are fewer, and adapted a model less in the same time.

    Notes
    -----
    The decoder begins with random weights. After a pretrained encoder it learns with 20 times its
    learning rate, because at the same rate it would be of use only when the encoder has forgotten
    what it knew. In the paper, the decoder is as deep as the encoder and begins with its weights.

    The decoder chooses among the tokens that occur in the texts of ``fit``. A pretrained model has
    many more, which would take most of the time and be changed without being learned.

    ``score`` is minus the mean loss in nats per token, with the same tokens left out at every call.

    References
    ----------
    .. [1] K. Wang, N. Reimers, I. Gurevych, "TSDAE: Using Transformer-based Sequential Denoising
       Auto-Encoder for Unsupervised Sentence Embedding Learning", Findings of EMNLP 2021,
       https://arxiv.org/abs/2104.06979

    Examples
    --------
    >>> from sklearn_ssl import TSDAETransformer
    >>> texts = ["the cat sat on the mat", "the dog lay on the rug", "it rains", "cats and dogs"]
    >>> ssl = TSDAETransformer(max_epochs=5, random_state=0).fit(texts)
    >>> ssl.transform(texts).shape
    (4, 128)
    """

    deletion: float = param(0.6, Interval(Real, 0, 1, closed="left"))
    decoder_depth: int = param(1, Interval(Integral, 1, defaults.DEEPEST, closed="both"))

    _from_random_weights = "it learns far less than a bag of words in the same time"
    _tokens_in_a_step = 512
    _relative_cost = 1.5  # the decoder reads whole texts, the encoder less than half

    def _make_task(self, spec):
        encoder = self._make_encoder(spec)
        decoder = TextDecoder(
            encoder.embedding.weight.shape[1],
            encoder.output_dim,
            spec.max_length,
            self.decoder_depth,
        )
        if spec.pretrained is not None:
            decoder.lr_scale = LR_SCALE
        occurs = torch.from_numpy(spec.token_counts > 0)
        occurs[spec.end] = True
        marks = spec.begin, spec.end
        return TSDAETask(encoder, decoder, self.deletion, marks=marks, known=occurs.nonzero()[:, 0])
