"""
What a masked autoencoder sees, and what it makes of it
=======================================================

:class:`~sklearn_ssl.MaskedAutoencoder` hides most of each image and predicts it from the rest. Here
it is trained on handwritten digits, without labels, and asked to fill in others that it has not
seen.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sklearn_ssl import MaskedAutoencoder

quick = "SKLEARN_SSL_QUICK" in os.environ

# %%
# Pictures to train on, and others to look at.

digits = load_digits().images
X_train, X_test = digits[: 256 if quick else 1_500], digits[1_500:]

# %%
# Targets are pixels here, and not, as is better for representations, patches that are each
# normalized on its own: only so does the network learn how dark a patch is.

n_epochs = 1 if quick else 200
mae = MaskedAutoencoder(
    modality="image", norm_pix_loss=False, max_epochs=n_epochs, random_state=0, verbose=1
).fit(X_train)

# %%
# ``reconstruct`` hides three quarters of each image, the same places at every call, or what a mask
# says: one value for each patch, True to hide it. The right half is hidden in the last rows.

shown = X_test[:8]
rows, columns = mae.encoder_.grid
right_half = np.zeros((rows, columns), dtype=bool)
right_half[:, columns // 2 :] = True
at_random, half = mae.reconstruct(shown), mae.reconstruct(shown, mask=right_half)

# %%
# The prediction is an average over all that could be there: what is certain is sharp, the rest is
# blurred.

lines = {
    "original": at_random.input,
    "visible, 25 %": np.where(at_random.mask, np.nan, at_random.input),
    "reconstructed": at_random.prediction,
    "left half": np.where(half.mask, np.nan, half.input),
    "and filled in": half.prediction,
}
figure, axes = plt.subplots(len(lines), len(shown), figsize=(8, 5.4), layout="constrained")
colors = plt.get_cmap("gray").copy()
colors.set_bad("tab:blue", alpha=0.35)  # what is hidden
for axes_of_line, (title, images) in zip(axes, lines.items()):
    for axis, image in zip(axes_of_line, images):
        axis.imshow(image, cmap=colors, vmin=shown.min(), vmax=shown.max())
        axis.set(xticks=[], yticks=[])
    axes_of_line[0].set_ylabel(title, rotation=0, ha="right", va="center")

folder = Path("demo_output")
folder.mkdir(exist_ok=True)
figure.savefig(folder / "mae_reconstructions.png", dpi=100)
print(f"Saved {folder / 'mae_reconstructions.png'}")

# %%
# How well this can be done says little of the representation: for that, put a classifier with few
# labels on ``transform``, after a ``StandardScaler``, and compare it with others (:doc:`/masking`).
