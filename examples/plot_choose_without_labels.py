"""
Choosing settings without labels
================================

A search without labels can only use a score of the representations themselves. Here each of six
scores picks one of twelve settings of SimCLR on handwritten digits. We compare with the accuracy
with ten labels per class, which nobody without labels can know. Which score would have chosen well?
:doc:`../choosing_without_labels` says how they do on more data.
"""

# %%
# The data: 1,200 images, whose labels are only used in hindsight, and 597 for testing.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.metrics import (
    alignment_scorer,
    alpha_req_scorer,
    knn_agreement_scorer,
    lidar_scorer,
    rankme_scorer,
    uniformity_scorer,
)
from sklearn_ssl.semi_supervised import draw_labels

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=597, stratify=y, random_state=0)

# %%
# The candidates. Some are sensible: SimCLR's own augmentation, made for photographs, and one that
# suits digits, each at two temperatures. Others lack something: epochs, components or a learning
# rate that is large enough.
photo = ImageAugmentation(flip=0.5)
zoom_and_rotate = ImageAugmentation(scale=(0.5, 1.5), rotation=15, flip=0)
faint = ImageAugmentation(scale=(0.95, 1), flip=0, jitter=0.05)
augmentations = {"photo": photo, "zoom and rotation": zoom_and_rotate, "faint": faint}
long, short = (1, 1) if QUICK else (40, 3)
grid = [
    {"augment": [photo, zoom_and_rotate], "temperature": [0.1, 0.5], "max_epochs": [long]},
    {"augment": [faint], "temperature": [0.1, 0.5], "max_epochs": [long]},
    {"augment": [photo, zoom_and_rotate], "max_epochs": [short]},
    {"augment": [photo, zoom_and_rotate], "n_components": [16], "max_epochs": [long]},
    {"augment": [photo, zoom_and_rotate], "lr": [1e-5], "max_epochs": [long]},
]


# %%
# The accuracy, which would be unknown in practice. It is one more score in the search, so each
# candidate is fitted only once.
def few_label_accuracy(estimator, X, y=None):
    Z_train, Z_test = estimator.transform(X_train), estimator.transform(X_test)
    mean, scale = Z_train.mean(axis=0), (Z_train - Z_train.mean(axis=0)).std()
    Z_train, Z_test = (Z_train - mean) / scale, (Z_test - mean) / scale
    draws = [draw_labels(y_train, 10, random_state=draw) for draw in range(5)]
    classifier = LogisticRegression(max_iter=1000)
    return np.mean([classifier.fit(Z_train[i], y_train[i]).score(Z_test, y_test) for i in draws])


scorers = {
    "RankMe": rankme_scorer,
    "alpha-ReQ": alpha_req_scorer,
    "uniformity": uniformity_scorer,
    "LiDAR": lidar_scorer,
    "alignment": alignment_scorer,
    "kNN agreement": knn_agreement_scorer,
}
# %%
# The search: each candidate learns from 900 images and is scored on the other 300.
search = GridSearchCV(
    SimCLRTransformer(image_shape=(8, 8), random_state=0),
    grid,
    scoring={**scorers, "accuracy": few_label_accuracy},
    refit=False,
    cv=ShuffleSplit(1, test_size=300, random_state=0),
)
search.fit(X_train)


# %%
# The results, sorted by accuracy.
def describe(params):
    """Describe a candidate in words."""
    name = next(name for name, augment in augmentations.items() if augment is params["augment"])
    rest = {key: value for key, value in params.items() if key not in ("augment", "max_epochs")}
    words = [f"{key}={value:g}" for key, value in rest.items()] or ["few epochs"]
    return f"{name}, {', '.join(words)}"


results = {name: search.cv_results_[f"mean_test_{name}"] for name in [*scorers, "accuracy"]}
accuracy = results["accuracy"]
titles = [describe(params) for params in search.cv_results_["params"]]
print(f"{'':32}{'accuracy':>10}" + "".join(f"{name:>15}" for name in scorers))
for i in np.argsort(-accuracy):
    scores = "".join(f"{results[name][i]:15.3g}" for name in scorers)
    print(f"{titles[i]:32}{accuracy[i]:10.3f}{scores}")
print(
    "\nRank correlation with the accuracy, and the accuracy of the candidate with the best score:"
)
for name in scorers:
    rho = spearmanr(results[name], accuracy).statistic
    print(f"{name:15}{rho:+.2f}  {accuracy[np.argmax(results[name])]:.3f}")

# %%
# The plot: if a score ranked the candidates like the accuracy, its points would rise from left to
# right. The ring marks the candidate that the score would choose, the line the best one.
colors = {"photo": "C0", "zoom and rotation": "C1", "faint": "C2"}
shapes = {"temperature": "o", "few epochs": "v", "n_components": "s", "lr": "X"}
meanings = ("trained fully", "few epochs", "16 components", "lr 1e-5")

figure, axes = plt.subplots(2, 3, figsize=(10, 7), sharey=True, layout="constrained")
for axis, name in zip(axes.flat, scorers):
    scores = results[name]
    axis.axhline(accuracy.max(), color="0.8", linewidth=1, zorder=0)
    for title, x, height in zip(titles, scores, accuracy):
        augmentation, rest = title.split(", ")
        marker = next(shape for word, shape in shapes.items() if rest.startswith(word))
        axis.scatter(x, height, s=45, color=colors[augmentation], marker=marker, zorder=3)
    chosen = np.argmax(scores)
    axis.scatter(scores[chosen], accuracy[chosen], s=260, facecolor="none", edgecolor="k")
    axis.set_title(f"{name}: {spearmanr(scores, accuracy).statistic:+.2f}")
    axis.margins(x=0.12, y=0.1)
for axis in axes[:, 0]:
    axis.set_ylabel("accuracy, ten labels per class")
for axis in axes[1]:
    axis.set_xlabel("score, more is better")
axes[0, 0].set_yscale("logit")  # stretched near 1: halving the errors is the same step everywhere
axes[0, 0].set_yticks(ticks := [0.8, 0.9, 0.95, 0.975], labels=ticks)
axes[0, 0].minorticks_off()


def write_legend(place, names, styles_of_points):
    handles = [plt.Line2D([], [], ls="", **style) for style in styles_of_points]
    figure.legend(handles, names, loc=f"outside {place} center", ncols=len(names), frameon=False)


write_legend(
    "upper",
    [f"{name} augmentation" for name in colors],
    [{"marker": "o", "color": color} for color in colors.values()],
)
write_legend("lower", meanings, [{"marker": shape, "color": "0.4"} for shape in shapes.values()])
output = Path("demo_output")
output.mkdir(exist_ok=True)
figure.savefig(output / "choose_without_labels.png", dpi=100)
print(f"\nSaved {output}/choose_without_labels.png")

# %%
# After the full training, RankMe, alpha-ReQ and LiDAR choose an encoder that has hardly moved from
# its initial weights, because random features extend in many directions, too. kNN agreement chooses
# the best candidate, and separates trained from untrained, and few epochs from many. It compares
# views made by the default augmentation, so it may prefer candidates that were trained with that
# one, though another suits the data better. Alignment compares the same views, and chooses worse.
#
# The augmentation matters more here than everything else. It is best chosen by looking at its
# views: do they still show what matters? See :doc:`../augmentation`.
