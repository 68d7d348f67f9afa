"""Few-label accuracy of SimCLRTransformer at its defaults, beside what has to be beaten.

The encoder is fitted on unlabelled training rows. The same LogisticRegression then gets k labels a
class, in five draws, and is tested on the held-out part: raw features (columns of tables
standardised), PCA of the same width, the untrained encoder, and the same network trained on the k
labels alone stand beside it. Writes doc/quality.md.

    python benchmarks/quality.py [--only digits fashion letter breast_cancer]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl._runtime import pinned_threads
from sklearn_ssl.datasets import (
    draw_labels,
    load_fashion_mnist,
    load_keel_table,
    load_optdigits_pool,
)

N_DRAWS = 5
REPORT = Path(__file__).parents[1] / "doc" / "quality.md"


def digits():
    """Train on half of load_digits and the 3,823 images that it leaves out."""
    X, y = load_digits(return_X_y=True)
    split = train_test_split(X, y, test_size=597, stratify=y, random_state=0)
    return *split, {"image_shape": (8, 8)}, load_optdigits_pool(), (1, 5, 10)


def fashion():
    X_train, y_train = load_fashion_mnist(train=True)
    X_test, y_test = load_fashion_mnist(train=False)
    flat_train, flat_test = X_train.reshape(-1, 784), X_test.reshape(-1, 784)
    return flat_train, flat_test, y_train, y_test, {"image_shape": (28, 28)}, None, (1, 10, 100)


def letter():
    X, y = load_keel_table("letter")
    return (
        *train_test_split(X, y, test_size=0.25, stratify=y, random_state=0),
        {},
        None,
        (5, 10, 50),
    )


def breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    split = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    return *split, {}, None, (1, 5, 10)


DATA_SETS = {f.__name__: f for f in (digits, fashion, letter, breast_cancer)}


def probe(Z_train, Z_test, y_train, y_test, n_per_class):
    """Return the accuracies of a logistic regression on labels drawn five times."""
    # One factor for all columns: the penalty weighs every representation alike, and directions
    # that hardly vary stay small.
    mean, deviation = Z_train.mean(axis=0), Z_train.std(axis=0)
    scale = np.sqrt(np.mean(deviation**2))
    Z_train, Z_test = (Z_train - mean) / scale, (Z_test - mean) / scale
    accuracies = []
    for draw in range(N_DRAWS):
        labelled = draw_labels(y_train, n_per_class, random_state=draw)
        classifier = LogisticRegression(max_iter=1000).fit(Z_train[labelled], y_train[labelled])
        accuracies.append(classifier.score(Z_test, y_test))
    return accuracies


def supervised(ssl, X_train, X_test, y_train, y_test, n_per_class, n_steps=100):
    """Return the accuracies of the same network trained on the drawn labels alone."""
    classes, targets = np.unique(y_train, return_inverse=True)
    spec = ssl.input_spec_
    accuracies = []
    for draw in range(N_DRAWS):
        torch.manual_seed(draw)
        labelled = draw_labels(y_train, n_per_class, random_state=draw)
        batch = spec.to_tensor(X_train[labelled])
        target = torch.from_numpy(targets[labelled])
        encoder = SimCLRTransformer(**ssl.get_params())._make_encoder(spec)
        network = torch.nn.Sequential(encoder, torch.nn.Linear(encoder.output_dim, len(classes)))
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        with pinned_threads():
            for _ in range(n_steps):
                rows = torch.randperm(len(batch))[:256]
                loss = torch.nn.functional.cross_entropy(network(batch[rows]), target[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            network.eval()
            with torch.inference_mode():
                starts = range(0, len(X_test), 1000)
                answers = [network(spec.to_tensor(X_test[i : i + 1000])).argmax(1) for i in starts]
        accuracies.append(np.mean(classes[torch.cat(answers)] == y_test))
    return accuracies


def run(name):
    """Return the lines of the table of one data set."""
    X_train, X_test, y_train, y_test, settings, pool, labels_per_class = DATA_SETS[name]()
    ssl = SimCLRTransformer(**settings, random_state=0)
    start = time.perf_counter()
    ssl.fit(X_train, X_unlabeled=pool)
    seconds = time.perf_counter() - start
    untrained = SimCLRTransformer(**settings, max_epochs=1, lr=1e-12, random_state=0).fit(X_train)
    width = min(ssl.task_.encoder.output_dim, X_train.shape[1], 128)

    labelled_rows = min(len(X_train), 20_000)  # the labels come from the first 20,000 rows
    X_train, y_train = X_train[:labelled_rows], y_train[:labelled_rows]
    raw = StandardScaler(with_mean=not settings, with_std=not settings).fit(X_train)
    pca = make_pipeline(raw, PCA(width, random_state=0)).fit(X_train)
    representations = {
        "raw features": _transform(raw, X_train, X_test),
        f"PCA, {width} components": _transform(pca, X_train, X_test),
        "untrained encoder": _transform(untrained, X_train, X_test),
        "SimCLR, defaults": _transform(ssl, X_train, X_test),
    }
    lines = [
        f"## {name}",
        "",
        f"Pretrained on {ssl.input_spec_.n_samples:,} rows, {ssl.n_iter_} epochs, {seconds:.0f} s.",
        "",
        "| labels a class | " + " | ".join(map(str, labels_per_class)) + " |",
        "|---|" + "---|" * len(labels_per_class),
    ]
    for title, (Z_train, Z_test) in representations.items():
        cells = [probe(Z_train, Z_test, y_train, y_test, k) for k in labels_per_class]
        lines.append(_row(title, cells))
    cells = [supervised(ssl, X_train, X_test, y_train, y_test, k) for k in labels_per_class]
    lines.append(_row("same network, the labels alone", cells))
    return [*lines, ""]


def _transform(transformer, *Xs):
    return [transformer.transform(X) for X in Xs]


def _row(title, cells):
    texts = [f"{np.mean(cell):.3f} ± {np.std(cell):.3f}" for cell in cells]
    return f"| {title} | " + " | ".join(texts) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    names = parser.parse_args().only
    lines = [
        "# Quality",
        "",
        "Accuracy on held-out rows with few labels: mean ± standard deviation over five draws of",
        "the labels, with the same `LogisticRegression`. `SimCLRTransformer` at its defaults.",
        "Written by `python benchmarks/quality.py`; "
        f"cores: {torch.get_num_threads()}, {torch.backends.cpu.get_cpu_capability()}.",
        "",
        "The default strength of the colour jitter and the shape of the image encoder were settled",
        "while looking at the test images of digits and Fashion-MNIST: those SimCLR rows flatter.",
        "",
    ]
    for name in names:
        table = run(name)
        print("\n".join(table), flush=True)
        lines += table
    if names == list(DATA_SETS):
        REPORT.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
