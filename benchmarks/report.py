"""Write the pages of figures in doc/ from benchmarks/pages and benchmarks/results.

    python -m benchmarks.report

A page is its template, in which a line ``{{function argument ...}}`` stands for what a function of
this module makes of the results. Nobody edits the pages themselves.
"""

import re
from pathlib import Path

import numpy as np

from benchmarks import store, survey_tables
from benchmarks.formatting import chosen, distinct, markdown

ROOT = Path(__file__).parents[1]
TEMPLATES = Path(__file__).parent / "pages"
HEAD = "<!-- `python -m benchmarks.report` writes this page from benchmarks/pages/{name} -->\n\n"
FACTS = {
    "threads": "threads",
    "epochs": "epochs",
    "embedding_std": "embedding spread",
    "effective_rank": "effective rank",
}
UNTRAINED = "untrained encoder"
CARRIED = "carried over from "
RECIPES = ("beside the SVD", "frozen, SelfTrainingClassifier")


def render(name, results=store.RESULTS):
    """Return the text of a page."""

    def filled(match):
        function, *words = match[1].split()
        return "\n".join(SECTIONS[function](results, *words))

    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return HEAD.format(name=name) + re.sub(r"^\{\{(.*)\}\}$", filled, text, flags=re.MULTILINE)


def main():
    for path in sorted(TEMPLATES.glob("*.md")):
        (ROOT / "doc" / path.name).write_text(render(path.name), encoding="utf-8")
    survey_tables.plot(store.RESULTS, ROOT / "doc" / "images" / "survey.svg")


# Tables -------------------------------------------------------------------------------------------


def cell(row, best=None):
    """Return the mean of a row of scores ± its deviation over draws, bold if it is the best."""
    mean = f"**{row['mean']}**" if row["mean"] == best else row["mean"]
    return f"{mean} ± {row['std']}"


def measured(results, name):
    """Say when the rows of a file were measured."""
    dates = sorted(set(distinct(store.read(results / f"{name}.csv"), "measured")))
    carried = [date.removeprefix(CARRIED) for date in dates if date.startswith(CARRIED)]
    lines = [f"Measured on {', '.join(date for date in dates if not date.startswith(CARRIED))}."]
    if carried:
        lines = lines if len(carried) < len(dates) else []
        lines += [
            f"Figures of {', '.join(carried)} were carried over from the page of that day: an"
        ]
        lines += ["earlier version of this benchmark measured them, with its own draws of labels."]
    return lines


# Few labels: quality, few_labels_table, regression_table ------------------------------------------


def data_set(results, name):
    """Return the table of all methods on a data set of the page on quality."""
    rows = chosen(store.read(results / "quality.csv"), dataset=name)
    scores = [row for row in rows if row["labels"]]
    columns = sorted({(row["metric"], row["labels"]): None for row in scores}, key=lambda c: c[0])
    header = [labels + (", balanced" if "balanced" in metric else "") for metric, labels in columns]
    lines = []
    for method in distinct(rows, "method"):
        own = {(row["metric"], row["labels"]): row for row in chosen(rows, method=method)}
        facts = [own[fact, ""]["mean"] if (fact, "") in own else "-" for fact in FACTS]
        lines.append([method, *(cell(own[c]) if c in own else "-" for c in columns), *facts])
    seen = distinct(chosen(rows, metric="n_rows"), "mean")
    return [
        f"Pretrained on {' or '.join(f'{int(n):,}' for n in seen)} rows.",
        "",
        *markdown(["labels per class", *header, *FACTS.values()], lines),
    ]


