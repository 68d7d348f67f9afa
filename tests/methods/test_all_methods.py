"""What every method that compares views must do, whatever its data and its encoder."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_ssl
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.datasets import load_scipy_docstrings
from sklearn_ssl.semi_supervised import draw_labels
from tests.helpers import batch_of, make_task, train_step

METHODS = [
    name.removesuffix("Transformer")
    for name in sklearn_ssl.__all__
    if name.endswith("Transformer") and "augment" in getattr(sklearn_ssl, name)().get_params()
]

# Networks that no gradient trains.
AVERAGED = {
    "BYOL": {"target_encoder", "target_head"},
    "DINO": {"teacher"},
    "MoCo": {"key_encoder", "key_head"},
    "MoCoV3": {"key_encoder", "key_head"},
}

MULTI_CROP = {"DINO", "LeJEPA", "SwAV"}

KINDS = {
    "table": ({}, (64,)),
    "image": ({"modality": "image"}, (8, 8)),
    "series": ({"modality": "series"}, (8, 8)),
    "vit": ({"modality": "image", "encoder": "vit"}, (8, 8)),
    "text": ({"modality": "text"}, None),
}

every_method = pytest.mark.parametrize("method", METHODS)
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(method, kind="table", **params):
    """Return an estimator for data of a kind."""
    Estimator = getattr(sklearn_ssl, f"{method}Transformer")
    if method in MULTI_CROP:  # whatever the default for such data is
        params = {"n_local": 2} | params
    return Estimator(**KINDS[kind][0], max_epochs=1, random_state=0, **params)


@pytest.fixture(scope="module")
def rows(digits):
    """A function of a kind and a number of rows."""
    texts = [text[:300] for text in load_scipy_docstrings()[0][::9]]

    def first_rows(kind, n=32):
        return texts[:n] if kind == "text" else digits[0][:n].reshape(n, *KINDS[kind][1])

    return first_rows


@pytest.fixture
def task_and_batch(rows):
    """A function that makes the task of a method for a kind of data, and a batch."""

    def make_both(method, kind, n=32, **params):
        batch, spec = batch_of(rows(kind, n), KINDS[kind][0].get("modality", "auto"))
        return make_task(make(method, kind, **params), spec), batch

    return make_both


# What a task does with a batch -----------------------------------------------------------------

# At a temperature of a thousand, all candidates look alike to a network: it has to guess.
GUESSING = {
    "SimCLR": ("temperature", lambda n: np.log(2 * n - 1)),
    "MoCo": ("temperature", lambda n: np.log(1 + 40)),
    "MoCoV3": ("temperature", lambda n: 2 * 1000 * 2 * np.log(n)),
    "SwAV": ("temperature", lambda n: np.log(40)),
    "DINO": ("student_temperature", lambda n: np.log(40)),
}


@every_kind
@pytest.mark.parametrize("method", GUESSING)
def test_loss_of_guessing(method, kind, task_and_batch):
    temperature, loss_of_guessing = GUESSING[method]
    size = {"MoCo": "queue_size", "SwAV": "n_prototypes", "DINO": "n_prototypes"}.get(method)
    params = {temperature: 1000.0} | ({size: 40} if size else {})
    task, batch = task_and_batch(method, kind, **params)
    with torch.no_grad():
        assert task(batch).item() == pytest.approx(loss_of_guessing(len(batch)), rel=2e-3)


@every_kind
@every_method
def test_gradients_reach_the_trained_network_and_no_other(method, kind, task_and_batch):
    task, batch = task_and_batch(method, kind)
    task(batch).backward()
    task.after_backward(progress=0.5)
    frozen = {name for name, p in task.named_parameters() if not p.requires_grad}
    averaged = {
        name
        for name, _ in task.named_parameters()
        if name.split(".")[0] in AVERAGED.get(method, ())
    }
    patches = {f"encoder.patch_embedding.{name}" for name in ("weight", "bias")}
    assert frozen == averaged | (patches if (method, kind) == ("MoCoV3", "vit") else set())
    for name, parameter in task.named_parameters():
        if name in frozen:
            assert parameter.grad is None, name
        else:
            assert torch.isfinite(parameter.grad).all(), name
            # A gradient of rounding errors is none.
            assert parameter.grad.norm() > 1e-5 * parameter.norm(), name


@every_method
def test_optimizer_leaves_averaged_networks_alone(method, task_and_batch):
    task, batch = task_and_batch(method, "table")
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    trained = [p for p in task.parameters() if p.requires_grad]
    task(batch).backward()
    torch.optim.SGD(trained, lr=1.0).step()
    changed = {name for name, p in task.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name, p in task.named_parameters() if p.requires_grad}

    task.after_step(progress=0.5)
    changed = {name for name, p in task.named_parameters() if not torch.equal(p, before[name])}
    assert changed == set(before), "and then the average follows"


@every_kind
@every_method
def test_evaluation_changes_no_state(method, kind, task_and_batch):
    task, batch = task_and_batch(method, kind)
    train_step(task, batch, progress=0.5)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    with torch.no_grad():
        loss = task.eval()(batch)
    assert torch.isfinite(loss)
    for name, value in task.state_dict().items():
        assert torch.equal(value, before[name]), name


@every_kind
@every_method
def test_the_generator_is_the_only_chance(method, kind, task_and_batch, random_streams_untouched):
    def loss(seed):
        task, batch = task_and_batch(method, kind, n=16)
        task.generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            return task(batch).item()

    first = loss(1)
    assert loss(1) == first
    assert loss(2) != first


@every_method
def test_views_go_on_from_step_to_step(method, task_and_batch):
    task, batch = task_and_batch(method, "table")
    with torch.no_grad():
        state = task.generator.get_state()
        task(batch)
        assert not torch.equal(task.generator.get_state(), state)


@every_kind
@every_method
def test_batches_of_any_size(method, kind, task_and_batch):
    task, batch = task_and_batch(method, kind, n=65)
    for n in (65, 7, 3, 2):
        assert torch.isfinite(train_step(task, batch[:n], progress=0.5, lr=0.01)), n
    assert all(torch.isfinite(value).all() for value in task.state_dict().values())


@every_method
def test_a_foreign_function_augments(method, rows):
    def noisy(batch):
        return batch + 0.1 * torch.randn_like(batch)

    for kind in ("table", "image", "series"):
        X = rows(kind)
        losses = make(method, kind, augment=noisy).fit(X).loss_curve_
        assert make(method, kind, augment=noisy).fit(X).loss_curve_ == losses
        assert make(method, kind).fit(X).loss_curve_ != losses


# What an estimator keeps -----------------------------------------------------------------------


@every_kind
@every_method
def test_pickle_holds_the_whole_task_and_goes_on(method, kind, rows):
    X = rows(kind)
    estimator = make(method, kind).fit(X)
    saved = pickle.dumps(estimator)
    twin, other = pickle.loads(saved), pickle.loads(saved)
    state = estimator.task_.state_dict()
    assert twin.task_.state_dict().keys() == state.keys()
    for name, value in twin.task_.state_dict().items():
        assert torch.equal(value, state[name]), name
    grads = {name: p.requires_grad for name, p in estimator.task_.named_parameters()}
    assert {name: p.requires_grad for name, p in twin.task_.named_parameters()} == grads
    assert np.isfinite(estimator.score(X))
    assert twin.score(X) == estimator.score(X)

    twin.partial_fit(X)
    assert twin.n_iter_ == 2
    assert np.isfinite(twin.loss_curve_).all()
    state, other_state = twin.task_.state_dict(), other.partial_fit(X).task_.state_dict()
    assert all(torch.equal(value, other_state[name]) for name, value in state.items())
    weights = zip(twin.encoder_.parameters(), estimator.encoder_.parameters())
    assert not all(torch.equal(after, before) for after, before in weights)


@every_method
def test_state_holds_all_that_the_steps_have_changed(method, task_and_batch):
    # A task with another's state goes on as that one does, whatever it was itself.
    task, batch = task_and_batch(method, "table")
    for _ in range(3):
        train_step(task, batch, progress=0.1)
    twin, _ = task_and_batch(method, "table")
    twin.load_state_dict(task.state_dict())
    twin.generator.set_state(task.generator.get_state())
    for _ in range(2):
        assert torch.equal(train_step(twin, batch, 0.2), train_step(task, batch, 0.2))


OWN = {
    "BYOL": {"momentum": 0.5},
    "BarlowTwins": {"redundancy_weight": 0.1},
    "DINO": {
        "n_prototypes": 7,
        "student_temperature": 0.3,
        "teacher_temperature": 0.2,
        "center_momentum": 0.5,
        "momentum": 0.6,
        "n_local": 1,
        "weight_decay_end": 0.1,
        "clip": 0.01,
    },
    "LeJEPA": {"weight": 0.5, "n_directions": 3, "n_local": 1},
    "MoCo": {"temperature": 0.7, "momentum": 0.5, "queue_size": 9},
    "MoCoV3": {"temperature": 0.7, "momentum": 0.5},
    "SimCLR": {"temperature": 0.7},
    "SimSiam": {},
    "SwAV": {"n_prototypes": 7, "temperature": 0.7, "epsilon": 0.5, "n_local": 1},
    "VICReg": {"invariance": 1.0, "variance": 3.0, "covariance": 5.0},
}


@pytest.mark.parametrize(("method", "name"), [(m, name) for m in OWN for name in OWN[m]])
def test_every_parameter_of_a_method_is_used(method, name, rows):
    X = rows("table", 130)  # three steps an epoch
    estimator = make(method, **{name: OWN[method][name]}).set_params(max_epochs=2).fit(X)
    assert clone(estimator).get_params()[name] == OWN[method][name]
    default = make(method).set_params(max_epochs=2).fit(X)
    assert not np.array_equal(estimator.transform(X), default.transform(X))


def test_parameters_of_every_method_are_known():
    shared = set(sklearn_ssl.BaseSSLTransformer().get_params()) | {"augment"}
    assert {m: set(make(m).get_params()) - shared for m in METHODS} == {
        m: set(OWN[m]) for m in METHODS
    }


# What a representation is worth ----------------------------------------------------------------

# Epochs after which a method is clearly better than no training; most need six.
MORE_EPOCHS = {"BYOL": 15, "DINO": 15, "MoCoV3": 12, "SimSiam": 30, "SwAV": 15}
DIGITS = {"image_shape": (8, 8), "augment": ImageAugmentation(flip=0, rotation=10)}


@pytest.fixture(scope="module")
def accuracy(digits):
    """A function of an estimator: how often ten labels per class lead to the right digit."""
    X, y = digits
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.4, random_state=0, stratify=y
    )

    def measure(estimator):
        Z_train = estimator.fit_transform(X_train)
        Z_test = estimator.transform(X_test)
        accuracies = []
        for draw in range(5):
            labeled = draw_labels(y_train, 10, random_state=draw)
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            classifier.fit(Z_train[labeled], y_train[labeled])
            accuracies.append(classifier.score(Z_test, y_test))
        return np.mean(accuracies)

    return measure


@pytest.fixture(scope="module")
def accuracy_without_training(accuracy):
    # First weights, but batch normalization has seen the data. The first weights of a seed are the
    # same for all methods.
    return accuracy(make("SimCLR").set_params(max_epochs=0, **DIGITS))


@pytest.mark.slow
@every_method
def test_ten_labels_a_class_are_worth_more_than_without_training(
    method, accuracy, accuracy_without_training
):
    estimator = make(method).set_params(max_epochs=MORE_EPOCHS.get(method, 6), **DIGITS)
    if method in MULTI_CROP:
        estimator.set_params(n_local=None)
    assert accuracy(estimator) > accuracy_without_training + 0.02
