"""What all augmentations have in common, and how an estimator uses them."""

import copy

import torch
from torch import nn


class Augmentation(nn.Module):
    """Base class: ``forward(batch, generator)`` returns a changed copy of the batch.

    Attributes
    ----------
    modality : {"image", "table", "series", "text"} or None
        The only kind of data that it changes; None means any.
    size : tuple of int or None
        Shape of a view after its channels; None means that of the batch.
    alike : bool
        Whether all rows of a batch may change in the same way, so that each view needs a separate
        call.
    """

    modality = None
    size = None
    alike = False

    def adapt(self, spec):
        """Return a copy with its unset settings derived from the description of the data.

        Parameters
        ----------
        spec : Spec
            Its ``shape`` is used; also the ``marginals`` of tables, and the ``mirror_accuracy`` and
            ``mean_color_share`` of images.
        """
        return copy.deepcopy(self)

    def local(self, spec):
        """Return an adapted copy that shows less of each row: the small views of multi-crop.

        Parameters
        ----------
        spec : Spec
        """
        return self.adapt(spec)

    def weak(self, spec):
        """Return an adapted copy that hardly changes a row; here it does not change it at all.

        Parameters
        ----------
        spec : Spec
        """
        return Foreign(nn.Identity())

    def forward(self, batch, generator):
        raise NotImplementedError(f"{type(self).__name__} must define forward(batch, generator)")


class Foreign(Augmentation):
    """A function of a batch from outside this package.

    Parameters
    ----------
    function : callable
        It may be a module.
    """

    alike = True

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, batch, generator):
        with full_precision(batch):
            return self.function(batch)


class Compose(Augmentation):
    """Augmentations applied one after another.

    Parameters
    ----------
    steps : list of Augmentation
    """

    def __init__(self, steps):
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.alike = any(step.alike for step in steps)

    @property
    def size(self):
        """Shape of a view: that of the last step that changes it."""
        return next((step.size for step in reversed(self.steps) if step.size is not None), None)

    @size.setter
    def size(self, size):
        for step in self.steps:
            step.size = size

    def adapt(self, spec):
        return Compose([step.adapt(spec) for step in self.steps])

    def local(self, spec):
        return Compose([step.local(spec) for step in self.steps])

    def weak(self, spec):
        return Compose([step.weak(spec) for step in self.steps])

    def forward(self, batch, generator):
        for step in self.steps:
            changed = step(batch, generator)
            _check_view(changed, batch, step.size)
            batch = changed
        return batch


def make_views(augment, batch, n_views, generator):
    """Return `n_views` independent views of a batch, stacked: shape ``(n_views * n, ...)``.

    Parameters
    ----------
    augment : Augmentation or callable
        Any other callable receives only the batch, once for each view.
    batch : torch.Tensor of shape (n, ...)
    n_views : int
    generator : torch.Generator
    """
    if not isinstance(augment, Augmentation):
        augment = Foreign(augment)
    if augment.alike:
        views = [augment(batch, generator) for _ in range(n_views)]
    else:
        views = [augment(batch.repeat(n_views, *[1] * (batch.ndim - 1)), generator)]
    for view in views:
        _check_view(view, batch, augment.size)
    views = torch.cat(views)
    if len(views) != n_views * len(batch):
        raise ValueError(
            f"augment must return one row for each row of its batch, got {views.shape[0]} rows for "
            f"{n_views} views of {len(batch)} rows."
        )
    return views


def _check_view(view, batch, size):
    """Raise an error if an augmentation returns rows unlike those of its batch."""
    if not isinstance(view, torch.Tensor):
        raise TypeError(
            f"augment must return a tensor like the batch it receives, got {type(view).__name__}."
        )
    shape = batch.shape[1:] if size is None else (batch.shape[1], *size)
    if tuple(view.shape[1:]) != tuple(shape) or view.dtype != batch.dtype:
        raise ValueError(
            "augment must return rows like those of the batch it receives, of shape "
            f"{tuple(shape)} and {batch.dtype}; got rows of shape {tuple(view.shape[1:])} and "
            f"{view.dtype}."
        )


