"""
What a masked autoencoder sees, and what it makes of it
=======================================================

:class:`~sklearn_ssl.MaskedAutoencoder` hides most of each image and predicts it from the rest. Here
it is trained on patches of photographs, without labels, and asked to fill in others that it has not
seen.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.feature_extraction.image import extract_patches_2d

from sklearn_ssl import MaskedAutoencoder

quick = "SKLEARN_SSL_QUICK" in os.environ

# %%
# Patches of 32 x 32 pixels of the two photographs that come with scikit-learn: from their left
# three quarters to train on, from the rest to look at.

photos = load_sample_images().images
border = 480  # of 640 columns
n_patches = 128 if quick else 5_000
X_train = np.concatenate(
    [
        extract_patches_2d(photo[:, :border], (32, 32), max_patches=n_patches, random_state=0)
        for photo in photos
    ]
)
X_test = np.concatenate(
    [
        extract_patches_2d(photo[:, border:], (32, 32), max_patches=4, random_state=0)
        for photo in photos
    ]
)

# %%
# Targets are pixels here, and not, as is better for representations, patches that are each
# normalized on its own: only so does the network learn how dark a patch is.

n_epochs = 1 if quick else 10
mae = MaskedAutoencoder(norm_pix_loss=False, max_epochs=n_epochs, random_state=0, verbose=1).fit(
    X_train
)

# %%
# ``reconstruct`` hides three quarters of each image, the same places at every call, or what a mask
# says: one value for each patch, True to hide it. The right half is hidden in the last rows.

rows, columns = mae.encoder_.grid
right_half = np.zeros((rows, columns), dtype=bool)
right_half[:, columns // 2 :] = True
at_random, half = mae.reconstruct(X_test), mae.reconstruct(X_test, mask=right_half)

# %%
# The prediction is an average over all that could be there: what is certain is sharp, the rest is
# blurred.

HIDDEN = (90, 140, 190)  # the color of what is hidden


def visible(result):
    """Return the images with their hidden places in one color."""
    return np.where(result.mask, HIDDEN, result.input)


lines = {
    "original": at_random.input,
    "visible, 25 %": visible(at_random),
    "reconstructed": at_random.prediction,
    "left half": visible(half),
    "and filled in": half.prediction,
}
figure, axes = plt.subplots(len(lines), len(X_test), figsize=(8, 5.4), layout="constrained")
for axes_of_line, (title, images) in zip(axes, lines.items()):
    for axis, image in zip(axes_of_line, images):
        axis.imshow(np.clip(image, 0, 255).astype(np.uint8))
        axis.set(xticks=[], yticks=[])
    axes_of_line[0].set_ylabel(title, rotation=0, ha="right", va="center")

folder = Path("demo_output")
folder.mkdir(exist_ok=True)
figure.savefig(folder / "mae_reconstructions.png", dpi=100)
print(f"Saved {folder / 'mae_reconstructions.png'}")

# %%
# How well this can be done says little of the representation: for that, put a classifier with few
# labels on ``transform``, after a ``StandardScaler``, and compare it with others (:doc:`/masking`).
