"""Losses of reconstruction, against loops over the entries in float64."""

import math

import numpy as np
import pytest
import torch

from sklearn_ssl.reconstruction import count_entries, feature_loss, masked_mse, prediction_width

CARDINALITIES = (0, 3, 0, 1, 5, 0)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 4), (7, 5, 4, 2)])
def test_masked_mse_is_the_mean_over_masked_places(shape):
    prediction, target = normal(*shape), normal(*shape, seed=1)
    mask = normal(7, 5, seed=2) > 0.3
    errors = [
        (float(p) - float(t)) ** 2
        for i in range(7)
        for j in range(5)
        if mask[i, j]
        for p, t in zip(prediction[i, j].flatten(), target[i, j].flatten())
    ]
    assert masked_mse(prediction, target, mask).item() == pytest.approx(np.mean(errors), rel=1e-12)


def test_masked_mse_does_not_look_at_the_rest():
    prediction, target = normal(6, 4).requires_grad_(), normal(6, 4, seed=1)
    mask = normal(6, 4, seed=2) > 0
    expected = masked_mse(prediction, target, mask)
    target[~mask] = torch.nan
    loss = masked_mse(prediction, target, mask)
    assert loss == expected
    loss.backward()
    wanted = 2 * (prediction - target).detach() / mask.sum()
    torch.testing.assert_close(prediction.grad, torch.where(mask, wanted, 0))


def test_masked_mse_of_nothing_is_zero():
    prediction = normal(6, 4).requires_grad_()
    loss = masked_mse(prediction, torch.full((6, 4), torch.nan), torch.zeros(6, 4).bool())
    loss.backward()
    assert loss == 0
    assert (prediction.grad == 0).all()


def table(n=40):
    """A batch with missing numbers and unknown categories, predictions of it, and a mask."""
    target = normal(n, len(CARDINALITIES))
    generator = torch.Generator().manual_seed(3)
    for j, k in enumerate(CARDINALITIES):
        if k:
            target[:, j] = torch.randint(k + 1, (n,), generator=generator)
    target[::5, 2] = torch.nan
    where = normal(n, len(CARDINALITIES), seed=4) > -0.5
    return normal(n, prediction_width(CARDINALITIES), seed=5), target, where


def slow_feature_loss(prediction, target, where, cardinalities):
    losses = []
    for row, values, counts in zip(prediction.numpy(), target.numpy(), where.numpy()):
        place = 0
        for k, value, counted in zip(cardinalities, values, counts):
            if k == 0:
                if counted and not np.isnan(value):
                    losses.append((row[place] - value) ** 2)
                place += 1
            else:
                logits = row[place : place + k]
                if counted and value > 0 and k > 1:
                    log_sum = np.log(np.exp(logits).sum())
                    losses.append((log_sum - logits[int(value) - 1]) / np.log(k))
                place += k
    return np.mean(losses)


@pytest.mark.parametrize("cardinalities", [CARDINALITIES, (0,) * 6, (2, 3, 4)])
def test_feature_loss_is_that_of_loops_over_the_entries(cardinalities):
    prediction, target, where = table()
    if cardinalities == (0,) * 6:
        prediction = prediction[:, :6]
    elif cardinalities == (2, 3, 4):
        prediction, where = prediction[:, :9], where[:, :3]
        target = torch.stack([target[:, 1].clamp(max=2), target[:, 1], target[:, 4] - 1], dim=1)
        target = target.clamp(min=0)
    expected = slow_feature_loss(prediction, target, where, cardinalities)
    got = feature_loss(prediction, target, where, cardinalities)
    assert got.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("cardinalities", [CARDINALITIES, (0,) * 6])
def test_entries_are_counted_as_in_the_loss(cardinalities):
    _, target, where = table()
    sizes = [max(k, 1) for k in cardinalities]
    zeros = torch.zeros(len(target), sum(sizes), dtype=torch.float64)
    total = 0
    for row in range(len(target)):
        for column, k in enumerate(cardinalities):
            one = torch.zeros_like(where)
            one[row, column] = where[row, column]
            # Guessing costs 1 for a category, and the square for a number: 0 if it does not count.
            as_one = torch.where(one & ~target.isnan() & (k == 0), 1.0, target)
            total += feature_loss(zeros, as_one, one, cardinalities).item()
    assert count_entries(target, where, cardinalities) == round(total)


def test_gradients_of_feature_loss():
    prediction, target, where = table(4)
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: feature_loss(p, target, where, CARDINALITIES), prediction
    )


def test_what_does_not_count_has_no_gradient():
    prediction, target, where = table()
    prediction.requires_grad_()
    feature_loss(prediction, target, where, CARDINALITIES).backward()
    widths = [max(k, 1) for k in CARDINALITIES]
    counted = where & ~target.isnan()
    for j, (k, grad) in enumerate(zip(CARDINALITIES, prediction.grad.split(widths, dim=1))):
        expected = counted[:, j] & (target[:, j] > 0 if k else True) & (k != 1)
        assert torch.equal((grad != 0).any(dim=1), expected), j
        assert torch.isfinite(grad).all()


def test_guessing_costs_one_in_every_column():
    n = 6000
    for cardinalities in [(0,), (2,), (50,)]:
        target = normal(n, 1)
        if cardinalities[0]:
            target = 1 + torch.arange(n, dtype=torch.float64)[:, None] % cardinalities[0]
        where = torch.ones(n, 1, dtype=torch.bool)
        prediction = torch.zeros(n, prediction_width(cardinalities), dtype=torch.float64)
        loss = feature_loss(prediction, target, where, cardinalities)
        assert loss.item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("cardinalities", "value"), [((0, 0), math.nan), ((3, 2), 0.0), ((1, 1), 1.0)]
)
def test_feature_loss_of_nothing_is_zero(cardinalities, value):
    prediction = normal(6, prediction_width(cardinalities)).requires_grad_()
    loss = feature_loss(
        prediction, torch.full((6, 2), value), torch.ones(6, 2).bool(), cardinalities
    )
    loss.backward()
    assert loss == 0
    assert (prediction.grad == 0).all()


def test_half_precision_predictions_give_a_loss_in_float32():
    prediction, target, where = table()
    target = target.float()
    exact = feature_loss(prediction.bfloat16().float(), target, where, CARDINALITIES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = feature_loss(prediction.bfloat16(), target, where, CARDINALITIES)
        assert masked_mse(prediction.bfloat16(), prediction.float(), where[:, :1]).dtype == (
            torch.float32
        )
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact)
