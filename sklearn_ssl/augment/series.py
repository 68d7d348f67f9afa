"""Views of series."""

import torch

from sklearn_ssl.augment.base import Augmentation, uniform


class SeriesAugmentation(Augmentation):
    """Random crop in time, change of amplitude, noise and masked time.

    Parameters
    ----------
    crop : tuple of float, default=(0.5, 1.0)
        Range of the fraction of the time that a crop keeps; it is stretched to the full length.
    scaling : float, default=0.2
        Standard deviation of the logarithm of the factor for each channel.
    noise : float, default=0.1
        Standard deviation of added white noise, in standard deviations of the channel.
    mask : float, default=0.1
        Fraction of the time, in one piece, that is set to the mean of the channel.
    """

    modality = "series"

    def __init__(self, *, crop=(0.5, 1.0), scaling=0.2, noise=0.1, mask=0.1):
        super().__init__()
        self.crop = crop
        self.scaling = scaling
        self.noise = noise
        self.mask = mask

    def local(self, spec):
        """Return an adapted copy with crops of half the length, resized to half the length."""
        local = self.adapt(spec)
        local.crop = tuple(part / 2 for part in self.crop)
        local.size = (-(-spec.shape[1] // 2),)
        return local

    def forward(self, batch, generator):
        n, channels, whole_time = batch.shape
        (time,) = self.size or (whole_time,)

        def draw(low, high):
            return uniform((n, 1), low, high, batch, generator)

        def normal(*shape):
            return torch.randn(shape, generator=generator, device=batch.device)

        steps = torch.linspace(0, 1, time, device=batch.device)
        length = draw(*self.crop)
        position = (draw(0, 1) * (1 - length) + length * steps) * (whole_time - 1)  # [n, t]
        left = position.floor().clamp_(max=max(whole_time - 2, 0)).long()
        right = (left + 1).clamp_(max=whole_time - 1)
        left_value = batch.gather(2, left[:, None].expand(-1, channels, -1))
        right_value = batch.gather(2, right[:, None].expand(-1, channels, -1))
        views = torch.lerp(left_value, right_value, (position - left)[:, None])

        views = views * (self.scaling * normal(n, channels, 1)).exp_()
        views = views.add_(normal(n, channels, time), alpha=self.noise)
        middles = (torch.arange(time, device=batch.device) + 0.5) / time
        start = draw(0, 1 - self.mask)
        masked = (middles >= start) & (middles < start + self.mask)  # [n, t]
        return views.masked_fill_(masked[:, None], 0)
