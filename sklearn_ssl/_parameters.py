"""What scikit-learn wants of an ``__init__`` when a class is made, and numbers that are none."""

import inspect

from sklearn_ssl._sklearn_compat import Interval, InvalidParameterError


class NamedParametersMixin:
    """Refuses subclasses whose ``__init__`` takes parameters that it does not name.

    True is no number, although Python counts with it. Stands in front of ``BaseEstimator``.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for parameter in inspect.signature(cls.__init__).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(
                    f"{cls.__name__}.__init__ takes {parameter}, and what comes by it would be "
                    "lost in clone, get_params and searches: name every parameter in __init__, "
                    "those of the base class that should be set too, and hand them on by name."
                )

    def _validate_params(self):
        super()._validate_params()
        for name, constraints in self._parameter_constraints.items():
            is_number = any(isinstance(constraint, Interval) for constraint in constraints)
            if is_number and isinstance(getattr(self, name), bool):
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be a number. Got "
                    f"{getattr(self, name)} instead."
                )
