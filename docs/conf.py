"""The documentation site: Sphinx, Markdown pages, API pages from the docstrings."""

from __future__ import annotations

import textgym

project = "textgym"
author = "The textgym contributors"
project_copyright = "The textgym contributors"
release = textgym.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
templates_path = ["_templates"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"textgym {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["gallery.css"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# Attributes of a class are listed once, in its docstring, and not again one by one.
napoleon_use_ivar = True
napoleon_use_rtype = False
