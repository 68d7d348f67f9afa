"""NextFrameEmbedder: its loss, what it must not know, how it goes on, and what it is worth."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from benchmarks.datasets import load_keel_table
from benchmarks.videos import digits, scores
from sklearn_ssl import NextFrameEmbedder
from sklearn_ssl.datasets import make_moving_digits
from sklearn_ssl.encoders.temporal import as_frames
from sklearn_ssl.methods.next_frame import next_frames
from sklearn_ssl.semi_supervised import draw_labels
from tests.helpers import batch_of, make_task, train_step

SHAPES = {"series": (12, 3, 9), "video": (6, 5, 8, 9), "color video": (6, 5, 8, 9, 3)}
each_kind = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def _rows(shape, missing=0.0):
    """Random walks, so that there is something to predict."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape).cumsum(axis=2 if len(shape) == 3 else 1)
    X[rng.random(shape) < missing] = np.nan
    return X


def _batch_and_task(shape, missing=0.0, **params):
    modality = "series" if len(shape) == 3 else "video"
    batch, spec = batch_of(_rows(shape), modality)
    if missing:
        batch[torch.from_numpy(np.random.default_rng(1).random(batch.shape) < missing)] = torch.nan
    return batch, make_task(NextFrameEmbedder(**params), spec)


# The loss


@each_kind
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("horizon", [1, 3])
def test_loss_is_the_mean_over_all_that_was_observed(shape, missing, horizon):
    batch, task = _batch_and_task(shape, missing, horizon=horizon)
    loss = task(batch).item()
    frames = as_frames(batch)
    prediction = task.predict(frames).detach().double().numpy()
    frames = frames.double().numpy()
    errors = []
    for row in range(len(frames)):
        for t in range(frames.shape[1]):
            for k in range(1, horizon + 1):
                if t + k < frames.shape[1]:
                    error = (prediction[row, t, k - 1] - frames[row, t + k]) ** 2
                    errors.extend(error[~np.isnan(error)])
    np.testing.assert_allclose(loss, np.mean(errors), rtol=1e-5)


def test_next_frames():
    frames = torch.arange(4.0).reshape(1, 4, 1)
    nan = torch.nan
    expected = torch.tensor([[1.0, 2, 3], [2, 3, nan], [3, nan, nan]])
    torch.testing.assert_close(next_frames(frames, 3)[0, :, :, 0], expected, equal_nan=True)


def test_series_start_from_the_last_number_of_each_channel():
    batch, task = _batch_and_task((12, 3, 9), horizon=1)
    nn.init.zeros_(task.decoder.changes[-1].weight)
    nn.init.zeros_(task.decoder.changes[-1].bias)
    assert task(batch).item() == pytest.approx(batch.diff(dim=2).square().mean().item(), rel=1e-5)
    batch[:, 1, 4] = torch.nan
    frames = task.predict(as_frames(batch))
    torch.testing.assert_close(frames[:, 4, 0, 1], batch[:, 1, 3])
    torch.testing.assert_close(frames[:, 4, 0, 2], batch[:, 2, 4])


def test_videos_start_from_their_last_frame():
    batch, task = _batch_and_task((6, 5, 8, 9, 3), horizon=2)
    nn.init.zeros_(task.decoder.kernels.weight)
    with torch.no_grad():
        task.decoder.kernels.bias.mul_(10)  # nearly all of the weight stays where it is
        predictions = task.predict(batch)
    for k in range(2):
        torch.testing.assert_close(predictions[:, :, k], batch, atol=1e-3, rtol=0)


@each_kind
def test_every_parameter_is_trained(shape):
    batch, task = _batch_and_task(shape)
    train_step(task, batch, 0.5)  # the changes of pixels start as 0, with no slope behind them
    task(batch).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.parameters())


