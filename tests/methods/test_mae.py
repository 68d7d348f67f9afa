"""The masked autoencoder: against transformers' own, what it sees and what it does not."""

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from benchmarks.datasets import load_fashion_mnist
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.encoders import ConvEncoder, ViTEncoder
from sklearn_ssl.encoders.tokens import FeatureTokenEncoder, SeriesTokenEncoder
from sklearn_ssl.methods.mae import MaskedAutoencoder, split_places
from sklearn_ssl.semi_supervised import draw_labels
from tests.helpers import batch_of, describe, make_task, two_cores


def as_it_is(batch):
    """An augmentation that changes nothing."""
    return batch


def image_task(shape=(12, 12, 3), n=6, **params):
    """Return a task of images, without augmentation, and a batch."""
    X = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    batch, spec = batch_of(X, "image")
    return make_task(MaskedAutoencoder(augment=as_it_is, **params), spec), batch


def draw_places(task, n, seed=1):
    noise = torch.rand(
        n, len(task.decoder.positions), generator=torch.Generator().manual_seed(seed)
    )
    return noise, *split_places(noise, task.n_hidden)


# Against transformers ---------------------------------------------------------------------------


def transformers_model(task):
    """Return transformers' model with the weights of a task of images."""
    encoder, decoder = task.encoder, task.decoder
    length, width = decoder.positions.shape
    model = ViTMAEForPreTraining(
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
            layer_norm_eps=1e-5,
        )
    )
    pairs = {
        model.vit.embeddings.cls_token: encoder.cls_token,
        model.vit.embeddings.patch_embeddings.projection: encoder.patch_embedding,
        model.vit.layernorm: encoder.norm,
        model.decoder.decoder_embed: decoder.embedding,
        model.decoder.mask_token: decoder.mask_token,
        model.decoder.decoder_norm: decoder.norm,
        model.decoder.decoder_pred: task.head,
    }
    theirs = [*model.vit.layers, *model.decoder.decoder_layers]
    for layer, block in zip(theirs, [*encoder.blocks, *decoder.blocks], strict=True):
        pairs |= {
            layer.attention.o_proj: block.attention.projection,
            layer.layernorm_before: block.norm1,
            layer.layernorm_after: block.norm2,
            layer.mlp.fc1: block.mlp[0],
            layer.mlp.fc2: block.mlp[2],
        }
    with torch.no_grad():
        # Left at zero if it is not loaded from a file, as that of CLS is to be.
        model.vit.embeddings.position_embeddings[0, 1:] = encoder.positions
        model.decoder.decoder_pos_embed[0, 1:] = decoder.positions
        for layer, block in zip(theirs, [*encoder.blocks, *decoder.blocks], strict=True):
            attention, qkv = layer.attention, block.attention.qkv
            of_qkv = zip(qkv.weight.chunk(3), qkv.bias.chunk(3))
            for part, (weight, bias) in zip(
                (attention.q_proj, attention.k_proj, attention.v_proj), of_qkv
            ):
                part.weight.copy_(weight)
                part.bias.copy_(bias)
        for their, our in pairs.items():
            if isinstance(their, torch.nn.Parameter):
                their.copy_(our.expand_as(their))
                continue
            weight = our.weight
            if their.weight.ndim == 4:  # a convolution, whose patches have the channels first
                channels, side = their.weight.shape[1:3]
                weight = weight.unflatten(1, (side, side, channels)).permute(0, 3, 1, 2)
            their.weight.copy_(weight)
            their.bias.copy_(our.bias)
    return model


