"""
What a Vision Transformer looks at
==================================

DINO learns from parts of two photographs, a temple and a flower, without labels. The attention of
its Vision Transformer then shows which patches of an image contribute to its representation: each
head has its own map [1]_.

.. [1] M. Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021,
   https://arxiv.org/abs/2104.14294
"""

# %%
# The two photographs that come with scikit-learn, reduced so that the flower fits into a window of
# 64 pixels, and cut into overlapping windows.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

from sklearn_ssl import DINOTransformer
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.inspection import attention_maps

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds
SIDE = 64


def reduce(photo, factor=4):
    """Average squares of pixels."""
    height, width = (length // factor for length in photo.shape[:2])
    photo = photo[: height * factor, : width * factor]
    squares = photo.reshape(height, factor, width, factor, 3)
    return squares.mean(axis=(1, 3)).astype(np.uint8)


def cut_windows(photo, step):
    """Return the windows at the places of a grid: [rows, columns, height, width, channels]."""
    windows = np.lib.stride_tricks.sliding_window_view(photo, (SIDE, SIDE), axis=(0, 1))
    return np.moveaxis(windows[::step, ::step], 2, -1)


photos = [reduce(photo) for photo in load_sample_images().images]
grids = [cut_windows(photo, 32 if QUICK else 4) for photo in photos]
X = np.concatenate([grid.reshape(-1, SIDE, SIDE, 3) for grid in grids])
print(f"{len(X)} windows")

# %%
# Show four windows of each photograph, from the middle of its height.
shown = []
for grid in grids:
    places = np.linspace(0, grid.shape[1] - 1, 4).astype(int)
    shown.extend(grid[len(grid) // 2, places])
shown = np.stack(shown)

# %%
# The transformer has four heads, so there are four maps for each image. For comparison, we also
# show the mean of the four maps of an untrained transformer.
settings = {
    "encoder": "vit",
    "augment": ImageAugmentation(scale=(0.25, 1)),
    "random_state": 0,
}
ssl = DINOTransformer(**settings, max_epochs=1 if QUICK else 25).fit(X)
print(f"DINO: fitted in {sum(ssl.history_['duration']):.0f} s")
untrained = DINOTransformer(**settings, max_epochs=0).fit(X)
maps = attention_maps(ssl, shown)  # [images, heads, rows, columns]
rows = {f"head {head + 1}": maps[:, head] for head in range(maps.shape[1])}
rows["untrained"] = attention_maps(untrained, shown).mean(axis=1)

# %%
# Black means no attention; each map has its own scale. Nobody told the network what is in the
# photographs, or where. After the full training, some heads look at the flower, others at the
# background or at the sky around the temple. Without training, attention is spread over the whole
# image, with more on bright areas.
figure, axes = plt.subplots(1 + len(rows), len(shown), figsize=(10, 7.5), layout="constrained")
for axis, image in zip(axes[0], shown):
    axis.imshow(image)
for line, (name, maps_of_images) in zip(axes[1:], rows.items()):
    line[0].set_ylabel(name)
    for axis, attention in zip(line, maps_of_images):
        axis.imshow(attention, cmap="inferno", vmin=0)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
output = Path("demo_output")
output.mkdir(exist_ok=True)
figure.savefig(output / "attention.png", dpi=100)
print(f"Saved {output}/attention.png")
