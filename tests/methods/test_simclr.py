"""SimCLR: its loss, its gradients, what it returns, and what it is worth."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssl import SimCLRTransformer, losses
from sklearn_ssl.augment import ImageAugmentation, SeriesAugmentation
from sklearn_ssl.semi_supervised import draw_labels
from tests.helpers import make_task


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_first_loss_is_a_little_under_that_of_guessing(batch_and_spec, temperature):
    batch, spec = batch_and_spec
    loss = make_task(SimCLRTransformer(temperature=temperature), spec)(batch).item()
    guessing = np.log(2 * 256 - 1)
    assert guessing - 0.5 < loss < guessing


def test_loss_is_nt_xent_of_two_views_of_each_row(batch_and_spec):
    batch, spec = batch_and_spec
    seen = []

    def augment(batch):
        seen.append(batch * (1 + 0.1 * len(seen)))
        return seen[-1]

    task = make_task(SimCLRTransformer(augment=augment, temperature=0.5), spec).eval()
    loss = task(batch)
    z_a, z_b = (task.projection_head(task.encoder(view)) for view in seen)
    assert len(seen) == 2
    torch.testing.assert_close(loss, losses.nt_xent(z_a, z_b, 0.5), rtol=1e-4, atol=1e-4)


def test_projections_have_no_bias_and_are_normalized(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SimCLRTransformer(), spec)
    z = task.projection_head(task.encoder(batch))
    assert z.shape == (256, 128)
    torch.testing.assert_close(z.mean(0), torch.zeros(128), atol=1e-4, rtol=0)
    assert all(m.bias is None for m in task.projection_head if isinstance(m, torch.nn.Linear))


def test_transform_returns_what_is_in_front_of_the_head(modality_data):
    params, X = modality_data
    estimator = SimCLRTransformer(max_epochs=1, random_state=0, **params).fit(X)
    batch = estimator.input_spec_.to_tensor(X)
    with torch.no_grad():
        h = estimator.encoder_(batch)
    assert h.shape[1] != 128
    # Batches of another size round differently.
    np.testing.assert_allclose(estimator.transform(X), h.numpy(), rtol=1e-4, atol=1e-5)


def noisy(batch):
    """A user's augmentation, which draws from torch's global stream."""
    return batch + 0.1 * torch.randn_like(batch)


def test_any_function_of_a_batch_augments(modality_data, random_streams_untouched):
    params, X = modality_data
    estimator = SimCLRTransformer(augment=noisy, max_epochs=1, random_state=0, **params)
    Z = estimator.fit_transform(X)
    score = estimator.score(X)
    np.testing.assert_array_equal(estimator.fit_transform(X), Z)
    assert estimator.score(X) == score
    default = SimCLRTransformer(max_epochs=1, random_state=0, **params).fit_transform(X)
    assert not np.array_equal(Z, default)


def test_function_is_given_the_batch_in_its_units(digits):
    batches = []

    def augment(batch):
        batches.append(batch)
        return batch

    X = digits[0][:48].reshape(48, 8, 8)
    SimCLRTransformer(augment=augment, modality="image", max_epochs=1).fit(X)
    assert [batch.shape for batch in batches] == [(48, 1, 8, 8)] * 2
    assert batches[0].dtype == torch.float32
    assert (batches[0].min(), batches[0].max()) == (0, 1)


def test_the_augmentation_of_a_parameter_is_adapted_as_a_copy(digits):
    augment = ImageAugmentation(flip=0)
    estimator = SimCLRTransformer(augment=augment, image_shape=(8, 8), max_epochs=1)
    estimator.fit(digits[0][:32])
    assert augment.scale is None
    assert estimator.augment is augment
    assert estimator.task_.augment.scale == (0.3, 1.0)
    assert estimator.task_.augment.flip == 0


def test_modules_of_the_augmentation_are_chosen_by_modality(digits):
    X = digits[0][:32].reshape(-1, 8, 8)
    estimator = SimCLRTransformer(modality="series", max_epochs=1).fit(X)
    assert isinstance(estimator.task_.augment, SeriesAugmentation)


@pytest.mark.slow
def test_ten_labels_a_class_are_worth_more_than_with_pixels(digits):
    X, y = digits
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.4, random_state=0, stratify=y
    )

    def accuracy(represent):
        Z_train, Z_test = represent(X_train), represent(X_test)
        accuracies = []
        for draw in range(5):
            labeled = draw_labels(y_train, 10, random_state=draw)
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            classifier.fit(Z_train[labeled], y_train[labeled])
            accuracies.append(classifier.score(Z_test, y_test))
        return np.mean(accuracies)

    params = {"image_shape": (8, 8), "augment": ImageAugmentation(flip=0, rotation=10)}
    trained = SimCLRTransformer(max_epochs=30, random_state=0, **params).fit(X_train)
    # One epoch at a vanishing rate: first weights, but batch normalization has seen the data.
    untrained = SimCLRTransformer(max_epochs=0, random_state=0, **params).fit(X_train)

    # Measured: at least .93, .89 and .86.
    reached = accuracy(trained.transform)
    assert reached > accuracy(lambda X: X) + 0.02
    assert reached > accuracy(untrained.transform) + 0.03