@pytest.mark.parametrize("norm_pix_loss", [True, False])
@pytest.mark.parametrize("decoder_depth", [1, 2, 3])
@pytest.mark.parametrize(
    ("side", "channels", "patch_size", "mask_ratio"),
    [(12, 3, 3, 0.75), (28, 1, 4, 0.75), (8, 2, 2, 0.5)],
)
def test_loss_prediction_and_gradients_are_those_of_transformers(
    side, channels, patch_size, mask_ratio, decoder_depth, norm_pix_loss
):
    task, batch = image_task(
        (side, side, channels),
        encoder=partial(ViTEncoder, patch_size=patch_size, width=32, depth=2),
        decoder_width=16,
        decoder_depth=decoder_depth,
        mask_ratio=mask_ratio,
        norm_pix_loss=norm_pix_loss,
    )
    with torch.no_grad():  # at the start, biases are zero and normalizations do nothing
        for parameter in task.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    model = transformers_model(task)
    noise, visible, hidden = draw_places(task, len(batch))

    pieces = task.encoder.cut(batch)
    loss = task._loss(pieces, visible, hidden)
    theirs = model((batch - 0.5) / 0.25, noise=noise)
    torch.testing.assert_close(loss, theirs.loss, atol=1e-5, rtol=1e-5)

    latent = task.encoder.tokens(pieces, visible)
    prediction = task.head(task.decoder(latent, visible, hidden))
    expected = theirs.logits[torch.arange(len(batch))[:, None], hidden]
    torch.testing.assert_close(prediction, expected, atol=1e-5, rtol=1e-5)
    masked = torch.zeros_like(noise).scatter_(1, hidden, 1)
    assert torch.equal(masked, theirs.mask)

    loss.backward()
    theirs.loss.backward()
    first, their_first = task.decoder.blocks[0], model.decoder.decoder_layers[0]
    for ours, their in [
        (task.encoder.cls_token, model.vit.embeddings.cls_token),
        (task.encoder.blocks[0].mlp[0].weight, model.vit.layers[0].mlp.fc1.weight),
        (task.decoder.mask_token, model.decoder.mask_token),
        (task.decoder.embedding.weight, model.decoder.decoder_embed.weight),
        (first.norm1.weight, their_first.layernorm_before.weight),
        (task.head.weight, model.decoder.decoder_pred.weight),
    ]:
        torch.testing.assert_close(ours.grad, their.grad.view_as(ours), atol=1e-5, rtol=1e-4)
    parts = [getattr(their_first.attention, name) for name in ("q_proj", "k_proj", "v_proj")]
    expected = torch.cat([part.weight.grad for part in parts])
    torch.testing.assert_close(first.attention.qkv.weight.grad, expected, atol=1e-5, rtol=1e-4)


# What is seen, and what is not ------------------------------------------------------------------


TASKS = {
    "image": lambda: batch_of(np.random.default_rng(0).random((9, 10, 7)), "image"),
    "series": lambda: batch_of(np.random.default_rng(0).normal(size=(9, 3, 50)), "series"),
    "table": lambda: batch_of(np.random.default_rng(0).normal(size=(9, 12))),
}


@pytest.fixture(params=TASKS)
def task_and_batch(request):
    batch, spec = TASKS[request.param]()
    return make_task(MaskedAutoencoder(augment=as_it_is), spec), batch


@pytest.mark.parametrize("decoder_depth", [1, 2])
@pytest.mark.parametrize("modality", TASKS)
def test_what_is_hidden_is_not_seen(modality, decoder_depth):
    batch, spec = TASKS[modality]()
    estimator = MaskedAutoencoder(augment=as_it_is, decoder_depth=decoder_depth)
    task = make_task(estimator, spec).eval()
    _, visible, hidden = draw_places(task, len(batch))
    pieces = task.encoder.cut(batch)
    changed = pieces.flatten(1, -2).scatter(
        1, hidden[:, :, None].expand(-1, -1, pieces.shape[-1]), 7.0
    )
    changed = changed.view_as(pieces)
    with torch.no_grad():
        latents = [task.encoder.tokens(p, visible) for p in (pieces, changed)]
        assert torch.equal(*latents)
        assert torch.equal(*(task.decoder(latent, visible, hidden) for latent in latents))
        assert task._loss(pieces, visible, hidden) != task._loss(changed, visible, hidden)


