"""
Ten methods: time against accuracy
==================================

All methods learn from the same digits without labels, see them through the same augmentation and
train for the same number of epochs. Then a logistic regression gets five labels per class, on each
representation. How long does each method take, and how accurate is it? :doc:`../choosing` explains
how they work.
"""

# %%
# The data: 1,200 images to learn from, and 597 for testing. The augmentation is the one that suits
# digits, see :ref:`sphx_glr_auto_examples_plot_digits.py`. It was chosen with SimCLR; everything
# else is at its default, and no method has been tuned here.
import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.transforms import Bbox
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler

from sklearn_ssl import (
    BarlowTwinsTransformer,
    BYOLTransformer,
    DINOTransformer,
    LeJEPATransformer,
    MoCoTransformer,
    MoCoV3Transformer,
    SimCLRTransformer,
    SimSiamTransformer,
    SwAVTransformer,
    VICRegTransformer,
)
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.semi_supervised import draw_labels

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=597, stratify=y, random_state=0)
settings = {
    "image_shape": (8, 8),
    "augment": ImageAugmentation(scale=(0.5, 1.5), rotation=15, flip=0),
    "random_state": 0,
}
max_epochs = 1 if QUICK else 60
methods = {
    "SimCLR": SimCLRTransformer,
    "MoCo v2": MoCoTransformer,
    "MoCo v3": MoCoV3Transformer,
    "BYOL": BYOLTransformer,
    "SimSiam": SimSiamTransformer,
    "Barlow Twins": BarlowTwinsTransformer,
    "VICReg": VICRegTransformer,
    "SwAV": SwAVTransformer,
    "DINO": DINOTransformer,
    "LeJEPA": LeJEPATransformer,
}
baselines = {
    "untrained encoder": SimCLRTransformer(**settings, max_epochs=0),
    "raw pixels": MinMaxScaler(),
    "PCA, 32 components": PCA(32, random_state=0),
}
transformers = baselines | {
    name: Estimator(**settings, max_epochs=max_epochs) for name, Estimator in methods.items()
}


# %%
# All get the same five draws of labels. Representations have different ranges, which would affect
# the penalty of the classifier, so they are centered and divided by one number each.
def probe(transformer):
    """Return the accuracies on the test images, one for each draw."""
    Z_train, Z_test = transformer.transform(X_train), transformer.transform(X_test)
    mean, scale = Z_train.mean(axis=0), (Z_train - Z_train.mean(axis=0)).std()
    Z_train, Z_test = (Z_train - mean) / scale, (Z_test - mean) / scale
    draws = [draw_labels(y_train, 5, random_state=draw) for draw in range(5)]
    classifier = LogisticRegression(max_iter=1000)
    return [classifier.fit(Z_train[i], y_train[i]).score(Z_test, y_test) for i in draws]


seconds, accuracy = {}, {}
print(f"{'':20}{'seconds':>9}{'accuracy at 5 labels per class':>32}")
for name, transformer in transformers.items():
    start = time.perf_counter()
    transformer.fit(X_train)
    seconds[name] = time.perf_counter() - start
    scores = probe(transformer)
    accuracy[name] = np.mean(scores)
    print(f"{name:20}{seconds[name]:9.1f}{accuracy[name]:24.3f} ± {np.std(scores):.3f}")


# %%
# The plot. The accuracy axis is stretched near 1, so that halving the errors is about the same step
# everywhere.
def write_names(axis, colors):
    """Write a name next to each point, in its color, at the first free place."""
    places = [(9, 0, "left"), (-9, 0, "right")]
    places += [(x, y, "center") for y in (14, -14, 28, -28, 42, -42) for x in (0, 40, -40)]
    points = {name: axis.transData.transform((seconds[name], accuracy[name])) for name in colors}
    taken = [Bbox.from_extents(*(point - 6), *(point + 6)) for point in points.values()]
    for name in colors:
        for x, y, side in places:
            text = axis.annotate(
                name,
                (seconds[name], accuracy[name]),
                xytext=(x, y),
                textcoords="offset points",
                ha=side,
                va="center",
                color=colors[name],
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        taken.append(box)


figure, axis = plt.subplots(figsize=(8, 6), layout="constrained")
for name, style in zip(baselines, (":", "--", "-.")):
    axis.axhline(accuracy[name], color="0.5", linestyle=style, label=name)
colors = {name: f"C{i}" for i, name in enumerate(methods)}
for name, color in colors.items():
    axis.scatter(seconds[name], accuracy[name], s=40, color=color, zorder=3)
axis.set(
    xlabel="seconds of pretraining",
    ylabel="test accuracy, five labels per class",
    xlim=(0, 1.2 * max(seconds[name] for name in methods)),
    yscale="logit",
)
axis.set_yticks(ticks := [0.7, 0.8, 0.9, 0.95, 0.975], labels=ticks)
axis.minorticks_off()
figure.legend(loc="outside upper center", ncols=3, frameon=False)
figure.canvas.draw()  # fix the layout before measuring texts
write_names(axis, colors)
output = Path("demo_output")
output.mkdir(exist_ok=True)
figure.savefig(output / "compare_methods.png", dpi=100)
print(f"\nSaved {output}/compare_methods.png")

# %%
# After the full training, all of them are far ahead of the pixels, and differ less from each other:
# this is one data set and one seed, and the draws of labels differ just as much. On another data
# set the order is different, see :doc:`../quality`. To be sure, compare on your own data.
