"""How the docs become pages: ``make docs`` puts them into reports/docs, where they work without a network."""

project = "nslib"
author = "the nslib authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
templates_path = ["_templates"]
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections say the types in words
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "Answers,Reasons"}  # names of types, which have no signature
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_attributes_as_param_list = True
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
html_theme = "sphinx_book_theme"
html_title = "nslib"
html_theme_options = {"show_toc_level": 2, "use_download_button": False, "use_fullscreen_button": False,
                      "navbar_persistent": []}
html_static_path = ["_static"]
html_css_files = ["code.css"]
html_show_sourcelink = False
html_copy_source = False
