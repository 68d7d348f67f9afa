"""From the parameter of an estimator to an encoder that fits the data."""

from functools import partial

import pytest
import torch
from torch import nn

from sklearn_ssl.encoders import ConvEncoder, MLPEncoder, SeriesEncoder, make_encoder
from tests.helpers import spec_of

SHAPES = {"image": (3, 12, 9), "table": (7,), "series": (2, 20)}


def _spec(modality, shape=None):
    shape = shape or SHAPES[modality]
    return spec_of(modality, shape)


@pytest.fixture(params=SHAPES)
def spec(request):
    return _spec(request.param)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("modality", "kind"),
    [("image", ConvEncoder), ("table", MLPEncoder), ("series", SeriesEncoder)],
)
def test_default_of_each_modality(modality, kind):
    assert type(make_encoder(None, _spec(modality))) is kind


@pytest.mark.parametrize(
    ("modality", "shape"),
    [
        ("image", (1, 1, 1)),
        ("image", (1, 4, 4)),
        ("image", (5, 96, 7)),
        ("table", (1,)),
        ("series", (1, 1)),
        ("series", (3, 2)),
    ],
)
def test_smallest_inputs(modality, shape):
    encoder = make_encoder(None, _spec(modality, shape)).eval()
    with torch.no_grad():
        output = encoder(torch.rand(4, *shape))
    assert output.shape == (4, encoder.output_dim)
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("n_components", [None, 1, 5, 700])
def test_output_dim_is_the_width(spec, n_components):
    encoder = make_encoder(None, spec, n_components)
    output = encoder(torch.rand(3, *spec.shape))
    assert output.shape == (3, encoder.output_dim)
    if n_components is not None:
        assert encoder.output_dim == n_components


def test_n_components_is_a_linear_layer_behind_the_encoder(spec):
    encoder = make_encoder(None, spec, 5).eval()
    batch = torch.rand(3, *spec.shape)
    inner, linear = encoder
    assert torch.equal(encoder(batch), linear(inner(batch)))
    assert encoder(batch).min() < 0, "no ReLU behind it"


@pytest.mark.parametrize("n_components", [None, 4])
def test_rows_do_not_depend_on_the_rows_beside_them(spec, n_components):
    encoder = make_encoder(None, spec, n_components).eval()
    batch = torch.rand(6, *spec.shape)
    others = torch.cat([batch[:1], 100 * torch.rand(5, *spec.shape)])
    with torch.no_grad():
        torch.testing.assert_close(encoder(batch)[0], encoder(others)[0], atol=1e-5, rtol=1e-4)


def test_the_check_leaves_no_trace(spec):
    encoder = make_encoder(None, spec)
    assert encoder.training
    for name, buffer in encoder.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert buffer == 0
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_weights_come_from_torchs_stream(spec):
    torch.manual_seed(3)
    first = make_encoder(None, spec, 4).state_dict()
    torch.manual_seed(3)
    second = make_encoder(None, spec, 4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_callable_is_given_the_shape_of_a_row(spec):
    shapes = []

    def build(shape):
        shapes.append(shape)
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(6))

    assert make_encoder(build, spec).output_dim == 6
    assert shapes == [spec.shape]


def test_a_partial_of_a_class_will_do():
    encoder = make_encoder(partial(MLPEncoder, width=11, depth=1), _spec("table"))
    assert encoder.output_dim == 11


def test_a_torchvision_name_will_do():
    encoder = make_encoder("mobilenet_v3_small", _spec("image", (1, 32, 32)), 10)
    assert encoder.output_dim == 10


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modality", "advice"),
    [("table", "Use encoder=None or"), ("series", 'Use encoder="rocket", encoder=None or')],
)
def test_a_name_is_for_images(modality, advice):
    message = f"encoder='resnet18' names no network for this kind of data: X is a {modality}. "
    with pytest.raises(ValueError, match=message + advice):
        make_encoder("resnet18", _spec(modality))


def test_unknown_name():
    with pytest.raises(ValueError, match=r"Did you mean: .*resnet50"):
        make_encoder("resnet-50", _spec("image"))


def test_a_torchvision_model_that_needs_larger_images():
    with pytest.raises(ValueError, match=r"'alexnet' cannot take batches of shape \(n, 1, 8, 8\)"):
        make_encoder("alexnet", _spec("image", (1, 8, 8)))


def test_a_module_is_refused(spec):
    with pytest.raises(TypeError, match=r"got a module \(Flatten\).*Pass the class"):
        make_encoder(nn.Flatten(), spec)


@pytest.mark.parametrize("returned", [None, "resnet18", nn.Flatten], ids=repr)
def test_what_is_returned_must_be_a_module(spec, returned):
    with pytest.raises(
        TypeError, match=f"must return a torch.nn.Module.*{type(returned).__name__}"
    ):
        make_encoder(lambda shape: returned, spec)


class _Returns(nn.Module):
    """Applies a function, whose result may be no representation at all."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, batch):
        return self.function(batch)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda x: x, r"\(3, 3, 12, 9\)"),
        (lambda x: x.sum(), r"\(\)"),
        (lambda x: x.flatten(1).mean(1), r"\(3,\)"),
        (lambda x: x.flatten(1)[:1], r"\(1, 324\)"),
        (lambda x: x.reshape(6, -1), r"\(6, 162\)"),
        (lambda x: (x.flatten(1), None), "tuple"),
    ],
)
def test_an_output_of_the_wrong_shape(function, got):
    message = rf"one vector for each row.* of shape \(3, 12, 9\) it returned {got}"
    with pytest.raises(ValueError, match=message):
        make_encoder(lambda shape: _Returns(function), _spec("image"))


def test_a_module_that_does_not_take_the_batch():
    with pytest.raises(
        ValueError, match=r"cannot take batches of shape \(n, 7\): .*mat1"
    ) as raised:
        make_encoder(lambda shape: nn.Linear(8, 2), _spec("table"))
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_an_error_of_the_callable_itself_reaches_the_user(spec):
    def build(shape):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        make_encoder(build, spec)
