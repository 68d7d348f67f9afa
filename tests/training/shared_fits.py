"""Fits in one process or shared by several, for test_distributed: run as a script.

    python -m tests.training.shared_fits kind rank size folder

The kind is "float64" for fits whose results are compared, and "ends" for fits that end early. With
size 1 nothing is shared. Results are written to the file `kind-rank-of-size.pt` in the folder.
Append "debug" to see what is going on; ONLY="SimCLRTransformer" selects one of the fits.
"""

import os
import signal
import sys
import threading
import traceback
import warnings
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch

ONLY = os.environ.get("ONLY")  # a case, to look into it by hand
IN_FLOAT64 = "float64" in sys.argv

if IN_FLOAT64:  # what the package computes in float32 is then in float64
    from_numpy = torch.from_numpy
    torch.float32, torch.Tensor.float = torch.float64, torch.Tensor.double
    torch.from_numpy = lambda array: (
        from_numpy(array).double() if array.dtype.kind == "f" else from_numpy(array)
    )

import numpy as np  # noqa: E402
import torch.distributed as dist  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from skorch.callbacks import Callback  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import sklearn_ssl  # noqa: E402
from sklearn_ssl import CausalLMEmbedder, Checkpoint, SimCLRTransformer  # noqa: E402
from sklearn_ssl.training import distributed, loop  # noqa: E402
from sklearn_ssl.training.callbacks import StopTraining  # noqa: E402
from sklearn_ssl.training.distributed import Processes, WholeBatch  # noqa: E402

N = 75  # rows: five batches of 15, which two processes cannot halve
X = np.random.default_rng(0).normal(size=(N, 8))
X[::7, 3] = np.nan
WITHOUT_NAN = np.nan_to_num(X)
IMAGES = np.random.default_rng(1).random((N, 8, 8, 3))
SERIES = np.random.default_rng(2).normal(size=(N, 2, 16))
VIDEOS = np.random.default_rng(3).random((N, 4, 8, 8))
WORDS = np.random.default_rng(4).integers(50, size=(N, 12))
TEXTS = [" ".join(f"word{word}" for word in row[: 4 + i % 9]) for i, row in enumerate(WORDS)]
LABELS = np.arange(N) % 3

OPTIONS = {"max_epochs": 4, "batch_size": 15, "precision": "float32", "random_state": 0}
SMALL_TEXT = {"width": 16, "depth": 1}
IMAGE = {"modality": "image"}
CROPS = {**IMAGE, "n_local": 2}

# Method, its parameters, its rows: what it does in a step is the same for all kinds of data.
CASES = {
    "SimCLRTransformer": (IMAGE, IMAGES),
    "SimCLRTransformer on a table": ({}, WITHOUT_NAN),
    "SimCLRTransformer on series": ({"modality": "series"}, SERIES),
    "MoCoTransformer": (IMAGE, IMAGES),
    "MoCoTransformer with a short queue": ({"queue_size": 5}, WITHOUT_NAN),
    "MoCoV3Transformer": (IMAGE, IMAGES),
    "BYOLTransformer": (IMAGE, IMAGES),
    "SimSiamTransformer": (IMAGE, IMAGES),
    "BarlowTwinsTransformer": (IMAGE, IMAGES),
    "VICRegTransformer": (IMAGE, IMAGES),
    "SwAVTransformer": (CROPS, IMAGES),
    "DINOTransformer": (CROPS, IMAGES),
    "LeJEPATransformer": (CROPS, IMAGES),
    "MaskedAutoencoder": (IMAGE, IMAGES),
    "MaskedAutoencoder with filled patches": ({**IMAGE, "patch_size": 3}, IMAGES),
    "MaskedAutoencoder on a table": ({}, X),
    "SCARFTransformer": ({}, X),
    "VIMETransformer": ({}, X),
    "NextFrameEmbedder": ({}, SERIES),
    "NextFrameEmbedder on videos": ({}, VIDEOS),
    "TS2VecTransformer": ({"n_components": 16}, SERIES),
    "MaskedLMEmbedder": ({**SMALL_TEXT, "dropout": 0.1}, TEXTS),
    "CausalLMEmbedder": (SMALL_TEXT, TEXTS),
    "SimCSETransformer": (SMALL_TEXT, TEXTS),
    "TSDAETransformer": (SMALL_TEXT, TEXTS),
    "Sent2VecTransformer": ({"width": 16}, TEXTS),
}


class Losses(Callback):
    """Keeps the loss of each step."""

    def __init__(self):
        self.losses = []

    def on_batch_end(self, net, loss, training, **kwargs):
        if training:
            self.losses.append(loss.item())


