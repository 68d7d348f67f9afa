"""Rows of result files, chosen and written as tables of Markdown."""


def markdown(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def distinct(rows, name):
    return list(dict.fromkeys(row[name] for row in rows))


def chosen(rows, **wanted):
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]
