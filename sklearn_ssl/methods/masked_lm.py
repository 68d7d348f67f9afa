"""Masked language model, BERT's (Devlin et al., 2018, https://arxiv.org/abs/1810.04805).

::

    for each batch of token ids x:
        chosen = 40 % of the tokens of each text    # 15 % in BERT
        corrupted = x, with 80 % of the chosen [MASK], 10 % random, 10 % unchanged
        s = encoder(corrupted)                      # states, each sees the whole text
        logits = head(s[chosen]) @ embeddings.T + b # the decoder is the embedding, tied; b starts
                                                    # at the logarithm of the tokens' frequencies
        loss = cross_entropy(logits, x[chosen])
    embedding = mean of the states of x

The embeddings start from the vectors that Sent2Vec learns from the same texts.
"""

from numbers import Integral, Real

import torch
from sklearn.utils import check_scalar
from torch import nn

from sklearn_ssl import tokenization
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.estimator import of_one_fit
from sklearn_ssl.base.language_model import BaseTextTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.base.word_vectors import train_word_vectors
from sklearn_ssl.data.text import check_texts
from sklearn_ssl.masking import corrupt_tokens
from sklearn_ssl.pretext import MAX_GRAD_NORM, PretextTask
from sklearn_ssl.training.runtime import resolve_precision, torch_settings
from sklearn_ssl.vocabulary_loss import head_cross_entropy, linear_cross_entropy

RAREST = 1e-6  # frequency of tokens that the training texts do not have, in the first guess


class MaskedLMTask(PretextTask):
    """Predict hidden tokens from the tokens around them.

    A `pretrained_head` turns states into logits; without one, the task has its own head, whose
    first guess is the `frequency` of each token: ``(vocabulary_size,)``. `words` are the options of
    :func:`~sklearn_ssl.masking.corrupt_tokens`.
    """

    max_grad_norm = MAX_GRAD_NORM

    def __init__(self, encoder, mask_ratio, frequency, *, pretrained_head=None, **words):
        super().__init__()
        self.encoder = encoder
        self.mask_ratio = mask_ratio
        self.words = words
        self.pretrained_head = pretrained_head
        if pretrained_head is None:
            width = encoder.output_dim
            self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
            # From zeros, the first hundreds of steps learn little but these frequencies.
            self.bias = nn.Parameter(frequency.clamp(min=RAREST).log())

    def forward(self, ids):
        corrupted, chosen = corrupt_tokens(ids, self.mask_ratio, self.generator, **self.words)
        return self.shared_mean(self._loss, corrupted, chosen, ids, count=_n_chosen)

    def _loss(self, corrupted, chosen, ids):
        states, target = self.encoder.states(corrupted)[chosen], ids[chosen]  # [n_chosen, width]
        if self.pretrained_head is not None:
            return head_cross_entropy(self.pretrained_head, states, target)
        weight = self.encoder.embedding.weight
        return linear_cross_entropy(self.head(states), weight, target, self.bias)

    @torch.no_grad()
    def start_from(self, vectors, others):
        """Start from vectors of tokens, centered and on average as long as the random ones.

        Parameters
        ----------
        vectors : torch.Tensor of shape (vocabulary_size, width)
        others : sequence of int
            Ids of tokens that keep their random vectors.
        """
        weight, others = self.encoder.embedding.weight, list(others)
        vectors = vectors - vectors.mean(dim=0)
        vectors *= weight.std() / vectors.std()
        vectors[others] = weight[others]
        weight.copy_(vectors)

    def logits(self, ids, chosen):
        """Return logits for the chosen tokens: ``(n_chosen, vocabulary_size)``."""
        states = self.encoder.states(ids)[chosen]
        if self.pretrained_head is not None:
            return self.pretrained_head(states)
        return self.head(states) @ self.encoder.embedding.weight.T + self.bias


def _n_chosen(corrupted, chosen, ids):
    return chosen.sum()


