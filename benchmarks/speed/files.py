"""Image files: reading them against torchvision, training on them against arrays."""

import tempfile
from functools import partial
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

from benchmarks.speed.timing import BATCH_SIZE, compare, interleaved, timed
from sklearn_ssl import SimCLRTransformer, list_images, load_images

CAMERA = (4000, 3000)  # pixels of a photo of a telephone


def files(size):
    """Files per second, and epochs of a fit on files."""
    n_cores = joblib.cpu_count()
    n_workers = n_cores if n_cores > 1 else 0
    cores = "1 core" if n_cores == 1 else f"{n_cores} cores"
    other = f"ImageFolder and DataLoader, {n_workers} workers"
    n_files = size.images // 10
    for what, n, make in (
        ("JPEG files of 200 to 640 pixels", n_files, some_part),
        ("JPEG files of 12 megapixels", max(2, n_files // 32), camera_photo),
    ):
        with tempfile.TemporaryDirectory() as folder:
            write(folder, n, make)
            for side in (64, 224):
                ours = timed(partial(load_images, folder, size=side))
                theirs = timed(read_by_torchvision, folder, side, n_workers)
                times = interleaved([ours, theirs], size.method_rounds)
                measurement = f"{what}, to {side} x {side}, {cores}"
                ours, theirs = times
                yield compare(measurement, ours, theirs, other, n_rows=n, at_least=1.0)
    with tempfile.TemporaryDirectory() as folder:
        write(folder, n_files, some_part)
        paths, _ = list_images(folder)
        X, _ = load_images(folder, size=32)
        times = interleaved([partial(epoch, paths), partial(epoch, X)], size.n_rounds)
        measurement = "Epoch of `fit`, files decoded to 32 x 32"
        yield compare(measurement, *times, "the same images as an array", at_most=1.05)


def some_part(rng):
    """Return a part of one of scikit-learn's photos, of any size."""
    photo = load_sample_images().images[rng.integers(2)]
    height, width = rng.integers(200, 427), rng.integers(200, 641)
    return Image.fromarray(photo[:height, -width:])


def camera_photo(rng):
    return Image.fromarray(load_sample_images().images[rng.integers(2)]).resize(CAMERA)


def write(folder, n, make):
    """Write n JPEG files in two folders, as ImageFolder expects them."""
    rng = np.random.default_rng(0)
    for i in range(n):
        path = Path(folder, str(i % 2), f"{i}.jpg")
        path.parent.mkdir(exist_ok=True)
        make(rng).save(path, quality=90)


def read_by_torchvision(folder, side, n_workers):
    """Return all images of a folder, resized and cropped in the same way, as bytes in an array."""
    resize = Resize(side, InterpolationMode.BICUBIC)
    dataset = ImageFolder(folder, Compose([resize, CenterCrop(side), PILToTensor()]))
    batches = DataLoader(dataset, BATCH_SIZE, num_workers=n_workers)
    return np.concatenate([images.numpy() for images, _ in batches])


def epoch(X):
    """Return the median seconds of an epoch of SimCLR."""
    ssl = SimCLRTransformer(image_size=32, max_epochs=3, random_state=0).fit(X)
    return np.median(ssl.history_["duration"])
