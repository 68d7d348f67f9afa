"""What representations of short videos are worth with few labels: what moves, and how?

    python -m benchmarks.videos                         # all that the results lack: half an hour
    python -m benchmarks.videos --data photos --force   # one of the sets again
    python -m benchmarks.videos --validation            # on training clips; writes nothing

There are no real videos among the data that installs from package registries, so the clips are
made of real digits, pen strokes and photos. Encoders learn from the training clips alone, once with
each seed, and each seed has its own draws of labels. A logistic regression reads representations,
with all columns divided by the same factor, as `evaluate_representation` does, or standardized.
"""

import time
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from benchmarks import datasets as d
from benchmarks import store
from benchmarks.quality import Scaler
from benchmarks.tasks import trajectories
from sklearn_ssl import FineTuneClassifier, NextFrameEmbedder, SimCLRTransformer
from sklearn_ssl.datasets import make_moving_digits
from sklearn_ssl.few_labels.draws import draw_labels

DRAWS = 5
LABELS = (5, 10)
N_TRAIN = N_TEST = 1000
N_FRAMES, SIDE = 8, 12
STEPS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))  # of a camera: still, right, left, down, up
EPOCHS_OF_FRAMES = 50  # of SimCLR, on one frame of each clip
EPOCHS_OF_LABELS = 30  # of the supervised network
HEADS = {"one factor": False, "each column": True}
PIXELS = ("raw pixels", "PCA")  # worse with standardized columns, and slow


@dataclass
class Clips:
    """Clips to learn from and clips to score, with the answers to each question about them."""

    X: np.ndarray  # [n, time, height, width] or with colors last
    X_test: np.ndarray
    y: dict
    y_test: dict

    def for_validation(self):
        train, test = train_test_split(np.arange(len(self.X)), test_size=0.4, random_state=0)
        y, y_test = ({name: y[rows] for name, y in self.y.items()} for rows in (train, test))
        return Clips(self.X[train], self.X[test], y, y_test)


# Data ---------------------------------------------------------------------------------------------


def digits(n_train=N_TRAIN, n_test=N_TEST):
    """Which digit moves, and how fast: 8 speeds. No image of a digit is in both parts."""
    X, y = make_moving_digits(n_train + n_test, N_FRAMES, side=SIDE, random_state=0)
    _, image = np.unique(np.sort(X[:, 0].reshape(len(X), -1)), axis=0, return_inverse=True)
    split = GroupShuffleSplit(1, test_size=n_test / len(X), random_state=0)
    train, test = next(split.split(X, groups=image.ravel()))
    speed = speeds(X) @ [3, 1]
    answers = [{"digit": y[rows], "speed": speed[rows]} for rows in (train, test)]
    return Clips(X[train], X[test], *answers)


def speeds(X):
    """Return how far digits move in a frame, down and to the right: ``(n, 2)``, from 0 to 2."""
    total, places = X.sum(axis=(2, 3), dtype=float), np.arange(X.shape[2])
    centers = np.stack([X.sum(axis=axis, dtype=float) @ places / total for axis in (3, 2)], axis=2)
    moves = np.abs(np.diff(centers, axis=1)).round().astype(int)
    return moves.max(axis=1)  # shorter where they bounce off


def strokes():
    """Which digit does a pen write? A spot of light at each of 8 points of time."""
    X, y = d.load_keel_table("penbased")
    rows = np.random.default_rng(0).permutation(len(y))[: N_TRAIN + N_TEST]
    points = 1 + trajectories(X)[rows] / 100 * (SIDE - 3)  # [n, (x, y), time]
    light = np.exp(-np.square(points[..., None] - np.arange(SIDE)))  # [n, (x, y), time, side]
    X = light[:, 1, :, ::-1, None] * light[:, 0, :, None]
    X, y = np.rint(255 * X).astype(np.uint8), y[rows]
    return Clips(X[:N_TRAIN], X[N_TRAIN:], {"digit": y[:N_TRAIN]}, {"digit": y[N_TRAIN:]})


def photos():
    """Over which of 14 photos does a camera move, and where: 5 directions, half a pixel a frame."""
    (X, y), (X_test, y_test) = (pans(train, n) for train, n in ((True, N_TRAIN), (False, N_TEST)))
    return Clips(X, X_test, y, y_test)