class MultiCrop(nn.Module):
    """Two views of each row, and local views that show less of it, as in SwAV [1]_ and DINO.

    Parameters
    ----------
    augment : None, Augmentation or callable
        As in :func:`resolve_augmentation`. An Augmentation makes local views with its method
        ``local``; any other callable makes them like the global ones.
    n_local : int or None
        Number of local views of each row. None means 4 for images with at least 64 pixels on the
        shorter side, otherwise 0.
    spec : Spec
    encoder : torch.nn.Module
        If it does not accept rows of another shape, local views get the shape of the rows.

    References
    ----------
    .. [1] M. Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster
       Assignments", NeurIPS 2020, https://arxiv.org/abs/2006.09882
    """

    def __init__(self, augment, n_local, spec, encoder):
        super().__init__()
        self.n_local = n_local
        if n_local is None:
            self.n_local = spec.n_local
        self.augment = resolve_augmentation(augment, spec)
        self.local_augment = self.augment.local(spec)
        size = self.local_augment.size
        if size is not None and not _takes(encoder, (spec.shape[0], *size)):
            self.local_augment.size = None

    def forward(self, batch, generator):
        """Return a list of one or two batches of views, which may differ in the shape of a row.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, ...)
        generator : torch.Generator

        Returns
        -------
        views : list of torch.Tensor
            The global views, of shape ``(2 * n, ...)``, and unless `n_local` is 0 the local ones,
            of shape ``(n_local * n, ...)``.
        """
        views = [make_views(self.augment, batch, 2, generator)]
        if self.n_local:
            views.append(make_views(self.local_augment, batch, self.n_local, generator))
        return views


@torch.no_grad()
def _takes(encoder, shape):
    """Return whether an encoder embeds rows of another shape than it was built for."""
    was_training = encoder.training
    encoder.eval()
    try:
        return encoder(torch.zeros(2, *shape)).shape == (2, encoder.output_dim)
    except (RuntimeError, ValueError, AssertionError):
        return False
    finally:
        encoder.train(was_training)


def full_precision(batch):
    """Disable the autocast of a training step: eight-bit coordinates would shift pixels."""
    return torch.autocast(batch.device.type, enabled=False)


def uniform(shape, low, high, like, generator):
    """Draw from [low, high) on the device of `like`."""
    return torch.rand(shape, generator=generator, device=like.device).mul_(high - low).add_(low)


def resolve_augmentation(augment, spec):
    """Return the augmentation for an estimator's parameter, adapted to the data.

    Parameters
    ----------
    augment : None, Augmentation, callable, list or tuple
        None means the default augmentation of the kind of data. A list, a tuple or an
        ``nn.Sequential`` contains several, applied one after another. The parameter itself is never
        changed.
    spec : Spec

    Returns
    -------
    augmentation : Augmentation

    Raises
    ------
    TypeError
        If `augment` does not consist of functions of a batch.
    ValueError
        If `augment` is empty, or is made for another kind of data; or if it is None and the kind of
        data has no default augmentation.
    """
    if augment is None:
        if spec.default_augmentation is None:
            raise ValueError(
                f"Data of the kind {spec.modality!r} has no default augmentation: pass a function "
                "of a batch as augment."
            )
        augment = spec.default_augmentation()
    if isinstance(augment, Augmentation):
        if augment.modality not in (None, spec.modality):
            raise ValueError(
                f"augment={type(augment).__name__}() changes data of the kind "
                f"{augment.modality!r}, but X is read as {spec.modality!r}. Use augment=None, or "
                "your own function of a batch."
            )
        return augment.adapt(spec)
    if isinstance(augment, list | tuple | nn.Sequential | nn.ModuleList):
        if len(augment) == 0 or any(step is None for step in augment):
            raise ValueError(
                "augment is empty, or has None among its steps: pass augmentations, or "
                "augment=None for the default."
            )
        return Compose([resolve_augmentation(step, spec) for step in augment])
    if not callable(augment) or isinstance(augment, type):
        raise TypeError(f"augment must consist of functions of a batch, got {augment!r}.")
    try:
        return Foreign(copy.deepcopy(augment))
    except TypeError as error:
        raise TypeError(
            f"augment must consist of functions that can be copied; copying {augment!r} fails "
            f"({error}). Keep a lock or an open file in a global variable of a module."
        ) from error