def summary(results):
    """Say how far methods are from the best, and whether they beat what they are made of."""
    rows = chosen(store.read(results / "quality.csv"), metric="accuracy")
    means = {(row["dataset"], row["method"], row["labels"]): float(row["mean"]) for row in rows}
    ours = [r["method"] for r in chosen(rows, dataset="fashion", labels="100", role="ours")]
    methods = [method for method in ours if "fine-tuned" not in method]
    best = max(means["fashion", method, "100"] for method in methods)
    against = [(name, b) for name in ("digits", "fashion") for b in ("raw features", UNTRAINED)]
    header = [f"{name}, 10 per class: beats {baseline}" for name, baseline in against]
    lines = []
    for method in methods:
        own, title = UNTRAINED, method
        if ("fashion", f"{own} of {method}", "100") in means:
            own, title = f"{own} of {method}", f"{method}, beside its own untrained encoder"
        behind = 100 * (best - means["fashion", method, "100"])
        cells = [f"{behind:.1f}"]
        for name, baseline in against:
            beaten = means[name, own if baseline == UNTRAINED else baseline, "10"]
            points = 100 * (means[name, method, "10"] - beaten)
            cells.append(f"{'yes' if points > 0 else 'no'}, {points:+.1f}")
        lines.append([title, *cells])
    behind = "fashion, 1,000 labels: points behind the best method"
    return markdown(["", behind, *header], lines)


def few_labels(results):
    """Return the table of few labels, the best mean of each column of a data set bold."""
    return scores_table(few_label_groups(results), "labels per class")


def regression(results, metric):
    rows = chosen(store.read(results / "regression.csv"), metric=metric)
    groups = {name: chosen(rows, dataset=name) for name in distinct(rows, "dataset")}
    return scores_table(groups, "labels", max if metric == "r2" else min)


def few_label_groups(results):
    """Return the rows of each data set, those of balanced accuracies as groups of their own."""
    rows = store.read(results / "few_labels.csv")
    groups = {}
    for metric, words in (("accuracy", ""), ("balanced_accuracy", ", balanced accuracy")):
        for name in distinct(chosen(rows, metric=metric), "dataset"):
            groups[name + words] = chosen(rows, metric=metric, dataset=name)
    return groups


def scores_table(groups, title, better=max):
    """Return a table of groups of rows, the best mean of each group and column bold."""
    labels = sorted({row["labels"] for rows in groups.values() for row in rows}, key=int)
    lines = []
    for name, rows in groups.items():
        best = {
            k: better((row["mean"] for row in chosen(rows, labels=k)), key=float) for k in labels
        }
        for i, method in enumerate(distinct(rows, "method")):
            own = {row["labels"]: row for row in chosen(rows, method=method)}
            cells = [cell(own[k], best[k]) if k in own else "-" for k in labels]
            lines.append(["" if i else name, method, *cells])
    return markdown(["", title, *labels], lines)


def verdicts(results, k="10"):
    """Say who leads on each data set with k labels per class, and by how much."""
    lines = []
    for name, rows in few_label_groups(results).items():
        rows = chosen(rows, labels=k)
        our, their = (
            max(chosen(rows, role=role), key=lambda row: float(row["mean"]))
            for role in ("ours", "baseline")
        )
        points = points_ahead(our, their)
        leads = "leads" if points > 0 else "is behind" if points < 0 else "is level"
        recipe = [r for r in chosen(rows, role="ours") if r["method"].endswith(RECIPES)][:1]
        words = "".join(f" ({points_ahead(row, their):+.1f})" for row in recipe)
        lines.append(
            f"- {name}: {our['method']} {leads}, {points:+.1f} points against "
            f"{their['method']}{words}."
        )
    return lines


def points_ahead(row, other):
    return round(100 * (float(row["mean"]) - float(other["mean"])), 1)


def trees(results):
    """Say where boosted trees are ahead of all of ours."""
    ahead = []
    for name, rows in few_label_groups(results).items():
        if rows[0]["kind"] != "table":
            continue
        for k in distinct(rows, "labels"):
            of_k = chosen(rows, labels=k)
            ours = max(float(row["mean"]) for row in chosen(of_k, role="ours"))
            if float(chosen(of_k, method="HistGradientBoosting")[0]["mean"]) > ours:
                ahead.append(f"{name} with {k} per class")
    return ["; ".join(ahead) if ahead else "none of these tables"]


# The other pages ----------------------------------------------------------------------------------


def brown(results):
    """Return the bits per byte of language models on the Brown corpus."""
    rows = store.read(results / "brown.csv")
    times = [f"{r['epochs']} epochs, {r['seconds']} s" if r["epochs"] else "-" for r in rows]
    lines = [[row["model"], row["bits_per_byte"], time] for row, time in zip(rows, times)]
    return markdown(["model", "bits per byte", "trained for"], lines)


