"""Causal language model, GPT's (Radford et al., 2018 and 2019; the recipe is nanoGPT's).

::

    for each batch of token ids x_1 ... x_T:
        s_t = encoder(x_1 ... x_t)       # causal: nothing comes from the future
        logits_t = embeddings @ s_t      # the head is the embedding, tied
        loss = mean over t of cross_entropy(logits_t, x_t+1)
    embedding = mean of the states s_t, or the last one
"""

import math
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import check_random_state, check_scalar

from sklearn_ssl import defaults, tokenization
from sklearn_ssl.base.estimator import of_one_fit
from sklearn_ssl.base.language_model import BaseTextTransformer
from sklearn_ssl.data.text import check_texts
from sklearn_ssl.pretext import MAX_GRAD_NORM, PretextTask
from sklearn_ssl.training.inference import row_batches
from sklearn_ssl.training.runtime import torch_settings
from sklearn_ssl.vocabulary_loss import head_cross_entropy, linear_cross_entropy


class CausalLMTask(PretextTask):
    """Predict each token from those before it.

    A `pretrained_head` turns states into logits; without one, the embedding does.
    """

    max_grad_norm = MAX_GRAD_NORM

    def __init__(self, encoder, pretrained_head=None):
        super().__init__()
        self.encoder = encoder
        self.pretrained_head = pretrained_head

    def forward(self, ids, known=0):
        """Return the loss of a batch.

        Parameters
        ----------
        ids : torch.Tensor of shape (n, length) of int64
        known : int or torch.Tensor of shape (n, 1)
            Number of tokens of each row, after the first, that are read but not predicted.
        """
        place = torch.arange(ids.shape[1] - 1, device=ids.device)
        asked = (ids[:, 1:] >= 0) & (place >= known)
        return self.shared_mean(self._loss, ids, asked, count=_n_asked)

    def _loss(self, ids, asked):
        states, target = self.encoder.states(ids)[:, :-1], ids[:, 1:]
        if self.pretrained_head is not None:
            return head_cross_entropy(self.pretrained_head, states[asked], target[asked])
        return linear_cross_entropy(states[asked], self.encoder.embedding.weight, target[asked])

    def next_logits(self, ids, cache):
        """Return logits for the next token of rows without padding: ``(n, vocabulary_size)``."""
        states = self.encoder.states(ids, cache)[:, -1]
        if self.pretrained_head is not None:
            return self.pretrained_head(states)
        return states @ self.encoder.embedding.weight.T


def _n_asked(ids, asked):
    return asked.sum()


