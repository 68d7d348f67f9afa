"""Defaults that depend on the data and that several modules share, and limits of parameters.

They are meant for a CPU with few cores: about five minutes on two cores for 60,000 small images,
and enough steps for a few hundred rows.
"""

FEWEST_EPOCHS, MOST_EPOCHS = 4, 200

# The largest values of parameters: far more than is useful, but possible on a large machine.
WIDEST = 2**16  # of a layer
DEEPEST = 2**10  # layers, heads, views of a row
MOST = 2**20  # prototypes, entries of a queue, tokens

# Smaller batches are padded when they are embedded: products with fewer rows are computed by other
# routines, which round differently. Beyond, a row hardly depends on the number of other rows.
FEWEST_AT_ONCE = 4


def max_epochs(rows_to_see, n_samples, cost=1.0):
    """Return the number of passes over the data, given the rows to see: 4 to 200.

    `rows_to_see` depends on the kind of data. `cost` is the time of a method for one row, compared
    with SimCLR, so all methods take about the same time.
    """
    epochs = rows_to_see / cost / n_samples
    return int(min(max(epochs, FEWEST_EPOCHS), MOST_EPOCHS))


def batch_size(n_samples):
    """Return 256, or n / 16 below 4,096 rows, but at least 64: the number of steps matters most."""
    return int(min(max(n_samples // 16, 64), 256))


def inference_batch_size(shape):
    """Return how many rows are embedded at once: about 4 MB of input, 16 to 256 rows."""
    n_values = 1
    for length in shape:
        n_values *= length
    return min(max(1_000_000 // n_values, 16), 256)


def projection_dims(output_dim):
    """Return the widths of a projection head: hidden as the encoder, at most 256; output 128."""
    return min(output_dim, 256), 128


def momentum(n_steps):
    """Return the initial momentum of an averaged network: it averages over a quarter of a fit.

    Between 0.9 and BYOL's 0.996, which is meant for 300,000 steps: in a short fit such a target
    would hardly move from its initial weights.
    """
    return min(max(1 - 4 / n_steps, 0.9), 0.996)