def test_every_visible_piece_is_seen_by_every_prediction(task_and_batch):
    task, batch = task_and_batch
    _, visible, hidden = draw_places(task, len(batch))
    pieces = task.encoder.cut(batch).requires_grad_()
    predicted = task.decoder(task.encoder.tokens(pieces, visible), visible, hidden)
    for k in range(hidden.shape[1]):
        (gradient,) = torch.autograd.grad(predicted[:, k].pow(3).sum(), pieces, retain_graph=True)
        seen = gradient.flatten(1, -2).abs().sum(2) > 0
        assert seen.gather(1, visible).all()
        assert not seen.gather(1, hidden).any()


@pytest.mark.parametrize("mask_ratio", [0.01, 0.3, 0.75, 0.99])
def test_no_work_is_done_for_what_is_hidden(mask_ratio):
    task, batch = image_task((16, 16), patch_size=4, mask_ratio=mask_ratio)
    lengths = []
    for module in [task.encoder.patch_embedding, *task.encoder.blocks]:
        module.register_forward_pre_hook(lambda module, args: lengths.append(args[0].shape[1]))
    task(batch)
    n_visible = 16 - task.n_hidden
    assert lengths == [n_visible] + [1 + n_visible] * len(task.encoder.blocks)
    assert task.n_hidden == {0.01: 1, 0.3: 5, 0.75: 12, 0.99: 15}[mask_ratio]


def test_each_row_has_a_mask_of_its_own_and_each_batch_another(task_and_batch):
    task, batch = task_and_batch
    seen = []
    task.decoder.register_forward_pre_hook(lambda module, args: seen.append(args[1:]))
    task(batch), task(batch)
    length = len(task.decoder.positions)
    for visible, hidden in seen:
        assert hidden.shape == (9, task.n_hidden)
        together = torch.cat([visible, hidden], dim=1).sort(dim=1).values
        assert torch.equal(together, torch.arange(length).expand(9, length))
    assert len({tuple(row.sort().values.tolist()) for row in seen[0][1]}) > 4
    assert not torch.equal(seen[0][1], seen[1][1])


def test_masks_come_from_the_generator_of_the_task(task_and_batch, random_streams_untouched):
    task, batch = task_and_batch
    losses = []
    for seed in (3, 3, 4):
        task.generator.manual_seed(seed)
        losses.append(task(batch).item())
    assert losses[0] == losses[1] != losses[2]


def test_gradients_reach_every_parameter(task_and_batch):
    task, batch = task_and_batch
    task(batch).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.parameters())


def test_first_loss_is_about_one(task_and_batch):
    """The targets have deviation 1, and predictions start near nothing."""
    task, batch = task_and_batch
    torch.nn.init.zeros_(task.head.weight)
    assert 0.7 < task(batch).item() < 1.3


def test_pieces_are_joined_to_what_was_cut(task_and_batch):
    task, batch = task_and_batch
    torch.testing.assert_close(task.encoder.join(task.encoder.cut(batch)), batch)


# Loss -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_pix_loss", [True, False])
@pytest.mark.parametrize("shape", [(5, 7), (7, 5, 3), (6, 4)])
def test_what_fills_the_last_patches_does_not_count(shape, norm_pix_loss):
    task, batch = image_task(shape, patch_size=4, norm_pix_loss=norm_pix_loss, mask_ratio=0.5)
    _, visible, hidden = draw_places(task, len(batch))
    pieces = task.encoder.cut(batch)
    with torch.no_grad():
        loss = task._loss(pieces, visible, hidden)
        outputs = task.head(task.decoder(task.encoder.tokens(pieces, visible), visible, hidden))
    total, count = 0.0, 0
    pixels = (batch.permute(0, 2, 3, 1).numpy().astype(np.float64) - 0.5) / 0.25
    n_columns = task.encoder.grid[1]
    for row in range(len(batch)):
        for place, output in zip(hidden[row].tolist(), outputs[row]):
            y, x = 4 * (place // n_columns), 4 * (place % n_columns)
            target = pixels[row, y : y + 4, x : x + 4]
            height, width = target.shape[:2]
            if norm_pix_loss:
                target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + 1e-6)
            output = output.reshape(4, 4, -1)[:height, :width].numpy()
            total += np.square(output - target).sum()
            count += target.size
    assert loss.item() == pytest.approx(total / count, rel=1e-5)