@pytest.mark.parametrize("n_observed", [0, 1])
def test_rows_without_anything_to_predict_do_no_harm(n_observed):
    batch, task = _batch_and_task((12, 3, 9))
    alone = task(batch[1:])
    batch[0, :, n_observed:] = torch.nan
    loss = task(batch)
    torch.testing.assert_close(loss, alone)
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in task.parameters())
    assert task(batch[:1].expand(2, -1, -1)) == 0
    assert torch.isfinite(task.encode(batch)).all()


# What it must not know


@each_kind
@pytest.mark.parametrize("training", [True, False])
def test_nothing_depends_on_the_future(shape, training):
    batch, task = _batch_and_task(shape)
    task.train(training)
    frames = as_frames(batch).requires_grad_()
    states = task.encoder.states(frames).transpose(1, 2)  # [n, time, width]
    predictions = task.predict(frames)
    for output in (states, predictions):
        for t in range(frames.shape[1]):
            of_one = output[0, t].square().sum()
            gradient = torch.autograd.grad(of_one, frames, retain_graph=True)[0]
            assert (gradient[0, : t + 1].flatten(1).abs().sum(dim=1) > 0).all()
            assert (gradient[0, t + 1 :] == 0).all()
            assert (gradient[1:] == 0).all()  # nor on other rows


@each_kind
def test_frames_that_are_missing_at_the_end_change_nothing_before(shape):
    batch, task = _batch_and_task(shape)
    task.eval()
    frames = as_frames(batch)
    ragged = frames.clone()
    ragged[:, 3:] = torch.nan
    shorter = frames[:, :3]
    ragged, shorter = (x.transpose(1, 2) if len(shape) == 3 else x for x in (ragged, shorter))
    with torch.no_grad():
        torch.testing.assert_close(task.encode(ragged), task.encode(shorter))
        torch.testing.assert_close(task(ragged), task(shorter))


def test_a_network_that_knows_the_future_is_refused():
    def encoder(shape):
        return nn.Conv1d(shape[0], 4, 3, padding=1)

    estimator = NextFrameEmbedder(encoder=encoder, max_epochs=1)
    with pytest.raises(ValueError, match="must be causal"):
        estimator.fit(_rows((12, 3, 9)))
    assert not hasattr(estimator, "task_")


@each_kind
def test_a_network_of_the_users(shape):
    seen = []

    def encoder(shape):
        seen.append(shape)
        return nn.Conv1d(shape[0], 5, 1)

    Z = NextFrameEmbedder(encoder=encoder, max_epochs=1).fit_transform(_rows(shape))
    is_series = len(shape) == 3
    looks = 0 if is_series else 432
    assert Z.shape == (len(_rows(shape)), 15 + looks)
    assert seen[0] == ((3, 9) if is_series else (128, 5))


# What follows


def _roll_out_slowly(task, row, n_steps, time):
    """Frame lists of one row, without padding: what predict_next should do."""
    frames = [frame for frame in as_frames(row[None])[0] if not frame.isnan().all()]
    predictions = []
    while len(predictions) < n_steps:
        context = torch.stack(frames[-time:])[None]
        new = list(task.predict(context)[0, -1])
        predictions += new
        frames += new
    return torch.stack(predictions[:n_steps])


@each_kind
@pytest.mark.parametrize(("horizon", "n_steps"), [(1, 1), (1, 4), (3, 2), (3, 8), (4, 13)])
def test_roll_out_goes_on_from_the_last_observed_frame_of_each_row(shape, horizon, n_steps):
    batch, task = _batch_and_task(shape, horizon=horizon)
    task.eval()
    frames = as_frames(batch)
    frames[1, 3:] = torch.nan
    frames[2, 1:] = torch.nan
    with torch.no_grad():
        predictions = task.roll_out(batch, n_steps)
        expected = [_roll_out_slowly(task, row, n_steps, frames.shape[1]) for row in batch]
    torch.testing.assert_close(predictions, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_horizon_is_capped_by_the_time():
    _, task = _batch_and_task((12, 3, 3), horizon=7)
    assert task.horizon == 2


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((12, 9), (12, 5)),
        ((12, 3, 9), (12, 3, 5)),
        ((6, 5, 8, 9), (6, 5, 8, 9)),
        ((6, 7, 8, 9, 3), (6, 5, 8, 9, 3)),
    ],
)
def test_predictions_are_in_the_shape_and_units_of_x(shape, expected):
    X = _rows(shape) if len(shape) > 2 else _rows((12, 1, 9))[:, 0]
    predicted = NextFrameEmbedder(max_epochs=2, random_state=0).fit(X).predict_next(X, 5)
    assert predicted.shape == expected
    other_units = NextFrameEmbedder(max_epochs=2, random_state=0).fit(100 * X - 1000)
    np.testing.assert_allclose(
        other_units.predict_next(100 * X - 1000, 5), 100 * predicted - 1000, rtol=1e-3, atol=1
    )


