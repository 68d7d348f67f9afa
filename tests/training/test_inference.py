import numpy as np
import pytest

from sklearn_ssl import CausalLMEmbedder, SimCLRTransformer

X = np.random.default_rng(0).normal(size=(300, 6))
TEXTS = [f"the {word} is good" for word in ("film", "food", "phone", "play", "book")] * 20


def numbers_of_rows(estimator, X):
    """Return how many rows the encoder is given in each batch of `transform`."""
    seen = []
    hook = estimator.encoder_.register_forward_pre_hook(
        lambda encoder, batch: seen.append(len(batch[0]))
    )
    estimator.transform(X)
    hook.remove()
    return seen


@pytest.mark.parametrize(("n", "expected"), [(1, [4]), (5, [5]), (256, [256]), (258, [256, 4])])
def test_few_rows_are_hardly_padded(n, expected):
    estimator = SimCLRTransformer(max_epochs=0).fit(X)
    assert numbers_of_rows(estimator, X[:n]) == expected


def test_texts_are_not_padded_with_others():
    estimator = CausalLMEmbedder(max_epochs=0).fit(TEXTS)
    assert numbers_of_rows(estimator, TEXTS[:1]) == [1]
    assert numbers_of_rows(estimator, TEXTS[:7]) == [7]
