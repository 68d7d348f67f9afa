"""
What a masked autoencoder sees, and what it predicts
====================================================

:class:`~sklearn_ssl.MaskedAutoencoder` hides most of each image and predicts it from the rest. Here
it is trained on handwritten digits, without labels, and then fills in digits that it has not seen.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sklearn_ssl import MaskedAutoencoder

quick = "SKLEARN_SSL_QUICK" in os.environ

# %%
# Images to train on, and others to look at.

digits = load_digits().images
X_train, X_test = digits[: 256 if quick else 1_500], digits[1_500:]

# %%
# The targets here are pixels. Patches that are normalized one by one are better targets for
# representations, but only from pixels does the network learn how dark a patch is.

n_epochs = 1 if quick else 200
mae = MaskedAutoencoder(
    modality="image", norm_pix_loss=False, max_epochs=n_epochs, random_state=0, verbose=1
).fit(X_train)

# %%
# ``reconstruct`` hides three quarters of each image, in the same places at every call, or the
# patches given by a mask: one value for each patch, True to hide it. In the last rows, the right
# half is hidden.

shown = X_test[:8]
rows, columns = mae.encoder_.grid
right_half = np.zeros((rows, columns), dtype=bool)
right_half[:, columns // 2 :] = True
at_random, half = mae.reconstruct(shown), mae.reconstruct(shown, mask=right_half)

# %%
# The prediction is an average over everything that could be there: what is certain is sharp, the
# rest is blurred.

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
# The quality of the reconstruction says little about the representation. To judge that, put a
# classifier with few labels after ``transform`` and a ``StandardScaler``, and compare it with
# others (:doc:`/masking`).
