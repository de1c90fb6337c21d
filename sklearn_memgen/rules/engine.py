"""The multi-pattern engine, which is an extra."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

__all__ = ["has_engine", "import_engine"]

#: https://github.com/VectorCamp/vectorscan/issues/382
_FAULTY = "5.4.12"


def has_engine(*, required: bool = False) -> bool:
    """Return whether the engine is installed.

    Parameters
    ----------
    required : bool, default=False
        Whether to raise ImportError if it is not.

    Returns
    -------
    installed : bool
        True if it is.

    Raises
    ------
    ImportError
        If it is required, and not installed.
    """
    try:
        import_engine()
    except ImportError:
        if required:
            raise
        return False
    return True


def import_engine() -> Any:
    """Return the engine.

    Returns
    -------
    engine : module
        The package hyperscan.

    Raises
    ------
    ImportError
        If it is not installed, or of a version that misses texts.
    """
    try:
        engine = importlib.import_module("hyperscan")
    except ImportError as error:
        raise ImportError(
            "patterns are matched by hyperscan, which is not installed; install it by "
            "pip install 'sklearn-memgen[rules]'"
        ) from error
    if _FAULTY in _find_version(engine):
        raise ImportError(
            f"hyperscan {engine.__version__} brings Vectorscan {_FAULTY}, which misses "
            "texts; install another version by pip install 'sklearn-memgen[rules]'"
        )
    return engine


@lru_cache(maxsize=1)
def _find_version(engine: Any) -> str:
    """Return the version of the library, of which databases alone tell."""
    database = engine.Database(mode=engine.HS_MODE_BLOCK)
    database.compile(expressions=[b"a"])
    return database.info().decode()