class CausalLMEmbedder(BaseTextTransformer):
    """Representations of texts from predicting the next token (GPT).

    A small transformer, in which each token sees only those before it, is trained to predict the
    next token [1]_. ``transform`` returns the mean of the states of a text's tokens;
    :meth:`generate` continues a text, and :meth:`perplexity` says how well the model knows what
    comes next.

    References
    ----------
    .. [1] A. Radford, J. Wu, R. Child, D. Luan, D. Amodei, I. Sutskever, "Language Models are
       Unsupervised Multitask Learners", 2019; A. Karpathy, https://github.com/karpathy/nanoGPT

    Examples
    --------
    >>> from sklearn_ssl import CausalLMEmbedder
    >>> texts = ["the cat sat on the mat", "the dog lay on the rug"] * 20
    >>> ssl = CausalLMEmbedder(max_epochs=20, batch_size=8, random_state=0).fit(texts)
    >>> ssl.transform(["the dog sat on the mat"]).shape
    (1, 128)
    >>> ssl.generate("the dog lay", temperature=0)
    'the dog lay on the rug'
    """

    _relative_cost = 1.3  # all tokens are predicted
    _causal = True

    def _make_task(self, spec):
        return CausalLMTask(*self._make_encoder_and_head(spec))

    @of_one_fit
    def score(self, X, y=None):
        """Return minus the mean loss in nats per token.

        Every token is predicted, and so is the end of every text, but not the beginning. A text
        longer than `max_length` is read in windows that overlap by half, so its tokens are
        predicted from at least half a window.

        Parameters
        ----------
        X : iterable of str
        y : ignored
            Present for API consistency.

        Returns
        -------
        score : float
            At most 0; ``-ln(vocabulary_size)`` is the score of a blind guess.
        """
        self._check_head("score")
        spec = self.input_spec_
        rows = spec.pieces(self, X, overlap=(spec.max_length - 2) // 2)
        n_asked = rows.lengths - 1 - rows.overlaps
        total = 0.0
        with torch_settings(), torch.inference_mode():
            task = self.task_.eval()
            in_order = np.argsort(rows.lengths, kind="stable")
            for batch in row_batches(in_order, self.batch_size_):
                ids = spec.to_tensor(rows[batch], self._task_device())
                known = torch.from_numpy(rows.overlaps[batch, None]).to(ids.device)
                total += task(ids, known).item() * n_asked[batch].sum()
        return -total / n_asked.sum()

    def perplexity(self, X):
        """Return the exponential of the mean loss: the number of tokens among which the model
        hesitates.

        Parameters
        ----------
        X : iterable of str

        Returns
        -------
        perplexity : float
            At least 1. It depends on the tokenizer: only compare models with the same tokenizer.
        """
        return math.exp(-self.score(X))

    @of_one_fit
    def generate(self, prompts, max_new_tokens=50, temperature=1.0, top_k=None, random_state=None):
        """Continue texts, token by token, until they end.

        Parameters
        ----------
        prompts : str or iterable of str
            Beginnings of texts; an empty one begins a new text.
        max_new_tokens : int, default=50
        temperature : float, default=1.0
            Divides the logits before a token is drawn: below 1, likely tokens become more likely,
            and 0 always takes the most likely.
        top_k : int, default=None
            Draw only from this many of the most likely tokens.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        texts : str or list of str
            The prompts and their continuations. Spaces at the end of a prompt are left out if
            tokens of words include the space before them.
        """
        self._check_head("generate")
        check_scalar(max_new_tokens, "max_new_tokens", Integral, min_val=1, max_val=defaults.MOST)
        check_scalar(temperature, "temperature", Real, min_val=0)
        if not math.isfinite(temperature):
            raise ValueError(f"temperature must be a finite number, got {temperature}.")
        if top_k is not None:
            check_scalar(top_k, "top_k", Integral, min_val=1)
            top_k = min(top_k, self.input_spec_.vocabulary_size)
        single = isinstance(prompts, str)
        texts = check_texts([prompts] if single else prompts, type(self).__name__)
        json, begin = self.input_spec_.tokenizer, self.input_spec_.begin
        if tokenization.joins_spaces(json):
            texts = [text.rstrip(" ") for text in texts]
        ids, starts = tokenization.encode(json, texts)
        beginnings = [[begin, *ids[i:j].tolist()] for i, j in pairwise(starts)]
        uniform = check_random_state(random_state).random_sample((len(texts), max_new_tokens))
        lengths = np.array([len(beginning) for beginning in beginnings])
        with torch_settings(), torch.inference_mode():
            for length in np.unique(lengths):  # prompts of equal length are continued together
                alike = np.flatnonzero(lengths == length)
                known = torch.tensor([beginnings[i] for i in alike], device=self._task_device())
                new = self._continue(known, uniform[alike], temperature, top_k)
                for i, ids in zip(alike, new):
                    continuation = tokenization.decode(json, ids, behind=beginnings[i])
                    texts[i] = texts[i] + continuation if texts[i] else continuation.lstrip(" ")
        return texts[0] if single else texts

    def _continue(self, ids, uniform, temperature, top_k):
        """Return the new tokens of rows of ids, as lists without the token for the end."""
        task, spec = self.task_.eval(), self.input_spec_
        n_known, longest = ids.shape[1], spec.max_length
        cache, unread = task.encoder.new_cache(), ids[:, -longest:]
        for u in torch.from_numpy(uniform).to(ids.device).T:
            if cache.length == longest:  # it is full: the older half is forgotten
                cache, unread = task.encoder.new_cache(), ids[:, -(longest // 2) :]
            logits = task.next_logits(unread, cache)
            logits[:, [token for token in spec.special if token != spec.end]] = -torch.inf
            logits[:, spec.vocabulary_size :] = -torch.inf  # a pretrained model may have more rows
            unread = draw(logits, temperature, top_k, u)
            ids = torch.cat([ids, unread], dim=1)
            if (ids[:, n_known:] == spec.end).any(dim=1).all():
                break
        new = ids[:, n_known:].tolist()
        return [row[: row.index(spec.end)] if spec.end in row else row for row in new]


def draw(logits, temperature, top_k, u):
    """Draw a token for each row.

    Parameters
    ----------
    logits : torch.Tensor of shape (n, vocabulary_size)
    temperature : float
    top_k : int or None
    u : torch.Tensor of shape (n,) of float64
        Uniform random numbers in [0, 1), one for each draw.

    Returns
    -------
    tokens : torch.Tensor of shape (n, 1)
    """
    if temperature == 0:
        return logits.argmax(dim=1, keepdim=True)
    likeliest, tokens = logits.double().sort(dim=1, descending=True, stable=True)
    likeliest, tokens = likeliest[:, :top_k], tokens[:, :top_k]
    cumulated = (likeliest / temperature).softmax(dim=1).cumsum(dim=1)
    # The first token at which the cumulative probability exceeds the uniform number.
    place = (cumulated <= u[:, None] * cumulated[:, -1:]).sum(dim=1, keepdim=True)
    return tokens.gather(1, place)
