"""Estimators of images that start from a pretrained network."""

import copy
import pickle
import shutil

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_ssl import (
    BYOLTransformer,
    DINOTransformer,
    FineTuneClassifier,
    MoCoTransformer,
    SimCLRTransformer,
    VICRegTransformer,
)
from tests.encoders.tiny_networks import SIDE, save_network
from tests.helpers import through_model_file, through_skops


class Tiny(nn.Sequential):
    """A network with batch normalization that has seen other data."""

    def __init__(self, channels=3):
        super().__init__(
            nn.Conv2d(channels, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3)
        )
        self[1].running_mean += 0.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_network("resnet", tmp_path_factory.mktemp("networks") / "resnet")


@pytest.fixture
def module():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny()


@pytest.fixture(params=["folder", "module"])
def pretrained(request):
    return request.getfixturevalue(request.param)


def images(n=40, shape=(12, 12, 3)):
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)


def embedder(pretrained, **params):
    return SimCLRTransformer(**{"pretrained": pretrained, "random_state": 0, **params})


def statistics(module):
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    return torch.cat([torch.cat([norm.running_mean, norm.running_var]) for norm in norms])


# Training -----------------------------------------------------------------------------------------


def test_training_changes_weights_and_keeps_statistics(pretrained):
    X = images()
    frozen, trained = (embedder(pretrained, max_epochs=n).fit(X) for n in (0, 2))
    assert torch.equal(statistics(frozen.encoder_), statistics(trained.encoder_))
    for before, after in zip(frozen.encoder_.parameters(), trained.encoder_.parameters()):
        change = (after - before).abs().max()
        assert 0 < change < 1e-3
    assert np.isfinite(trained.loss_curve_).all()


def test_a_network_embeds_as_it_is(module):
    X = images()
    Z = embedder(module, max_epochs=0).fit(X).transform(X)
    with torch.no_grad():
        maps = copy.deepcopy(module).eval()(torch.from_numpy(X / 255).float().movedim(-1, 1))
    np.testing.assert_allclose(Z, maps.mean((2, 3)), atol=1e-5)


def test_a_module_of_the_user_is_copied(module):
    module.requires_grad_(False)[0].requires_grad_(True)  # the user freezes a part
    before = copy.deepcopy(module.state_dict())
    ssl = embedder(module, max_epochs=1).fit(images())
    assert all(torch.equal(before[name], module.state_dict()[name]) for name in before)
    first, last = (ssl.encoder_.network.module[i].weight for i in (0, 3))
    assert not torch.equal(first, module[0].weight)
    assert torch.equal(last, module[3].weight)


@pytest.mark.parametrize(
    ("Method", "name"),
    [
        (BYOLTransformer, "target_encoder"),
        (MoCoTransformer, "key_encoder"),
        (DINOTransformer, "teacher.0"),
    ],
)
def test_averaged_networks_start_from_the_weights_too(folder, Method, name):
    task = Method(pretrained=folder, max_epochs=0, random_state=0).fit(images()).task_
    of_teacher = dict(task.named_modules())[name].state_dict()
    for key, value in task.encoder.state_dict().items():
        assert torch.equal(of_teacher[key], value)


def test_defaults_are_those_for_a_pretrained_network(folder):
    X = images()
    ssl = embedder(folder).fit(X)
    assert (ssl.n_iter_, ssl.batch_size_, ssl._largest_lr()) == (3, 32, 5e-5)
    assert SimCLRTransformer()._largest_lr() == 2e-3
    assert embedder(folder, lr=1e-3)._largest_lr() == 1e-3


# Images -------------------------------------------------------------------------------------------


def test_gray_values_are_repeated(folder):
    gray = images(shape=(SIDE, SIDE, 1))
    Z = embedder(folder, max_epochs=0).fit(gray).transform(gray)
    colors = np.repeat(gray, 3, axis=3)
    np.testing.assert_allclose(Z, embedder(folder, max_epochs=0).fit(colors).transform(colors))


def test_images_are_resized_to_what_the_network_reads(folder):
    X = images(8, (20, 20, 3))
    enlarged = [
        Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in X
    ]
    enlarged = np.stack([np.asarray(image) for image in enlarged])
    Z, expected = (embedder(folder, max_epochs=0).fit(A).transform(A) for A in (X, enlarged))
    np.testing.assert_allclose(Z, expected, atol=0.05)
    assert np.abs(Z - Z[0]).max() > 0.2


