"""What pytest leaves out when it runs the code blocks of these pages."""

from importlib.util import find_spec

collect_ignore = ["conf.py"]  # Sphinx's, no test
if find_spec("sklearn.callback") is None:  # scikit-learn < 1.9
    collect_ignore.append("callbacks.rst")
