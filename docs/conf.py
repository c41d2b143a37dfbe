"""Sphinx's configuration: MyST pages, Furo's look, nothing fetched from anywhere.

``make docs`` builds the site; ``tests/test_site.py`` builds it with warnings as errors.  Pages whose text is a fact
of the code hold a line ``<!-- generated: NAME -->``, which ``docs/generated.py`` fills when the site is built.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import lab  # noqa: E402  # the checkout's own, whatever is installed

project = "unwindlab"
author = "the unwindlab authors"
release = version = lab.__version__
extensions = ["myst_parser"]
root_doc = "index"
html_theme = "furo"
html_title = f"unwindlab {release}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"light_css_variables": {"font-stack": "sans-serif", "font-stack--monospace": "monospace"}}
nitpicky = True
myst_heading_anchors = 3
highlight_language = "text"
exclude_patterns = ["_build"]
smartquotes = False


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the generated parts in, and let links to files beside the site be their names."""
    import generated

    source[0] = generated.filled(generated.without_links_outside(source[0], HERE / f"{docname}.md", HERE))


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this at its start."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}