def texts(results):
    """Return the table of all ways to represent texts."""
    rows = chosen(store.read(results / "texts.csv"), metric="accuracy")
    parts = []
    for name in distinct(rows, "dataset"):
        own = chosen(rows, dataset=name)
        parts += [f"### {name}", "", *scores_table({"": own}, "labels per class"), ""]
    return parts[:-1]


def text_leads(results):
    """Return by how many points ours leads on each data set, with twice the standard error."""
    rows = store.read(results / "texts.csv")
    leads = (("lead over SVD of TF-IDF, 128", "over the SVD"), ("lead over TF-IDF", "over TF-IDF"))
    columns = [
        (way + ending, metric, f"{title} {over}{ending}")
        for way, title in (("Sent2Vec", "Sent2Vec"), ("Sent2Vec, beside TF-IDF", "both"))
        for (metric, over), ending in zip(leads, ("", ", C searched"))
    ]
    lines = []
    for name in distinct(chosen(rows, method="Sent2Vec"), "dataset"):
        for k in distinct(chosen(rows, dataset=name), "labels"):
            cells = []
            for method, metric, _ in columns:
                (row,) = chosen(rows, dataset=name, labels=k, method=method, metric=metric)
                error = 2 * float(row["std"]) / int(row["n_draws"]) ** 0.5
                cells.append(f"{100 * float(row['mean']):+.1f} ± {100 * error:.1f}")
            lines.append([name, k, *cells])
    return markdown(["", "labels per class", *(title for _, _, title in columns)], lines)


def pretrained_images(results):
    """Return the table of pretrained networks on each set of images, with the minutes."""
    rows = store.read(results / "pretrained_images.csv")
    parts = []
    for name in distinct(rows, "dataset"):
        own = chosen(rows, dataset=name)
        minutes = {row["method"]: f"{float(row['seconds']) / 60:.1f}" for row in own}
        header, rule, *lines = scores_table({"": own}, "labels per class")
        parts += [f"## {name}", "", f"{header} minutes |", f"{rule} --- |"]
        parts += [f"{line} {n} |" for line, n in zip(lines, minutes.values())] + [""]
    return parts[:-1]


def gains(results):
    """Return what pretraining adds to fine-tuning: a row for each table, and their mean."""
    rows = store.read(results / "tables_gain.csv")
    labels = distinct(rows, "labels")
    header, lines = ["table"], []
    for k in labels:
        header += [f"{k}: not pretrained", "pretrained", "gain, %"]
    for name in distinct(rows, "dataset"):
        cells = [name if name != "mean" else "**mean**"]
        for row in chosen(rows, dataset=name):
            gain = f"**{row['gain']}**"
            if row["gain_se"]:
                gain = f"{float(row['gain']):+.1f} ± {float(row['gain_se']):.1f}"
            cells += [row["not_pretrained"], row["pretrained"], gain]
        lines.append(cells)
    words = []
    for k in labels:
        gained = [float(r["gain"]) > 0 for r in chosen(rows, labels=k) if r["dataset"] != "mean"]
        words.append(f"{k}: a gain on {sum(gained)} of {len(gained)} tables")
    return [*markdown(header, lines), "", f"With {'; '.join(words)}."]


def forecasts(results):
    """Return the errors of all forecasters, the least of each data set and column bold."""
    rows = store.read(results / "forecasts.csv")
    metrics, lines = distinct(rows, "metric"), []
    for name in distinct(rows, "dataset"):
        of_set = chosen(rows, dataset=name)
        best = {
            m: min((row["mean"] for row in chosen(of_set, metric=m)), key=float) for m in metrics
        }
        title = "{dataset} ({n_train} x {seen} + {steps})".format(**of_set[0])
        for i, method in enumerate(distinct(of_set, "method")):
            of_method = chosen(of_set, method=method)
            lines.append(
                ["" if i else title, method, *(cell(r, best[r["metric"]]) for r in of_method)]
            )
    return markdown(["data (training rows x seen + forecast steps)", "", *metrics], lines)


