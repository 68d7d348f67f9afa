"""How a pretrained network is shown images, and what training leaves as it is."""

import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import functional as F

from sklearn_ssl.encoders.pretrained_image import (
    GivenModule,
    GivenNetwork,
    Prepare,
    PretrainedImageEncoder,
)

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def test_images_are_prepared_as_torchvision_does():
    batch = torch.rand(3, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    bicubic = F.InterpolationMode.BICUBIC
    resized = F.resize(batch, [12, 40], interpolation=bicubic, antialias=True).clamp(0, 1)
    expected = F.normalize(resized, MEAN, STD)
    prepare = Prepare(MEAN, STD, (12, 40))
    torch.testing.assert_close(prepare(batch), expected)
    torch.testing.assert_close(prepare(resized), expected)
    assert prepare.state_dict() == {}


def test_an_image_does_not_depend_on_the_others():
    batch = torch.rand(3, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    prepare = Prepare(MEAN, STD, (32, 32))
    torch.testing.assert_close(prepare(batch)[1:2], prepare(batch[1:2]), rtol=0, atol=0)


def test_only_batch_normalizations_of_the_network_stay_in_evaluation():
    network = GivenNetwork(nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5)))
    encoder = PretrainedImageEncoder(network, nn.Identity())
    task = nn.Sequential(encoder, nn.BatchNorm1d(3)).train()
    assert not network.module[0].training
    assert network.module[1].training
    assert task[1].training
    task(torch.rand(4, 3, 8, 8))
    assert network.module[0].num_batches_tracked == 0
    assert not any(module.training for module in task.eval().modules())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_modules_of_other_precision_become_float32(dtype):
    module = nn.Conv2d(3, 2, 1).to(dtype)
    encoder = GivenModule().encoder(module, True, (3, 8, 8))
    assert encoder(torch.rand(2, 3, 8, 8)).dtype == torch.float32
    assert module.weight.dtype == dtype
