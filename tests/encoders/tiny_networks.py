"""Tiny networks for images, saved as users have them on disk."""

import torch
from transformers import (
    BitImageProcessor,
    ConvNextConfig,
    ConvNextImageProcessor,
    ConvNextModel,
    ConvNextV2Config,
    ConvNextV2Model,
    DeiTConfig,
    DeiTModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTMAEConfig,
    ViTMAEForPreTraining,
)

SIDE, PATCH = 32, 8  # pixels
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": SIDE,
    "patch_size": PATCH,
    "initializer_range": 0.2,
}
DECODER = {
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 8,
}
CONV = {"hidden_sizes": [8, 16], "depths": [1, 1]}
RESNET = {**CONV, "embedding_size": 8, "layer_type": "basic"}
CONVNEXT = {**CONV, "num_stages": 2}
SQUARE = {"size": {"height": SIDE, "width": SIDE}}
CROPPED = {"size": {"shortest_edge": 40}, "crop_size": {"height": SIDE, "width": SIDE}}
VITS = {
    "vit": (ViTForImageClassification, ViTConfig, VIT),
    "deit": (DeiTModel, DeiTConfig, VIT),
    "vit_mae": (ViTMAEForPreTraining, ViTMAEConfig, VIT | DECODER),
    "dinov2": (Dinov2Model, Dinov2Config, VIT | {"image_size": 48}),
    "dinov2_with_registers": (Dinov2WithRegistersModel, Dinov2WithRegistersConfig, VIT),
    "dinov3_vit": (DINOv3ViTModel, DINOv3ViTConfig, VIT | {"num_register_tokens": 2}),
}
CONVOLUTIONAL = {
    "resnet": (ResNetForImageClassification, ResNetConfig, RESNET),
    "convnext": (ConvNextModel, ConvNextConfig, CONVNEXT),
    "convnextv2": (ConvNextV2Model, ConvNextV2Config, CONVNEXT),
}
PROCESSORS = {
    "dinov2": BitImageProcessor(**CROPPED),
    "resnet": ConvNextImageProcessor(size={"shortest_edge": SIDE}),
}


def save_network(kind, folder, processor=True, **changes):
    """Save a network with random weights; return the folder."""
    Model, Config, options = {**VITS, **CONVOLUTIONAL}[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model(Config(**(options | changes)))
        for parameter in model.parameters():  # many are 0 at first, and no gradient would be
            parameter.data += 0.1 * torch.randn(parameter.shape)
        for module in model.modules():  # statistics of a network that has been trained
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
    model.save_pretrained(folder)
    if processor:
        usual = ViTImageProcessor(**SQUARE, image_mean=[0.4, 0.5, 0.6], image_std=[0.3, 0.2, 0.25])
        PROCESSORS.get(kind, usual).save_pretrained(folder)
    return folder
