"""The masked autoencoder of transformers, trained as its users do: what ours is compared with."""

import torch
from sklearn.base import clone
from torchvision import transforms
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from benchmarks.speed.timing import PILImages, loader, plain_epoch
from sklearn_ssl.encoders.vit import PIXEL_DEVIATION, PIXEL_MEAN


def vit_mae_epoch(estimator, X, n_workers=None):
    """Return a function that trains transformers' model for an epoch, with an estimator's sizes.

    Widths, depths, heads, patches, mask ratio and batch size are the estimator's, and the optimizer
    is fused AdamW.

    Parameters
    ----------
    estimator : MaskedAutoencoder
        With a batch size.
    X : ndarray of shape (n, side, side)
        Gray images, in uint8; the side is a multiple of the patch size.
    n_workers : int, default=None
        Processes of a DataLoader, which crops and flips PIL images as the example of transformers
        does, `run_mae.py`. None takes the images as they are, from one tensor: it measures the
        model alone.
    """
    task = clone(estimator).set_params(max_epochs=0).fit(X).task_
    model = as_transformers(task).train()
    check_same_matrices(task, model)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=estimator._largest_lr(),
        weight_decay=estimator.weight_decay,
        betas=(0.9, 0.95),
        fused=True,
    )
    if n_workers is None:
        batches = TensorBatches(X, estimator.batch_size)
    else:
        images = PILImages(X, crop_and_flip(X.shape[1]))
        batches = loader(images, estimator.batch_size, n_workers)
    return plain_epoch(lambda pixels: model(pixels).loss, batches, optimizer)


class TensorBatches:
    """Shuffled batches of normalized images, made a batch at a time."""

    def __init__(self, X, batch_size):
        self.images = torch.from_numpy(X.copy())
        self.batch_size = batch_size

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __iter__(self):
        for indices in torch.randperm(len(self.images)).split(self.batch_size):
            pixels = self.images[indices, None].float().div_(255)
            yield pixels.sub_(PIXEL_MEAN).div_(PIXEL_DEVIATION)


def crop_and_flip(side):
    """Return the transform of transformers' example, for gray images."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(
                side, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(PIXEL_MEAN, PIXEL_DEVIATION),
        ]
    )


def as_transformers(task):
    """Return transformers' model of the sizes of an MAETask of images."""
    encoder, decoder = task.encoder, task.decoder
    length, width = decoder.positions.shape
    return ViTMAEForPreTraining(
        ViTMAEConfig(
            hidden_size=encoder.width,
            num_hidden_layers=len(encoder.blocks),
            num_attention_heads=encoder.blocks[0].attention.n_heads,
            intermediate_size=4 * encoder.width,
            image_size=encoder.shape[1],
            patch_size=encoder.patch_size,
            num_channels=encoder.shape[0],
            decoder_hidden_size=width,
            decoder_num_hidden_layers=len(decoder.blocks),
            decoder_num_attention_heads=decoder.blocks[0].attention.n_heads,
            decoder_intermediate_size=4 * width,
            mask_ratio=(task.n_hidden - 0.5) / length,  # it rounds down what is visible
            norm_pix_loss=task.head.normalize,
        )
    )


def check_same_matrices(task, model):
    """Raise an error if the trained matrices of two models differ in shape; q, k and v are one."""

    def sizes(module, joined):
        matrices = [p for p in module.parameters() if p.ndim > 1 and p.requires_grad]
        shapes = [(len(p), p[0].numel()) for p in matrices if len(p) > 1]
        return sorted(shapes + joined)

    blocks = [*task.encoder.blocks, *task.decoder.blocks]
    widths = [block.attention.projection.in_features for block in blocks]
    ours = sizes(task, [(width, width) for width in widths for _ in range(3)])
    for width in widths:
        ours.remove((3 * width, width))
    if ours != sizes(model, []):
        raise RuntimeError(f"The models differ: {ours} and {sizes(model, [])}")
