"""Masked autoencoder (He et al., 2021, https://arxiv.org/abs/2111.06377).

::

    for each batch x:
        p = patches(x)                               # [n, length, values]
        visible, hidden = random split of the patches, 1 : 3
        h = encoder(p[visible])                      # the encoder never sees the others
        q = decoder(h, a mask token for each hidden) # a light one, thrown away after training
        loss = mse(q[hidden], normalized p[hidden])  # per patch: mean 0, deviation 1
"""

import math
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import Bunch
from torch import nn
from torch.nn import functional as F

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval, StrOptions
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.base.arrays import BaseArrayTransformer, KindParameters
from sklearn_ssl.base.estimator import of_one_fit
from sklearn_ssl.base.parameters import param
from sklearn_ssl.encoders._transformer import Block, initialize
from sklearn_ssl.encoders.factory import build_module
from sklearn_ssl.encoders.tokens import (
    POOLINGS,
    TokenEncoder,
    gather_tokens,
)
from sklearn_ssl.optim import adamw
from sklearn_ssl.pretext import PretextTask
from sklearn_ssl.reconstruction import count_entries, feature_loss
from sklearn_ssl.training.runtime import torch_settings

# Part of the pieces that is hidden. Images are redundant: with less hidden, neighboring patches
# would give the answer away. 0.5 for other kinds of data.
MASK_RATIOS = {"image": 0.75}
COSTS = {"image": 0.7, "series": 0.6, "table": 2.4}  # tables have the most tokens
N_HEADS = 4  # attention heads of the decoder
SHOWN_SEED = 0  # seed of the masks drawn by `reconstruct`


class MAETask(PretextTask):
    """Predict the hidden pieces of each row from the visible ones."""

    def __init__(self, encoder, decoder, head, mask_ratio, augment=None):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.augment = augment
        length = len(decoder.positions)
        self.n_hidden = min(max(round(mask_ratio * length), 1), length - 1)

    def forward(self, batch):
        if self.augment is not None:
            batch = make_views(self.augment, batch, 1, self.generator)
        noise = self._noise(len(batch))
        pieces, places = self.encoder.cut(batch), split_places(noise, self.n_hidden)
        return self.shared_mean(self._loss, pieces, *places, count=self._count)

    def _loss(self, pieces, visible, hidden):
        latent = self.encoder.tokens(pieces, visible)  # [n, 1 + visible, width]
        predicted = self.decoder(latent, visible, hidden)  # [n, hidden, decoder_width]
        return self.head.loss(predicted, pieces, hidden)

    def _count(self, pieces, visible, hidden):
        """Return how many values the loss is a mean of."""
        return self.head.count(pieces, hidden)

    def _noise(self, n):
        shape, device = (n, len(self.decoder.positions)), self.generator.device
        return torch.rand(shape, generator=self.generator, device=device)

    def reconstruct(self, batch, mask):
        """Return the batch with predictions in place of its masked pieces.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, ...)
        mask : torch.Tensor of shape (n, length)
            True for the pieces to hide, the same number in each row.
        """
        pieces = self.encoder.cut(batch)
        visible, hidden = split_places(mask.float(), int(mask[0].sum()))
        predicted = self.decoder(self.encoder.tokens(pieces, visible), visible, hidden)
        values = self.head.predict(predicted, pieces, hidden)  # [n, hidden, values]
        flat = pieces.flatten(1, -2)
        filled = flat.scatter(1, hidden[:, :, None].expand(values.shape), values)
        return self.encoder.join(filled.view_as(pieces))


def split_places(noise, n_hidden):
    """Return the places of the smallest values of each row, and those of the `n_hidden` largest.

    Parameters
    ----------
    noise : torch.Tensor of shape (n, length)
    n_hidden : int

    Returns
    -------
    visible, hidden : torch.Tensor of shape (n, length - n_hidden) and (n, n_hidden)
    """
    order = noise.argsort(dim=1, stable=True)
    n_visible = noise.shape[1] - n_hidden
    return order[:, :n_visible], order[:, n_visible:]


