"""Each loss against lightly's, against loops in NumPy, and against its own mathematics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightly.loss import (
    BarlowTwinsLoss,
    DINOLoss,
    NegativeCosineSimilarity,
    NTXentLoss,
    SwaVLoss,
    VICRegLoss,
)
from torch.nn import functional as F

from sklearn_ssl.losses import (
    barlow_twins,
    cross_view_entropy,
    hierarchical_contrast,
    info_nce,
    negative_cosine,
    nt_xent,
    queue_info_nce,
    sigreg,
    sinkhorn,
    vicreg,
)

each_shape = pytest.mark.parametrize(("n", "d"), [(2, 2), (2, 64), (3, 5), (17, 16), (65, 64)])
each_temperature = pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])


def _embeddings(n, d, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, d, generator=generator, dtype=torch.float64).to(dtype)


def _directions(d, m, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    directions = torch.randn(d, m, generator=generator, dtype=torch.float64)
    return F.normalize(directions, dim=0).to(dtype)


def _agrees(loss, tensors, expected):
    """Whether loss(*tensors) is expected: nearly to the bit in float64, to 1e-5 in float32."""
    torch.testing.assert_close(loss(*tensors), expected, rtol=1e-10, atol=1e-10)
    single = loss(*(tensor.float() for tensor in tensors))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-5)


# What every loss must do. Each is given two views here, and may be trained through both. What else
# it needs is constant, and not in half precision.


def _wide(dtype):
    return torch.promote_types(dtype, torch.float32)


def _queue_info_nce(z_a, z_b):
    queue = _embeddings(5, z_a.shape[1], _wide(z_a.dtype), seed=1)[0]
    return queue_info_nce(z_a, z_b, queue, 0.1)


def _cross_view_entropy(z_a, z_b):
    targets = _embeddings(len(z_a), z_a.shape[1], seed=1).softmax(dim=2).to(_wide(z_a.dtype))
    return cross_view_entropy(torch.stack([z_a, z_b, -z_a]), targets)


LOSSES = {
    "nt_xent": lambda z_a, z_b: nt_xent(z_a, z_b, 0.1),
    "queue_info_nce": _queue_info_nce,
    "info_nce": lambda z_a, z_b: info_nce(z_a, z_b, 0.1),
    "negative_cosine": negative_cosine,
    "barlow_twins": lambda z_a, z_b: barlow_twins(z_a, z_b, 5e-3),
    "vicreg": lambda z_a, z_b: vicreg(z_a, z_b, invariance=25, variance=25, covariance=1),
    "cross_view_entropy": _cross_view_entropy,
    "hierarchical_contrast": lambda z_a, z_b: hierarchical_contrast(z_a[..., None], z_b[..., None]),
    "sigreg": lambda z_a, z_b: sigreg(
        torch.stack([z_a, z_b]), _directions(z_a.shape[1], 6, _wide(z_a.dtype))
    ),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@each_loss
def test_gradient(loss):
    z_a, z_b = (z.requires_grad_() for z in _embeddings(4, 3))
    assert torch.autograd.gradcheck(loss, (z_a, z_b))


@each_loss
def test_float64_stays(loss):
    z_a, z_b = _embeddings(8, 16)
    assert loss(z_a, z_b).dtype == torch.float64


@each_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(loss, dtype):
    z_a, z_b = _embeddings(8, 16, dtype)
    value = loss(z_a, z_b)
    assert value.dtype == torch.float32
    assert value == loss(z_a.float(), z_b.float())


@each_loss
def test_autocast_changes_nothing(loss):
    z_a, z_b = _embeddings(32, 16, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(z_a, z_b)
    assert value == loss(z_a, z_b)


def test_tensors_given_by_name_are_computed_in_float32_too():
    z_a, z_b = _embeddings(8, 16, torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        by_name = nt_xent(z_b=z_b, z_a=z_a, temperature=0.1)
    assert by_name == nt_xent(z_a.float(), z_b.float(), 0.1)


@each_loss
def test_input_is_left_as_it_was(loss):
    z_a, z_b = _embeddings(4, 3)
    before = z_a.clone(), z_b.clone()
    loss(z_a, z_b)
    assert torch.equal(z_a, before[0])
    assert torch.equal(z_b, before[1])


DEGENERATE = {
    "all equal": lambda z: torch.ones_like(z),
    "all zero": lambda z: torch.zeros_like(z),
    "one zero": lambda z: torch.cat([torch.zeros_like(z[:1]), z[1:]]),
    "one constant column": lambda z: torch.cat([torch.ones_like(z[:, :1]), z[:, 1:]], dim=1),
    "large": lambda z: 1e4 * z,
}


@each_loss
@pytest.mark.parametrize("degenerate", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("n", [2, 6])
def test_degenerate_input_gives_finite_values_and_gradients(loss, degenerate, n):
    z_a, z_b = (degenerate(z).requires_grad_() for z in _embeddings(n, 4, torch.float32))
    value = loss(z_a, z_b)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(z_a.grad).all()
    assert torch.isfinite(z_b.grad).all()


# NT-Xent


def _nt_xent_loop(z_a, z_b, temperature):
    """Equation 1 of the paper, one pair at a time."""
    z = np.concatenate([z_a, z_b])
    n = len(z_a)

    def similarity(i, k):
        return z[i] @ z[k] / (np.linalg.norm(z[i]) * np.linalg.norm(z[k])) / temperature

    losses = []
    for i in range(2 * n):
        other_view = (i + n) % (2 * n)
        candidates = [math.exp(similarity(i, k)) for k in range(2 * n) if k != i]
        losses.append(math.log(sum(candidates)) - similarity(i, other_view))
    return np.mean(losses)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("d", [1, 2, 16, 128])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_nt_xent_equals_lightly(n, d, temperature):
    z_a, z_b = _embeddings(n, d)
    expected = NTXentLoss(temperature)(z_a, z_b)
    torch.testing.assert_close(nt_xent(z_a, z_b, temperature), expected, rtol=1e-12, atol=1e-12)
    single = nt_xent(z_a.float(), z_b.float(), temperature)
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 6),
    d=st.integers(1, 5),
    temperature=st.floats(0.1, 5),
    seed=st.integers(0, 2**31),
)
def test_nt_xent_equals_a_loop(n, d, temperature, seed):
    z_a, z_b = _embeddings(n, d, seed=seed)
    expected = _nt_xent_loop(z_a.numpy(), z_b.numpy(), temperature)
    assert nt_xent(z_a, z_b, temperature).item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("n", [1, 2, 256])
def test_nt_xent_of_equal_embeddings(n, temperature):
    z = torch.ones(n, 8, dtype=torch.float64)
    assert nt_xent(z, z, temperature).item() == pytest.approx(math.log(2 * n - 1), abs=1e-12)


def test_nt_xent_of_one_row_is_zero():
    # The other view is the only candidate, however far away it is.
    assert nt_xent(torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.2]]), 0.1).item() == 0.0


@settings(deadline=None, max_examples=20)
@given(scales=st.lists(st.floats(1e-3, 1e3), min_size=10, max_size=10))
def test_nt_xent_ignores_the_length_of_embeddings(scales):
    z_a, z_b = _embeddings(5, 3)
    scale_a, scale_b = torch.tensor(scales, dtype=torch.float64).reshape(2, 5, 1)
    torch.testing.assert_close(nt_xent(z_a * scale_a, z_b * scale_b, 0.2), nt_xent(z_a, z_b, 0.2))


def test_nt_xent_is_symmetric_in_views_and_rows():
    z_a, z_b = _embeddings(6, 3)
    expected = nt_xent(z_a, z_b, 0.2)
    torch.testing.assert_close(nt_xent(z_b, z_a, 0.2), expected)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(nt_xent(z_a[order], z_b[order], 0.2), expected)


# MoCo


def _info_nce_loop(q, candidates, positives, temperature):
    """Mean of -log(exp(own) / sum(exp)), one query at a time."""
    q = q / np.linalg.norm(q, axis=1, keepdims=True)
    losses = []
    for i, query in enumerate(q):
        similarities = [
            query @ k / np.linalg.norm(k) / temperature for k in [positives[i], *candidates(i)]
        ]
        losses.append(math.log(sum(map(math.exp, similarities))) - similarities[0])
    return torch.tensor(np.mean(losses))


def _lightly_with_queue(temperature, size, d):
    oracle = NTXentLoss(temperature, memory_bank_size=(size, d)).double()
    bank = oracle.memory_bank.bank  # drawn in float32 from the global stream: make it our own
    bank.copy_(F.normalize(_embeddings(size, d, seed=1)[0], dim=1))
    return oracle


@each_temperature
@each_shape
@pytest.mark.parametrize("size", [1, 33])
def test_queue_info_nce_equals_lightly(n, d, size, temperature):
    q, k = _embeddings(n, d)
    oracle = _lightly_with_queue(temperature, size, d)
    queue = oracle.memory_bank.bank.clone()
    _agrees(lambda *tensors: queue_info_nce(*tensors, temperature), (q, k, queue), oracle(q, k))


def test_queue_info_nce_equals_lightly_over_batches_of_which_the_last_is_short():
    oracle = _lightly_with_queue(0.2, 20, 6)
    for step, n in enumerate([8, 8, 8, 5]):
        q, k = _embeddings(n, 6, seed=2 + step)
        queue = oracle.memory_bank.bank.clone()
        expected = oracle(q.requires_grad_(), k)  # a query with a gradient makes it enqueue k
        _agrees(lambda *tensors: queue_info_nce(*tensors, 0.2), (q, k, queue), expected)
        assert not torch.equal(queue, oracle.memory_bank.bank)


@each_temperature
@each_shape
def test_queue_info_nce_equals_a_loop(n, d, temperature):
    q, k = _embeddings(n, d)
    queue = 3 * _embeddings(7, d, seed=1)[0]  # of any length: it is normalized
    expected = _info_nce_loop(q.numpy(), lambda i: queue.numpy(), k.numpy(), temperature)
    _agrees(lambda *tensors: queue_info_nce(*tensors, temperature), (q, k, queue), expected)


@pytest.mark.parametrize("size", [1, 100])
def test_queue_info_nce_of_equal_embeddings(size):
    z, queue = torch.ones(4, 8, dtype=torch.float64), torch.ones(size, 8, dtype=torch.float64)
    assert queue_info_nce(z, z, queue, 0.2).item() == pytest.approx(math.log(size + 1), abs=1e-12)


@each_temperature
@each_shape
def test_info_nce_equals_a_loop(n, d, temperature):
    q, k = _embeddings(n, d)

    def others(i):
        return np.delete(k.numpy(), i, axis=0)

    expected = _info_nce_loop(q.numpy(), others, k.numpy(), temperature)
    _agrees(lambda *tensors: info_nce(*tensors, temperature), (q, k), expected)


@each_temperature
@each_shape
def test_info_nce_equals_a_cross_entropy_of_cosines(n, d, temperature):
    q, k = _embeddings(n, d)
    cosines = F.cosine_similarity(q[:, None], k[None], dim=2)
    expected = F.cross_entropy(cosines / temperature, torch.arange(n))
    _agrees(lambda *tensors: info_nce(*tensors, temperature), (q, k), expected)


@each_temperature
def test_both_directions_of_info_nce_are_the_loss_of_moco_v3(temperature):
    (q_a, q_b), (k_a, k_b) = _embeddings(9, 4), _embeddings(9, 4, seed=1)

    def one_direction(q, k):  # `ctr_loss` of facebookresearch/moco-v3, in NumPy
        q, k = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (q.numpy(), k.numpy()))
        p = np.exp(q @ k.T / temperature)
        return -np.log(np.diag(p) / p.sum(axis=1)).mean() * 2 * temperature

    expected = torch.tensor(one_direction(q_a, k_b) + one_direction(q_b, k_a))
    _agrees(
        lambda q_a, q_b, k_a, k_b: (
            2 * temperature * (info_nce(q_a, k_b, temperature) + info_nce(q_b, k_a, temperature))
        ),
        (q_a, q_b, k_a, k_b),
        expected,
    )


@pytest.mark.parametrize("n", [1, 2, 100])
def test_info_nce_of_equal_embeddings(n):
    z = torch.ones(n, 8, dtype=torch.float64)
    assert info_nce(z, z, 0.2).item() == pytest.approx(math.log(n), abs=1e-12)


# BYOL and SimSiam


@each_shape
def test_negative_cosine_equals_lightly(n, d):
    p, z = _embeddings(n, d)
    _agrees(negative_cosine, (p, z), NegativeCosineSimilarity()(p, z))


@each_shape
def test_negative_cosine_is_byols_distance_of_normalized_vectors(n, d):
    p, z = _embeddings(n, d)
    p_unit, z_unit = (x.numpy() / np.linalg.norm(x, axis=1, keepdims=True) for x in (p, z))
    expected = torch.tensor(((p_unit - z_unit) ** 2).sum(axis=1).mean())
    _agrees(lambda p, z: 2 + 2 * negative_cosine(p, z), (p, z), expected)


def test_negative_cosine_of_parallel_and_opposite_rows():
    p = _embeddings(5, 3)[0]
    assert negative_cosine(p, 7 * p).item() == pytest.approx(-1)
    assert negative_cosine(p, -p).item() == pytest.approx(1)


# Barlow Twins


@each_shape
@pytest.mark.parametrize("weight", [0.0, 5e-3, 1.0])
def test_barlow_twins_equals_lightly(n, d, weight):
    views = _embeddings(n, d) + 3
    expected = BarlowTwinsLoss(weight)(*views)
    _agrees(lambda z_a, z_b: barlow_twins(z_a, z_b, weight), views, expected)


def test_barlow_twins_equals_a_loop():
    n, d = 7, 4
    z_a, z_b = (z.numpy() for z in _embeddings(n, d))
    expected = 0.0
    for i in range(d):
        for j in range(d):
            a, b = z_a[:, i] - z_a[:, i].mean(), z_b[:, j] - z_b[:, j].mean()
            deviations = math.sqrt((a @ a / n + 1e-5) * (b @ b / n + 1e-5))
            c = a @ b / n / deviations
            expected += (1 - c) ** 2 if i == j else 0.1 * c**2
    loss = barlow_twins(torch.tensor(z_a), torch.tensor(z_b), 0.1)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


def test_barlow_twins_of_equal_embeddings_is_their_width():
    z = torch.full((6, 5), 3.0)
    assert barlow_twins(z, z, 5e-3).item() == pytest.approx(5)


def test_barlow_twins_ignores_shift_and_scale_of_columns():
    z_a, z_b = 100 * _embeddings(30, 4)  # far above the 1e-5 that is added to the variance
    scale, shift = torch.tensor([[2.0, 0.5, 3.0, 9.0], [1.0, -7.0, 0.0, 40.0]]).double()
    expected = barlow_twins(z_a, z_b, 0.1)
    torch.testing.assert_close(barlow_twins(z_a * scale + shift, z_b, 0.1), expected)


# VICReg. lightly computes what facebookresearch/vicreg does, but for a last short batch, where
# the latter divides covariances by the size of the full ones. Both take n - 1 of a full batch.

WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}


@each_shape
@pytest.mark.parametrize("alone", [None, *WEIGHTS])
def test_vicreg_equals_lightly(n, d, alone):
    weights = WEIGHTS if alone is None else {**dict.fromkeys(WEIGHTS, 0.0), alone: 2.0}
    views = 0.8 * _embeddings(n, d) + 3  # some columns have less variance than 1, others more
    _agrees(
        lambda z_a, z_b: vicreg(z_a, z_b, **weights), views, VICRegLoss(*weights.values())(*views)
    )


@each_shape
def test_vicreg_equals_its_formula_in_numpy(n, d):
    z_a, z_b = views = 0.8 * _embeddings(n, d)
    expected = 25 * np.mean((z_a - z_b).numpy() ** 2)
    for z in views.numpy():
        cov = np.cov(z, rowvar=False)
        expected += 25 * np.maximum(0, 1 - np.sqrt(np.diag(cov) + 1e-4)).mean() / 2
        expected += (np.square(cov).sum() - np.square(np.diag(cov)).sum()) / d
    _agrees(lambda z_a, z_b: vicreg(z_a, z_b, **WEIGHTS), views, torch.tensor(expected))


def test_vicreg_of_equal_embeddings():
    z = torch.ones(6, 5, dtype=torch.float64)
    assert vicreg(z, z, **WEIGHTS).item() == pytest.approx(0.99 * 25)


def test_vicreg_ignores_a_shift_of_both_views():
    z_a, z_b = _embeddings(9, 4)
    torch.testing.assert_close(
        vicreg(z_a + 5, z_b + 5, **WEIGHTS), vicreg(z_a, z_b, **WEIGHTS), rtol=1e-10, atol=1e-10
    )


# SwAV


def _sinkhorn_loop(scores, epsilon, n_iterations):
    codes = np.exp(scores / epsilon)
    n, k = codes.shape
    for _ in range(n_iterations):
        for j in range(k):
            codes[:, j] /= codes[:, j].sum() * k
        for i in range(n):
            codes[i] /= codes[i].sum() * n
    return torch.tensor(codes * n)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
@pytest.mark.parametrize("n_iterations", [1, 3, 10])
@each_shape
def test_sinkhorn_equals_a_loop(n, d, n_iterations, epsilon):
    scores = _embeddings(n, d)[0].tanh()
    expected = _sinkhorn_loop(scores.numpy(), epsilon, n_iterations)
    _agrees(lambda scores: sinkhorn(scores, epsilon, n_iterations), (scores,), expected)


def test_sinkhorn_uses_all_prototypes_equally():
    scores = _embeddings(12, 4)[0] + torch.tensor([3.0, 0, 0, 0])  # all prefer the first
    codes = sinkhorn(scores, 0.5, n_iterations=200)
    ones = torch.ones(12, dtype=torch.float64)
    torch.testing.assert_close(codes.sum(dim=1), ones)
    torch.testing.assert_close(codes.sum(dim=0), 12 / 4 * ones[:4])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_sinkhorn_neither_overflows_nor_divides_by_zero(dtype):
    scores = torch.tensor([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype=dtype)
    codes = sinkhorn(scores, 0.05)
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(2))


def test_no_gradient_flows_through_codes():
    scores = _embeddings(4, 3)[0].requires_grad_()
    assert not sinkhorn(scores, 0.05).requires_grad


def test_sinkhorn_under_autocast_and_its_input():
    scores = _embeddings(8, 5, torch.float32)[0]
    before = scores.clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        codes = sinkhorn(scores, 0.05)
    assert torch.equal(codes, sinkhorn(scores, 0.05))
    assert torch.equal(scores, before)


@pytest.mark.parametrize("n_local", [0, 1, 6])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
@each_shape
def test_cross_view_entropy_of_codes_equals_lightlys_swav(n, d, temperature, n_local):
    scores = torch.cat([_embeddings(n, d, seed=seed) for seed in range(4)])[: 2 + n_local].tanh()
    expected = SwaVLoss(temperature)(list(scores[:2]), list(scores[2:])).squeeze()

    def swav(scores):
        codes = torch.stack([sinkhorn(view, 0.05) for view in scores[:2]])
        return cross_view_entropy(scores / temperature, codes)

    _agrees(swav, (scores,), expected)


# DINO


@pytest.mark.parametrize("n_local", [0, 6])
@each_shape
def test_cross_view_entropy_equals_lightlys_dino(n, d, n_local):
    oracle = DINOLoss(output_dim=d, teacher_temp=0.04, student_temp=0.1, center_momentum=0.9)
    oracle = oracle.double()
    teacher_temperature = torch.tensor(0.04).item()  # lightly's is a float32
    center = torch.zeros(d, dtype=torch.float64)
    for step, rows in enumerate([n, n, max(1, n // 2)]):  # the last batch is short
        views = torch.cat([_embeddings(rows, d, seed=10 * step + seed) for seed in range(5)])
        student, teacher = views[: 2 + n_local], views[-2:]
        _agrees(
            lambda student, teacher, center: cross_view_entropy(
                student / 0.1, ((teacher - center) / teacher_temperature).softmax(dim=2)
            ),
            (student, teacher, center),
            oracle(list(teacher), list(student)),
        )
        center = 0.9 * center + 0.1 * teacher.mean(dim=(0, 1))  # after the loss
        torch.testing.assert_close(center, oracle.center.squeeze(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("v", "t"), [(2, 1), (2, 2), (5, 2), (3, 3)])
def test_cross_view_entropy_equals_a_loop(v, t):
    logits = torch.cat([_embeddings(4, 3, seed=seed) for seed in range(3)])[:v]
    targets = _embeddings(4, 3, seed=9).softmax(dim=2).repeat(2, 1, 1)[:t]
    entropies = []
    for s in range(t):
        for u in set(range(v)) - {s}:
            for i in range(4):
                p = np.exp(logits[u, i].numpy())
                entropies.append(-targets[s, i].numpy() @ np.log(p / p.sum()))
    expected = torch.tensor(np.mean(entropies))
    torch.testing.assert_close(
        cross_view_entropy(logits, targets), expected, rtol=1e-10, atol=1e-10
    )


def test_cross_view_entropy_of_equal_logits():
    targets = _embeddings(4, 32).softmax(dim=2)
    loss = cross_view_entropy(torch.ones(8, 4, 32, dtype=torch.float64), targets)
    assert loss.item() == pytest.approx(math.log(32))


def test_cross_view_entropy_skips_pairs_of_the_same_view():
    logits = _embeddings(4, 3).requires_grad_()
    targets = _embeddings(4, 3, seed=1).softmax(dim=2)
    cross_view_entropy(logits, targets[:1]).backward()  # of the first view alone
    assert not logits.grad[0].any()
    assert logits.grad[1].any()


# LeJEPA


def _sigreg_loop(z, directions):
    """Epps and Pulley's statistic along each direction, summed knot by knot."""
    n, d = z.shape
    statistics = []
    for j in range(directions.shape[1]):
        x = [sum(z[i, c] * directions[c, j] for c in range(d)) for i in range(n)]
        integral = 0.0
        for knot in range(17):
            t = 3 * knot / 16
            characteristic = sum(complex(math.cos(t * x_i), math.sin(t * x_i)) for x_i in x) / n
            distance = abs(characteristic - math.exp(-(t**2) / 2)) ** 2
            width = 3 / 16 * (0.5 if knot in (0, 16) else 1)
            integral += 2 * width * distance * math.exp(-(t**2) / 2)
        statistics.append(n * integral)
    return torch.tensor(np.mean(statistics))


