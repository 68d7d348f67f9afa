"""Docstrings of classes that share parameters: each text is written once and joined into all."""

import inspect
import re

HEADING = re.compile(r"^(\S.*)\n-{3,}\n", re.MULTILINE)


def join_docstrings(doc, inherited, parameters):
    """Return the numpydoc docstring of a class, with the entries of its bases.

    Parameters
    ----------
    doc : str or None
        The docstring written in the class. Its entries come first, and replace those of the bases.
    inherited : list of str or None
        Docstrings of the bases, the nearest first.
    parameters : iterable of str
        The parameters of the class, in order. Entries of other parameters are not inherited.

    Returns
    -------
    doc : str or None
        None if there is no text, for example without docstrings (``python -OO``).
    """
    own, *bases = [_sections(text) for text in (doc, *inherited)]
    joined = {}
    for title in ("Parameters", "Attributes"):
        entries = {}
        for sections in (own, *bases):
            for name, entry in _entries(sections.get(title, "")).items():
                entries.setdefault(name, entry)
        if title == "Parameters":
            names = dict.fromkeys([*parameters, *_entries(own.get(title, ""))])
            entries = {name: entries[name] for name in names if name in entries}
        joined[title] = "\n".join(dict.fromkeys(entries.values()))
    rest = {title: text for title, text in own.items() if title not in ("", *joined)}
    sections = {"": own[""], **joined, **rest}
    texts = [_with_heading(title, text.strip("\n")) for title, text in sections.items() if text]
    return "\n\n".join(texts) or None


def _sections(doc):
    """Return the text of each section by its heading; the heading of the summary is empty."""
    summary, *parts = HEADING.split(inspect.cleandoc(doc or ""))
    return {"": summary, **dict(zip(parts[::2], parts[1::2]))}


def _entries(section):
    """Return the entries of a section by name; an entry of several names appears under each."""
    entries = {}
    for entry in re.split(r"\n(?=\S)", section.strip("\n")):
        names = re.split(r"\s*:|\n", entry)[0]
        entries |= dict.fromkeys(filter(None, re.split(r",\s*", names)), entry.rstrip())
    return entries


def _with_heading(title, text):
    return f"{title}\n{'-' * len(title)}\n{text}" if title else text