def test_colors_and_channels_are_not_mixed_up():
    X = _rows((12, 3, 9)) + np.array([0, 1000, 2000])[:, None]
    predicted = NextFrameEmbedder(max_epochs=1, random_state=0).fit(X).predict_next(X, 2)
    np.testing.assert_allclose(predicted.mean(axis=(0, 2)), [0, 1000, 2000], atol=20)


def test_predictions_do_not_depend_on_the_rows_beside():
    X = _rows((12, 3, 9))
    X[3, :, 5:] = np.nan
    ssl = NextFrameEmbedder(max_epochs=1, random_state=0).fit(X)
    predicted = ssl.predict_next(X, 6)
    assert np.isfinite(predicted).all()
    np.testing.assert_array_equal(ssl.predict_next(X[3:4], 6)[0], predicted[3])
    np.testing.assert_array_equal(ssl.predict_next(X, 6), predicted)
    np.testing.assert_array_equal(ssl.predict_next(X, 2), predicted[:, :, :2])


def test_a_loaded_model_predicts_alike():
    X = _rows((6, 5, 8, 9))
    ssl = NextFrameEmbedder(max_epochs=1, horizon=2, random_state=0).fit(X)
    loaded = pickle.loads(pickle.dumps(ssl))
    np.testing.assert_array_equal(loaded.predict_next(X, 3), ssl.predict_next(X, 3))


@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_steps_must_be_a_positive_integer(steps, error):
    X = _rows((12, 3, 9))
    ssl = NextFrameEmbedder(max_epochs=1).fit(X)
    with pytest.raises(error, match="steps"):
        ssl.predict_next(X, steps)


@each_kind
@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy, np.ma.masked_invalid, list])
def test_shorter_rows_need_no_padding(shape, wrap):
    X = _rows(shape)
    ssl = NextFrameEmbedder(max_epochs=1, random_state=0).fit(X)
    axis = 2 if len(shape) == 3 else 1
    n_seen = shape[axis] - 2
    past, padded = np.take(X, range(n_seen), axis), X.copy()
    np.moveaxis(padded, axis, 0)[n_seen:] = np.nan
    np.testing.assert_array_equal(ssl.predict_next(wrap(past), 3), ssl.predict_next(padded, 3))


@pytest.mark.parametrize("n_seen", [1, 5])
def test_shorter_rows_of_two_dimensions(n_seen):
    X = _rows((12, 1, 9))[:, 0]
    ssl = NextFrameEmbedder(max_epochs=1, random_state=0).fit(X)
    padded = X.copy()
    padded[:, n_seen:] = np.nan
    np.testing.assert_array_equal(ssl.predict_next(X[:, :n_seen]), ssl.predict_next(padded))


