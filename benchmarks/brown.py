"""Language modeling on the Brown corpus: held-out bits per byte, against counted n-grams.

Every tenth document is held out; the end of each text is predicted too. A model of ours is trained
for some minutes on the others.

    python -m benchmarks.brown --minutes 3 10
"""

import math
import time
from functools import partial
from itertools import pairwise

import numpy as np

from benchmarks import store
from benchmarks.datasets import load_brown
from benchmarks.ngrams import NGram
from sklearn_ssl import CausalLMEmbedder
from sklearn_ssl.datasets import load_scipy_docstrings
from sklearn_ssl.tokenization import encode, train_tokenizer

VOCABULARY_SIZE = 4096
N_BYTES_ORDERS, N_TOKENS_ORDERS = (1, 2, 4, 6, 8), (1, 2, 3)


def as_bytes(texts):
    return [np.frombuffer(text.encode(), np.uint8).astype(np.int64) for text in texts]


def as_tokens(tokenizer, texts):
    ids, starts = encode(tokenizer.to_str(), texts)
    return [ids[i:j].astype(np.int64) for i, j in pairwise(starts)]


def bits_per_byte(nats, texts):
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def counted(train, held_out, tokenizer):
    """Yield the names and the bits per byte of n-grams of bytes and of tokens."""
    for orders, name, size, read in (
        (N_BYTES_ORDERS, "bytes", 256, as_bytes),
        (N_TOKENS_ORDERS, "tokens", tokenizer.get_vocab_size(), partial(as_tokens, tokenizer)),
    ):
        documents, unseen = read(train), read(held_out)
        for order in orders:
            nats, _ = NGram(order, size).fit(documents).nats(unseen)
            kind = {1: "unigram", 2: "bigram"}.get(order, f"{order}-gram")
            yield f"{kind} of {name}, Kneser-Ney" if order > 1 else f"{kind} of {name}", nats


def trained(ssl, texts, minutes):
    """Fit as many whole epochs as there is time for; return their number and the seconds."""
    start = time.perf_counter()
    ssl.set_params(max_epochs=1).fit(texts[::10])
    of_an_epoch = 10 * (time.perf_counter() - start)
    n_epochs = max(int(60 * minutes / of_an_epoch), 1)
    start = time.perf_counter()
    ssl.set_params(max_epochs=n_epochs).fit(texts)
    return n_epochs, time.perf_counter() - start


def measure(texts, minutes, vocabulary_size):
    """Yield the name of a model, its bits per byte, and the epochs and seconds of its training."""
    train, held_out = [t for i, t in enumerate(texts) if i % 10], texts[::10]
    tokenizer = train_tokenizer(train, vocabulary_size)
    for name, nats in counted(train, held_out, tokenizer):
        yield name, bits_per_byte(nats, held_out), "", ""
    n_tokens = sum(map(len, as_tokens(tokenizer, held_out))) + len(held_out)
    for minutes_of_fit in minutes:
        ssl = CausalLMEmbedder(tokenizer=tokenizer, max_length=256, random_state=0)
        n_epochs, seconds = trained(ssl, train, minutes_of_fit)
        bits = bits_per_byte(-ssl.score(held_out) * n_tokens, held_out)
        yield "CausalLMEmbedder", bits, n_epochs, round(seconds)


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--minutes", nargs="*", type=float, default=[3, 10])
    options = store.parse(parser, arguments)
    if options.quick:
        measured = measure(load_scipy_docstrings()[0][:200], [0], 300)
    else:
        measured = measure(load_brown()[0], options.minutes, VOCABULARY_SIZE)
    rows = []
    for name, bits, epochs, seconds in measured:
        print(f"{name}: {bits:.3f} bits per byte", flush=True)
        row = {"measured": store.today(), "model": name, "bits_per_byte": f"{bits:.3f}"}
        rows.append({**row, "epochs": epochs, "seconds": seconds})
    store.replace(options.results / "brown.csv", rows, key=())  # all of the file


if __name__ == "__main__":
    main()
