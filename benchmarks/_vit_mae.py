"""The masked autoencoder of transformers, trained as its users do: what ours is compared with."""

import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

import sklearn_ssl  # noqa: F401 - its import sets what torch does with idle threads
from sklearn_ssl._inputs import RowBlocks, describe
from sklearn_ssl.encoders.vit import PIXEL_DEVIATION, PIXEL_MEAN


def vit_mae_epoch(estimator, X):
    """Return a function that trains transformers' model for an epoch, with an estimator's sizes.

    Widths, depths, heads, patches, mask ratio and batch size are the estimator's, and the optimiser
    is fused AdamW. Batches are tensors, normalised as ours are; images are not augmented.

    Parameters
    ----------
    estimator : MaskedAutoencoder
        With a batch size.
    X : ndarray of shape (n, side, side)
        Grey images, in uint8; the side is a multiple of the patch size.

    Returns
    -------
    epoch : callable
        Returns the mean loss.
    """
    task = estimator._make_task(describe(RowBlocks(X), "image", (1, *X.shape[1:])))
    model = as_transformers(task).train()
    check_same_matrices(task, model)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=estimator.lr,
        weight_decay=estimator.weight_decay,
        betas=(0.9, 0.95),
        fused=True,
    )
    images = torch.from_numpy(X)

    def epoch():
        batches = torch.randperm(len(images)).split(estimator.batch_size)
        total = 0.0
        for indices in batches:
            pixels = images[indices, None].float().div_(255).sub_(PIXEL_MEAN).div_(PIXEL_DEVIATION)
            loss = model(pixels).loss
            total += loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return total / len(batches)

    return epoch


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
            norm_pix_loss=task.head.normalise,
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
