"""Sphinx's settings for the site: the lessons as they are committed, nothing executed, nothing from elsewhere."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "mgips"
author = "the mgips authors"
copyright = author
extensions = ["myst_nb", "mathml"]
html_theme = "furo"
html_title = "mgips"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_heading_anchors = 4
pygments_style, pygments_dark_style = "friendly", "github-dark"
# site:PLACE leads to a page that Sphinx has not made, the explorer.
myst_url_schemes = {"https": None, "http": None, "site": {"url": "{{path}}"}}
nitpicky = True
highlight_language = "none"
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]
