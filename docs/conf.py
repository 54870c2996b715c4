"""Configuration of the documentation: `sphinx-build -W docs docs/_build`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import auricle  # noqa: E402  (after the path is set)

project = "Auricle"
author = "The Auricle authors"
project_copyright = "The Auricle authors"
version = release = auricle.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "reference",
]
exclude_patterns = ["_build"]
default_role = "code"  # of docstrings, in which `name` is code

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "Auricle"
html_static_path = ["_static"]
html_css_files = ["auricle.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#7a2e8e", "color-brand-content": "#7a2e8e"},
    "dark_css_variables": {"color-brand-primary": "#d08be2", "color-brand-content": "#d08be2"},
}
