"""VIME: what is corrupted, both parts of its loss, and what it is worth."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssl import VIMETransformer
from sklearn_ssl.semi_supervised import draw_labels
from tests.helpers import Outputs, batch_of, describe, make_task, train_step

CARDINALITIES = (0, 0, 3, 2)


@pytest.fixture
def mixed_batch_and_spec():
    """A number, one that may be missing, and two columns of categories."""
    rows = np.random.default_rng(0).normal(size=(60, 4))
    rows[::3, 1] = np.nan
    rows[:, 2], rows[:, 3] = 1 + np.arange(60) % 3, 1 + np.arange(60) % 2
    categories = (None, None, ("a", "b", "c"), ("x", "y"))
    spec = describe(rows, "table", categories=categories)
    assert spec.cardinalities == CARDINALITIES
    return spec.to_tensor(rows), spec


def corrupted_and_loss(task, batch):
    seen = Outputs(encoder=task.encoder)
    loss = task(batch)
    return seen.inputs["encoder"], loss


def slow_loss(mask_logits, prediction, batch, corrupted, cardinalities, alpha):
    """Equations 4 to 6 of the paper, entry by entry."""
    mask_losses, errors = [], []
    rows = zip(mask_logits, prediction, batch, corrupted)
    for logits, guesses, x, x_corrupted in rows:
        place = 0
        for j, k in enumerate(cardinalities):
            same = x[j] == x_corrupted[j] or (np.isnan(x[j]) and np.isnan(x_corrupted[j]))
            probability = 1 / (1 + np.exp(-logits[j]))
            mask_losses.append(-np.log(1 - probability if same else probability))
            if k:
                own = guesses[place : place + k]
                log_p = own - np.log(np.exp(own).sum())
                errors.append(-log_p[int(x[j]) - 1] / np.log(k))
            elif not np.isnan(x[j]):
                errors.append((guesses[place] - x[j]) ** 2)
            place += max(k, 1)
    return np.mean(mask_losses) + alpha * np.mean(errors)


@pytest.mark.parametrize("alpha", [2.0, 0.5])
def test_loss_is_that_of_loops_over_the_entries(alpha, mixed_batch_and_spec):
    batch, spec = mixed_batch_and_spec
    task = make_task(VIMETransformer(alpha=alpha), spec).eval()
    corrupted, loss = corrupted_and_loss(task, batch)
    with torch.no_grad():
        h = task.encoder(corrupted)
        outputs = task.mask_head(h), task.feature_head(h), batch, corrupted
    arrays = [tensor.double().numpy() for tensor in outputs]
    assert loss.item() == pytest.approx(slow_loss(*arrays, CARDINALITIES, alpha), rel=1e-5)


@pytest.mark.parametrize("p_mask", [0.3, 0.8])
def test_entries_are_redrawn_with_their_probability(p_mask, digits):
    batch, spec = batch_of(digits[0])
    task = make_task(VIMETransformer(p_mask=p_mask), spec)
    task.marginals.fill_(99.0)  # which no entry is
    corrupted, _ = corrupted_and_loss(task, batch)
    assert (corrupted == 99).float().mean().item() == pytest.approx(p_mask, abs=0.01)
    assert (corrupted == 99).sum(dim=1).unique().numel() > 5  # not the same count in each row
    assert torch.equal(corrupted[corrupted != 99], batch[corrupted != 99])


def test_a_redrawn_entry_that_is_what_it_was_counts_as_unchanged(mixed_batch_and_spec):
    batch, spec = mixed_batch_and_spec
    batch = batch[:1].repeat(50, 1)  # whose second number is missing
    task = make_task(VIMETransformer(p_mask=0.999, alpha=1e-9), spec).eval()
    task.marginals = batch[:1].clone()  # all is redrawn, as it was
    with torch.no_grad():
        task.mask_head.weight.zero_()
        task.mask_head.bias.fill_(-20.0)  # surely unchanged
    assert task(batch).item() == pytest.approx(0, abs=1e-6)
    task.marginals = torch.where(batch[:1].isnan(), 0.5, torch.nan)  # and now all is changed
    task.marginals[:, 2:] = 2.0
    assert task(batch).item() == pytest.approx(20, rel=0.01)


def test_first_loss_is_about_that_of_guessing(digits):
    batch, spec = batch_of(digits[0][:256])
    task = make_task(VIMETransformer(), spec).eval()
    # The mask: about log 2. The reconstruction: 1 for each column that is not constant.
    varying = (batch.std(dim=0) > 0).float().mean().item()
    assert task(batch).item() == pytest.approx(np.log(2) + 2 * varying, rel=0.15)


def test_gradients_reach_every_parameter(mixed_batch_and_spec):
    batch, spec = mixed_batch_and_spec
    task = make_task(VIMETransformer(), spec)
    assert torch.isfinite(train_step(task, batch, progress=0.5))
    task(batch).backward()
    for name, parameter in task.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.norm() > 1e-5 * parameter.norm(), name


def test_the_generator_is_the_only_chance(mixed_batch_and_spec, random_streams_untouched):
    batch, spec = mixed_batch_and_spec
    losses = []
    for seed in (1, 1, 2):
        task = make_task(VIMETransformer(), spec).eval()
        task.generator = torch.Generator().manual_seed(seed)
        losses += [task(batch).item(), task(batch).item()]
    assert losses[:2] == losses[2:4]
    assert len(set(losses)) == 4


@pytest.mark.parametrize(("name", "value"), [("p_mask", 0), ("p_mask", 1.0), ("alpha", 0.0)])
def test_bad_parameters(name, value, digits):
    with pytest.raises(ValueError, match=name):
        VIMETransformer(**{name: value}).fit(digits[0])


def test_tables_with_categories_and_missing_values():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=80), "c": pd.Categorical(rng.choice(["u", "v"], 80))})
    X.loc[::7, "x"] = np.nan
    X.loc[::9, "c"] = None
    estimator = VIMETransformer(max_epochs=2, random_state=0).fit(X)
    assert estimator.task_.cardinalities == (0, 3)
    Z = estimator.transform(X)
    assert np.isfinite(Z).all()
    np.testing.assert_array_equal(VIMETransformer(max_epochs=2, random_state=0).fit_transform(X), Z)
    twin = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(twin.transform(X), Z)
    assert twin.score(X) == estimator.score(X)


def test_a_single_column(digits):
    Z = VIMETransformer(max_epochs=1, random_state=0).fit_transform(digits[0][:64, 20:21])
    assert np.isfinite(Z).all()


@pytest.mark.slow
def test_few_labels_are_worth_more_than_without_training(digits):
    X, y = digits
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.4, random_state=0, stratify=y
    )

    def accuracy(estimator):
        Z_train, Z_test = estimator.fit_transform(X_train), estimator.transform(X_test)
        accuracies = []
        for draw in range(5):
            labeled = draw_labels(y_train, 10, random_state=draw)
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            classifier.fit(Z_train[labeled], y_train[labeled])
            accuracies.append(classifier.score(Z_test, y_test))
        return np.mean(accuracies)

    trained = accuracy(VIMETransformer(max_epochs=15, random_state=0))
    # First weights, but batch normalization has seen the data.
    untrained = accuracy(VIMETransformer(max_epochs=0, random_state=0))
    # Measured: .898 and .776.
    assert trained > untrained + 0.05
