"""The floors of the house: a file imports only from below."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sklearn_memgen"
FILES = sorted(PACKAGE.rglob("*.py"))
#: What may import from all floors.
ENTRANCES = ("__init__.py", "__main__.py", "_command_line.py")
GROUND = {"tables", "nets", "training", "rules", "datasets"}
FORBIDDEN = {
    "nets": {"numpy", "pandas", "sklearn", "skorch"},
    "tables": {"skorch"},
    "rules": {"torch", "skorch"},
}


def imports(path: Path) -> set[str]:
    """Return the dotted names of all modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_come_from_below(path):
    floor = path.relative_to(PACKAGE).parts[0]
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] not in FORBIDDEN.get(floor, set()), f"{floor} imports {name}"
        if parts[0] != "sklearn_memgen" or floor not in GROUND:
            continue
        inside = parts[1:2] in ([], [floor], ["_sklearn"], ["_warnings"])
        assert inside, f"{path}: the ground floor imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_inspection_is_the_floor_above_the_estimators(path):
    if path.relative_to(PACKAGE).parts[0] in ("inspection", *ENTRANCES):
        return
    above = [n for n in imports(path) if n.startswith("sklearn_memgen.inspection")]
    assert not above, f"{path} imports {above} from above"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_private_scikit_learn_comes_through_the_shim(path):
    if path.name == "_sklearn.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sklearn."):
            names = [node.module, *(alias.name for alias in node.names)]
            private = [n for n in names for p in n.split(".") if p.startswith("_")]
            assert not private, f"{path} imports {private}"


def test_import_changes_no_global_state():
    """Warning filters, pandas options, thread counts and seeds stay as they were."""
    script = """
import warnings, numpy, pandas, torch, skorch, sklearn, narwhals
import sklearn.utils.estimator_checks
def state():
    return (
        list(warnings.filters), torch.get_num_threads(),
        pandas.options.mode.copy_on_write, pandas.get_option("display.max_rows"),
        numpy.random.get_state()[1].tolist(),
        torch.random.get_rng_state().tolist(), torch.get_default_dtype(),
    )
before = state()
import sklearn_memgen, sklearn_memgen.datasets
assert state() == before
import sys
assert "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
