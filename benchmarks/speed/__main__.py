"""Measure the speed and the memory of the estimators.

    python -m benchmarks.speed                   # half an hour, on a machine that does nothing else
    python -m benchmarks.speed --only methods    # one part of it
    python -m benchmarks.report                  # write the pages

Every figure is a ratio of two things that are measured in turn, in one process and with the same
number of threads. The rows of a part are written to results/speed.csv as soon as it is measured;
what is restricted to some methods is printed only:

    python -m benchmarks.speed --only methods --methods MoCo BYOL

Needs the extra `bench`, ts3l (pip install --no-deps ts3l), and Fashion-MNIST, the Brown corpus,
IMDb's reviews, the UCI sentences and MiniLM (see benchmarks/datasets.py).
"""

from dataclasses import replace

from benchmarks import store
from benchmarks.speed.against_lightly import METHODS, augmentation, lightly, methods
from benchmarks.speed.company import company
from benchmarks.speed.files import files
from benchmarks.speed.loops import fit, one_row, transform
from benchmarks.speed.masking import mae, mask_ratio, scarf
from benchmarks.speed.memory import memory, million
from benchmarks.speed.texts import bags, language_models, sentences
from benchmarks.speed.timing import FULL, QUICK, machine
from sklearn_ssl.training.runtime import torch_settings

PARTS = {
    function.__name__: function
    for function in (
        *(fit, company, lightly, methods, augmentation, transform, one_row, memory, mae),
        *(mask_ratio, scarf, million, files, language_models, bags, sentences),
    )
}


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some parts")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="some of part methods")
    options = store.parse(parser, arguments)
    size = QUICK if options.quick else FULL
    if options.methods:
        size = replace(size, methods=tuple(dict.fromkeys(["SimCLR", *options.methods])))
    common = {"measured": store.today()}
    for part in options.only:
        rows = []
        with torch_settings():
            for row in PARTS[part](size):
                print(" | ".join(row.values()), flush=True)
                rows.append({**common, "part": part, **row, "machine": machine()})
        if not options.methods:
            store.replace(options.results / "speed.csv", rows, key=("part",))


if __name__ == "__main__":
    main()