class MaskedLMEmbedder(BaseTextTransformer):
    """Representations of texts from predicting masked tokens (BERT).

    A small transformer is trained to fill in masked tokens of a text, from the tokens before and
    after them [1]_. Its embeddings start from the vectors that
    :class:`~sklearn_ssl.Sent2VecTransformer` learns from the same tokens, which takes a small part
    of the time and saves more; with ``max_epochs=0`` they stay random. ``transform`` returns the
    mean of the states of a text's tokens, and :meth:`fill_mask` says what fits in a gap.

    Parameters
    ----------
    mask_ratio : float, default=0.4
        Fraction of the tokens to predict, rounded, at least one in each piece of text. Of these, 80
        % are masked, 10 % replaced with a random token and 10 % left unchanged. BERT's 0.15 learns
        less from the same number of tokens; 0.4 is also what [2]_ found for large models.
    dropout : float, default=0.0
        Fraction of the states that a training step drops. BERT's 0.1 takes time, and was only
        measured together with a `mask_ratio` of 0.15: the two learned less in minutes.
    lr : float, default=None
        Peak learning rate. None means 4e-3, or 5e-5 for a pretrained model. At 2e-3 more is learned
        in one to three minutes, and less in ten; at 8e-3 the loss can stay at that of guessing by
        frequency.
    validation_fraction : float, default=0.1
        Fraction of the pieces of text held out for early stopping, which are masked in the same way
        in every epoch.

    Notes
    -----
    On its own, such a model, trained for minutes on thousands of texts, may not beat word counts;
    together with word counts it may add a little. See the user guide for measurements.

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT: Pre-training of Deep Bidirectional
       Transformers for Language Understanding", NAACL 2019, https://arxiv.org/abs/1810.04805
    .. [2] A. Wettig, T. Gao, Z. Zhong, D. Chen, "Should You Mask 15% in Masked Language Modeling?",
       EACL 2023, https://arxiv.org/abs/2202.08005

    Examples
    --------
    >>> from sklearn_ssl import MaskedLMEmbedder
    >>> texts = ["the cat sat on the mat", "the dog lay on the rug"] * 20
    >>> ssl = MaskedLMEmbedder(max_epochs=100, batch_size=8, random_state=0).fit(texts)
    >>> ssl.transform(["the dog sat on the mat"]).shape
    (1, 128)
    >>> ssl.fill_mask("the cat sat on the [MASK]", top_k=1)[0][0]
    'mat'
    """

    mask_ratio: float = param(0.4, Interval(Real, 0, 1, closed="right"))
    dropout: float = param(0.0, Interval(Real, 0, 1, closed="left"))

    def _make_task(self, spec):
        if spec.mask is None:
            raise ValueError(
                "The tokenizer of the pretrained model has no mask token. Set it "
                "(tokenizer.mask_token = '[MASK]', tokenizer.save_pretrained(folder)), or use "
                "SimCSETransformer, which does not need one."
            )
        encoder, head = self._make_encoder_and_head(spec)
        return MaskedLMTask(
            encoder,
            self.mask_ratio,
            spec.frequency(),
            pretrained_head=head,
            mask=spec.mask,
            special=spec.special,
            vocabulary_size=spec.vocabulary_size,
        )

    def _first_task(self, spec, rows, seed, device):
        task = super()._first_task(spec, rows, seed, device)
        if spec.pretrained is None and self.max_epochs != 0:
            precision = resolve_precision(self.precision, device)
            vectors = train_word_vectors(
                rows, spec, self.width, seed=seed, device=device, autocast_dtype=precision
            )
            task.start_from(vectors.cpu(), spec.meaningless)
        return task

    def _rows_to_score(self, X):
        self._check_head("score")
        return super()._rows_to_score(X)

    @of_one_fit
    def fill_mask(self, texts, top_k=5):
        """Return the tokens that fit best in the gap of a text.

        Parameters
        ----------
        texts : str or iterable of str
            Texts with one "[MASK]" each. Tokens further away from it than `max_length` allows are
            ignored.
        top_k : int, default=5
            Number of tokens to return.

        Returns
        -------
        fillings : list of tuple of (str, float), or a list of such lists
            Tokens as text and their probabilities, the best first, without the space before a word.
            ``##`` marks a token that continues a word if another token is a word with the same
            letters. If several texts are given, a list for each.

        Raises
        ------
        ValueError
            If a text does not have exactly one "[MASK]".
        """
        self._check_head("fill_mask")
        top_k = int(check_scalar(top_k, "top_k", Integral, min_val=1))
        single = isinstance(texts, str)
        texts = check_texts([texts] if single else texts, type(self).__name__)
        fillings = [self._fill(text, i, top_k) for i, text in enumerate(texts)]
        return fillings[0] if single else fillings

    @torch_settings()
    def _fill(self, text, i, top_k):
        spec = self.input_spec_
        parts = text.split(tokenization.MASK[0])
        if len(parts) != 2:
            raise ValueError(
                f"fill_mask takes texts with one [MASK]; text {i} has {len(parts) - 1}: {text!r}."
            )
        before, after = parts
        if tokenization.joins_spaces(spec.tokenizer):
            before = before.removesuffix(" ")  # tokens of words include it
        room = (spec.max_length - 3) // 2
        before = tokenization.encode(spec.tokenizer, [before])[0].tolist()
        before = before[max(len(before) - room, 0) :]
        after = tokenization.encode_behind(spec.tokenizer, after)[:room]
        ids = [spec.begin, *before, spec.mask, *after, spec.end]
        ids = torch.tensor([ids], device=self._task_device())
        with torch.inference_mode():
            logits = self.task_.eval().logits(ids, ids == spec.mask)[0]
            logits[list(spec.special)] = -torch.inf
            logits = logits[: spec.vocabulary_size]  # a pretrained model may have more rows
            probabilities, best = logits.softmax(0).topk(min(top_k, len(logits)))
        words = [tokenization.piece(spec.tokenizer, token) for token in best.tolist()]
        return list(zip(words, probabilities.tolist()))
