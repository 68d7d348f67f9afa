"""Configuration of the documentation, built by ``make doc``."""

import re

from sklearn_ssl import __version__

project = "sklearn-ssl"
author = "The sklearn-ssl developers"
copyright = author
release = version = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "literal"
nitpicky = True
# Nothing is fetched while building, so names of other packages have no page to lead to.
nitpick_ignore_regex = [
    ("py:.*", r"(collections\.abc|joblib|pathlib|numpy|skorch|sklearn|torch|torchvision)(\..*)?")
]

autodoc_preserve_defaults = True  # "torch.optim.AdamW" as it is written, not as it prints
autodoc_typehints = "none"  # the entries of the parameters say more
autodoc_inherit_docstrings = False  # or torch would explain every forward()
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the templates say which members are shown

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("sklearn_ssl",),
    "reference_url": {"sklearn_ssl": None},
    "backreferences_dir": "generated/backreferences",
    "show_memory": False,
}
suppress_warnings = ["config.cache"]  # sphinx-gallery's settings cannot be pickled whole

html_theme = "pydata_sphinx_theme"
html_title = "sklearn-ssl"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_sidebars = {"index": [], "getting_started": []}  # they have no pages below them
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def named_defaults(app, what, name, obj, options, signature, return_annotation):
    """Write a class or function that is a default by its name: made __init__s have no source."""
    if signature is None:
        return None
    signature = re.sub(r"<class 'torch\.optim\.\w+\.(\w+)'>", r"torch.optim.\1", signature)
    return re.sub(r"<function (\w+)( at \w+)?>", r"\1", signature), return_annotation


def setup(app):
    app.connect("autodoc-process-signature", named_defaults)
