"""Parameters of an estimator as class fields, from which ``__init__`` is generated."""

import inspect
from dataclasses import MISSING, dataclass, field, fields
from typing import dataclass_transform

from sklearn_ssl._sklearn_compat import Interval, InvalidParameterError
from sklearn_ssl.base.docstrings import join_docstrings


def param(default=MISSING, *constraints, kw_only=True):
    """Declare a parameter with scikit-learn's constraints on its values.

    Parameters
    ----------
    default : object
        MISSING for a required parameter.
    *constraints : object
        As in ``_parameter_constraints``: types, None, callable, an Interval and so on. Without
        constraints, the parameter is checked as in a base class that has it, or not at all.
    kw_only : bool, default=True
        Whether the parameter can only be passed by name.

    Returns
    -------
    field : dataclasses.Field
    """
    return field(default=default, kw_only=kw_only, metadata={"constraints": list(constraints)})


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(param, field))
class FieldParametersMixin:
    """Make each subclass a dataclass, with its parameters as fields.

    ``noise: float = 0.5`` in the class body declares a parameter: ``__init__`` takes it by name and
    assigns it, together with those of the base classes. A subclass may define its own ``__init__``
    instead, which must name every parameter. Entries of the docstrings of the base classes are
    joined into that of a subclass.

    True is not accepted as a number. Put this class before ``BaseEstimator``.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        doc = vars(cls).get("__doc__")
        is_written = _has_written_init(cls)
        dataclass(cls, kw_only=True, eq=False, repr=False, init=not is_written)
        if is_written:
            _check_written_init(cls)
        else:
            cls.__init__.__signature__ = _signature(cls)
        cls._parameter_constraints = _constraints(cls)
        bases = [vars(base).get("__doc__") for base in _layers(cls)[1:]]
        cls.__doc__ = join_docstrings(doc, bases, list(inspect.signature(cls).parameters))

    def _validate_params(self):
        super()._validate_params()
        for name, value in self.get_params(deep=False).items():
            constraints = self._parameter_constraints.get(name, ())
            is_number = any(isinstance(constraint, Interval) for constraint in constraints)
            if is_number and isinstance(value, bool):
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be a number. Got "
                    f"{value} instead."
                )


def _layers(cls):
    """Return the classes with parameters that a class derives from, itself first."""
    return [c for c in cls.__mro__ if FieldParametersMixin in c.__mro__[1:]]


def _own_fields(cls):
    """Return the fields that a class declares itself, by name."""
    return {f.name: f for f in fields(cls) if f.name in inspect.get_annotations(cls)}


def _has_written_init(cls):
    """Return whether the ``__init__`` of a class, own or inherited, is written in the source."""
    owner = next(c for c in cls.__mro__ if "__init__" in vars(c))
    made = vars(owner).get("__dataclass_params__")  # the class itself has none yet
    return owner is not object and not (made and made.init)


def _check_written_init(cls):
    for parameter in inspect.signature(cls.__init__).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(
                f"{cls.__name__}.__init__ takes {parameter}, and values passed through it would be "
                "lost in clone, get_params and searches: name every parameter in __init__, "
                "including those of the base class that should be settable, and pass them on by "
                "name."
            )
    missing = _own_fields(cls).keys() - inspect.signature(cls.__init__).parameters
    if missing and "__init__" not in vars(cls):
        raise TypeError(
            f"{cls.__name__} declares {', '.join(sorted(missing))}, but the __init__ that it "
            "inherits does not accept it: define an __init__ here too, or declare the parameters "
            "of the base class in the same way, without an __init__."
        )


def _signature(cls):
    """Return the signature of the ``__init__`` of a class: own parameters first, without types."""
    names = ["self", *(name for layer in _layers(cls) for name in inspect.get_annotations(layer))]
    signature = inspect.signature(cls.__init__)
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    parameters.sort(key=lambda parameter: (parameter.kind, names.index(parameter.name)))
    return signature.replace(parameters=parameters, return_annotation=signature.empty)


def _constraints(cls):
    """Return scikit-learn's ``_parameter_constraints`` of a class, with those of its bases."""
    constraints = {}
    for layer in reversed(_layers(cls)[1:]):
        constraints |= layer._parameter_constraints
    for name, own in _own_fields(cls).items():
        if own.metadata.get("constraints"):
            constraints[name] = own.metadata["constraints"]
        constraints.setdefault(name, "no_validation")
    return constraints | vars(cls).get("_parameter_constraints", {})