def test_files_are_read_in_the_size_of_the_network(folder, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, image in zip(paths, images(6, (40, 50, 3))):
        Image.fromarray(image).save(path)
    ssl = embedder(folder, max_epochs=1).fit(paths)
    assert ssl.input_spec_.shape == (3, SIDE, SIDE)
    assert ssl.transform(paths).shape == (6, 16)
    smaller = embedder(folder, max_epochs=0, image_size=16).fit(paths)
    assert smaller.input_spec_.shape == (3, 16, 16)


# scikit-learn -------------------------------------------------------------------------------------


def test_saved_estimators_need_no_folder(pretrained, tmp_path):
    X = images()
    if not isinstance(pretrained, nn.Module):
        pretrained = str(shutil.copytree(pretrained, tmp_path / "network"))
    ssl = embedder(pretrained, max_epochs=1, n_components=5).fit(X)
    Z = ssl.transform(X)
    assert Z.shape == (40, 5)
    joblib.dump(ssl, tmp_path / "ssl.joblib")
    shutil.rmtree(tmp_path / "network", ignore_errors=True)
    np.testing.assert_array_equal(joblib.load(tmp_path / "ssl.joblib").transform(X), Z)
    again = pickle.loads(pickle.dumps(ssl)).partial_fit(X)
    assert again.n_iter_ == 2
    if not isinstance(pretrained, nn.Module):
        np.testing.assert_array_equal(through_skops(ssl).transform(X), Z)
        np.testing.assert_array_equal(through_model_file(ssl).transform(X), Z)


def test_searches_pipelines_and_clones(folder, module):
    X, y = images(), np.arange(40) % 2
    ssl = clone(embedder(folder, max_epochs=0))
    pipeline = make_pipeline(ssl, LogisticRegression())
    search = GridSearchCV(
        pipeline, {"simclrtransformer__pretrained": [folder, module, None]}, cv=2
    ).fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 3
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("strategy", ["probe", "probe-then-full"])
def test_labels_fine_tune_the_network(folder, strategy):
    X, y = images(), np.arange(40) % 2
    X[y == 1, :6] //= 2
    y = np.where(np.arange(40) < 20, y, -1)
    ssl = embedder(folder, max_epochs=0).fit(X)
    classifier = FineTuneClassifier(ssl, strategy=strategy, max_epochs=2, random_state=0)
    classifier.fit(X, y)
    assert classifier.score(X[:20], y[:20]) > 0.5


def test_a_fit_continues_from_the_last_one(module):
    X = images()
    ssl = embedder(module, max_epochs=1, warm_start=True).fit(X)
    first = ssl.encoder_.network.module[0].weight.clone()
    ssl.fit(X)
    assert ssl.n_iter_ == 2
    assert not torch.equal(ssl.encoder_.network.module[0].weight, first)


# Wrong doors --------------------------------------------------------------------------------------


def test_two_networks_are_refused(folder):
    with pytest.raises(ValueError, match=r"encoder='vit' and pretrained=.* are two networks"):
        embedder(folder, encoder="vit").fit(images())


@pytest.mark.parametrize(
    ("X", "kind", "params"),
    [
        (images().reshape(40, -1), "table", {}),
        (images().reshape(40, 3, -1), "series", {"modality": "series"}),
        (["a text of words", "another text"], "text", {}),
    ],
)
def test_other_data_is_refused(module, X, kind, params):
    with pytest.raises(ValueError, match=rf"pretrained=Tiny is for images.*kind '{kind}'"):
        embedder(module, **params).fit(X)


@pytest.mark.parametrize("channels", [2, 4, 13])
def test_other_channels_are_refused(folder, channels):
    X = images(shape=(12, 12, channels))
    with pytest.raises(ValueError, match=rf"images of {channels} channels.* read 3"):
        embedder(folder).fit(X)


def test_names_are_not_downloaded():
    for name in ("resnet18", "google/vit-base-patch16-224", "~/missing"):
        with pytest.raises(ValueError, match=rf"pretrained='{name}' is neither.*download a model"):
            embedder(name).fit(images())


def test_other_objects_are_refused():
    for pretrained in (3, Tiny):
        with pytest.raises(ValueError, match="'pretrained' parameter"):
            embedder(pretrained).fit(images())


def test_modules_that_do_not_fit_are_refused(module):
    with pytest.raises(ValueError, match=r"pretrained=Tiny cannot take batches of shape \(n, 1, "):
        embedder(module).fit(images(shape=(12, 12, 1)))
    with pytest.raises(ValueError, match=r"pretrained must return one vector for each row"):
        embedder(nn.Flatten(2)).fit(images())
    failed = embedder(nn.Flatten(2))
    with pytest.raises(ValueError, match="one vector"):
        failed.fit(images())
    assert not hasattr(failed, "n_features_in_")
    assert VICRegTransformer(pretrained=module, max_epochs=1).fit(images()).n_iter_ == 1
