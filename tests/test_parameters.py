"""What an ``__init__`` may look like, and values of parameters that no machine can serve."""

import pytest
from sklearn.base import clone

from sklearn_ssl import BaseSSLTransformer, FineTuneClassifier, SimCLRTransformer
from sklearn_ssl._base_text import BaseTextTransformer

BASES = [BaseSSLTransformer, BaseTextTransformer, SimCLRTransformer, FineTuneClassifier]


def with_kwargs(self, *, mine=1, **kwargs):
    """Take parameters by any name."""


def with_args(self, *args):
    """Take parameters by place."""


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("init", "what"), [(with_kwargs, r"\*\*kwargs"), (with_args, r"\*args")])
def test_init_must_name_every_parameter(base, init, what):
    with pytest.raises(TypeError, match=rf"Mine.__init__ takes {what}.* name every parameter"):
        type("Mine", (base,), {"__init__": init})


def test_init_of_subclasses_that_name_theirs():
    class Mine(SimCLRTransformer):
        def __init__(self, *, mine=1, lr=1e-3):
            super().__init__(lr=lr)
            self.mine = mine

    class Inherits(Mine):
        """Has no __init__ of its own."""

    assert clone(Inherits(mine=3, lr=0.1)).get_params() == {"mine": 3, "lr": 0.1}
