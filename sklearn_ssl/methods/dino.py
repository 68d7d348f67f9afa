"""DINO (Caron et al., 2021, https://arxiv.org/abs/2104.14294).

::

    for each batch x:
        v_1, v_2, v_3, ... = two global and some local views of x
        s_j = student(v_j) / student_temperature                      # all views
        t_i = softmax((teacher(v_i) - center) / teacher_temperature)  # global views, no gradient
        loss = mean over i and j != i of cross_entropy(s_j, t_i)
        center = center_momentum * center + (1 - center_momentum) * mean(teacher(v_1), teacher(v_2))
        clip gradients; optimizer step; teacher = m * teacher + (1 - m) * student
"""

from numbers import Integral, Real

import torch
from torch import nn

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import MultiCrop
from sklearn_ssl.base.arrays import BaseMultiCropTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.heads import FROZEN_PROTOTYPES, Prototypes, default_n_prototypes, mlp_head
from sklearn_ssl.losses import cross_view_entropy
from sklearn_ssl.pretext import PretextTask, cosine_schedule, ema_update, frozen_copy


class DINOTask(PretextTask):
    """Predict a slowly moving teacher's output for the global views from all views of a row."""

    def __init__(
        self,
        encoder,
        multi_crop,
        *,
        n_prototypes,
        student_temperature,
        teacher_temperature,
        center_momentum,
        momentum,
        weight_decay_end,
        clip,
    ):
        super().__init__()
        self.encoder = encoder
        self.multi_crop = multi_crop
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.center_momentum = center_momentum
        self.momentum = momentum
        self.weight_decay_end = weight_decay_end
        self.clip = clip
        width = encoder.output_dim
        hidden, dim = defaults.projection_dims(width)
        dims = (width, hidden, hidden, dim)
        self.projection_head = mlp_head(dims, activation=nn.GELU)
        self.prototypes = Prototypes(dim, n_prototypes)
        student = nn.Sequential(self.encoder, self.projection_head, self.prototypes)
        self.teacher = frozen_copy(student)
        self.register_buffer("center", torch.zeros(n_prototypes))

    def forward(self, batch):
        views = self.multi_crop(batch, self.generator)  # [2n, ...], [n_local * n, ...]
        h = torch.cat([self.shared(self.encoder, group) for group in views])
        student = self.prototypes(self.projection_head(h))  # [(2 + n_local) * n, K]
        with torch.no_grad():
            teacher = self.shared(self.teacher, views[0])  # [2n, K]
            targets = ((teacher - self.center) / self.teacher_temperature).softmax(dim=1)
        if self.training:
            self.center.lerp_(teacher.mean(dim=0), 1 - self.center_momentum)
        student, targets = (t.unflatten(0, (-1, len(batch))) for t in (student, targets))
        return cross_view_entropy(student / self.student_temperature, targets)

    def after_backward(self, progress):
        if self.clip is not None:
            # Each parameter separately, as in the reference code.
            for parameter in self.parameters():
                if parameter.grad is not None:
                    nn.utils.clip_grad_norm_(parameter, self.clip)
        if progress < FROZEN_PROTOTYPES:
            self.prototypes.weight.grad = None

    def weight_decay_at(self, progress, weight_decay):
        return cosine_schedule(weight_decay, self.weight_decay_end, progress)

    def after_step(self, progress):
        student = nn.Sequential(self.encoder, self.projection_head, self.prototypes)
        ema_update(self.teacher, student, cosine_schedule(self.momentum, 1.0, progress))


class DINOTransformer(BaseMultiCropTransformer):
    """Representations by self-distillation without labels (DINO).

    A student assigns each view of a row, including those that show only a small part of it, a
    distribution over learned prototypes; it should match the distribution that a teacher assigns to
    another, global view. The teacher is an average of the student's earlier weights. Its outputs
    are sharpened, so they do not become uniform, and centered, so that no prototype always wins
    [1]_. With ``encoder="vit"``, :func:`~sklearn_ssl.inspection.attention_maps` shows what the
    fitted network looks at.

    Parameters
    ----------
    n_prototypes : int, default=None
        Width of the output. None means one per 32 rows, 64 to 512; the paper has 65,536 for a
        million images.
    student_temperature : float, default=0.1
        Divisor of the student's outputs.
    teacher_temperature : float, default=0.04
        Divisor of the teacher's outputs; smaller than the student's, to sharpen them.
    center_momentum : float, default=0.9
        Fraction that the center of the teacher's outputs keeps at each step, in [0, 1).
    momentum : float, default=None
        Fraction of its weights that the teacher keeps at the first step, in [0, 1); it rises to 1
        along a cosine. None averages over a quarter of the fit, and is between 0.9 and 0.996.
    weight_decay : float, default=0.04
        Weight decay of kernels and matrices at the first step; biases and normalizations have none.
    weight_decay_end : float, default=0.4
        Weight decay at the end of the fit; it rises from `weight_decay` along a cosine.
    clip : float, default=3.0
        Maximum norm of the gradient of each parameter; None does not clip.

    Notes
    -----
    Unlike in the paper, the hidden layers of the head are batch-normalized: without it, fits of a
    few hundred steps collapsed into a single direction.

    References
    ----------
    .. [1] M. Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021,
       https://arxiv.org/abs/2104.14294

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import DINOTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = DINOTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X[:200]).shape
    (200, 256)
    """

    n_prototypes: int | None = param(
        None, Interval(Integral, 2, defaults.MOST, closed="both"), None
    )
    student_temperature: float = param(0.1, Interval(Real, 0, None, closed="neither"))
    teacher_temperature: float = param(0.04, Interval(Real, 0, None, closed="neither"))
    center_momentum: float = param(0.9, Interval(Real, 0, 1, closed="left"))
    momentum: float | None = param(None, Interval(Real, 0, 1, closed="left"), None)
    weight_decay: float = 0.04
    weight_decay_end: float = param(0.4, Interval(Real, 0, None, closed="left"))
    clip: float | None = param(3.0, Interval(Real, 0, None, closed="neither"), None)

    _relative_cost = 1.4
    _collapse_remedies = {
        "teacher_temperature": "smaller",
        "center_momentum": "smaller",
        "momentum": "larger",
        "lr": "smaller",
    }

    def _make_task(self, spec):
        encoder = self._make_encoder(spec)
        return DINOTask(
            encoder,
            MultiCrop(self.augment, self.n_local, spec, encoder),
            n_prototypes=self.n_prototypes or default_n_prototypes(spec.n_samples),
            student_temperature=self.student_temperature,
            teacher_temperature=self.teacher_temperature,
            center_momentum=self.center_momentum,
            momentum=self._momentum(spec),
            weight_decay_end=self.weight_decay_end,
            clip=self.clip,
        )
