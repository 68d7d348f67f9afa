"""Our methods put together from lightly's parts, as lightly's own examples do it.

A recipe is made from one of our untrained tasks: it starts from a copy of its encoder, and takes
over its temperatures, its momentum and the strengths of its augmentation. Heads are lightly's, with
the widths of ours. `transform` makes the views of a PIL image, and `forward` the loss of a list of
batches, one for each view.
"""

import copy

import torch
from lightly import loss, transforms
from lightly.loss.lejepa_loss import lejepa_invariance_loss
from lightly.models.modules import heads
from lightly.models.utils import deactivate_requires_grad, update_momentum
from sklearn.base import clone
from torch import nn
from torch.nn import functional as F

import sklearn_ssl
from benchmarks.speed.timing import PILImages, loader, plain_epoch


def lightly_epoch(estimator, X, n_workers):
    """Return a function that trains for an epoch what an estimator would train, lightly's way.

    The loop is that of lightly's examples; the batch size and AdamW's settings are the estimator's.

    Parameters
    ----------
    estimator : BaseSSLTransformer
    X : ndarray of shape (n, side, side)
        Gray images, in uint8; their number is a multiple of the batch size.
    n_workers : int
        Processes of the DataLoader.
    """
    model = make_recipe(estimator, X).train()
    images = PILImages(X, model.transform)
    batches = loader(images, estimator.batch_size, n_workers, drop_last=True)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=estimator._largest_lr(), weight_decay=estimator.weight_decay
    )
    return plain_epoch(model, batches, optimizer)


def make_recipe(estimator, X):
    """Return the recipe of lightly for the task that an estimator would make for X."""
    task = clone(estimator).set_params(max_epochs=0).fit(X).task_
    recipe = RECIPES[type(estimator)](task, side=X.shape[1])
    ours, lightlys = weight_shapes(task), weight_shapes(recipe)
    if ours != lightlys:
        raise RuntimeError(f"The networks of {type(recipe).__name__} differ: {ours}, {lightlys}")
    return recipe


def weight_shapes(module):
    """Return the sorted shapes of kernels and matrices, without the gains of a weight norm."""
    return sorted(
        tuple(weight.shape)
        for name, weight in module.named_parameters()
        if weight.ndim > 1 and not name.endswith("weight_g")
    )


# Views ------------------------------------------------------------------------------------------


def strengths(augment):
    """Return the strengths of our ImageAugmentation in the words of lightly's transforms.

    What has no meaning in gray (saturation, hue, turning gray) is switched off, as ours does by
    itself; that spares lightly time. The default normalization of lightly has three channels and
    would silently make three of one, so it gets the mean and deviation of Fashion-MNIST.
    """
    return {
        "hf_prob": augment.flip,
        "cj_prob": augment.jitter_probability,
        # The second global view of DINOTransform ignores cj_strength and has its default of 0.5.
        "cj_strength": 0.5,
        "cj_bright": 0.8 * augment.jitter / 0.5,
        "cj_contrast": 0.8 * augment.jitter / 0.5,
        "cj_sat": 0.0,
        "cj_hue": 0.0,
        "random_gray_scale": 0.0,
        "normalize": {"mean": [0.286], "std": [0.353]},
    }


def two_views(augment, side, kind=transforms.SimCLRTransform, **switched_off):
    """Return a transform of lightly with the strengths of ours."""
    return kind(
        input_size=side,
        min_scale=augment.scale[0],
        gaussian_blur=augment.blur,
        **strengths(augment),
        **switched_off,
    )


def byol_views(augment, side):
    return transforms.BYOLTransform(
        *(
            two_views(augment, side, kind, solarization_prob=0.0)
            for kind in (transforms.BYOLView1Transform, transforms.BYOLView2Transform)
        )
    )


def swav_views(multi_crop, side):
    augment, local = multi_crop.augment, multi_crop.local_augment
    return transforms.SwaVTransform(
        crop_sizes=(side, local.size[0]),
        crop_counts=(2, multi_crop.n_local),
        crop_min_scales=(augment.scale[0], local.scale[0]),
        crop_max_scales=(augment.scale[1], local.scale[1]),
        gaussian_blur=augment.blur,
        **strengths(augment),
    )