def forecast_leads(results, method="NextFrame"):
    """Say on how many data sets a forecaster has a lower error than each other one."""
    rows = store.read(results / "forecasts.csv")
    errors = {(r["dataset"], r["method"], r["metric"]): float(r["mean"]) for r in rows}
    names, metrics, lines = distinct(rows, "dataset"), distinct(rows, "metric"), []
    for other in distinct(rows, "method"):
        wins = [
            sum(errors[name, method, m] < errors[name, other, m] for name in names) for m in metrics
        ]
        if other != method:
            lines.append([other, *(f"{n} of {len(names)}" for n in wins)])
    return markdown([f"{method} has a lower error than", *metrics], lines)


def selection_summary(results):
    """Return for each score its correlations on all data sets."""
    rows = chosen(store.read(results / "selection_summary.csv"), table="correlation")
    groups, names = distinct(rows, "group"), distinct(rows, "dataset")
    lines = []
    for score in distinct(rows, "row"):
        if score != "one draw of labels":
            own = chosen(rows, row=score)
            lines.append(
                [score, *(" / ".join(r["value"] for r in chosen(own, group=g)) for g in groups)]
            )
    return [f"Correlations on {' / '.join(names)}.", "", *markdown(["", *groups], lines)]


SELECTION_TABLES = {
    "correlation": "correlation",
    "chosen": "accuracy of the chosen",
    "sieve": "sieve: points",
}
NOT_SCORES = ("one draw of labels", "the best", "the median", "the worst", "the defaults")


def selection(results, name):
    """Return the tables of a data set: what its scores are worth, and all configurations."""
    rows = chosen(store.read(results / "selection_summary.csv"), dataset=name)
    configurations = chosen(store.read(results / "selection.csv"), dataset=name)
    first = configurations[0]
    lines = [f"{first['epochs']} epochs on {int(first['n_rows']):,} rows.", ""]
    for table, title in SELECTION_TABLES.items():
        own = chosen(rows, table=table)
        groups = dict.fromkeys(f"{row['group']} ({row['n']})" for row in own)
        cells = [
            [f"*{score}*" if score in NOT_SCORES else score]
            + [row["value"] or "-" for row in chosen(own, row=score)]
            for score in distinct(own, "row")
        ]
        lines += [*markdown([title, *groups], cells), ""]
    scores = [row for row in distinct(rows, "row") if row not in NOT_SCORES]
    cells = [
        [
            row["configuration"] + " (warned of a collapse)" * bool(row["collapse_warning"]),
            f"{row['accuracy']} ± {row['std']}",
            *(row[score] or "-" for score in scores),
        ]
        for row in sorted(configurations, key=lambda row: -float(row["accuracy"]))
    ]
    lines += ["All configurations, and RankMe of the raw features:", ""]
    return lines + markdown(["", "accuracy", *scores], cells)


def speed(results, part):
    """Return a part of the page on speed: when and on what it was measured, and its table."""
    rows = chosen(store.read(results / "speed.csv"), part=part)
    lines = [f"- {' and '.join(distinct(rows, 'measured'))}: {distinct(rows, 'machine')[0]}", ""]
    header = ["Measurement", "sklearn_ssl", "Compared with", "Ratio", "Target", "Reached"]
    columns = ("measurement", "ours", "other", "ratio", "target", "reached")
    cells = [[row[column] for column in columns] for row in rows]
    if part == "methods":
        header.append("Relative cost")
        rates = np.array([float(row["ours"].split()[0].replace(",", "")) for row in rows])
        cells = [[*line, f"{cost:.2f}"] for line, cost in zip(cells, rates[0] / rates)]
    return lines + markdown(header, cells)


SECTIONS = {
    function.__name__: function
    for function in (
        *(brown, data_set, few_labels, forecast_leads, forecasts, gains, measured),
        *(pretrained_images, regression, selection),
        *(selection_summary, speed, summary, text_leads, texts, trees, verdicts),
        *(survey_tables.survey_counts, survey_tables.survey_rivals, survey_tables.survey_runs),
        *(survey_tables.survey_in_short, survey_tables.survey_sets),
    )
}


if __name__ == "__main__":
    main()
