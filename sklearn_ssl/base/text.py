"""Base class of text estimators, whose parameters say how texts become tokens."""

from collections.abc import Iterator
from numbers import Integral
from pathlib import Path

from sklearn.utils.validation import check_is_fitted

from sklearn_ssl import defaults, tokenization
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.data.text import TextSpec

LONGEST = 2**17  # tokens in a row


class BaseTextPretrainer(BasePretrainer):
    """Base class of estimators of texts, whatever their network.

    Parameters
    ----------
    tokenizer : None, "word", "char", "byte", path or tokenizers.Tokenizer, default=None
        How texts become tokens. None trains a byte-level BPE on the texts of ``fit``; it can then
        read any text. "word" uses the most frequent words, numbers and punctuation marks; other
        words are unknown, and Chinese and Japanese characters are words of their own. "char" and
        "byte" use single characters or bytes; a path points to a ``tokenizer.json``, or to a folder
        that contains one.
    vocabulary_size : int, default=None
        Maximum number of tokens that are found in the texts: of a BPE, including the 256 bytes and
        the special tokens, or of words. None means 20,000 words, or a BPE of four times the square
        root of the number of characters, from 512 to 8,192.
    lowercase : bool, default=False
        Whether a tokenizer that is found in the texts reads them in lower case. It has no effect on
        one that is passed or comes from a file.
    max_length : int, default=128
        Maximum number of tokens that are read at once. Longer texts are cut: in ``fit`` each piece
        is a row of its own, and ``transform`` averages the representations of a text's pieces,
        weighted by their lengths.

    Attributes
    ----------
    tokenizer_ : tokenizers.Tokenizer
        The tokenizer in use.
    """

    tokenizer: object = param(None, None, str, Path, tokenization.Tokenizer)
    vocabulary_size: int | None = param(
        None,
        Interval(Integral, tokenization.SMALLEST_VOCABULARY, defaults.MOST, closed="both"),
        None,
    )
    lowercase: bool = param(False, "boolean")
    max_length: int = param(128, Interval(Integral, 4, LONGEST, closed="both"))

    _modalities = ("text",)
    _fewest_to_score = 1
    _augments_labeled_rows = False  # networks with dropout

    # Fitting ----------------------------------------------------------------------------------

    def _read_vocabulary(self, texts):
        """Return a TextSpec that knows the tokens, but no rows yet."""
        json = tokenization.resolve_tokenizer(
            self.tokenizer, texts, self.vocabulary_size, lowercase=self.lowercase
        )
        return TextSpec.of_tokenizer(json, max_length=self.max_length)

    # After fitting ----------------------------------------------------------------------------

    def fit_transform(self, X, y=None, **fit_params):
        """Pretrain on texts, and return their representations.

        Parameters
        ----------
        X : iterable of str
        y : ignored
            Present for API consistency.
        **fit_params : dict
            Passed on to ``fit``.

        Returns
        -------
        representations : ndarray of shape (n, output_dim)
            In float32.
        """
        X = list(X) if isinstance(X, Iterator) else X  # it is read twice
        return super().fit_transform(X, y, **fit_params)

    @property
    def tokenizer_(self):
        """The tokenizer, a new `tokenizers.Tokenizer` each time."""
        check_is_fitted(self, "input_spec_")
        return tokenization.tokenizer_from(self.input_spec_.tokenizer)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = False
        return tags
