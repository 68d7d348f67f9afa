"""Views of texts."""

import torch

from sklearn_ssl.augment.base import Augmentation, uniform

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

        def draw(*shape, low=0.0, high=1.0):
            return uniform(shape, low, high, batch, generator)

        first = (batch[:, :1] == self.begin).long()  # [n, 1]: where the text itself begins
        size = (batch >= 0).sum(dim=1, keepdim=True) - first
        low, high = self.crop
        kept = (draw(n, 1, low=low, high=high) * size).round().long().clamp(min=FEWEST)
        kept = kept.minimum(size)
        start = first + (draw(n, 1) * (size - kept + 1)).long().minimum(size - kept)
        place = torch.arange(length, device=batch.device)
        inside = (place >= start) & (place < start + kept)  # [n, length]
        # The token with the largest number stays, however many are deleted.
        luck = draw(n, length).masked_fill(~inside, -1)
        stays = inside & ((luck >= self.deletion) | (luck == luck.amax(dim=1, keepdim=True)))
        stays |= place < first
        order = (~stays).byte().argsort(dim=1, stable=True)  # tokens that stay move to the left
        n_stay = stays.sum(dim=1, keepdim=True)
        return batch.gather(1, order).masked_fill(place >= n_stay, -1)