def dino_views(multi_crop, side):
    augment, local = multi_crop.augment, multi_crop.local_augment
    return transforms.DINOTransform(
        global_crop_size=side,
        global_crop_scale=augment.scale,
        local_crop_size=local.size[0],
        local_crop_scale=local.scale,
        n_local_views=multi_crop.n_local,
        gaussian_blur=(augment.blur,) * 3,
        solarization_prob=0.0,
        **strengths(augment),
    )


# Recipes ----------------------------------------------------------------------------------------


def make_head(kind, ours, **params):
    """Return a head of lightly with the widths of ours."""
    layers = [layer for layer in ours if isinstance(layer, nn.Linear)]
    return kind(layers[0].in_features, layers[0].out_features, layers[-1].out_features, **params)


class Recipe(nn.Module):
    """An encoder and a projection head; each view goes through them apart."""

    def __init__(self, task, projection_head):
        super().__init__()
        self.encoder = copy.deepcopy(task.encoder)
        self.projection_head = projection_head

    def project(self, view):
        return self.projection_head(self.encoder(view))


class MomentumRecipe(Recipe):
    """Has copies of both besides, which are averages; lightly updates them before each batch."""

    def __init__(self, task, projection_head):
        super().__init__(task, projection_head)
        self.momentum = task.momentum
        self.momentum_encoder = copy.deepcopy(self.encoder)
        self.momentum_head = copy.deepcopy(projection_head)
        deactivate_requires_grad(self.momentum_encoder)
        deactivate_requires_grad(self.momentum_head)

    def update(self):
        update_momentum(self.encoder, self.momentum_encoder, m=self.momentum)
        update_momentum(self.projection_head, self.momentum_head, m=self.momentum)

    def project_momentum(self, view):
        return self.momentum_head(self.momentum_encoder(view)).detach()


class SimCLR(Recipe):
    def __init__(self, task, side):
        super().__init__(task, make_head(heads.SimCLRProjectionHead, task.projection_head))
        self.transform = two_views(task.augment, side)
        self.criterion = loss.NTXentLoss(temperature=task.temperature)

    def forward(self, views):
        return self.criterion(*map(self.project, views))


class MoCo(MomentumRecipe):
    def __init__(self, task, side):
        # Ours normalizes its hidden layer alone. lightly's head of MoCo can have all or none.
        super().__init__(task, make_head(heads.BYOLProjectionHead, task.projection_head))
        self.transform = two_views(task.augment, side, transforms.MoCoV2Transform)
        queue = tuple(task.queue.shape)
        self.criterion = loss.NTXentLoss(temperature=task.temperature, memory_bank_size=queue)

    def forward(self, views):
        self.update()
        return self.criterion(self.project(views[0]), self.project_momentum(views[1]))


class MoCoV3(MomentumRecipe):
    """lightly has heads for it, but neither the loss, which is torch's here, nor an example."""

    def __init__(self, task, side):
        head = make_head(heads.MoCoProjectionHead, task.projection_head, batch_norm=True)
        super().__init__(task, head)
        self.prediction_head = make_head(
            heads.MoCoProjectionHead, task.prediction_head, batch_norm=True
        )
        self.transform = byol_views(task.augment, side)
        self.temperature = task.temperature

    def forward(self, views):
        self.update()
        q0, q1 = (self.prediction_head(self.project(view)) for view in views)
        k0, k1 = map(self.project_momentum, views)
        return self.contrast(q0, k1) + self.contrast(q1, k0)

    def contrast(self, q, k):
        logits = F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / self.temperature
        return 2 * self.temperature * F.cross_entropy(logits, torch.arange(len(q)))


class BYOL(MomentumRecipe):
    def __init__(self, task, side):
        super().__init__(task, make_head(heads.BYOLProjectionHead, task.projection_head))
        self.prediction_head = make_head(heads.BYOLPredictionHead, task.prediction_head)
        self.transform = byol_views(task.augment, side)
        self.criterion = loss.NegativeCosineSimilarity()

    def forward(self, views):
        self.update()
        p0, p1 = (self.prediction_head(self.project(view)) for view in views)
        z0, z1 = map(self.project_momentum, views)
        return 0.5 * (self.criterion(p0, z1) + self.criterion(p1, z0))


