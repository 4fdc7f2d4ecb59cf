"""How the site is built: `python -m sphinx -W docs build/site`."""

import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402

project = "hpjax"
author = "the authors of hpjax"
release = version = metadata.version("hpjax")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
smartquotes = False  # a quoted word is a value to type
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]

# docstrings: Google's sections; what stands in single backquotes is code
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"

html_theme = "furo"
html_title = "hpjax"
html_show_sphinx = False
linkcheck_anchors = False


def fields_are_attributes(app, what, name, obj, skip, options):  # noqa: ANN001
    """Fields of a named tuple stand in its docstring already; what scikit-learn adds stands in scikit-learn's."""
    field = type(obj).__name__ == "_tuplegetter"
    return True if field or getattr(obj, "__module__", "").startswith("sklearn") else skip


def setup(app) -> None:  # noqa: ANN001
    """Writes the pages that are made from the package and its results."""
    generate.everything(HERE)
    app.connect("autodoc-skip-member", fields_are_attributes)