@each_shape
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_sigreg_equals_a_loop(n, d, scale):
    z, directions = scale * _embeddings(n, d)[0], _directions(d, 4)
    _agrees(sigreg, (z, directions), _sigreg_loop(z.numpy(), directions.numpy()))


def test_sigreg_of_views_is_the_mean_of_the_views():
    views, directions = _embeddings(6, 3), _directions(3, 4)
    expected = (sigreg(views[0], directions) + sigreg(views[1], directions)) / 2
    torch.testing.assert_close(sigreg(views, directions), expected)


@pytest.mark.parametrize("n", [2, 20, 200])
def test_sigreg_of_gaussian_embeddings_is_the_same_for_any_n(n):
    # E |empirical - true|^2 = (1 - exp(-t^2)) / n; from -3 to 3, under exp(-t^2 / 2)
    def integral(a):
        return math.sqrt(2 * math.pi / a) * math.erf(3 * math.sqrt(a / 2))

    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4000 // n, n, 8, generator=generator, dtype=torch.float64)
    expected = integral(1) - integral(3)
    assert expected == pytest.approx(1.05, abs=5e-3)  # what the docstring says
    assert sigreg(z, _directions(8, 64)).item() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("n", [2, 100])
def test_sigreg_of_zeros(n):
    z = torch.zeros(n, 5, dtype=torch.float64)
    assert sigreg(z, _directions(5, 4)).item() == pytest.approx(0.402 * n, rel=1e-3)


