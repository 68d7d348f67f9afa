import pytest
import torch

from sklearn_ssl import Sent2VecTransformer
from sklearn_ssl._seeds import draw_seed
from sklearn_ssl.base.word_vectors import default_epochs, train_word_vectors
from sklearn_ssl.data.text import TokenRows
from sklearn_ssl.training.runtime import seeded_global_stream

TEXTS = ["the cat sat on the mat", "the dog lay on the rug", "we ate bread", "we drank tea"] * 20


def test_vectors_are_those_of_the_estimator(random_streams_untouched):
    ssl = Sent2VecTransformer(width=16, precision="float32", random_state=0).fit(TEXTS)
    rows, seed = TokenRows(TEXTS, ssl.input_spec_), draw_seed(0)
    options = {"device": torch.device("cpu"), "autocast_dtype": None}
    with seeded_global_stream(seed):
        vectors = train_word_vectors(rows, ssl.input_spec_, 16, seed=seed, **options)
    torch.testing.assert_close(vectors, ssl.encoder_.embedding.weight.detach())


@pytest.mark.parametrize(("n_tokens", "epochs"), [(100, 30), (2_000_000, 10), (10**9, 1)])
def test_epochs_suit_the_number_of_tokens(n_tokens, epochs):
    assert default_epochs(n_tokens) == epochs