class Decoder(nn.Module):
    """Light transformer that sees the encoder's output for the visible pieces.

    Hidden pieces are replaced with a mask token. Only the tokens of hidden pieces are returned,
    because the loss needs no others, so the last block computes no others.

    Parameters
    ----------
    encoder : TokenEncoder
        The decoder uses its positions, at another width.
    width, depth : int
    """

    def __init__(self, encoder, width, depth):
        super().__init__()
        self.embedding = nn.Linear(encoder.width, width)
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        encoder.add_positions(self, width)
        self.blocks = nn.ModuleList([Block(width, N_HEADS) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        initialize(self)

    def forward(self, latent, visible, hidden):
        cls, seen = self.embedding(latent).tensor_split([1], dim=1)
        seen = torch.cat([cls, seen + F.embedding(visible, self.positions)], dim=1)
        masked = self.mask_token + self.positions  # [length, width], the same for all rows
        unseen = F.embedding(hidden, masked)  # [n, hidden, width]

        first, *others = self.blocks
        n_seen = seen.shape[1]
        # The first block's projection of mask tokens is the same for all rows: compute it once.
        of_unseen = F.embedding(hidden, first.project(masked))
        qkv = torch.cat([first.project(seen), of_unseen], dim=1)
        if not others:
            return self.norm(first.attend(unseen, qkv, n_seen))
        x = first.attend(torch.cat([seen, unseen], dim=1), qkv)  # [n, 1 + length, width]
        *others, last = others
        for block in others:
            x = block(x)
        return self.norm(last.attend(x[:, n_seen:], last.project(x), n_seen))  # [n, hidden, width]


class PatchHead(nn.Linear):
    """Predict the values of hidden patches, of images or of time.

    Parameters
    ----------
    encoder : TokenEncoder
    width : int
        Of the decoder.
    normalize : bool
        Whether the targets are patches normalized to mean 0 and deviation 1, each by itself. A
        patch of one value is taken as it is.
    """

    def __init__(self, encoder, width, normalize):
        # Values are inside a row if they are 1 like the first one, and padding otherwise.
        ones = encoder.cut(torch.ones(1, *encoder.shape)).flatten(0, -2)  # [length, values]
        inside = (ones == ones[0, 0]).float()
        super().__init__(width, inside.shape[1])
        self.normalize = normalize and inside.shape[1] > 1
        self.register_buffer("inside", inside, persistent=False)
        self.is_filled = bool((inside == 0).any())
        initialize(self)

    def loss(self, predicted, pieces, hidden):
        """Return the mean squared error of the values that are not padding."""
        target = gather_tokens(pieces.flatten(1, -2), hidden)  # [n, hidden, values]
        inside = self.inside[hidden] if self.is_filled else None
        if self.normalize:
            centered, _, deviation = center(target, inside)
            target = centered / deviation
        errors = (self(predicted) - target).square()
        return errors.mean() if inside is None else (errors * inside).sum() / inside.sum()

    def count(self, pieces, hidden):
        """Return how many values the loss is a mean of."""
        return self.inside[hidden].sum()

    def predict(self, predicted, pieces, hidden):
        """Return predicted values; mean and deviation of a normalized patch are its true ones."""
        values = self(predicted)
        if self.normalize:
            target = gather_tokens(pieces.flatten(1, -2), hidden)
            _, mean, deviation = center(target, self.inside[hidden] if self.is_filled else None)
            values = values * deviation + mean
        return values


def center(patches, inside=None):
    """Return patches minus their means, the means, and the standard deviations, for each patch.

    Parameters
    ----------
    patches : torch.Tensor of shape (..., values)
    inside : torch.Tensor of shape (..., values), default=None
        1 for the values that count, and 0 for others. None if all count.

    Returns
    -------
    centered : torch.Tensor of shape (..., values)
        0 where a value does not count.
    mean, deviation : torch.Tensor of shape (..., 1)
        The deviation is the root of the unbiased variance and 1e-6.
    """
    if inside is None:
        count = patches.shape[-1]
        mean = patches.mean(dim=-1, keepdim=True)
        centered = patches - mean
    else:
        count = inside.sum(dim=-1, keepdim=True)
        mean = (patches * inside).sum(dim=-1, keepdim=True) / count
        centered = (patches - mean) * inside
        count = count.clamp(min=2)  # a single value has no deviation
    variance = centered.square().sum(dim=-1, keepdim=True) / (count - 1)
    return centered, mean, (variance + 1e-6).sqrt()


class FeatureHead(nn.Module):
    """Predict the hidden entries of a table, with separate weights for each column.

    Parameters
    ----------
    cardinalities : tuple of int
        Categories of each column; 0 for one of numbers.
    width : int
        Of the decoder.
    """

    def __init__(self, cardinalities, width):
        super().__init__()
        self.cardinalities = cardinalities
        self.numeric = [j for j, k in enumerate(cardinalities) if k == 0]
        self.weight = nn.Parameter(torch.empty(len(self.numeric), width).normal_(std=width**-0.5))
        self.bias = nn.Parameter(torch.zeros(len(self.numeric)))
        self.logits = nn.ModuleDict(
            {str(j): nn.Linear(width, k) for j, k in enumerate(cardinalities) if k}
        )
        initialize(self)

    def loss(self, predicted, pieces, hidden):
        """Return the mean error of the hidden entries, see reconstruction.feature_loss."""
        prediction = torch.cat(self._columns(predicted, hidden), dim=1)
        batch, where = _entries(pieces, hidden)
        return feature_loss(prediction, batch, where, self.cardinalities)

    def count(self, pieces, hidden):
        """Return how many entries the loss is a mean of."""
        return count_entries(*_entries(pieces, hidden), self.cardinalities)

    def predict(self, predicted, pieces, hidden):
        """Return the numbers and codes of the hidden entries, ``(n, hidden, 1)``."""
        entries = [
            1.0 + outputs.argmax(dim=1, keepdim=True) if k else outputs
            for outputs, k in zip(self._columns(predicted, hidden), self.cardinalities)
        ]
        return torch.cat(entries, dim=1).gather(1, hidden)[:, :, None]

    def _columns(self, predicted, hidden):
        """Return the outputs for each column; outputs for visible entries are meaningless."""
        shape = (len(hidden), len(self.cardinalities), predicted.shape[2])
        places = hidden[:, :, None].expand(predicted.shape)
        tokens = predicted.new_zeros(shape).scatter(1, places, predicted)  # [n, features, width]
        numbers = (tokens[:, self.numeric] * self.weight).sum(dim=2) + self.bias
        columns = dict(zip(self.numeric, numbers.split(1, dim=1)))
        columns |= {int(j): linear(tokens[:, int(j)]) for j, linear in self.logits.items()}
        return [columns[j] for j in range(len(columns))]


def _entries(pieces, hidden):
    """Return the rows of a table, and which entries are hidden, both ``(n, features)``."""
    batch = pieces[:, :, 0]
    return batch, torch.zeros_like(batch, dtype=torch.bool).scatter_(1, hidden, True)


class MaskedAutoencoder(KindParameters, BaseArrayTransformer):
    """Representations from predicting hidden pieces (MAE).

    Most patches of an image are hidden; a transformer encodes the few visible ones, and a light
    decoder predicts the others [1]_. Series are cut into patches of time, and the pieces of a table
    are its entries. ``transform`` shows the encoder the whole row.

    It needs no augmented views, so it suits data for which no good augmentation is known. Its
    representation is trained to predict every detail of a row, and its components have very
    different variances: **standardize it** before a linear classifier or a neighbor search, as in
    the example.

    Parameters
    ----------
    mask_ratio : float, default=None
        Fraction of the pieces to hide; at least one is hidden, and at least one is not. None means
        0.75 for images and 0.5 for series and tables.
    patch_size : int, default=None
        Side of the patches of an image, or time steps of the patches of a series. None means a
        quarter of the shorter side, at most 16, or about a sixteenth of the length.
    norm_pix_loss : bool, default=True
        Whether each target patch is normalized to mean 0 and standard deviation 1, so that its
        structure counts and not its contrast. Not for tables.
    pooling : {"grid", "mean", "cls", "cls_and_mean"}, default="grid"
        How ``transform`` combines the tokens: their means in the cells of a coarse grid next to
        each other (4 by 4 for images, quarters of the length for series, at most 16 groups of
        columns), the mean of all, the CLS token, which no loss trains, or the last two next to each
        other.
    decoder_width : int, default=64
        Width of the decoder's tokens, a multiple of 4.
    decoder_depth : int, default=1
        Number of blocks of the decoder.
    augment : Augmentation, callable or list of them, default=None
        Changes a batch before it is masked. None crops images, flips them if they look like their
        mirror images, and leaves other data unchanged.
    encoder : callable, default=None
        Receives the shape of one row of a batch, and for a table with categories or missing numbers
        also the keywords `cardinalities` and `missing`, and returns a
        :class:`~sklearn_ssl.encoders.TokenEncoder`, for example ``partial(ViTEncoder, width=128)``.
        Its own `patch_size` and `pooling` are then used. None means a small transformer: for images
        128 wide and 2 deep.
    optimizer : callable, default=adamw
        A torch optimizer class, or a callable with the same arguments; AdamW with the paper's
        betas, 0.9 and 0.95.
    weight_decay : float, default=0.05
        Weight decay of kernels and matrices; biases and normalizations have none.

    Notes
    -----
    If a side is not a multiple of the patch size, the last patches are padded. The padding counts
    neither in the loss nor in the mean and standard deviation of the targets.

    It always starts from random weights: pretrained networks, a ViTMAE too, are for the methods
    that compare views, such as ``SimCLRTransformer(pretrained=folder)``, see
    :ref:`pretrained-images`.

    References
    ----------
    .. [1] K. He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022,
       https://arxiv.org/abs/2111.06377

    Examples
    --------
    Pretrain on all digits and classify with the labels of fifty of them:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssl import MaskedAutoencoder
    >>> X, y = load_digits(return_X_y=True)
    >>> ssl = MaskedAutoencoder(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> Z = ssl.fit_transform(X)
    >>> Z.shape
    (1797, 2048)
    >>> classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(Z[:50], y[:50])
    >>> ssl.reconstruct(X[:3]).prediction.shape
    (3, 64)
    """

    mask_ratio: float | None = param(None, Interval(Real, 0, 1, closed="neither"), None)
    patch_size: int | None = param(None, Interval(Integral, 1, defaults.MOST, closed="both"), None)
    norm_pix_loss: bool = param(True, "boolean")
    pooling: str = param("grid", StrOptions(set(POOLINGS)))
    decoder_width: int = param(64, Interval(Integral, 4, defaults.WIDEST, closed="both"))
    decoder_depth: int = param(1, Interval(Integral, 1, defaults.DEEPEST, closed="both"))
    augment: Callable | list | None = param(None, callable, list, tuple, None)
    encoder: Callable | None = param(None, callable, None)
    optimizer: Callable = adamw
    weight_decay: float = 0.05

    def _cost(self, spec):
        return COSTS.get(spec.modality, 1.0)

    def _make_task(self, spec):
        encoder = self._make_encoder(spec)
        decoder = Decoder(encoder, self.decoder_width, self.decoder_depth)
        if spec.cardinalities is None:
            head = PatchHead(encoder, self.decoder_width, self.norm_pix_loss)
        else:
            head = FeatureHead(spec.cardinalities, self.decoder_width)
        mask_ratio = self.mask_ratio or MASK_RATIOS.get(spec.modality, 0.5)
        return MAETask(encoder, decoder, head, mask_ratio, self._augmentation(spec))

    def _make_encoder(self, spec):
        if isinstance(self.encoder, nn.Module) and not isinstance(self.encoder, TokenEncoder):
            raise TypeError(
                f"encoder={type(self.encoder).__name__} is a network, but MaskedAutoencoder shows "
                "parts of a row to a TokenEncoder that it builds. To start from a trained "
                f"{type(self.encoder).__name__}, use a method that compares views, such as "
                "SimCLRTransformer(pretrained=network)."
            )
        build = self.encoder or spec.token_encoder(self.patch_size, self.pooling)
        encoder = build_module(build, spec.shape, kind=TokenEncoder, **spec.encoder_options)
        self._check_pieces(encoder.grid, spec)
        return encoder

    def _check_pieces(self, grid, spec):
        if math.prod(grid) > 1:
            return
        if len(spec.shape) == 1:
            raise ValueError(
                "X has 1 feature(s), but MaskedAutoencoder predicts features from other features: "
                "at least 2 are needed."
            )
        raise ValueError(
            f"Rows of shape {spec.row_shape} make a single patch, but MaskedAutoencoder predicts "
            f"patches from other patches. Use a smaller patch_size (it is {self.patch_size}), or "
            "larger rows."
        )

    def _augmentation(self, spec):
        augment = self.augment or spec.mild_augmentation()
        return None if augment is None else resolve_augmentation(augment, spec)

    @of_one_fit
    @torch_settings()
    def reconstruct(self, X, mask=None):
        """Hide a part of each row, and predict it from the rest.

        Parameters
        ----------
        X : array-like
            Rows of the shape seen in ``fit``.
        mask : array-like of bool, default=None
            True for the pieces to hide, in the order of the patches: of shape ``(rows, columns)``
            for images, ``(length,)`` for series, ``(features,)`` for tables, or with the rows of X
            as the first axis. None hides `mask_ratio` of each row, the same pieces in every call.

        Returns
        -------
        reconstruction : Bunch
            Three arrays of the shape of X, in its units: ``input`` is X in float32, ``mask`` is
            True for each value that was hidden, and ``prediction`` has predicted values there, and
            those of X elsewhere. A table with categories becomes an array of objects, in which a
            category is None if it is missing, or first appeared after ``fit``. With
            `norm_pix_loss`, a predicted patch has the mean and the standard deviation of the true
            one, because only its structure was predicted.
        """
        X, spec = self._check_rows(X), self.input_spec_
        mask = self._mask_of(X, mask)
        prediction = torch.zeros(len(X), *spec.shape)
        self.task_.eval()
        with torch.inference_mode():
            for rows in equally_masked(mask, spec.inference_batch_size):
                batch = spec.to_tensor(X[rows.numpy()], self._task_device())
                filled = self.task_.reconstruct(batch, mask[rows].to(batch.device))
                prediction[rows] = filled.float().cpu()
        hidden = spec.as_rows(self.encoder_.spread(mask))
        prediction = spec.from_tensor(prediction).astype(np.float32)
        limits = np.finfo(np.float32)
        X = X.clip(limits.min, limits.max).astype(np.float32)
        filled = np.where(hidden, prediction, X)
        return Bunch(input=spec.decode(X), mask=hidden, prediction=spec.decode(filled))

    def _mask_of(self, X, mask):
        """Return which pieces are hidden, ``(n, length)`` of bool."""
        grid, n = self.encoder_.grid, len(X)
        if mask is None:
            generator = torch.Generator().manual_seed(SHOWN_SEED)
            noise = torch.rand(n, math.prod(grid), generator=generator)
            _, hidden = split_places(noise, self.task_.n_hidden)
            return torch.zeros(noise.shape, dtype=torch.bool).scatter_(1, hidden, True)
        mask = torch.as_tensor(mask)
        if mask.dtype != torch.bool or mask.shape not in (grid, (n, *grid)):
            raise ValueError(
                f"mask must be an array of bool of shape {grid} or {(n, *grid)}, True for each "
                f"piece to hide; got shape {tuple(mask.shape)} and {mask.dtype}."
            )
        return mask.expand(n, *grid).flatten(1)


def equally_masked(mask, batch_size):
    """Yield the indices of rows in batches in which all rows have the same number of masked pieces.

    Rows without masked pieces are left out.
    """
    counts = mask.sum(dim=1)
    for count in counts.unique().tolist():
        if count:
            yield from (counts == count).nonzero()[:, 0].split(batch_size)