def estimator(case, **params):
    name = case.split(" ")[0]
    return getattr(sklearn_ssl, name)(**OPTIONS, **CASES[case][0], **params)


class OneEpoch(Callback):
    """Ends a fit after its first epoch, with the schedules of the whole one."""

    def on_epoch_end(self, net, **kwargs):
        raise StopTraining


def fitted(case, *callbacks, **params):
    log = Losses()
    return result(estimator(case, callbacks=[log, *callbacks], **params).fit(CASES[case][1]), log)


def result(transformer, log):
    history = {k: v for k, v in transformer.history_.items() if k != "duration"}
    weights = dict(transformer.task_.state_dict())
    return {"losses": log.losses, "weights": weights, "history": history}


# Other kinds of fits ------------------------------------------------------------------------------


def partial_fits():
    log = Losses()
    simclr = estimator("SimCLRTransformer on a table", callbacks=[log])
    for _ in range(2):
        simclr.partial_fit(WITHOUT_NAN)
    return result(simclr, log)


def warm_start():
    log = Losses()
    simclr = estimator("SimCLRTransformer on a table", warm_start=True, callbacks=[log])
    for _ in range(2):
        simclr.fit(WITHOUT_NAN)
    return result(simclr, log)


def early_stopping():
    return fitted("SimCLRTransformer on a table", early_stopping=True, n_iter_no_change=1)


def small_batches():
    log = Losses()
    options = {**OPTIONS, **SMALL_TEXT, "batch_size": 2}
    return result(CausalLMEmbedder(**options, callbacks=[log]).fit(TEXTS[:9]), log)


def fine_tuning(case="SimCLRTransformer on a table", **params):
    log = Losses()
    classifier = sklearn_ssl.FineTuneClassifier(
        estimator(case), max_epochs=2, callbacks=[log], random_state=0, **params
    )
    classifier.fit(CASES[case][1], LABELS)
    return result(classifier.transformer_, log)


def grid_search():
    steps = estimator("SCARFTransformer"), LogisticRegression(max_iter=20, tol=0.1)
    grid = {"scarftransformer__temperature": [0.1, 0.5]}
    search = GridSearchCV(make_pipeline(*steps), grid, cv=2).fit(WITHOUT_NAN, LABELS)
    log = Losses()
    log.losses = search.cv_results_["mean_test_score"].tolist() * 2
    return result(search.best_estimator_[0], log)


class OwnTask(sklearn_ssl.PretextTask):
    """One shared function after another, and networks that are not shared."""

    def __init__(self, encoder, width):
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Sequential(
            torch.nn.Linear(encoder.output_dim, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.2)
        )
        self.decoder = torch.nn.Sequential(
            torch.nn.Dropout(0.2), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, width)
        )
        self.unused = torch.nn.Linear(2, 2)

    def forward(self, batch):
        noise = torch.randn(batch.shape, generator=self.generator)
        h = self.shared(self.encoder, batch + noise)
        guess = self.decoder(self.shared(self.head, h) + h[:, :6])
        return (guess - batch).square().mean()


class OwnTransformer(sklearn_ssl.BaseSSLTransformer):
    """Representations from removing noise."""

    def _make_task(self, spec):
        return OwnTask(self._make_encoder(spec), spec.shape[0])


def own_task():
    log = Losses()
    return result(OwnTransformer(**OPTIONS, callbacks=[log]).fit(WITHOUT_NAN), log)


class Attention(torch.nn.Module):
    """Attention between the features of a row, with dropout."""

    output_dim = 8

    def __init__(self, shape):
        super().__init__()
        self.qkv = torch.nn.Linear(1, 12, bias=False)  # the keys' would be rounding errors
        self.projection = torch.nn.Linear(4, 1)

    def forward(self, rows):
        q, k, v = self.qkv(rows[:, :, None]).chunk(3, dim=2)
        causal = F.scaled_dot_product_attention(q, k, v, dropout_p=0.2, is_causal=True)
        masked = F.scaled_dot_product_attention(
            q, k, v, (rows > -1)[:, None] | torch.eye(8, dtype=torch.bool), dropout_p=0.2
        )
        return self.projection(causal + masked)[:, :, 0]


def attention():
    log = Losses()
    transformer = SimCLRTransformer(**OPTIONS, encoder=Attention, callbacks=[log])
    return result(transformer.fit(WITHOUT_NAN), log)


