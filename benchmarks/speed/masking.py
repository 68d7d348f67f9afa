"""Speed of MaskedAutoencoder and SCARFTransformer, against public ones of the same sizes."""

from functools import partial

from benchmarks.speed.timing import (
    BATCH_SIZE,
    compare,
    interleaved,
    make_table,
    row,
    show,
    show_ratio,
    timed,
)
from sklearn_ssl import MaskedAutoencoder, SCARFTransformer
from sklearn_ssl.encoders import ViTEncoder

MASK_RATIOS = (0.25, 0.5, 0.75, 0.9)
FIT = {"batch_size": BATCH_SIZE, "max_epochs": 1, "random_state": 0}


def mae(size):
    """MaskedAutoencoder against transformers' ViTMAEForPreTraining."""
    from benchmarks.speed.vit_mae import vit_mae_epoch  # here: other parts do without transformers

    X = size.load_images(size.method_images)
    large = {
        "encoder": partial(ViTEncoder, width=192, depth=6, pooling="grid"),
        "decoder_width": 96,
        "decoder_depth": 2,
    }
    alone = {"augment": unchanged}
    for name, params, n_workers in (
        ("model alone, default sizes", alone, None),
        ("model alone, 192 wide, 6 deep", {**alone, **large}, None),
        ("as its example trains, no workers", {}, 0),
        ("as its example trains, 2 workers", {}, 2),
    ):
        ours = MaskedAutoencoder(modality="image", **FIT, **params)
        measures = [timed(ours.fit, X), timed(vit_mae_epoch(ours, X, n_workers))]
        times = interleaved(measures, size.method_rounds)
        what = f"MaskedAutoencoder, {name}, {len(X):,} images of 28 x 28"
        yield compare(what, *times, "ViTMAEForPreTraining", n_rows=len(X), at_least=1.5)


def unchanged(batch):
    return batch


def mask_ratio(size):
    """MaskedAutoencoder by the part of the patches that is hidden."""
    X = size.load_images(size.method_images)
    fits = [MaskedAutoencoder(modality="image", mask_ratio=ratio, **FIT) for ratio in MASK_RATIOS]
    times = interleaved([timed(fit.fit, X) for fit in fits], size.method_rounds)
    for ratio, of_fit in zip(MASK_RATIOS, times):
        yield row(
            f"MaskedAutoencoder, mask ratio {ratio:g}",
            show(of_fit, len(X)),
            f"mask ratio {MASK_RATIOS[0]:g}: {show(times[0], len(X))}",
            show_ratio(times[0], of_fit),
        )


def scarf(size):
    """SCARFTransformer against the SCARF of TabularS3L."""
    from benchmarks.speed.public_scarf import public_scarf_epoch

    X = make_table(size.method_images // 2)
    ours = SCARFTransformer(**FIT)
    measures = [timed(ours.fit, X), timed(public_scarf_epoch(ours, X))]
    times = interleaved(measures, size.method_rounds)
    what = f"SCARFTransformer, table of {len(X):,} x 64"
    yield compare(what, *times, "TabularS3L", n_rows=len(X), at_least=3)
