"""
A folder of photos
==================

From a folder of JPEG files, of all sizes, to a classifier with five labels per class, in six lines.
The network reads the files itself, learns from all of them, and also finds photos that look alike.
"""

# %%
# The folder. In real use it is there already: each label is the name of a folder, and photos that
# nobody has looked at yet are in one named ``unlabeled``. Here, 400 parts of the two photos that
# come with scikit-learn play that role; 25 of them have a label.
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from sklearn_ssl import SimCLRTransformer, list_images
from sklearn_ssl.semi_supervised import LabeledOnly

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

china, flower = load_sample_images().images
PLACES = {  # photo, and from where to where: rows, columns
    "sky": (china, (0, 150), (340, 640)),
    "temple": (china, (60, 330), (90, 340)),
    "tree": (china, (290, 427), (330, 640)),
    "leaf": (flower, (0, 427), (0, 180)),
    "petal": (flower, (100, 340), (180, 430)),
}
rng = np.random.default_rng(0)
folder = tempfile.TemporaryDirectory()
truth = {}
for i in range(400):
    place = list(PLACES)[i % 5]
    photo, rows, columns = PLACES[place]
    height, width = rng.integers(40, 121, 2)
    top = rng.integers(rows[0], rows[1] - height)
    left = rng.integers(columns[0], columns[1] - width)
    path = Path(folder.name, place if i < 25 else "unlabeled", f"{i}.jpg")
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(photo[top : top + height, left : left + width]).save(path)
    truth[str(path)] = place

# %%
# Six lines. Every estimator of images takes paths: it turns the photos upright, crops them to a
# square and resizes them, here to 32 pixels. Photos without a label have None in ``labels``.
# :class:`~sklearn_ssl.semi_supervised.LabeledOnly` keeps them from the classifier. What is in these
# photos shows in their colors; views keep them, because ``fit`` notices: see :doc:`/augmentation`.
paths, labels = list_images(folder.name)
ssl = SimCLRTransformer(image_size=32, max_epochs=1 if QUICK else 40, random_state=0)
pipeline = make_pipeline(ssl, LabeledOnly(LogisticRegression(max_iter=1000)))
pipeline.fit(paths, labels)
predicted = pipeline.predict(paths)

# %%
# How good is it, and what does the same network know without pretraining?
unlabeled = np.array([label is None for label in labels])
places = np.array([truth[path] for path in paths])
untrained = clone(pipeline).set_params(simclrtransformer__max_epochs=0).fit(paths, labels)
for name, of_model in (("pretrained", predicted), ("untrained", untrained.predict(paths))):
    accuracy = np.mean(of_model[unlabeled] == places[unlabeled])
    print(f"{name}, {sum(~unlabeled)} labels: accuracy {accuracy:.3f} on the other photos")

# %%
# The nearest neighbors of a photo of each kind, by the cosine of their representations. The parts
# of one photo overlap, which makes this easier than it is with photos of your own.
Z = pipeline[0].transform(paths)
queries = [np.flatnonzero(places == place)[-1] for place in PLACES]
search = NearestNeighbors(n_neighbors=8, metric="cosine").fit(Z)
neighbors = search.kneighbors(Z[queries], return_distance=False)
figure, axes = plt.subplots(len(queries), 8, figsize=(9, 6), layout="constrained")
for row, found in zip(axes, neighbors):
    for ax, i in zip(row, found):
        ax.imshow(Image.open(paths[i]))
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(predicted[i], fontsize="small")
axes[0, 0].set_title("photo", fontsize="medium")
axes[0, 1].set_title("nearest neighbors", fontsize="medium", loc="left")
output = Path("demo_output")
output.mkdir(exist_ok=True)
figure.savefig(output / "photo_folder.png", dpi=100)
print(f"Saved {output}/photo_folder.png")
folder.cleanup()

# %%
# The words below the photos are predictions. Whoever prefers an array reads all files once, with
# ``X, labels = load_images(folder, size=32)``; the numbers are the same.
