"""Sphinx configuration: pages, docstrings, and the demos as executed pages."""

from pathlib import Path

import pointlaw

HERE = Path(__file__).parent
DEMOS = HERE.parent / "demos"

project = "pointlaw"
author = "The pointlaw founders"
version = release = pointlaw.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"pointlaw {version}"
exclude_patterns = ["_build", "conf.py"]

myst_enable_extensions = ["dollarmath", "colon_fence"]
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_timeout = 600
nb_execution_raise_on_error = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False
suppress_warnings = ["mystnb.unknown_mime_type"]


def copy_demos() -> None:
    """Bring the demos among the pages; a hidden first cell gives them what a script has and a notebook has not.

    That is ``__file__``, and the folder of the script as the first place where modules are looked for.
    """
    pages = HERE / "demos"
    pages.mkdir(exist_ok=True)
    for old in pages.glob("demo_*.py"):
        old.unlink()
    for demo in sorted(DEMOS.glob("demo_*.py")):
        script = f"import sys\n\n__file__ = {str(demo)!r}\nsys.path.insert(0, {str(DEMOS)!r})\n"
        hidden = f'# %% tags=["remove-cell"]\n{script}\n'
        (pages / demo.name).write_text(hidden + demo.read_text(encoding="utf-8"), encoding="utf-8")


copy_demos()
