"""
Images with few labels: probe, fine-tune, or both?
==================================================

Of 1,200 handwritten digits, only one, five or ten per class have a label.
:func:`~sklearn_ssl.evaluation.evaluate_representation` tells whether pretraining on all of them
beats simple baselines. Then :class:`~sklearn_ssl.FineTuneClassifier` turns the pretrained network
into a classifier, in three ways.
"""

# %%
# The data, and SimCLR with the augmentation that suits digits, see
# :ref:`sphx_glr_auto_examples_plot_digits.py`.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import t
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from sklearn_ssl import FineTuneClassifier, SimCLRTransformer
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.evaluation import evaluate_representation

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=597, stratify=y, random_state=0)
ssl = SimCLRTransformer(
    image_shape=(8, 8),
    augment=ImageAugmentation(scale=(0.5, 1.5), rotation=15, flip=0),
    temperature=0.5,
    max_epochs=1 if QUICK else 60,
    random_state=0,
)
ssl.fit(X)

# %%
# Will it beat what I have? The same logistic regression learns from the frozen representation, from
# pixels, from PCA and from the representation of the untrained network. In addition, the whole
# network is trained on the labels alone. The fitted estimator is used as it is: it has not seen
# ``X_test``.
report = evaluate_representation(
    ssl,
    X,
    y,
    X_test=X_test,
    y_test=y_test,
    labels_per_class=(1, 5) if QUICK else (1, 5, 10),
    n_draws=2 if QUICK else 5,
    verbose=1,
)
print(f"\n{report}")

# %%
# The classifier. Rows without a label have -1 in ``y``, and are only used for pretraining; with a
# fitted transformer, they are ignored. "probe" leaves the network as it is. "full" trains all of
# it, with a new linear layer. "probe-then-full", the default, starts the linear layer from the
# probe. All learn from the draws of the report, in ``report.labeled_rows``.
accuracy = {strategy: [] for strategy in ("probe", "full", "probe-then-full")}
for strategy, of_strategy in accuracy.items():
    classifier = FineTuneClassifier(FrozenEstimator(ssl), strategy=strategy, random_state=0)
    if QUICK and strategy != "probe":
        classifier.set_params(max_epochs=1)
    for draws in report.labeled_rows:
        of_strategy.append([])
        for labeled in draws:
            y_few = np.full(len(y), -1)
            y_few[labeled] = y[labeled]
            of_strategy[-1].append(classifier.fit(X, y_few).score(X_test, y_test))

print(f"\n{'labels per class':20}" + "".join(f"{k:>8}" for k in report.labels_per_class))
for strategy, of_strategy in accuracy.items():
    print(f"{strategy:20}" + "".join(f"{np.mean(scores):8.3f}" for scores in of_strategy))

# %%
# Plot the report, and next to it the strategies, with 95 % intervals over the draws.
figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
report.plot(ax=axes[0])
axes[0].set_title("frozen representation, and baselines")
curves = accuracy | {report.titles["supervised"]: report.scores["supervised"]}
place = np.arange(len(report.labels_per_class))
for i, (name, scores) in enumerate(curves.items()):
    n_draws = np.shape(scores)[1]
    half = t.ppf(0.975, n_draws - 1) * np.std(scores, axis=1, ddof=1) / n_draws**0.5
    style = {"capsize": 3, "linestyle": "none", "marker": "os^v"[i], "color": f"C{(0, 5, 6, 4)[i]}"}
    axes[1].errorbar(place + 0.1 * (i - 1.5), np.mean(scores, axis=1), half, label=name, **style)
axes[1].set_xticks(place, report.labels_per_class)
axes[1].set(
    xlabel="labels per class",
    ylabel="test accuracy",
    title="the pretrained network as a classifier",
)
axes[1].legend(loc="lower right", fontsize="small")
output = Path("demo_output")
output.mkdir(exist_ok=True)
figure.savefig(output / "few_labels_images.png", dpi=100)
print(f"\nSaved {output}/few_labels_images.png")

# %%
# Without labels, the network has learned what makes a digit: one label per class is worth about as
# much as five without pretraining. The simplest strategy is the best here. With fewer labels,
# training the whole network does more harm. It hurts "full" most, because its linear layer starts
# from scratch; "probe-then-full" stays closer to the probe. All of them are ahead of the network
# trained on the labels alone.