class SimSiam(Recipe):
    def __init__(self, task, side):
        super().__init__(task, make_head(heads.SimSiamProjectionHead, task.projection_head))
        self.prediction_head = make_head(heads.SimSiamPredictionHead, task.prediction_head)
        self.transform = two_views(task.augment, side, transforms.SimSiamTransform)
        self.criterion = loss.NegativeCosineSimilarity()

    def forward(self, views):
        z0, z1 = map(self.project, views)
        p0, p1 = map(self.prediction_head, (z0, z1))
        return 0.5 * (self.criterion(z0.detach(), p1) + self.criterion(z1.detach(), p0))


class BarlowTwins(Recipe):
    def __init__(self, task, side):
        super().__init__(task, make_head(heads.BarlowTwinsProjectionHead, task.projection_head))
        self.transform = byol_views(task.augment, side)
        self.criterion = loss.BarlowTwinsLoss(lambda_param=task.redundancy_weight)

    def forward(self, views):
        return self.criterion(*map(self.project, views))


class VICReg(Recipe):
    def __init__(self, task, side):
        super().__init__(task, make_head(heads.VICRegProjectionHead, task.projection_head))
        self.transform = two_views(
            task.augment, side, transforms.VICRegTransform, solarize_prob=0.0
        )
        self.criterion = loss.VICRegLoss(
            lambda_param=task.invariance, mu_param=task.variance, nu_param=task.covariance
        )

    def forward(self, views):
        return self.criterion(*map(self.project, views))


class SwAV(Recipe):
    def __init__(self, task, side):
        super().__init__(task, make_head(heads.SwaVProjectionHead, task.projection_head))
        n_prototypes, dim = task.prototypes.weight.shape
        self.prototypes = heads.SwaVPrototypes(dim, n_prototypes)
        self.transform = swav_views(task.multi_crop, side)
        self.criterion = loss.SwaVLoss(temperature=task.temperature, sinkhorn_epsilon=task.epsilon)

    def forward(self, views):
        self.prototypes.normalize()
        scores = [self.prototypes(F.normalize(self.project(view), dim=1)) for view in views]
        return self.criterion(scores[:2], scores[2:])


class DINO(Recipe):
    def __init__(self, task, side):
        n_prototypes = len(task.prototypes.weight)
        # Their weight norms cannot be copied; as in lightly's example, the teacher's is created.
        student_head, teacher_head = (
            make_head(
                heads.DINOProjectionHead,
                task.projection_head,
                output_dim=n_prototypes,
                batch_norm=True,
            )
            for _ in range(2)
        )
        super().__init__(task, student_head)
        self.teacher_encoder, self.teacher_head = copy.deepcopy(self.encoder), teacher_head
        deactivate_requires_grad(self.teacher_encoder)
        deactivate_requires_grad(self.teacher_head)
        self.momentum = task.momentum
        self.transform = dino_views(task.multi_crop, side)
        self.criterion = loss.DINOLoss(
            output_dim=n_prototypes,
            teacher_temp=task.teacher_temperature,
            student_temp=task.student_temperature,
            center_momentum=task.center_momentum,
        )

    def forward(self, views):
        update_momentum(self.encoder, self.teacher_encoder, m=self.momentum)
        update_momentum(self.projection_head, self.teacher_head, m=self.momentum)
        teacher = [self.teacher_head(self.teacher_encoder(view)) for view in views[:2]]
        return self.criterion(teacher, list(map(self.project, views)))


class LeJEPA(Recipe):
    def __init__(self, task, side):
        super().__init__(task, make_head(heads.LeJEPAProjectionHead, task.projection_head))
        self.transform = dino_views(task.multi_crop, side)
        self.criterion = loss.LeJEPALoss(
            lambda_param=task.weight, sigreg_num_vectors=task.n_directions
        )

    def forward(self, views):
        z = torch.stack([self.project(view) for view in views])  # [v, n, d]
        if len(z) > 2:
            return self.criterion(global_proj=z[:2], local_proj=z[2:])
        # The loss of lightly insists on local views; its parts do not.
        weight, sigreg = self.criterion.lambda_param, self.criterion.sigreg
        return weight * sigreg(z) + (1 - weight) * lejepa_invariance_loss(all_proj=z, global_proj=z)


RECIPES = {
    getattr(sklearn_ssl, f"{recipe.__name__}Transformer"): recipe
    for recipe in (SimCLR, MoCo, MoCoV3, BYOL, SimSiam, BarlowTwins, VICReg, SwAV, DINO, LeJEPA)
}
