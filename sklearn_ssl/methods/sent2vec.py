"""Sent2Vec: hidden words from the mean of the others (Pagliardini et al., 2018).

https://arxiv.org/abs/1703.02507

::

    for each batch of token ids x:
        hidden = half of the different tokens of each text, everywhere they occur
        h = sum of weight[i] * vector[i] over the other tokens i / sum of weight[i]
        logits = head(h)                            # over the vocabulary
        q_t = min(1, sqrt(t / frequency_t)) for each hidden token, made to sum to 1 over a text
        loss = - sum over hidden tokens of q_t * log_softmax(logits)_t
    embedding = the mean over all tokens, h, centered and scaled; directions in which texts differ
        much are stretched
"""

from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from sklearn_ssl import defaults, tokenization
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.parameters import param
from sklearn_ssl.base.text import LONGEST, BaseTextPretrainer
from sklearn_ssl.base.word_vectors import (
    LR,
    MASK_RATIO,
    SUBSAMPLING,
    default_epochs,
    sent2vec_task,
)
from sklearn_ssl.optim import adamw
from sklearn_ssl.training.runtime import torch_settings

N_MEASURED = 10_000  # rows whose directions are measured


class Sent2VecTransformer(BaseTextPretrainer):
    """Representations of texts from predicting hidden words with the mean of the others (Sent2Vec).

    Each word of the vocabulary has a vector, and a weight that is smaller for frequent words. Half
    of the different words of a text are hidden, and the weighted mean of the vectors of the others
    has to predict them [1]_. ``transform`` returns the weighted mean over all words of a text.
    There is no transformer, and the order of words is ignored: it learns from millions of words in
    a minute.

    Parameters
    ----------
    tokenizer : None, "word", "char", "byte", path or tokenizers.Tokenizer, default="word"
        How texts become tokens. "word" uses the most frequent words, numbers and punctuation marks;
        other words are unknown and ignored, and Chinese and Japanese characters are words of their
        own. None trains a byte-level BPE, for languages that write without spaces or join words.
        "char" and "byte" use single characters or bytes, of which a bag says little; a path points
        to a ``tokenizer.json``, or to a folder that contains one.
    lowercase : bool, default=True
        Whether a tokenizer that is found in the texts reads them in lower case.
    max_length : int, default=512
        Maximum number of tokens whose mean is used at once, two of them for the beginning and the
        end. Longer texts are cut: in ``fit`` each piece is a row of its own, and ``transform``
        averages the representations of a text's pieces, weighted by their lengths.
    width : int, default=128
        Width of the vectors, and of the representation.
    mask_ratio : float, default=0.5
        Probability with which a word is hidden, in all places of a text; one word always remains.
    subsampling : float, default=1e-4
        Words that are more frequent than this share of all words count less as hidden words: a word
        with the share f counts ``sqrt(subsampling / f)``. word2vec leaves words out with this
        probability [2]_. Without it, representations follow grammar more than meaning.
    max_epochs : int, default=None
        Number of passes over the texts. With None, the network reads about 20,000,000 tokens, but
        every text 1 to 30 times. With 0 nothing is trained.
    optimizer : callable, default=adamw
        A torch optimizer class, or a callable with the same arguments; AdamW with GPT's betas, 0.9
        and 0.95. With a longer memory of squared gradients, 0.999, vectors learn too slowly.
    lr : float, default=2e-2
        Peak learning rate: ten times that of a network, because most vectors take part in few
        steps.
    weight_decay : float, default=0.0
        Weight decay of the vectors.

    Notes
    -----
    Sent2Vec predicts one word at a time from all others, by a choice between it and a few random
    words; its vectors are not weighted, and pairs of words have vectors too. Here many words are
    predicted at once, among the whole vocabulary, which suits matrix products, and words are
    weighted as in [3]_. There are no vectors of pairs.

    Representations have an average length of 1, as rows of TF-IDF do. The directions in which the
    training texts differ most are stretched: with few labels, a linear classifier is better for it,
    most of all in telling topics apart.

    A text without any known word is represented by zeros, the mean of the training texts.

    References
    ----------
    .. [1] M. Pagliardini, P. Gupta, M. Jaggi, "Unsupervised Learning of Sentence Embeddings using
       Compositional n-Gram Features", NAACL 2018, https://arxiv.org/abs/1703.02507
    .. [2] T. Mikolov et al., "Distributed Representations of Words and Phrases and their
       Compositionality", NeurIPS 2013, https://arxiv.org/abs/1310.4546
    .. [3] S. Arora, Y. Liang, T. Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings",
       ICLR 2017

    Examples
    --------
    >>> from sklearn_ssl import Sent2VecTransformer
    >>> texts = ["the cat sat on the mat", "the dog lay on the rug", "it rains", "cats and dogs"]
    >>> ssl = Sent2VecTransformer(max_epochs=5, random_state=0).fit(texts)
    >>> ssl.transform(["the cat sat on the rug"]).shape
    (1, 128)
    """

    tokenizer: object = param("word", None, str, Path, tokenization.Tokenizer)
    lowercase: bool = param(True, "boolean")
    max_length: int = param(512, Interval(Integral, 4, LONGEST, closed="both"))
    width: int = param(128, Interval(Integral, 2, defaults.WIDEST, closed="both"))
    mask_ratio: float = param(MASK_RATIO, Interval(Real, 0, 1, closed="neither"))
    subsampling: float = param(SUBSAMPLING, Interval(Real, 0, None, closed="neither"))
    optimizer: Callable = adamw
    lr: float = param(LR, Interval(Real, 0, None, closed="neither"))
    weight_decay: float = param(0.0, Interval(Real, 0, None, closed="left"))

    def _make_task(self, spec):
        return sent2vec_task(
            spec, self.width, mask_ratio=self.mask_ratio, subsampling=self.subsampling
        )

    @torch_settings()
    def _fit(self, rows, spec, callbacks, **options):
        super()._fit(rows, spec, callbacks, **options)
        n_rows = min(len(rows), N_MEASURED)
        places = np.linspace(0, len(rows) - 1, n_rows).astype(int)
        device = self._task_device()
        self.encoder_.emphasize(
            spec.to_tensor(rows[some], device) for some in np.array_split(places, -(-n_rows // 256))
        )

    def _planned_epochs(self, spec, n_samples):
        if self.max_epochs is not None:
            return self.max_epochs
        return default_epochs(n_samples * spec.n_tokens / spec.n_samples)
