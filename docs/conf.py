"""The documentation site: Sphinx, Markdown pages, API pages from the docstrings."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from myst_nb.core.execute import direct

import textgym

sys.path.append(str(Path(__file__).parent))  # for mathml.py and api_pages.py

project = "textgym"
author = "The textgym contributors"
project_copyright = "The textgym contributors"
release = textgym.__version__

extensions = [
    "myst_nb",
    "sphinx_design",
    "mathml",
    "api_pages",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"textgym {release}"
html_copy_source = False
html_use_index = html_domain_indices = False  # the search finds every name
html_show_search_summary = False  # it would fetch pages, which browsers refuse to sites that are opened from a folder
html_static_path = ["_static"]
html_css_files = ["gallery.css", "site.css", "course.css"]
# Colours that keep a contrast of 4.5 on every background of the theme; tests/test_site.py measures it.
html_theme_options = {
    "light_css_variables": {"color-foreground-muted": "#5d646f", "color-brand-content": "#1f5fbf"},
    "dark_css_variables": {"color-foreground-muted": "#a3a9b3"},
    "navigation_with_keys": True,
}

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

# The notebooks of docs/course run once a build, each in a kernel and an empty folder of its own, without a network.
# An error in a cell, or a word on stderr, is a warning and so an error.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 600  # seconds a cell: a busy machine is no failure
nb_execution_raise_on_error = True
nb_output_stderr = "error"
nb_code_prompt_show, nb_code_prompt_hide = "Show the code and what it prints", "Hide the code"
# What a cell prints arrives in pieces, not the same in every run. (nb_merge_streams would break lines between them.)
direct.single_nb_execution = partial(direct.single_nb_execution, coalesce_streams=True)
os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

# make linkcheck: some servers refuse programs, and pages of issues are drawn by scripts.
linkcheck_ignore = [r"https://127\.0\.0\.1.*", r"http://localhost.*", r"https://.*\.example.*"]
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]
linkcheck_timeout = 20
linkcheck_workers = 4

autosummary_generate = False  # api_pages writes the pages
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# Attributes of a class are listed once, in its docstring, and not again one by one.
napoleon_use_ivar = True
napoleon_use_rtype = False


def _name_language(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Says in the head of a translated page which language it is in."""
    if pagename.startswith("zh/"):
        context["language"] = "zh-CN"


def setup(app: Any) -> None:
    """Lets pages know their language."""
    app.connect("html-page-context", _name_language)