def test_masked_numbers_of_shorter_rows_are_missing():
    X = _rows((12, 3, 9))
    ssl = NextFrameEmbedder(max_epochs=1, random_state=0).fit(X)
    past = np.ma.array(X[:, :, :6], mask=False)
    past[:, :, 2] = np.ma.masked
    np.testing.assert_array_equal(ssl.predict_next(past), ssl.predict_next(past.filled(np.nan)))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda X: X[:, 1:], r"rows of shape \(2, 9\).*expecting rows of shape \(3, 9\)"),
        (lambda X: X[:, 1:, :5], r"rows of shape \(2, 5\)"),
        (lambda X: X.swapaxes(1, 2), r"np\.moveaxis\(X, -1, 1\)|np\.swapaxes\(X, 1, 2\)"),
        (lambda X: np.tile(X, 2), r"X\[\.\.\., -9:\], or fit again"),
        (lambda X: X[:, :, :0], "is empty"),
    ],
    ids=["channels", "both", "swapped", "longer", "no frame"],
)
def test_rows_to_go_on_with_are_checked(change, match):
    X = _rows((12, 3, 9))
    ssl = NextFrameEmbedder(max_epochs=1).fit(X)
    with pytest.raises(ValueError, match=match):
        ssl.predict_next(change(X))


# What it is worth


@pytest.mark.slow
def test_it_is_worth_more_than_its_untrained_network_and_predicts_better_than_the_last_number(
    load_or_skip,
):
    X, y = load_or_skip(load_keel_table, "penbased")
    rows = np.random.default_rng(0).permutation(len(X))
    X, y = X[rows].reshape(-1, 8, 2).transpose(0, 2, 1), y[rows]
    (X_train, X_test), (y_train, y_test) = (X[:1000], X[1000:3000]), (y[:1000], y[1000:3000])

    def accuracy(ssl):
        Z_train, Z_test = ssl.transform(X_train), ssl.transform(X_test)
        accuracies = []
        for draw in range(3):
            labeled = draw_labels(y_train, 10, draw)
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            classifier.fit(Z_train[labeled], y_train[labeled])
            accuracies.append(classifier.score(Z_test, y_test))
        return np.mean(accuracies)

    trained = NextFrameEmbedder(max_epochs=10, random_state=0).fit(X_train)
    untrained = NextFrameEmbedder(max_epochs=0, random_state=0).fit(X_train)
    assert accuracy(trained) > accuracy(untrained) + 0.03

    past = X_test.copy()
    past[:, :, 6:] = np.nan
    error = np.square(trained.predict_next(past, 2) - X_test[:, :, 6:]).mean()
    assert error < 0.5 * np.square(X_test[:, :, 5:6] - X_test[:, :, 6:]).mean()


@pytest.mark.slow
def test_videos_tell_how_something_moves_and_still_what_it_is():
    clips = digits(n_train=600, n_test=600)  # no digit is in both parts

    def accuracies(epochs):
        ssl = NextFrameEmbedder(max_epochs=epochs, random_state=0).fit(clips.X)
        Z_train, Z_test = ssl.transform(clips.X), ssl.transform(clips.X_test)
        found = {}
        for part, columns in (("all", slice(None)), ("states", slice(192))):
            parts = Z_train[:, columns], Z_test[:, columns]
            scale = StandardScaler().fit(parts[0])
            parts = [scale.transform(Z) for Z in parts]
            for task in clips.y:
                classifier = LogisticRegression(max_iter=1000)
                found[part, task] = np.mean(scores(classifier, parts, clips, task, 10, range(3)))
        return found

    trained, untrained = accuracies(15), accuracies(0)
    assert trained["all", "speed"] > untrained["all", "speed"] + 0.1
    assert trained["all", "digit"] > untrained["all", "digit"] - 0.03
    assert trained["all", "digit"] > trained["states", "digit"] + 0.3


@pytest.mark.slow
def test_it_predicts_videos_better_than_their_last_frame():
    X, _ = make_moving_digits(228, 6, side=10, random_state=0)
    ssl = NextFrameEmbedder(horizon=1, batch_size=16, max_epochs=5, random_state=0).fit(X[:128])
    future = X[128:, 4:].astype(float)
    past = X[128:].astype(float)
    past[:, 4:] = np.nan
    error = np.square(ssl.predict_next(past, 2) - future).mean()
    assert error < 0.6 * np.square(past[:, 3:4] - future).mean()
