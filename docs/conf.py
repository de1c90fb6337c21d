"""Sphinx configuration; `make docs` builds with warnings as errors."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import sklearn_memgen  # noqa: E402
from sklearn_memgen.datasets import fetch_adult  # noqa: E402

project = "sklearn_memgen"
author = "the sklearn_memgen developers"
copyright = f"2026, {author}"
release = sklearn_memgen.__version__
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
root_doc = "index"
default_role = "literal"

# Types stand in the numpydoc sections; in the signatures they would stand twice.
autodoc_typehints = "none"
autosummary_generate = True
# The class template lists the members.
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Where the census table neither is nor can be had, its example is shown, but not run.
try:
    fetch_adult()
    run_pattern = r"/plot_"
except OSError as error:
    print(f"plot_label_issues.py is not run: {error}")
    run_pattern = r"/plot_(?!label_issues)"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": run_pattern,
    # Scripts for the command line, such as demo.py, are no gallery pages.
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "reset_modules": ("matplotlib",),
}

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_memgen"
html_static_path = ["_static"]
html_show_sourcelink = False
html_sidebars = {"quickstart": [], "api": []}
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}


def skip_members_from_elsewhere(app, what, name, obj, skip, options):
    """Leave out members inherited from, or written by, scikit-learn, skorch and torch.

    Their docstrings point into documentation that is not ours.
    """
    home = getattr(getattr(obj, "fget", obj), "__module__", None)
    return True if home and not home.startswith(project) else None


def setup(app):
    app.connect("autodoc-skip-member", skip_members_from_elsewhere)
