"""Our methods against the same ones assembled from lightly's parts."""

import numpy as np
import torch

import sklearn_ssl
from benchmarks.speed.timing import BATCH_SIZE, PILImages, compare, interleaved, timed
from sklearn_ssl.augment import ImageAugmentation, make_views
from sklearn_ssl.training.runtime import resolve_precision
from sklearn_ssl.training.threads import N_CORES

METHODS = {
    name: getattr(sklearn_ssl, f"{name}Transformer")
    for name in (
        *("SimCLR", "MoCo", "MoCoV3", "BYOL", "SimSiam"),
        *("BarlowTwins", "VICReg", "SwAV", "DINO", "LeJEPA"),
    )
}
FIT = {"modality": "image", "batch_size": BATCH_SIZE, "max_epochs": 1, "random_state": 0}


def lightly(size):
    """SimCLR against lightly's own recipe of it, end to end."""
    from benchmarks.speed.lightly_recipes import lightly_epoch  # here: `memory` does without

    X = size.load_images(size.images)
    fits = {"": METHODS["SimCLR"](**FIT)}
    if resolve_precision("auto", torch.device("cpu")) is not None:
        fits[" in float32"] = METHODS["SimCLR"](**FIT, precision="float32")
    recipes = {f"lightly, {n} workers": lightly_epoch(fits[""], X, n) for n in (0, 2)}
    measures = [timed(fit.fit, X) for fit in fits.values()] + [*map(timed, recipes.values())]
    times = interleaved(measures, size.n_rounds)
    of_lightly = dict(zip(recipes, times[len(fits) :]))
    best = min(of_lightly, key=lambda name: np.median(of_lightly[name]))
    for precision, of_fit in zip(fits, times):
        for name, of_recipe in of_lightly.items():
            what = f"`fit`{precision}, {len(X):,} images of 28 x 28"
            name += ", its better one" if name == best else ""
            yield compare(what, of_fit, of_recipe, name, n_rows=len(X), at_least=3)


def methods(size):
    """Each method against the same one from lightly's parts."""
    from benchmarks.speed.lightly_recipes import lightly_epoch

    X = size.load_images(size.method_images)
    worker_counts = (0, 2)
    for name, ours in each_method(size.methods or METHODS):
        recipes = [lightly_epoch(ours, X, n) for n in worker_counts]
        measures = [timed(ours.fit, X), *map(timed, recipes)]
        of_fit, *of_recipes = interleaved(measures, size.method_rounds)
        for n_workers, of_recipe in zip(worker_counts, of_recipes):
            what = f"{name}, {len(X):,} images of 28 x 28"
            other = f"lightly, {n_workers} workers"
            yield compare(what, of_fit, of_recipe, other, n_rows=len(X), at_least=3)
        if len(recipes) > 1:  # the better number of workers for SimCLR, which comes first
            worker_counts = (worker_counts[np.argmin(np.median(of_recipes, axis=1))],)


def each_method(names):
    """Yield names and estimators: each method at its defaults, and with local views.

    By default, multi-crop has local views of large images only.
    """
    for method in names:
        ours = METHODS[method](**FIT)
        name = type(ours).__name__
        yield name, ours
        if hasattr(ours, "n_local"):
            yield f"{name}(n_local=4)", METHODS[method](**FIT, n_local=4)


def augmentation(size):
    """Two views of images by `ImageAugmentation` and by lightly's transform."""
    from benchmarks.speed.lightly_recipes import two_views

    X = size.load_images(size.images // 4)
    spec = METHODS["SimCLR"](**{**FIT, "max_epochs": 0}).fit(X).input_spec_
    augment = ImageAugmentation().adapt(spec)
    generator = torch.Generator().manual_seed(0)
    dataset = PILImages(X, two_views(augment, side=28))

    def ours(n_threads):
        torch.set_num_threads(n_threads)
        for start in range(0, len(X), BATCH_SIZE):
            make_views(augment, spec.to_tensor(X[start : start + BATCH_SIZE]), 2, generator)
        torch.set_num_threads(N_CORES)

    def lightlys():
        for index in range(len(dataset)):
            dataset[index]

    thread_counts = sorted({1, N_CORES})
    measures = [timed(ours, n) for n in thread_counts]
    *times, of_lightly = interleaved([*measures, timed(lightlys)], size.n_rounds)
    for n_threads, of_ours in zip(thread_counts, times):
        what = f"Two views of {len(X):,} images of 28 x 28, threads: {n_threads}"
        name = "lightly's transform"
        yield compare(what, of_ours, of_lightly, name, n_rows=len(X), at_least=20)