KINDS_OF_FITS = {
    "dropout in the attention": attention,
    "own task": own_task,
    "partial_fit": partial_fits,
    "warm_start": warm_start,
    "early_stopping": early_stopping,
    "batches of one or two rows": small_batches,
    "fine-tuning": lambda: fine_tuning(strategy="probe-then-full"),
    "fine-tuning with dropout": lambda: fine_tuning("SimCSETransformer", strategy="full"),
    "GridSearchCV": grid_search,
    "FixMatch": lambda: fine_tuning(strategy="fixmatch"),
}


# Rules of sharing, each broken -------------------------------------------------------------------


def unweighted(self, function, rows, generator, count):
    mean = self._own_part(function, rows, generator)
    return distributed._Sum.apply(mean, self) / self.size


def own_stream(net, random_state):
    seed(net, random_state + dist.get_rank())


seed = loop.PretextNet.seed

BROKEN_RULES = {
    "negatives of other processes": (
        "SCARFTransformer",
        patch.object(distributed._Gather, "apply", lambda rows, processes, n: rows.repeat(2, 1)),
    ),
    "statistics of the whole batch": (
        "SimCLRTransformer",
        patch.object(WholeBatch, "batch_norm", staticmethod(F.batch_norm)),
    ),
    "gradients of these statistics": (
        "SimCLRTransformer",
        patch.object(distributed._Sum, "backward", lambda ctx, d: (d, None)),
    ),
    "gradients through gathered rows": (
        "SimCSETransformer",  # whose gradients are clipped: Adam alone does not mind a factor
        patch.object(
            distributed._Gather,
            "backward",
            lambda ctx, d: (d[ctx.processes.own(ctx.n)], None, None),
        ),
    ),
    "random numbers for the whole batch": (
        "SimCLRTransformer",
        patch.object(loop.PretextNet, "seed", own_stream),
    ),
    "dropout for the whole batch": (
        "SimCSETransformer",
        patch.multiple(
            WholeBatch, dropout=staticmethod(F.dropout), _check_streams=lambda self: None
        ),
    ),
    "weights of uneven parts": ("CausalLMEmbedder", patch.object(Processes, "mean", unweighted)),
    "average of gradients": (
        "SimCLRTransformer",
        patch.object(Processes, "average_gradients", lambda self, parameters, flag=False: None),
    ),
}


# How fits end -------------------------------------------------------------------------------------


class AtStep(Callback):
    """Does something in one process at the end of a step, or of an epoch."""

    def __init__(self, step, action, rank=1):
        self.step = step
        self.action = action
        self.rank = rank

    def on_batch_end(self, net, **kwargs):
        if net.n_steps_done == self.step and dist.get_rank() == self.rank:
            self.action()


class StopInOne(Callback):
    def on_epoch_end(self, net, **kwargs):
        if dist.get_rank() == 1 and len(net.history) == 2:
            raise StopTraining


class OwnError(Exception):
    """An error that cannot be pickled: its argument is missing."""

    def __init__(self, number, text):
        super().__init__(text)


def raise_(error):
    raise error


def simclr(**params):
    return SimCLRTransformer(**{**OPTIONS, **params})


def weights(estimator):
    return dict(estimator.task_.state_dict())


def interrupted(folder):
    """Ctrl-C in one process; then the same fit again."""
    checkpoint = Checkpoint(folder / "checkpoints", minutes=None)
    interrupt = AtStep(7, lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        simclr(checkpoint=checkpoint, callbacks=[interrupt]).fit(WITHOUT_NAN)
    except KeyboardInterrupt as error:
        message = str(error)
    steps = Steps()
    again = simclr(checkpoint=checkpoint, callbacks=[steps]).fit(WITHOUT_NAN)
    return message, steps.steps, weights(again), weights(simclr().fit(WITHOUT_NAN))


class Steps(Callback):
    def __init__(self):
        self.steps = []

    def on_batch_end(self, net, training, **kwargs):
        self.steps.append(net.n_steps_done)


def another_thread(folder):
    """A fit that begins in another thread during a fit, in all processes."""
    messages = []

    def fit():
        try:
            simclr().fit(WITHOUT_NAN)
        except ValueError as error:
            messages.append(str(error))

    def in_thread():
        thread = threading.Thread(target=fit)
        thread.start()
        thread.join()

    both = [AtStep(3, in_thread, rank=rank) for rank in range(2)]
    simclr(callbacks=both).fit(WITHOUT_NAN)
    return messages


def warnings_and_bars(folder):
    """Return the warnings, and whether the fit has drawn a progress bar."""
    shown = []
    with (
        warnings.catch_warnings(record=True) as caught,
        patch.object(loop, "Bar", lambda **kwargs: shown.append(1) or nullcontext()),
        patch.object(loop, "ProgressBar", lambda bar: Steps()),
    ):
        warnings.simplefilter("always")
        sklearn_ssl.SimCSETransformer(**{**OPTIONS, **SMALL_TEXT, "verbose": 1}).fit(TEXTS)
    return [str(w.message) for w in caught], len(shown)


def with_own_noise(folder):
    """An encoder that draws random numbers in a way that cannot be shared."""

    def encoder(shape):
        return torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.AlphaDropout())

    simclr(encoder=encoder).fit(WITHOUT_NAN)