NOT_GAUSSIAN = {
    "all alike": lambda z: z[:1].expand_as(z),
    "too narrow": lambda z: 0.1 * z,
    "too wide": lambda z: 5 * z,
    "shifted": lambda z: z + 1,
    "one dimension": lambda z: z[:, :1].expand_as(z),
    "two points": lambda z: z.sign(),
}


@pytest.mark.parametrize("deform", NOT_GAUSSIAN.values(), ids=NOT_GAUSSIAN)
def test_sigreg_of_other_distributions_is_large(deform):
    z, directions = _embeddings(500, 2)[0], _directions(2, 64)
    gaussian = sigreg(z, directions)
    assert gaussian < 3
    assert sigreg(deform(z), directions) > 5 * gaussian


def test_sigreg_undoes_a_collapse():
    z = (0.01 * _embeddings(64, 2)[0]).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        sigreg(z, _directions(2, 16)).backward()
        optimizer.step()
    assert sigreg(z, _directions(2, 16)) < 0.1  # nearer than a random draw
    torch.testing.assert_close(torch.cov(z.T), torch.eye(2).double(), rtol=0.2, atol=0.2)


# Hierarchical contrast


def _hierarchical_contrast_loop(z_a, z_b, alpha, observed):
    """Algorithm 1 of TS2Vec with equations 1 and 2, one pair at a time."""

    def of_pair(own, other, candidates):
        similarities = [float(own @ candidate) for candidate in candidates]
        return math.log(sum(math.exp(s) for s in similarities)) - float(own @ other)

    levels = []
    z_a, z_b, observed = z_a.copy(), z_b.copy(), observed.copy()
    while True:
        n, time, _ = z_a.shape
        places = [(i, t) for i in range(n) for t in range(time) if observed[i, t]]
        of_rows, of_steps = [], []
        for i, t in places:
            rows = [j for j in range(n) if observed[j, t]]
            steps = [u for u in range(time) if observed[i, u]]
            for own, other in ((z_a, z_b), (z_b, z_a)):
                candidates = [other[j, t] for j in rows] + [own[j, t] for j in rows if j != i]
                of_rows.append(of_pair(own[i, t], other[i, t], candidates))
                candidates = [other[i, u] for u in steps] + [own[i, u] for u in steps if u != t]
                of_steps.append(of_pair(own[i, t], other[i, t], candidates))
        levels.append(alpha * np.mean(of_rows))
        if time == 1:
            return np.mean(levels)
        levels[-1] += (1 - alpha) * np.mean(of_steps)
        pooled_a, pooled_b, pooled = [], [], []
        for i in range(n):
            for t in range(0, time - 1, 2):
                steps = [u for u in (t, t + 1) if observed[i, u]]
                pooled.append(bool(steps))
                pooled_a.append(z_a[i, steps].max(axis=0) if steps else 0 * z_a[i, t])
                pooled_b.append(z_b[i, steps].max(axis=0) if steps else 0 * z_b[i, t])
        z_a, z_b = (np.reshape(z, (n, time // 2, -1)) for z in (pooled_a, pooled_b))
        observed = np.reshape(pooled, (n, time // 2))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("n", "time"), [(2, 1), (2, 2), (3, 5), (4, 9), (1, 4)])
@pytest.mark.parametrize("ragged", [False, True])
def test_hierarchical_contrast_against_loops(alpha, n, time, ragged):
    z_a, z_b = _embeddings(n * time, 3).unflatten(1, (n, time))
    observed = torch.ones(n, time, dtype=torch.bool)
    if ragged:
        observed[0, time // 2 + 1 :] = False
        observed[-1, 0] = time == 1
    expected = _hierarchical_contrast_loop(z_a.numpy(), z_b.numpy(), alpha, observed.numpy())
    loss = hierarchical_contrast(z_a, z_b, alpha, observed)
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-10, atol=1e-10)
    if not ragged:
        assert hierarchical_contrast(z_a, z_b, alpha) == loss


def test_hierarchical_contrast_of_states_that_are_all_alike():
    z = torch.ones(5, 4, 3, dtype=torch.float64)
    levels = [math.log(9) + math.log(7), math.log(9) + math.log(3), math.log(9)]
    assert hierarchical_contrast(z, z).item() == pytest.approx(np.mean(levels) / 2)


def test_what_was_not_observed_counts_nowhere():
    z = _embeddings(20, 3).unflatten(1, (4, 5)).requires_grad_()
    observed = torch.ones(4, 5, dtype=torch.bool)
    observed[1, 3:] = observed[2] = False
    loss = hierarchical_contrast(*z, observed=observed)
    loss.backward()
    assert (z.grad[:, ~observed] == 0).all()
    assert (z.grad[:, 0, 0] != 0).all()
    changed = z.detach().clone()
    changed[:, ~observed] = 1e6
    assert hierarchical_contrast(*changed, observed=observed) == loss
    assert hierarchical_contrast(*changed, observed=torch.zeros(4, 5)) == 0
