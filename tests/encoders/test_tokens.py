"""Token encoders: those of series and tables, and what all of them share."""

import math

import pytest
import torch
from torch import nn

from sklearn_ssl.encoders import ViTEncoder
from sklearn_ssl.encoders._transformer import sincos_positions
from sklearn_ssl.encoders.tokens import FeatureTokenEncoder, SeriesTokenEncoder, gather_tokens

MAKE = {
    "image": lambda **params: ViTEncoder((3, 10, 7), patch_size=3, width=16, depth=2, **params),
    "series": lambda **params: SeriesTokenEncoder((2, 23), 4, width=16, depth=2, **params),
    "table": lambda **params: FeatureTokenEncoder((9,), width=16, depth=2, **params),
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def batch_for(encoder, n=5):
    return torch.rand(n, *encoder.shape)


# What all share ---------------------------------------------------------------------------------


def test_gathered_tokens_are_those_at_the_places():
    tokens = torch.rand(3, 6, 2)
    places = torch.tensor([[5, 0], [1, 1], [2, 4]])
    expected = torch.stack([tokens[row][places[row]] for row in range(3)])
    assert torch.equal(gather_tokens(tokens, places), expected)


@pytest.mark.parametrize("modality", MAKE)
def test_all_places_in_any_order_give_the_same_tokens(modality):
    encoder = MAKE[modality]()
    pieces = encoder.cut(batch_for(encoder))
    order = torch.rand(5, math.prod(encoder.grid)).argsort(dim=1)
    with torch.no_grad():
        tokens, shuffled = encoder.tokens(pieces), encoder.tokens(pieces, order)
    torch.testing.assert_close(shuffled[:, 0], tokens[:, 0], atol=1e-5, rtol=1e-4)
    in_order = gather_tokens(tokens[:, 1:], order)
    torch.testing.assert_close(shuffled[:, 1:], in_order, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("modality", MAKE)
def test_only_what_is_shown_is_seen(modality):
    encoder = MAKE[modality]()
    pieces = encoder.cut(batch_for(encoder)).requires_grad_()
    places = torch.tensor([[1, 4], [3, 0], [2, 5], [0, 1], [5, 4]])
    tokens = encoder.tokens(pieces, places)
    assert tokens.shape == (5, 3, 16)
    (gradient,) = torch.autograd.grad(tokens.pow(3).sum(), pieces)
    seen = gradient.flatten(1, -2).abs().sum(dim=2) > 0
    assert torch.equal(seen, torch.zeros_like(seen).scatter(1, places, True))


@pytest.mark.parametrize("modality", MAKE)
def test_joined_pieces_are_the_batch(modality):
    encoder = MAKE[modality]()
    batch = batch_for(encoder)
    torch.testing.assert_close(encoder.join(encoder.cut(batch)), batch)


@pytest.mark.parametrize("modality", MAKE)
def test_a_mask_is_spread_over_the_values_of_its_pieces(modality):
    encoder = MAKE[modality]()
    mask = torch.rand(5, math.prod(encoder.grid)) < 0.5
    pieces = encoder.cut(torch.zeros(5, *encoder.shape))
    marked = torch.where(mask.view(5, *encoder.grid, 1), 99.0, pieces)
    spread = encoder.spread(mask)
    assert spread.dtype == torch.bool
    assert torch.equal(spread, encoder.join(marked) > 5)


@pytest.mark.parametrize("modality", MAKE)
def test_poolings(modality):
    encoders = {
        pooling: MAKE[modality](pooling=pooling)
        for pooling in ("cls", "mean", "cls_and_mean", "grid")
    }
    first = encoders["cls"]
    batch = batch_for(first)
    outputs = {}
    for pooling, encoder in encoders.items():
        encoder.load_state_dict(first.state_dict())
        outputs[pooling] = encoder(batch)
        assert outputs[pooling].shape == (5, encoder.output_dim)
    tokens = first.tokens(first.cut(batch))
    torch.testing.assert_close(outputs["cls"], tokens[:, 0])
    torch.testing.assert_close(outputs["mean"], tokens[:, 1:].mean(dim=1))
    both = torch.cat([outputs["cls"], outputs["mean"]], dim=1)
    torch.testing.assert_close(outputs["cls_and_mean"], both)
    if modality == "table":  # nine columns, each a part of its own
        torch.testing.assert_close(outputs["grid"], tokens[:, 1:].flatten(1))
    if modality == "series":  # six patches of time, in quarters that share some
        parts = [slice(0, 2), slice(1, 3), slice(3, 5), slice(4, 6)]
        means = [tokens[:, 1:][:, part].mean(dim=1) for part in parts]
        torch.testing.assert_close(outputs["grid"], torch.cat(means, dim=1))
    if modality == "image":  # 4 x 3 patches, as many as cells
        torch.testing.assert_close(outputs["grid"], tokens[:, 1:].flatten(1))


def test_cells_of_a_finer_grid_are_means_of_their_patches():
    encoder = ViTEncoder((1, 16, 8), patch_size=1, width=16, depth=1, pooling="grid")
    images = torch.rand(2, 1, 16, 8)
    tokens = encoder.tokens(encoder.cut(images))[:, 1:].unflatten(1, (4, 4, 4, 2))
    torch.testing.assert_close(encoder(images), tokens.mean(dim=(2, 4)).flatten(1))


def test_wide_tables_are_pooled_in_sixteen_groups_of_neighbors():
    encoder = FeatureTokenEncoder((32,), width=16, depth=1)
    batch = batch_for(encoder)
    tokens = encoder.tokens(encoder.cut(batch))[:, 1:]
    assert encoder.output_dim == 16 * 16
    torch.testing.assert_close(encoder(batch), tokens.unflatten(1, (16, 2)).mean(2).flatten(1))


@pytest.mark.parametrize("modality", MAKE)
def test_gradients_reach_every_parameter(modality):
    encoder = MAKE[modality](pooling="cls_and_mean")
    encoder(batch_for(encoder)).pow(3).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


@pytest.mark.parametrize("modality", MAKE)
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pooling": "max"}, "pooling='max' must be one of 'cls_and_mean', "),
        ({"n_heads": 3}, "width=16 must be .* n_heads=3"),
    ],
)
def test_settings_that_do_not_fit(modality, params, message):
    with pytest.raises(ValueError, match=message):
        MAKE[modality](**params)