def pans(train, n):
    """Return clips of windows that move over patches of photos, and their answers."""
    patches, y = d.load_photo_patches(train=train)
    rng = np.random.default_rng(int(not train))
    rows, direction = rng.permutation(len(y))[:n], rng.integers(len(STEPS), size=n)
    X = np.empty((n, N_FRAMES, SIDE, SIDE, 3), np.uint8)
    for clip, patch, step in zip(X, patches[rows], np.array(STEPS)[direction]):
        for t, frame in enumerate(clip):
            i, j = 4 + step * (t - N_FRAMES // 2)
            window = patch[i : i + 2 * SIDE, j : j + 2 * SIDE]
            frame[:] = window.reshape(SIDE, 2, SIDE, 2, 3).mean(axis=(1, 3)).round()
    return X, {"photo": y[rows], "direction": direction}


def quick():
    return digits(200, 100)


# Methods ------------------------------------------------------------------------------------------


def flat(clips):
    return [X.reshape(len(X), -1) / 255 for X in (clips.X, clips.X_test)]


def reduced(parts, width, seed):
    pca = PCA(min(width, *parts[0].shape), random_state=seed).fit(parts[0])
    return [pca.transform(part) for part in parts]


def of_frames(clips, seed, epochs):
    """Return the mean over the frames of what SimCLR learns from one frame of each clip."""
    ssl = SimCLRTransformer(modality="image", max_epochs=epochs, random_state=seed)
    ssl.fit(clips.X[:, N_FRAMES // 2])
    return [
        ssl.transform(np.concatenate(X)).reshape(*X.shape[:2], -1).mean(axis=1)
        for X in (clips.X, clips.X_test)
    ]


def representations(clips, seed, settings, epochs_of_frames):
    """Yield the name, the training part and the test part of each, and the seconds of its fit."""
    raw = flat(clips)
    yield "raw pixels", raw, 0.0
    for name, more in (("untrained encoder", {"max_epochs": 0}), ("NextFrame", settings)):
        start = time.perf_counter()
        ssl = NextFrameEmbedder(random_state=seed, **more).fit(clips.X)
        seconds = time.perf_counter() - start
        parts = [ssl.transform(X) for X in (clips.X, clips.X_test)]
        yield name, parts, seconds
        n = 3 * ssl.encoder_.temporal.input_projection.out_channels
        yield f"{name}, states alone", [Z[:, :n] for Z in parts], seconds
    yield "PCA", reduced(raw, parts[0].shape[1], seed), 0.0
    start = time.perf_counter()
    parts = of_frames(clips, seed, epochs_of_frames)
    yield "SimCLR on single frames", parts, time.perf_counter() - start


def supervised(clips, seed, epochs):
    """Return the untrained network, to be trained on labels alone."""
    untrained = NextFrameEmbedder(max_epochs=0, random_state=seed).fit(clips.X)
    return FineTuneClassifier(
        FrozenEstimator(untrained),
        strategy="full",
        lr=2e-3,
        layer_decay=1.0,
        max_epochs=epochs,
        random_state=seed,
    )


# Measuring ----------------------------------------------------------------------------------------


def scores(model, parts, clips, task, labels, draws):
    """Return the accuracies of a model of so many labels per class, one of each draw."""
    y, y_test = clips.y[task], clips.y_test[task]
    drawn = [draw_labels(y, labels, draw) for draw in draws]
    return [model.fit(parts[0][rows], y[rows]).score(parts[1], y_test) for rows in drawn]


def measure(clips, seed, options):
    """Yield a row for each task, method, head and number of labels."""
    draws = range(DRAWS * seed, DRAWS * seed + options.draws)
    measured = representations(clips, seed, options.settings, options.epochs_of_frames)
    for method, parts, seconds in measured:
        for head, of_columns in list(HEADS.items())[: 1 if method in PIXELS else 2]:
            model = LogisticRegression(max_iter=10_000)
            scale = Scaler(of_columns).fit(parts[0])
            scaled = [scale.transform(Z) for Z in parts]
            yield from rows_of(clips, model, scaled, draws, method, head, seconds)
    model = supervised(clips, seed, options.epochs_of_labels)
    parts = clips.X, clips.X_test
    yield from rows_of(clips, model, parts, draws[:1], "supervised network", "", 0.0)


def rows_of(clips, model, parts, draws, method, head, seconds):
    for task in clips.y:
        for labels in LABELS:
            found = scores(model, parts, clips, task, labels, draws)
            yield {
                "task": task,
                "method": method,
                "scaling": head,
                "labels": labels,
                "mean": f"{np.mean(found):.3f}",
                "std": f"{np.std(found):.3f}",
                "n_draws": len(found),
                "seconds": f"{seconds:.0f}",
            }


DATA = {make.__name__: make for make in (digits, strokes, photos)}


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--validation", action="store_true", help="score training clips")
    parser.add_argument("--force", action="store_true", help="measure again what was measured")
    options = store.parse(parser, arguments)
    options.draws, options.settings = DRAWS, {}
    options.epochs_of_frames, options.epochs_of_labels = EPOCHS_OF_FRAMES, EPOCHS_OF_LABELS
    data = {name: DATA[name] for name in options.data}
    if options.quick:
        data, options.seeds, options.draws = {"quick": quick}, [0], 2
        options.settings = {"max_epochs": 1}
        options.epochs_of_frames = options.epochs_of_labels = 1
    path = options.results / "videos.csv"
    for seed in options.seeds:
        for name, make in data.items():
            known = [row["seed"] for row in store.read(path) if row["dataset"] == name]
            if str(seed) in known and not (options.force or options.validation):
                continue
            clips = make().for_validation() if options.validation else make()
            common = {"measured": store.today(), "dataset": name, "seed": seed}
            rows = []
            for row in measure(clips, seed, options):
                rows.append({**common, **row})
                print(*rows[-1].values(), sep=" | ", flush=True)
            if not options.validation:
                store.replace(path, rows, key=("dataset", "seed"))


if __name__ == "__main__":
    main()