def test_patches_of_one_value_are_not_normalized():
    task, _ = image_task((4, 5), patch_size=1)
    assert not task.head.normalize
    task, batch = image_task((5, 5), patch_size=4)  # the patch in the corner has one pixel
    assert task.head.normalize
    assert np.isfinite(task(batch).item())


def test_loss_of_series_is_that_of_normalized_patches_of_time():
    batch, spec = TASKS["series"]()
    task = make_task(MaskedAutoencoder(patch_size=8), spec)  # 50 steps: the last patch has 2
    _, visible, hidden = draw_places(task, len(batch))
    pieces = task.encoder.cut(batch)
    assert pieces.shape == (9, 7, 8 * 3)
    with torch.no_grad():
        loss = task._loss(pieces, visible, hidden)
        outputs = task.head(task.decoder(task.encoder.tokens(pieces, visible), visible, hidden))
    squares = []
    for row in range(9):
        for place, output in zip(hidden[row].tolist(), outputs[row]):
            target = batch[row, :, 8 * place : 8 * place + 8].double().numpy()
            target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + 1e-6)
            output = output.reshape(8, 3).T[:, : target.shape[1]].numpy()
            squares.extend(np.square(output - target).ravel())
    assert loss.item() == pytest.approx(np.mean(squares), rel=1e-5)


# Tables -----------------------------------------------------------------------------------------