# Series -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "time"), [(1, 1), (3, 2), (1, 17), (2, 100), (12, 29)])
def test_series_of_any_length(channels, time):
    encoder = SeriesTokenEncoder((channels, time), width=8, depth=1)
    output = encoder(torch.randn(4, channels, time))
    assert output.shape == (4, encoder.output_dim)
    assert torch.isfinite(output).all()
    assert (output.std(dim=0) > 0).any()


def test_patches_of_time_hold_all_channels_and_end_with_zeros():
    encoder = SeriesTokenEncoder((2, 5), patch_size=2)
    series = torch.arange(10.0).reshape(1, 2, 5)
    expected = [[0, 5, 1, 6], [2, 7, 3, 8], [4, 9, 0, 0]]  # steps, each with both channels
    assert encoder.cut(series).tolist() == [expected]


def test_time_has_the_positions_of_one_axis():
    positions = sincos_positions((3,), (3,), 8)
    frequencies = 10_000.0 ** (-torch.arange(4) / 4)
    for place in range(3):
        angles = place * frequencies
        expected = torch.cat([angles.sin(), angles.cos()])
        torch.testing.assert_close(positions[place], expected)


def test_series_of_another_length_are_stretched():
    """A constant series says nothing but where its patches are: halved, it is nearly the same."""
    encoder = SeriesTokenEncoder((1, 64), patch_size=4, depth=1, pooling="grid")
    corner = SeriesTokenEncoder((1, 32), patch_size=4, depth=1, pooling="grid")
    corner.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        whole, half = encoder(torch.ones(1, 1, 64)), encoder(torch.ones(1, 1, 32))
        shifted = corner(torch.ones(1, 1, 32))
    mse = nn.functional.mse_loss
    assert mse(half, whole) < 0.2 * mse(shifted, whole)


# Tables -----------------------------------------------------------------------------------------


def _tokens(encoder, batch):
    """Return the tokens of a table one by one, without positions."""
    tokens = torch.empty(*batch.shape, encoder.width)
    for i, row in enumerate(batch):
        for j, value in enumerate(row):
            k, before = encoder.cardinalities[j], sum(encoder.cardinalities[:j])
            if k and value > 0:
                tokens[i, j] = encoder.categories.weight[before + int(value)]
            elif k:
                tokens[i, j] = 0
            elif value.isnan():
                tokens[i, j] = encoder.missing[j]
            else:
                tokens[i, j] = value * encoder.weight[j]
    return tokens


@pytest.fixture
def mixed():
    """An encoder of two categorical columns, one with holes, and a number; and a batch."""
    encoder = FeatureTokenEncoder(
        (4,), cardinalities=(3, 0, 0, 2), missing=(False, True, False, False), width=8, depth=1
    )
    batch = torch.tensor([[1.0, 0.5, -1, 2], [3, torch.nan, 2, 1], [0, -2, 0, 0]])
    return encoder, batch


def test_tokens_of_numbers_holes_and_categories(mixed):
    encoder, batch = mixed
    with torch.no_grad():
        expected = _tokens(encoder, batch)
        torch.testing.assert_close(encoder.embed(encoder.cut(batch), None), expected)
        places = torch.tensor([[3, 1], [0, 1], [0, 2]])
        shown = gather_tokens(encoder.cut(batch), places)
        torch.testing.assert_close(encoder.embed(shown, places), gather_tokens(expected, places))


def test_no_two_categories_share_a_vector(mixed):
    encoder, _ = mixed
    assert len(encoder.categories.weight) == 1 + 3 + 2
    assert not encoder.categories.weight[0].any()
    batch = torch.cartesian_prod(
        torch.arange(4.0), torch.zeros(1), torch.zeros(1), torch.arange(3.0)
    )
    outputs = encoder(batch)
    distances = torch.cdist(outputs, outputs) + 9 * torch.eye(len(batch))
    assert distances.min() > 1e-3


def test_unknown_categories_train_nothing(mixed):
    encoder, _ = mixed
    encoder(torch.tensor([[0.0, 1, 1, 1]])).pow(3).sum().backward()
    trained = encoder.categories.weight.grad.abs().sum(dim=1) > 0
    assert trained.tolist() == [False, False, False, False, True, False]


def test_holes_give_finite_gradients(mixed):
    encoder, batch = mixed
    encoder(batch).pow(3).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())
    assert encoder.missing.grad[1].abs().sum() > 0
    assert not encoder.missing.grad[[0, 2, 3]].any()


def test_tables_without_holes_and_categories_have_no_weights_for_them():
    names = dict(FeatureTokenEncoder((3,)).named_parameters())
    assert not {"missing", "categories.weight"} & set(names)
