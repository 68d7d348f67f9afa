"""What tells fits apart: the same in each process, and different for other fits."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sklearn_ssl import FineTuneClassifier, SimCLRTransformer
from sklearn_ssl.augment import FeatureCorruption
from sklearn_ssl.data.rows import RowBlocks
from sklearn_ssl.few_labels.fixmatch import MixedRows
from sklearn_ssl.few_labels.task import LabeledRows
from sklearn_ssl.training import identity
from sklearn_ssl.training.identity import (
    digest_of_rows,
    digest_of_weights,
    in_words,
    parameters_of,
)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.1, "0.1"),
        (np.float64(0.1), "0.1"),
        ("vit", "'vit'"),
        (torch.optim.SGD, "torch.optim.sgd.SGD"),
        (math.sin, "math.sin"),
        ([math.sin, None], "[math.sin, None]"),
        (partial(np.sin, out=3), "functools.partial(<ufunc 'sin'>, out=3)"),
        (FeatureCorruption(rate=0.25), "FeatureCorruption({'rate': 0.25})"),
        (LogisticRegression(C=3), "LogisticRegression(C=3)"),
    ],
)
def test_values_in_words(value, words):
    assert in_words(value) == words


def test_no_address_is_part_of_the_words():
    class Plain:
        pass

    assert in_words(Plain()) == in_words(Plain())
    assert in_words(partial(lambda: 0)) == in_words(partial(lambda: 0))


def test_what_does_not_change_a_fit_is_left_out():
    ours = parameters_of(SimCLRTransformer(random_state=None))
    others = {"verbose": 1, "device": "cuda", "checkpoint": "folder", "callbacks": []}
    random_state = np.random.RandomState(0)
    assert parameters_of(SimCLRTransformer(**others, random_state=random_state)) == ours
    assert parameters_of(SimCLRTransformer(random_state=3)) == ours | {"random_state": "3"}
    assert "transformer" not in parameters_of(FineTuneClassifier(SimCLRTransformer()))


def test_many_rows_are_represented_by_a_sample(monkeypatch):
    rows = np.zeros((1000, 4), np.float32)
    assert digest_of_rows(rows).startswith("1000 rows of shape (4,) of float32, sha256 ")
    monkeypatch.setattr(identity, "MOST_BYTES", 160)
    sampled = digest_of_rows(rows)
    assert "sha256 of 10 of them" in sampled
    rows[-1, 0] = 1  # the first and the last one are always read
    assert digest_of_rows(rows) != sampled


@pytest.mark.parametrize("place", [0, 500, 999])
def test_each_row_counts(place):
    rows = np.zeros((1000, 4), np.float32)
    before = digest_of_rows(rows)
    rows[place, 2] = 1e-30
    assert digest_of_rows(rows) != before


def test_the_digest_takes_no_turn_of_labeled_rows():
    blocks = RowBlocks(np.zeros((30, 2)))
    labeled = LabeledRows(RowBlocks(np.zeros((7, 2))), np.arange(7), np.ones(7))
    mixed = MixedRows(labeled, blocks, seed=0)
    digest = digest_of_rows(mixed)
    assert mixed.turn == 0
    assert digest_of_rows(mixed) == digest


def test_weights_in_any_layout_and_of_any_type():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3))
    digest = digest_of_weights(module)
    assert digest_of_weights(module.to(memory_format=torch.channels_last)) == digest
    module[1].num_batches_tracked += 1
    assert digest_of_weights(module) != digest
