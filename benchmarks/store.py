"""Result files: small tables of comma-separated values in benchmarks/results."""

import argparse
import csv
import datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
# Where scores of few labels and facts about fits stand: a row for each mean over draws.
COLUMNS = (
    *("measured", "dataset", "kind", "method", "role", "labels", "metric"),
    *("mean", "std", "n_draws", "seed", "seconds"),
)


def today():
    return datetime.date.today().isoformat()


def read(path):
    """Return the rows of a file as dicts of str, and no rows where there is no file."""
    if not Path(path).exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def replace(path, rows, key):
    """Write rows into a file, in place of older ones with the same values in the columns `key`."""
    path = Path(path)
    kept, new = {}, {}
    for groups, measured in ((kept, read(path)), (new, rows)):
        for row in measured:
            groups.setdefault(tuple(str(row[name]) for name in key), []).append(row)
    kept |= new  # what was measured again keeps its place
    rows = [row for group in kept.values() for row in group]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        columns = dict.fromkeys(column for row in rows for column in row)
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    unfinished.replace(path)  # all of the file or nothing


def parser_of(description):
    """Return a parser of the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="seconds, on data that is at hand")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the files")
    return parser


def parse(parser, arguments):
    options = parser.parse_args(arguments)
    if options.quick and options.results == RESULTS:
        parser.error("--quick needs --results: its figures mean nothing")
    return options
