"""
A table with few labels: when do trees win?
===========================================

Measurements of cells from 569 tumors: are they malignant? Most rows have no label. A
:class:`~sklearn_ssl.FineTuneClassifier` takes the table as it is.
:func:`~sklearn_ssl.evaluation.evaluate_representation` tells whether its pretraining is worth it,
and from how many labels on boosted trees are better.
"""

# %%
# The data: a table that comes with scikit-learn. A quarter of its rows is for testing.
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split

from sklearn_ssl import FineTuneClassifier, VIMETransformer
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.semi_supervised import draw_labels

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
y = np.where(y, "benign", "malignant")
labels_per_class = (5, 20) if QUICK else (5, 20, 100)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.25, stratify=y, random_state=0
)
print(X_train.head())

# %%
# From a DataFrame to predictions. Twenty rows per class have a label, the others have None. VIME
# learns from all rows to repair wrong values, and a logistic regression on its representation
# learns from the forty labeled rows. The columns have different scales and need no preparation;
# neither would categorical columns or missing values.
labeled = draw_labels(y_train, 20, random_state=0)
y_few = np.full(len(y_train), None, dtype=object)
y_few[labeled] = y_train[labeled]
classifier = FineTuneClassifier(
    VIMETransformer(max_epochs=1 if QUICK else None, random_state=0), strategy="probe"
)
classifier.fit(X_train, y_few)
predicted = classifier.predict(X_test)
print(f"\n{len(labeled)} of {len(y_train):,} rows have a label, for example", *predicted[:5])

# %%
# Now train trees on the same forty rows. The classes have different sizes, so we use the balanced
# accuracy: guessing the larger class for all rows gives one half.
trees = HistGradientBoostingClassifier(min_samples_leaf=5, random_state=0)
trees.fit(X_train.iloc[labeled], y_train[labeled])
for name, model in (("VIME and probe", classifier), ("trees", trees)):
    score = balanced_accuracy_score(y_test, model.predict(X_test))
    print(f"{name:16} balanced accuracy {score:.3f}")

# %%
# That was a single draw of labels, and depends on luck. The report repeats it with several draws,
# with more labels and with more rivals. The network is already pretrained, without the test rows,
# so the report uses it as it is.
report = evaluate_representation(
    classifier.transformer_,
    X_train,
    y_train,
    X_test=X_test,
    y_test=y_test,
    labels_per_class=labels_per_class,
    n_draws=2 if QUICK else 5,
    baselines=("raw", "pca", "untrained", "supervised", ("trees", trees)),
    scoring="balanced_accuracy",
    verbose=1,
)
print(f"\n{report}")

# %%
# The plot.
display = report.plot()
display.ax_.set_title("Few labels in a table")
output = Path("demo_output")
output.mkdir(exist_ok=True)
display.figure_.savefig(output / "few_labels_table.png", dpi=100)
print(f"\nSaved {output}/few_labels_table.png")

# %%
# With five labels per class, the network is far ahead of the trees; with a hundred, the trees are
# ahead. But a logistic regression on the columns, or on their PCA, is as good as the network from
# the start, and better with a hundred labels. Each column of a table already means something, which
# leaves little to learn without labels. Images gain more, see
# :ref:`sphx_glr_auto_examples_plot_few_labels_images.py`. There are tables on which pretraining
# helps, see :doc:`../quality`, so it is worth one call to find out. :doc:`../few_labels_table`
# includes a census table with categories.
