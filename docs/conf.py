"""Sphinx' settings: `make docs` builds the site, and writes the reference from the code first."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import reference

from stream_scorer import __version__

project = "stream-scorer"
release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"stream-scorer {__version__}"
html_show_copyright = False
html_show_sphinx = False
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

reference.write(Path(__file__).parent / "reference")
