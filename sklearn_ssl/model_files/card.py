"""A model card: what someone who is given a model should know about it, as Markdown."""

from dataclasses import fields
from numbers import Real

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.model_files.versions import versions

LONGEST = 80  # characters of a value that is shown
LONGEST_SHAPE = 5  # numbers; a longer tuple says something of each column


def model_card(estimator, report=None):
    """Describe a fitted estimator in Markdown, to be kept beside its file.

    Parameters
    ----------
    estimator : estimator
        A fitted transformer, classifier or regressor of this package.
    report : RepresentationReport or dict, default=None
        What it was evaluated on: the result of
        :func:`~sklearn_ssl.evaluation.evaluate_representation`, or of its ``to_dict``.

    Returns
    -------
    card : str
        Shape and number of the training rows, method, parameters, course of the training, versions
        of the packages, and the scores of the report. It holds no values from the rows.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.

    TypeError
        If it does not come from this package.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer, model_card
    >>> X = load_digits().data[:100]
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0).fit(X)
    >>> print(model_card(ssl))
    # SimCLRTransformer
    <BLANKLINE>
    ## Training data
    <BLANKLINE>
    - kind: image
    - n_samples: 100
    - row_shape: (64,)
    ...
    """
    check_is_fitted(estimator)
    transformer = getattr(estimator, "transformer_", estimator)
    if not isinstance(transformer, BasePretrainer):
        raise TypeError(
            f"model_card describes transformers, FineTuneClassifier and FineTuneRegressor; got "
            f"{type(estimator).__name__}."
        )
    sections = {
        "Training data": _data(transformer.input_spec_),
        "Parameters": _parameters(estimator),
        "Training": _training(estimator),
    }
    if transformer is not estimator:
        name = type(transformer).__name__
        sections[f"Parameters of the {name}"] = _parameters(transformer)
        sections[f"Training of the {name}"] = _training(transformer)
    sections["Versions"] = versions()
    parts = [f"# {type(estimator).__name__}"]
    for title, facts in sections.items():
        parts += [f"## {title}", "\n".join(f"- {name}: {fact}" for name, fact in facts.items())]
    if report is not None:
        parts += ["## Evaluation", *_evaluation(report)]
    return "\n\n".join(parts) + "\n"


def _data(spec):
    """Return the facts about training data that tell nothing of single rows."""
    facts = {field.name: getattr(spec, field.name) for field in fields(spec)}
    shapes = {name: fact for name, fact in facts.items() if _is_number_or_shape(fact)}
    return {"kind": spec.modality, **shapes}


def _is_number_or_shape(fact):
    parts = fact if isinstance(fact, tuple) and len(fact) <= LONGEST_SHAPE else (fact,)
    return all(isinstance(part, Real) for part in parts)


def _parameters(estimator):
    return {name: _short(value) for name, value in estimator.get_params(deep=False).items()}


def _short(value):
    """Write a parameter in one line; an estimator has a section of its own."""
    if isinstance(value, BaseEstimator):
        return type(value).__name__
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _training(estimator):
    """Return the length of a training, and the first and the last value of what was recorded."""
    facts = {"epochs": estimator.n_iter_}
    for name, values in estimator.history_.items():
        if name == "duration":
            facts["seconds"] = f"{sum(values):.1f}"
        elif values:
            facts[name] = f"{values[0]:.4g} in the first epoch, {values[-1]:.4g} in the last"
    return facts


def _evaluation(report):
    """Return the paragraphs about an evaluation: its summary, and a table of scores."""
    facts = report if isinstance(report, dict) else report.to_dict()
    labels = facts["labels_per_class"]
    unit = "labels in total" if facts["regression"] else "labels per class"
    rows = [[unit, *map(str, labels)], ["---"] * (len(labels) + 1)]
    rows += [
        [facts["titles"][name], *(f"{sum(draws) / len(draws):.3f}" for draws in scores)]
        for name, scores in facts["scores"].items()
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    about = f"Mean {facts['scoring']} on {facts['n_test']} test rows, over draws of the labels."
    return [facts["summary"], about, table]
