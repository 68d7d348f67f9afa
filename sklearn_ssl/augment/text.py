"""Views of texts."""

import torch

from sklearn_ssl.augment.base import Augmentation, uniform
from sklearn_ssl.masking import delete_tokens

FEWEST = 4  # tokens of a crop, if the text has as many
UNKNOWN = -2  # no token


class TextAugmentation(Augmentation):
    """Random crop of each text, without some of its tokens.

    Two crops of a text are the views of Contriever [1]_. The smaller they are, the fewer words they
    share, and the more the representation has to say what the text is about.

    Parameters
    ----------
    crop : tuple of float, default=(0.05, 0.5)
        Range of the fraction of the tokens that a crop keeps, all in one piece; it keeps at least
        four tokens.
    deletion : float, default=0.2
        Probability that a token of the crop is left out; at least one stays.

    References
    ----------
    .. [1] G. Izacard et al., "Unsupervised Dense Information Retrieval with Contrastive Learning",
       TMLR 2022, https://arxiv.org/abs/2112.09118

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.augment import TextAugmentation
    >>> augment = TextAugmentation(crop=(0.5, 0.5), deletion=0)
    >>> ids = torch.tensor([[3, 4, 5, 6, 7, 8, 9, 10, -1]])
    >>> augment(ids, torch.Generator().manual_seed(1))
    tensor([[ 4,  5,  6,  7, -1, -1, -1, -1, -1]])
    """

    modality = "text"

    def __init__(self, *, crop=(0.05, 0.5), deletion=0.2):
        super().__init__()
        self.crop = crop
        self.deletion = deletion
        self.begin = UNKNOWN  # the token that stays at the front of a row

    def adapt(self, spec):
        adapted = super().adapt(spec)
        adapted.begin = spec.begin
        return adapted

    def local(self, spec):
        """Return an adapted copy with crops of half the length."""
        local = self.adapt(spec)
        local.crop = tuple(part / 2 for part in self.crop)
        return local

    def forward(self, batch, generator):
        n, length = batch.shape

        def draw(low=0.0, high=1.0):
            return uniform((n, 1), low, high, batch, generator)

        first = (batch[:, :1] == self.begin).long()  # [n, 1]: where the text itself begins
        size = (batch >= 0).sum(dim=1, keepdim=True) - first
        low, high = self.crop
        kept = (draw(low, high) * size).round().long().clamp(min=FEWEST)
        kept = kept.minimum(size)
        start = first + (draw() * (size - kept + 1)).long().minimum(size - kept)
        place = torch.arange(length, device=batch.device)
        inside = (place >= start) & (place < start + kept)  # [n, length]
        outside = (place >= first) & ~inside
        return delete_tokens(batch.masked_fill(outside, -1), inside, self.deletion, generator)
