"""What scikit-learn wants of an ``__init__``, looked at when a class is made."""

import inspect


class NamedParametersMixin:
    """Refuses subclasses whose ``__init__`` takes parameters that it does not name."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for parameter in inspect.signature(cls.__init__).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(
                    f"{cls.__name__}.__init__ takes {parameter}, and what comes by it would be "
                    "lost in clone, get_params and searches: name every parameter in __init__, "
                    "those of the base class that should be set too, and hand them on by name."
                )