def in_one(rank, here, elsewhere):
    return here if dist.get_rank() == rank else elsewhere


def without_a_change(folder):
    """A fitted estimator after a fit that failed in one process."""
    estimator = simclr().fit(WITHOUT_NAN)
    before = estimator.task_
    estimator.callbacks = [AtStep(3, lambda: raise_(OSError("disk full")))]
    try:
        estimator.fit(WITHOUT_NAN)
    except OSError:
        return estimator.task_ is before
    return False


ENDS = {
    "other rows": lambda folder: simclr().fit(WITHOUT_NAN + in_one(1, 1, 0)),
    "more rows": lambda folder: simclr().fit(WITHOUT_NAN[: in_one(1, 70, N)]),
    "another batch size": lambda folder: simclr(batch_size=in_one(1, 16, 15)).fit(WITHOUT_NAN),
    "bad X in one process": lambda folder: simclr().fit(in_one(1, X[:, :0], WITHOUT_NAN)),
    "an error of one process": lambda folder: simclr(
        callbacks=[AtStep(3, lambda: raise_(OSError("disk full")))]
    ).fit(WITHOUT_NAN),
    "an error of the first process": lambda folder: simclr(
        callbacks=[AtStep(3, lambda: raise_(OwnError(1, "own")), rank=0)]
    ).fit(WITHOUT_NAN),
    "an error in the last step": lambda folder: simclr(
        callbacks=[AtStep(20, lambda: raise_(OSError("too late")))]
    ).fit(WITHOUT_NAN),
    "after a failed fit": without_a_change,
    "a stop": lambda folder: simclr(callbacks=[StopInOne()]).fit(WITHOUT_NAN).n_iter_,
    "Ctrl-C without a checkpoint": lambda folder: simclr(
        callbacks=[AtStep(3, lambda: raise_(KeyboardInterrupt()))]
    ).fit(WITHOUT_NAN),
    "Ctrl-C": interrupted,
    "no seed": lambda folder: weights(simclr(random_state=None).fit(WITHOUT_NAN)),
    "another thread": another_thread,
    "warnings": warnings_and_bars,
    "own noise": with_own_noise,
    "bfloat16": lambda folder: weights(simclr(precision="bfloat16").fit(WITHOUT_NAN)),
    "a process is killed": lambda folder: simclr(
        checkpoint=Checkpoint(folder / "killed", minutes=0),
        callbacks=[AtStep(7, lambda: os.kill(os.getpid(), signal.SIGKILL))],
    ).fit(WITHOUT_NAN),
}


# --------------------------------------------------------------------------------------------------


def outcome(name, fit):
    if ONLY not in (None, name):
        return None
    if "debug" in sys.argv:
        print(name, file=sys.stderr, flush=True)
    try:
        return fit()
    except BaseException as error:
        if "debug" in sys.argv:
            traceback.print_exc()
        return type(error).__name__, str(error)


def main(kind, rank, size, folder):
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store-{kind}",
            rank=rank,
            world_size=size,
            timeout=timedelta(minutes=5),  # on a busy machine
        )
    if kind == "ends":
        results = {}
        for name, fit in ENDS.items():
            results[name] = outcome(name, partial(fit, folder))
            torch.save(results, folder / f"{kind}-{rank}-of-{size}.pt")  # the last one kills it
    else:
        results = {case: outcome(case, partial(fitted, case)) for case in CASES}
        results |= {name: outcome(name, fit) for name, fit in KINDS_OF_FITS.items()}
        if size > 1:
            for name, (case, broken) in BROKEN_RULES.items():
                with broken:
                    results[name] = outcome(name, partial(fitted, case, OneEpoch()))
        torch.save(results, folder / f"{kind}-{rank}-of-{size}.pt")


if __name__ == "__main__":
    kind, rank, size, folder = sys.argv[1:5]
    main(kind, int(rank), int(size), Path(folder))
