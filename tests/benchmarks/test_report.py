"""The committed pages of figures are what the renderer makes of the committed results."""

import csv
from pathlib import Path

import pytest

from benchmarks import report, store, survey_tables

PAGES = sorted(path.name for path in report.TEMPLATES.glob("*.md"))
HINT = "The page was edited, or is older than the results: run python -m benchmarks.report"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_what_the_renderer_makes_of_the_results(name):
    page = (report.ROOT / "doc" / name).read_text(encoding="utf-8")
    assert page == report.render(name), HINT


def test_readme_says_what_the_survey_measured():
    readme = (report.ROOT / "README.md").read_text(encoding="utf-8")
    (sentence,) = survey_tables.survey_in_short(store.RESULTS)
    assert sentence in " ".join(readme.split()), f"README should say: {sentence}"


def test_every_page_of_figures_is_generated():
    listed = (report.ROOT / "doc" / "benchmarks.rst").read_text().split("maxdepth: 1")[1].split()
    assert sorted(f"{name}.md" for name in listed) == PAGES


@pytest.mark.parametrize(
    ("page", "file", "column"),
    [
        ("quality.md", "quality.csv", "dataset"),
        ("quality.md", "brown.csv", "model"),
        ("texts_table.md", "texts.csv", "dataset"),
        ("few_labels_table.md", "few_labels.csv", "dataset"),
        ("regression_table.md", "regression.csv", "dataset"),
        ("tables_gain.md", "tables_gain.csv", "dataset"),
        ("forecasts.md", "forecasts.csv", "dataset"),
        ("pretrained_images.md", "pretrained_images.csv", "method"),
        ("selection.md", "selection.csv", "configuration"),
        ("selection.md", "selection_summary.csv", "dataset"),
        ("speed.md", "speed.csv", "measurement"),
        ("survey.md", "survey.csv", "dataset"),
    ],
)
def test_every_result_is_on_its_page(page, file, column):
    text = report.render(page)
    assert [
        row[column] for row in store.read(store.RESULTS / file) if row[column] not in text
    ] == []


@pytest.mark.parametrize("path", sorted(store.RESULTS.glob("*.csv")), ids=lambda path: path.name)
def test_every_result_says_when_it_was_measured(path):
    rows = store.read(path)
    assert rows
    assert all(row["measured"].removeprefix(report.CARRIED)[:4].isdigit() for row in rows)


def test_replaced_rows_stand_in_place_of_the_older_ones(tmp_path):
    path = tmp_path / "some" / "scores.csv"
    store.replace(path, [{"data": "a", "mean": 1}, {"data": "b", "mean": 2}], key=("data",))
    store.replace(path, [{"data": "a", "mean": 3, "more": "x"}], key=("data",))
    assert store.read(path) == [
        {"data": "a", "mean": "3", "more": "x"},
        {"data": "b", "mean": "2", "more": ""},
    ]
    with path.open(newline="") as file:
        assert next(csv.reader(file)) == ["data", "mean", "more"]
    assert list(path.parent.iterdir()) == [path]
    assert store.read(Path(tmp_path / "nowhere.csv")) == []


def test_best_mean_of_a_column_is_bold():
    rows = [
        {"method": "a", "labels": "1", "mean": "0.500", "std": "0.1"},
        {"method": "a", "labels": "10", "mean": "0.700", "std": "0.1"},
        {"method": "b", "labels": "10", "mean": "0.600", "std": "0.2"},
    ]
    lines = report.scores_table({"set": rows}, "labels")
    assert lines[0] == "|  | labels | 1 | 10 |"
    assert lines[2:] == [
        "| set | a | **0.500** ± 0.1 | **0.700** ± 0.1 |",
        "|  | b | - | 0.600 ± 0.2 |",
    ]
    assert "**0.600**" in report.scores_table({"set": rows}, "labels", min)[3]
