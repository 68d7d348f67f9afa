"""
Serve a classifier without torch
================================

A few labeled digits make a classifier, :func:`~sklearn_ssl.export_onnx` writes it to a file, and a
service answers with NumPy and onnxruntime alone. :doc:`/onnx` explains what goes in and out.
"""

# %%
# On the machine that trains. Of 1,200 digits, 50 have a label; the others, marked by -1, are only
# looked at.
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ssl import FineTuneClassifier, SimCLRTransformer, export_onnx
from sklearn_ssl.augment import ImageAugmentation

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=597, stratify=y, random_state=0)
few = np.where(np.arange(len(y)) < 50, y, -1)
ssl = SimCLRTransformer(
    image_shape=(8, 8),
    augment=ImageAugmentation(scale=(0.5, 1.5), rotation=15, flip=0),
    temperature=0.5,
    max_epochs=1 if QUICK else 60,
    random_state=0,
)
classifier = FineTuneClassifier(ssl, strategy="probe", random_state=0).fit(X, few)
print(f"test accuracy of the classifier: {classifier.score(X_test, y_test):.3f}")

output = Path("demo_output")
output.mkdir(exist_ok=True)
path = output / "digits.onnx"
export_onnx(classifier, path)
print(f"{path} has {path.stat().st_size / 1e6:.1f} MB")

# %%
# On the machine that serves, which needs ``pip install onnxruntime`` and nothing else. The digits
# go in as they are, from 0 to 16. A thread is enough for such a small network.
import json
import time

import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options)
metadata = session.get_modelmeta().custom_metadata_map
classes = json.loads(metadata["classes"])
print(f"\n{metadata['estimator']} of version {metadata['sklearn_ssl_version']}")


def answer(row):
    """Return the most likely classes of one image, with their probabilities."""
    rows = np.asarray(row, dtype=np.float32)[np.newaxis]
    _, (probabilities,) = session.run(["label", "probabilities"], {"rows": rows})
    best = probabilities.argsort()[::-1][:3]
    return {classes[place]: round(float(probabilities[place]), 3) for place in best}


for row in X_test[:3]:
    print(answer(row))

# %%
# Many rows at once are the same call. The labels are those of the classifier.
label, _ = session.run(None, {"rows": X_test.astype(np.float32)})
print(f"\ntest accuracy of the file: {np.mean(label == y_test):.3f}")

times = []
for row in X_test[:200]:
    start = time.perf_counter()
    answer(row)
    times.append(time.perf_counter() - start)
print(f"an answer takes {1e3 * np.median(times):.2f} ms, the median of {len(times)}")
