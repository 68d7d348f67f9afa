"""SCARF: what is corrupted, its loss, what early stopping looks at, and what it is worth."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssl import SCARFTransformer
from sklearn_ssl.methods import scarf
from sklearn_ssl.semi_supervised import draw_labels
from tests.helpers import Outputs, batch_of, describe, make_task, train_step


@pytest.fixture
def batch_and_spec(digits):
    return batch_of(digits[0][:128])


@pytest.fixture
def mixed_batch_and_spec():
    """A number, one that may be missing, and two columns of categories."""
    rows = np.random.default_rng(0).normal(size=(60, 4))
    rows[::3, 1] = np.nan
    rows[:, 2], rows[:, 3] = 1 + np.arange(60) % 3, 1 + np.arange(60) % 2
    categories = (None, None, ("a", "b", "c"), ("x", "y"))
    spec = describe(rows, "table", categories=categories)
    return spec.to_tensor(rows), spec


def both_halves(task, batch):
    """Return the batch and its corrupted version as they reached the encoder, and the loss."""
    seen = Outputs(encoder=task.encoder)
    loss = task(batch)
    return (*seen.inputs["encoder"].chunk(2), loss)


@pytest.mark.parametrize(("rate", "n_corrupted"), [(0.6, 38), (0.3, 19), (0.99, 63), (1.0, 64)])
def test_as_many_entries_of_each_row_are_redrawn(rate, n_corrupted, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SCARFTransformer(corruption_rate=rate), spec)
    task.marginals.fill_(99.0)  # which no entry is
    clean, corrupted, _ = both_halves(task, batch)
    assert torch.equal(clean, batch)
    assert ((corrupted == 99).sum(dim=1) == n_corrupted).all()
    assert torch.equal(corrupted[corrupted != 99], batch[corrupted != 99])
    same_places = torch.equal(corrupted[0] == 99, corrupted[1] == 99)
    assert same_places == (rate == 1)


def test_floor_is_that_of_the_product_on_paper():
    X = np.random.default_rng(0).normal(size=(20, 100))
    assert 0.29 * 100 < 29
    task = make_task(SCARFTransformer(corruption_rate=0.29), batch_of(X)[1])
    assert task.n_corrupted == 29


def test_values_are_those_of_the_training_column(mixed_batch_and_spec):
    batch, spec = mixed_batch_and_spec
    task = make_task(SCARFTransformer(corruption_rate=1.0), spec)
    _, corrupted, _ = both_halves(task, batch.repeat(40, 1))
    for column in range(4):
        seen = {value for value in batch[:, column].tolist() if value == value}
        drawn = {value for value in corrupted[:, column].tolist() if value == value}
        assert drawn == seen
    assert corrupted[:, 1].isnan().float().mean().item() == pytest.approx(1 / 3, abs=0.05)
    assert not corrupted[:, [0, 2, 3]].isnan().any()
    for code in (1, 2, 3):
        share = (corrupted[:, 2] == code).float().mean().item()
        assert share == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_loss_is_that_of_loops_over_rows(temperature, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SCARFTransformer(temperature=temperature), spec).eval()
    clean, corrupted, loss = both_halves(task, batch)
    with torch.no_grad():
        z, z_corrupted = (
            task.projection_head(task.encoder(half)).double().numpy() for half in (clean, corrupted)
        )
    questions = []
    for i in range(len(z)):
        cosines = [
            z[i] @ other / (np.linalg.norm(z[i]) * np.linalg.norm(other)) for other in z_corrupted
        ]
        exponentials = np.exp(np.array(cosines) / temperature)
        questions.append(-np.log(exponentials[i] / exponentials.sum()))
    assert loss.item() == pytest.approx(np.mean(questions), rel=1e-5)
    # The oracle: the paper's own loss is this one less log(n).
    z, z_corrupted = torch.from_numpy(z), torch.from_numpy(z_corrupted)
    cosines = torch.nn.functional.cosine_similarity(z[:, None], z_corrupted[None], dim=2)
    oracle = torch.nn.functional.cross_entropy(cosines / temperature, torch.arange(len(z)))
    assert loss.item() == pytest.approx(oracle.item(), rel=1e-5)


def test_loss_of_guessing(batch_and_spec):
    batch, spec = batch_and_spec
    loss = make_task(SCARFTransformer(temperature=1000.0), spec)(batch)
    assert loss.item() == pytest.approx(np.log(len(batch)), rel=2e-3)
    first = make_task(SCARFTransformer(temperature=1.0), spec)(batch)
    assert np.log(len(batch)) - 0.5 < first.item() < np.log(len(batch))


def test_head_has_two_layers_of_256_and_no_normalization(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SCARFTransformer(n_components=7), spec)
    names = [type(layer).__name__ for layer in task.projection_head]
    assert names == ["Linear", "ReLU", "Linear"]
    assert [layer.weight.shape for layer in task.projection_head[::2]] == [(256, 7), (256, 256)]
    assert task.encode(batch).shape == (128, 7)


def test_gradients_reach_every_parameter(mixed_batch_and_spec):
    batch, spec = mixed_batch_and_spec
    task = make_task(SCARFTransformer(), spec)
    assert torch.isfinite(train_step(task, batch, progress=0.5))
    task(batch).backward()
    for name, parameter in task.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.norm() > 1e-5 * parameter.norm(), name


def test_the_generator_is_the_only_chance(mixed_batch_and_spec, random_streams_untouched):
    batch, spec = mixed_batch_and_spec
    losses = []
    for seed in (1, 1, 2):
        task = make_task(SCARFTransformer(), spec).eval()
        task.generator = torch.Generator().manual_seed(seed)
        losses += [task(batch).item(), task(batch).item()]
    assert losses[:2] == losses[2:4]
    assert len(set(losses)) == 4


def test_early_stopping_looks_at_the_same_corruption_in_every_epoch(digits, monkeypatch):
    held_out = []
    corrupt = scarf.corrupt_features

    def record(batch, mask, marginals, generator):
        corrupted = corrupt(batch, mask, marginals, generator)
        if not torch.is_grad_enabled():
            held_out.append(corrupted)
        return corrupted

    monkeypatch.setattr(scarf, "corrupt_features", record)
    SCARFTransformer(early_stopping=True, batch_size=16, max_epochs=3).fit(digits[0][:200])
    assert len(held_out) == 3 * 2  # epochs, and batches of the 20 rows
    for epoch in (held_out[2:4], held_out[4:]):
        assert all(torch.equal(now, first) for now, first in zip(epoch, held_out[:2]))
    assert not torch.equal(*held_out[:2])


def test_at_least_one_entry_is_redrawn():
    X = np.random.default_rng(0).normal(size=(20, 3))
    assert make_task(SCARFTransformer(corruption_rate=0.1), batch_of(X)[1]).n_corrupted == 1


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_a_single_feature_says_nothing_once_it_is_redrawn(rate):
    with pytest.raises(ValueError, match=r"X has 1 feature\(s\).* at least 2 are needed"):
        SCARFTransformer(corruption_rate=rate).fit(np.arange(20.0)[:, None])


@pytest.mark.parametrize("rate", [0, -0.1, 1.1])
def test_rates_are_parts_of_the_columns(rate, digits):
    with pytest.raises(ValueError, match="corruption_rate"):
        SCARFTransformer(corruption_rate=rate).fit(digits[0])


def frame(n=80):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=n)
    numbers[::7] = np.nan
    letters = rng.choice(["a", "b", "c"], n)
    return pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "y": numbers,
            "c": pd.Categorical(np.where(np.arange(n) % 9 == 0, None, letters)),
            "d": pd.Categorical(rng.choice(["u", "v"], n)),
        }
    )


def test_tables_with_categories_and_missing_values():
    X = frame()
    estimator = SCARFTransformer(max_epochs=2, random_state=0).fit(X)
    Z = estimator.transform(X)
    assert Z.shape == (80, 256)
    assert np.isfinite(Z).all()
    np.testing.assert_array_equal(
        SCARFTransformer(max_epochs=2, random_state=0).fit_transform(X), Z
    )
    twin = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(twin.transform(X), Z)
    assert twin.score(X) == estimator.score(X)
    assert torch.equal(twin.task_.marginals.nan_to_num(9), estimator.task_.marginals.nan_to_num(9))


@pytest.mark.parametrize("shape", [(20, 6, 6), (20, 6, 6, 3)])
def test_only_tables(shape):
    with pytest.raises(ValueError, match=r"expected \(n, features\)"):
        SCARFTransformer().fit(np.zeros(shape))


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

    trained = accuracy(SCARFTransformer(max_epochs=15, random_state=0))
    # First weights, but batch normalization has seen the data.
    untrained = accuracy(SCARFTransformer(max_epochs=0, random_state=0))
    # Measured: .836 and .776.
    assert trained > untrained + 0.02
