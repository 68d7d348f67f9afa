"""Parameters of estimators that may start from a pretrained network for images."""

from dataclasses import replace
from numbers import Real
from pathlib import Path

from torch import nn
from torchvision.models import WeightsEnum

from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.parameters import FieldParametersMixin, param
from sklearn_ssl.encoders.factory import finish_encoder

LR, LR_PRETRAINED = 2e-3, 5e-5
MOST_EPOCHS = 3  # a network that has seen millions of photos would forget more than it learns
ROWS_IN_A_STEP = 32  # of 224 x 224 pixels: 256 would take tens of gigabytes


class PretrainedParameters(FieldParametersMixin):
    """Parameters of a network for images that has been trained elsewhere.

    Put this class before :class:`~sklearn_ssl.base.arrays.EncoderParameters`.

    Parameters
    ----------
    pretrained : str, path, torchvision weights or torch.nn.Module, default=None
        For images, a trained network in place of `encoder`: the training starts from its weights,
        and with ``max_epochs=0`` it embeds as it is. A folder of Hugging Face's transformers (ViT,
        DeiT, DINOv2, DINOv3, ViTMAE, ResNet, ConvNeXt; needs ``pip install 'sklearn-ssl[hf]'``) or
        of timm; a weights object of torchvision, such as ``ResNet18_Weights.DEFAULT``, whose file
        has been downloaded, or that file; a model of timm; or any other torch module, which
        receives batches as they are, ``(n, channels, height, width)`` from 0 to 1, and returns
        ``(n, width)``. Nothing is downloaded. Images get the network's own size and scale, gray
        values are repeated as three colors, and batch normalizations keep their statistics. A
        fitted estimator no longer needs the folder or file; a module is copied, and saved with the
        estimator as a parameter, so its class must be importable where the file is loaded. See
        :ref:`pretrained-images`.
    max_epochs : int, default=None
        Number of passes over the data. With None, the networks see about 600,000 images, 1,000,000
        rows of a table, 500,000 series, 60,000 videos or 300,000 texts, but every row 4 to 200
        times, and with `pretrained` at most 3 times. With 0 nothing is trained: the initial weights
        are kept, as a baseline, and batch normalizations get the statistics of a sample of the
        rows, but for pretrained ones.
    batch_size : int, default=None
        Largest number of rows in a step. None means 256, or fewer, down to 64, for less than 4,096
        rows, and 32 with `pretrained`.
    lr : float, default=None
        Peak learning rate; the rate rises over the first 5 % of the steps, then falls to 0 along a
        cosine. None means 2e-3, or 5e-5 with `pretrained`.
    """

    pretrained: str | Path | WeightsEnum | nn.Module | None = param(
        None, None, str, Path, WeightsEnum, nn.Module
    )
    lr: float | None = param(None, Interval(Real, 0, None, closed="neither"), None)

    def _read(self, X, X_unlabeled, known, *, reset):
        if self.pretrained is not None and self.encoder is not None:
            raise ValueError(
                f"encoder={self.encoder!r} and pretrained={self._shown()} are two networks. Leave "
                "one of them out."
            )
        rows, spec = super()._read(X, X_unlabeled, known, reset=reset)
        if self.pretrained is not None and not spec.takes_pretrained:
            raise ValueError(
                f"pretrained={self._shown()} is for images, but X holds data of the kind "
                f'{spec.modality!r}. For images, set modality="image", and image_shape if their '
                "rows are flat; for texts, MaskedLMEmbedder and CausalLMEmbedder take pretrained "
                "models; otherwise leave pretrained out."
            )
        return rows, spec

    def _make_encoder(self, spec):
        if self.pretrained is None:
            return super()._make_encoder(spec)
        encoder = spec.pretrained_encoder(self.pretrained)
        return finish_encoder(encoder, spec, self.n_components, "pretrained", self._shown())

    def _shown(self):
        """Return the parameter for messages: modules take many lines."""
        is_module = isinstance(self.pretrained, nn.Module)
        return type(self.pretrained).__name__ if is_module else repr(self.pretrained)

    def _first_task(self, spec, rows, seed, device):
        if self.pretrained is None:
            return super()._first_task(spec, rows, seed, device)
        return self._make_task(replace(spec, loads_weights=True))

    def _calibrate(self, rows, seed, device):
        if self.pretrained is None:  # otherwise statistics are those of the pretraining
            super()._calibrate(rows, seed, device)

    def _planned_epochs(self, spec, n_samples):
        epochs = super()._planned_epochs(spec, n_samples)
        if self.pretrained is None or self.max_epochs is not None:
            return epochs
        return min(epochs, MOST_EPOCHS)

    def _default_batch_size(self, rows):
        if self.pretrained is None:
            return super()._default_batch_size(rows)
        return ROWS_IN_A_STEP

    def _largest_lr(self):
        if self.lr is not None:
            return self.lr
        return LR if self.pretrained is None else LR_PRETRAINED

    def _fine_tuning_lr(self):
        return super()._fine_tuning_lr() if self.pretrained is None else 2e-4
