"""MoCo v3: its symmetric loss, the schedule of its momentum, and the patches that it freezes."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sklearn_ssl import MoCoV3Transformer
from tests.helpers import Outputs, fit_and_record_momenta, make_task, train_step


def test_first_loss_is_near_that_of_guessing(batch_and_spec):
    batch, spec = batch_and_spec
    loss = make_task(MoCoV3Transformer(temperature=0.5), spec)(batch).item()
    assert loss == pytest.approx(2 * 0.5 * 2 * np.log(256), rel=0.03)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_loss_is_symmetric(temperature, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(MoCoV3Transformer(temperature=temperature, momentum=0.5), spec)
    seen = Outputs(q=task.prediction_head, k=task.key_head)
    for progress in (0.0, 0.5):
        loss = train_step(task, batch, progress)
        q, k = (
            F.normalize(z.detach().double(), dim=1).unflatten(0, (2, -1)) for z in (seen.q, seen.k)
        )
        expected = 0
        for i, j in [(0, 1), (1, 0)]:  # queries of one view, keys of the other
            p = (q[i] @ k[j].T / temperature).softmax(dim=1)
            expected -= 2 * temperature * p.diagonal().log().mean()
        torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)


def test_queries_and_keys_see_both_views(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(MoCoV3Transformer(), spec)
    seen = Outputs(q=task.encoder, k=task.key_encoder)
    task(batch)
    assert torch.equal(seen.inputs["q"], seen.inputs["k"])
    view_1, view_2 = seen.inputs["q"].chunk(2)
    assert not torch.equal(view_1, view_2)


def test_momentum_rises_to_one_on_a_cosine(monkeypatch, digits):
    estimator = MoCoV3Transformer(momentum=0.8, batch_size=16, max_epochs=2, random_state=0)
    momenta = fit_and_record_momenta(monkeypatch, estimator, digits[0][:64])
    steps = np.arange(1, 9)
    expected = 1 - 0.2 * (np.cos(np.pi * steps / 8) + 1) / 2
    np.testing.assert_allclose(momenta[::2], expected)  # of the encoder
    assert momenta[1::2] == momenta[::2]  # and of the head


def test_projection_of_patches_keeps_its_first_weights(digits):
    X = digits[0][:32]
    params = {"image_shape": (8, 8), "max_epochs": 2, "batch_size": 16, "random_state": 0}
    estimator = MoCoV3Transformer(encoder="vit", **params).fit(X)
    with torch.random.fork_rng():
        first = MoCoV3Transformer(encoder="vit", lr=1e-30, **params).fit(X).encoder_
    same = {
        name.split(".")[0]
        for (name, p), q in zip(estimator.encoder_.named_parameters(), first.parameters())
        if torch.equal(p, q)
    }
    assert same == {"patch_embedding"}
    averaged = estimator.task_.key_encoder.patch_embedding.weight
    assert torch.equal(averaged, estimator.encoder_.patch_embedding.weight)


def test_other_encoders_are_trained_whole(batch_and_spec):
    _, spec = batch_and_spec
    encoder = make_task(MoCoV3Transformer(), spec).encoder
    assert all(p.requires_grad for p in encoder.parameters())


def test_a_vision_transformer_inside_an_encoder_is_found(image_batch_and_spec):
    _, spec = image_batch_and_spec
    task = make_task(MoCoV3Transformer(encoder="vit", n_components=5), spec)
    frozen = {name for name, p in task.encoder.named_parameters() if not p.requires_grad}
    assert frozen == {"0.patch_embedding.weight", "0.patch_embedding.bias"}