@pytest.fixture
def mixed_batch_and_spec():
    """A table of numbers, numbers with holes, and categories, some of them unknown."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    X[:, 1] = rng.integers(0, 4, 40)  # three categories, and unknown ones
    X[:, 4] = rng.integers(1, 3, 40)  # two categories
    X[rng.random(40) < 0.3, 2] = np.nan
    spec = describe(rng.normal(size=(40, 5)), "table")
    spec = replace(
        spec,
        cardinalities=(0, 3, 0, 0, 2),
        missing=(False, False, True, False, False),
    )
    return torch.tensor(X, dtype=torch.float32), spec


def test_loss_of_a_table_is_that_of_its_hidden_entries(mixed_batch_and_spec):
    batch, spec = mixed_batch_and_spec
    task = make_task(MaskedAutoencoder(mask_ratio=0.6), spec)
    _, visible, hidden = draw_places(task, len(batch))
    pieces = task.encoder.cut(batch)
    predicted = task.decoder(task.encoder.tokens(pieces, visible), visible, hidden)
    loss = task.head.loss(predicted, pieces, hidden)

    total, count = 0.0, 0
    head = task.head
    for row in range(len(batch)):
        for token, j in zip(predicted[row].double(), hidden[row].tolist()):
            target, k = batch[row, j].item(), spec.cardinalities[j]
            if k:
                linear = head.logits[str(j)].double()
                log_p = (linear.weight @ token + linear.bias).log_softmax(0)
                linear.float()
                if target > 0:
                    total += -log_p[int(target) - 1].item() / np.log(k)
                    count += 1
            elif not np.isnan(target):
                i = head.numeric.index(j)
                total += ((head.weight[i].double() @ token + head.bias[i]).item() - target) ** 2
                count += 1
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


def test_tables_with_holes_have_finite_losses_and_gradients(mixed_batch_and_spec):
    batch, spec = mixed_batch_and_spec
    task = make_task(MaskedAutoencoder(), spec)
    task(batch).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in task.parameters())
    assert torch.isfinite(task.encode(batch)).all()


def test_predicted_entries_of_a_table_are_numbers_and_codes(mixed_batch_and_spec):
    batch, spec = mixed_batch_and_spec
    task = make_task(MaskedAutoencoder(), spec).eval()
    mask = torch.tensor([False, True, True, False, True]).expand(40, 5)
    with torch.no_grad():
        filled = task.reconstruct(batch, mask)
    assert torch.equal(filled[:, [0, 3]], batch[:, [0, 3]])
    assert torch.isfinite(filled).all()
    assert set(filled[:, 1].tolist()) <= {1, 2, 3}
    assert set(filled[:, 4].tolist()) <= {1, 2}


def test_in_a_table_a_column_is_predicted_from_its_copy():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(512, 3)) * [1, 10, 1] + [0, 5, 0]
    X[:, 2] = X[:, 1] / 10
    estimator = MaskedAutoencoder(max_epochs=20, lr=5e-3, random_state=0).fit(X)
    hidden = estimator.reconstruct(X, [False, True, False])
    error = hidden.prediction[:, 1] - X[:, 1]
    assert np.square(error).mean() < 0.5 * X[:, 1].var()
    np.testing.assert_array_equal(hidden.prediction[:, [0, 2]], X[:, [0, 2]].astype(np.float32))


# Reconstruction ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    X = np.random.default_rng(0).integers(0, 256, (40, 6, 9, 3), dtype=np.uint8)
    return MaskedAutoencoder(patch_size=3, max_epochs=1, random_state=0).fit(X), X


def test_reconstruction_is_in_the_shape_and_its_units(fitted):
    estimator, X = fitted
    result = estimator.reconstruct(X)
    assert result.input.shape == result.mask.shape == result.prediction.shape == X.shape
    assert result.input.dtype == result.prediction.dtype == np.float32
    assert result.mask.dtype == bool
    np.testing.assert_array_equal(result.input, X)
    np.testing.assert_array_equal(result.prediction[~result.mask], X[~result.mask])
    # A predicted patch has the mean of the true one, and nearly its deviation or less.
    patches = [a.reshape(40, 2, 3, 3, 3, 3).mean((2, 4, 5)) for a in (result.prediction, X)]
    assert np.abs(result.prediction[result.mask] - X[result.mask].astype(np.float32)).max() > 1
    assert np.abs(patches[0] - patches[1]).mean() < 60
    again = estimator.reconstruct(X)
    np.testing.assert_array_equal(again.mask, result.mask)
    np.testing.assert_array_equal(again.prediction, result.prediction)


def test_a_mask_of_patches_hides_their_pixels(fitted):
    estimator, X = fitted
    mask = np.array([[True, False, False], [False, False, True]])
    result = estimator.reconstruct(X[:4], mask)
    expected = mask.repeat(3, axis=0).repeat(3, axis=1)[None, :, :, None]
    np.testing.assert_array_equal(result.mask, np.broadcast_to(expected, (4, 6, 9, 3)))
    other = np.where(result.mask, 0, X[:4]).astype(np.uint8)
    estimator_without_norm = MaskedAutoencoder(
        patch_size=3, norm_pix_loss=False, max_epochs=1, random_state=0
    ).fit(X)
    np.testing.assert_allclose(
        estimator_without_norm.reconstruct(X[:4], mask).prediction[result.mask],
        estimator_without_norm.reconstruct(other, mask).prediction[result.mask],
        rtol=1e-4,
    )


def test_rows_may_have_masks_of_different_sizes(fitted):
    estimator, X = fitted
    mask = np.random.default_rng(1).random((40, 2, 3)) < np.linspace(0, 1, 40)[:, None, None]
    mask[0], mask[-1] = False, True
    together = estimator.reconstruct(X, mask)
    np.testing.assert_array_equal(together.prediction[0], X[0])
    for row in (1, 20, 39):
        alone = estimator.reconstruct(X[row : row + 1], mask[row])
        np.testing.assert_allclose(together.prediction[row], alone.prediction[0], atol=0.01)
        np.testing.assert_array_equal(together.mask[row], alone.mask[0])


@pytest.mark.parametrize(
    "mask",
    [np.ones((3, 2), bool), np.ones((4, 2, 3), bool), np.ones((2, 3)), [True, False]],
)
def test_a_mask_of_another_shape_or_kind(fitted, mask):
    estimator, X = fitted
    with pytest.raises(ValueError, match=r"mask must be .* \(2, 3\) or \(5, 2, 3\), .* got shape"):
        estimator.reconstruct(X[:5], mask)


def test_flat_images_stay_flat(digits):
    X = digits[0][:32]
    estimator = MaskedAutoencoder(image_shape=(8, 8), max_epochs=1, random_state=0).fit(X)
    result = estimator.reconstruct(X)
    assert result.prediction.shape == (32, 64)
    n_hidden = estimator.task_.n_hidden * estimator.task_.encoder.patch_size**2
    np.testing.assert_array_equal(result.mask.sum(axis=1), n_hidden)


@pytest.mark.parametrize("shape", [(30,), (2, 30)])
def test_series_are_reconstructed_in_their_units(shape):
    rng = np.random.default_rng(0)
    X = 100 + 5 * rng.normal(size=(20, *shape))
    estimator = MaskedAutoencoder(modality="series", max_epochs=1, random_state=0).fit(X)
    result = estimator.reconstruct(X)
    assert result.prediction.shape == X.shape
    assert 90 < result.prediction[result.mask].mean() < 110
    assert 1 < result.prediction[result.mask].std() < 25
    np.testing.assert_array_equal(result.prediction[~result.mask], X[~result.mask].astype("f4"))


def test_units_of_quantiles_are_undone():
    X = np.exp(np.random.default_rng(0).normal(size=(500, 3)))
    spec = describe(X, "table", scaling="quantile")
    back = spec.from_tensor(spec.to_tensor(X))
    low, high = np.quantile(X, [0.01, 0.99], axis=0)
    inside = (low < X) & (high > X)
    np.testing.assert_allclose(back[inside], X[inside], rtol=0.02)


# The estimator ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(1, 2), (2, 2), (3, 3), (1, 40), (5, 3, 2), (8, 8), (17, 30, 3), (33, 9)]
)
def test_takes_images_of_any_size(shape):
    X = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
    estimator = MaskedAutoencoder(modality="image", max_epochs=1, random_state=0).fit(X)
    Z = estimator.transform(X)
    assert Z.shape == (8, estimator.encoder_.output_dim)
    assert np.isfinite(Z).all()
    assert np.isfinite(estimator.reconstruct(X).prediction).all()


@pytest.mark.parametrize(
    ("params", "shape", "message"),
    [
        ({"modality": "image"}, (8, 1, 1), r"Rows of shape \(1, 1\) make a single patch"),
        ({"modality": "image", "patch_size": 9}, (8, 8, 9), r"smaller patch_size \(it is 9\)"),
        ({"modality": "series"}, (8, 1, 1), "single patch"),
        ({}, (8, 1), r"X has 1 feature\(s\).* 2 are needed"),
    ],
)
def test_two_pieces_are_needed(params, shape, message):
    with pytest.raises(ValueError, match=message):
        MaskedAutoencoder(**params).fit(np.random.default_rng(0).random(shape))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (ConvEncoder, r"must return a TokenEncoder .* \(1, 8, 8\); got ConvEncoder"),
        (lambda shape: 3, r"must return a TokenEncoder .* got int"),
        (ViTEncoder((1, 8, 8)), r"must be a function that returns a new TokenEncoder"),
        (torch.nn.Linear(2, 2), r"a trained Linear.* SimCLRTransformer\(pretrained=network\)"),
    ],
)
def test_an_encoder_that_cannot_be_shown_a_part(encoder, message, digits):
    estimator = MaskedAutoencoder(encoder=encoder, image_shape=(8, 8))
    with pytest.raises(TypeError, match=message):
        estimator.fit(digits[0][:16])


@pytest.mark.parametrize(
    ("encoder", "params"),
    [
        (partial(ViTEncoder, patch_size=4, width=16, pooling="cls"), {"modality": "image"}),
        (partial(SeriesTokenEncoder, width=16, pooling="cls"), {"modality": "series"}),
    ],
)
def test_an_encoder_of_ones_own(encoder, params, digits):
    X = digits[0][:32].reshape(-1, 8, 8)
    estimator = MaskedAutoencoder(encoder=encoder, max_epochs=1, **params).fit(X)
    assert estimator.transform(X).shape == (32, 16)


def test_an_encoder_of_ones_own_is_told_of_holes(mixed_batch_and_spec):
    batch, spec = mixed_batch_and_spec
    task = make_task(MaskedAutoencoder(encoder=partial(FeatureTokenEncoder, width=8)), spec)
    assert task.encode(batch).shape == (40, 5 * 8)


def test_images_are_cropped_and_flipped_by_default_and_nothing_else_is():
    for modality, make in TASKS.items():
        _, spec = make()
        augment = make_task(MaskedAutoencoder(), spec).augment
        if modality == "image":
            assert (augment.jitter, augment.grayscale, augment.blur) == (0, 0, 0)
            assert augment.flip == 0.5
        else:
            assert augment is None
    given = ImageAugmentation(flip=0)
    _, spec = TASKS["image"]()
    assert make_task(MaskedAutoencoder(augment=given), spec).augment.scale is not None
    assert given.scale is None


def test_fit_transform_pickle(modality_data):
    params, X = modality_data
    estimator = MaskedAutoencoder(max_epochs=1, random_state=0, **params)
    Z = estimator.fit_transform(X)
    assert np.isfinite(Z).all()
    score, shown = estimator.score(X), estimator.reconstruct(X)
    copied = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(copied.transform(X), Z)
    np.testing.assert_array_equal(copied.reconstruct(X).prediction, shown.prediction)
    assert copied.score(X) == score
    np.testing.assert_array_equal(estimator.fit(X).transform(X), Z)


def test_tables_are_fitted_alike_on_two_cores(digits):
    # The gradient of `weight[places]` adds up in an order that depends on the threads.
    X = digits[0][:64]
    mae = MaskedAutoencoder(max_epochs=1, random_state=0)
    with two_cores():
        first, *others = (mae.fit(X).encoder_.weight for _ in range(6))
    assert all(torch.equal(weight, first) for weight in others)


@pytest.mark.slow
def test_ten_labels_a_class_are_worth_more_than_without_training(load_or_skip):
    # The mean of the tokens, for a short training tells most of it; benchmarks/quality.py has the
    # default pooling after a whole one.
    X, y = load_or_skip(load_fashion_mnist)
    X_train, y_train, X_test, y_test = X[:3000], y[:3000], X[-1500:], y[-1500:]

    def accuracy(**params):
        ssl = MaskedAutoencoder(modality="image", pooling="mean", random_state=0, **params)
        Z_train, Z_test = ssl.fit_transform(X_train), ssl.transform(X_test)
        accuracies = []
        for draw in range(5):
            labeled = draw_labels(y_train, 10, random_state=draw)
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            classifier.fit(Z_train[labeled], y_train[labeled])
            accuracies.append(classifier.score(Z_test, y_test))
        return np.mean(accuracies)

    assert accuracy(max_epochs=8) > accuracy(max_epochs=0) + 0.03


def test_reconstructed_categories_are_categories():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"town": rng.choice(["Oslo", "Rome"], 60), "age": rng.normal(40, 10, 60)})
    ssl = MaskedAutoencoder(max_epochs=1, random_state=0).fit(X)
    shown = ssl.reconstruct(X, mask=[True, False])
    assert shown.input[:, 0].tolist() == X["town"].tolist()
    assert set(shown.prediction[:, 0]) <= {"Oslo", "Rome"}
    np.testing.assert_allclose(shown.prediction[:, 1].astype(float), X["age"], rtol=1e-6)
    assert shown.mask.tolist() == [[True, False]] * 60
