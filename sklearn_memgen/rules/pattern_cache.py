"""Compiled patterns on disk, found again by what they were compiled from.

The folder is the one named by the environment variable ``SKLEARN_MEMGEN_CACHE``, or
else ``sklearn_memgen`` in the user's folder of caches. If the variable is empty,
nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import sys
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["cache_folder", "make_key", "read", "write"]

#: To be raised when the same patterns would be compiled to something else.
_FORMAT = 1
#: So many files are kept, those used last.
_MAX_FILES = 50


def cache_folder() -> Path | None:
    """Return the folder in which compiled patterns are kept.

    Returns
    -------
    folder : Path or None
        It may not be there yet. None if nothing is to be kept.
    """
    chosen = os.environ.get("SKLEARN_MEMGEN_CACHE")
    if chosen is not None:
        return Path(chosen).expanduser() if chosen.strip() else None
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    try:
        return Path(caches).expanduser() / "sklearn_memgen"
    except RuntimeError:  # a user without a home
        return None


def make_key(engine: Any, content: Iterable[Any]) -> str:
    """Return what stands for patterns, and for all that they are compiled by.

    Parameters
    ----------
    engine : module
        The engine.
    content : iterable of tuple or bool
        The patterns with their flags, and whatever else makes a difference.

    Returns
    -------
    key : str
        The same only for the same patterns, the same versions and the same kind of
        processor.
    """
    probe = engine.Database(mode=engine.HS_MODE_BLOCK)
    probe.compile(expressions=[b"a"])
    by = [
        _FORMAT,
        engine.__version__,
        probe.info().decode(),
        platform.machine(),
        sys.byteorder,
        sys.version_info[:2],
        unicodedata.unidata_version,
    ]
    # JSON escapes what UTF-8 does not have, such as lone surrogates.
    return hashlib.sha256(json.dumps([by, *content]).encode()).hexdigest()


def read(key: str) -> tuple[dict[str, np.ndarray], bytes] | None:
    """Return what was written under a key.

    Parameters
    ----------
    key : str
        As of `make_key`.

    Returns
    -------
    arrays : dict of str to ndarray
        The alphabet.
    compiled : bytes
        The engine's database. None instead of both if there is no such file, or if it
        is damaged.
    """
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / f"{key}.patterns"
    try:
        digest, content = path.read_bytes().split(b"\n", 1)
        if digest.decode() != _digest(key, content):
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
        with contextlib.suppress(OSError):
            os.utime(path)
        return arrays, arrays.pop("compiled").tobytes()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def write(key: str, arrays: dict[str, np.ndarray], compiled: bytes) -> None:
    """Keep compiled patterns under a key, as far as the folder can be written to.

    Parameters
    ----------
    key : str
        As of `make_key`.
    arrays : dict of str to ndarray
        The alphabet.
    compiled : bytes
        The engine's database.
    """
    folder = cache_folder()
    if folder is None:
        return
    buffer = io.BytesIO()
    everything: Any = {"compiled": np.frombuffer(compiled, dtype=np.uint8), **arrays}
    np.savez(buffer, **everything)
    content = buffer.getvalue()
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Another process may read or write the same file at the same time.
        handle, name = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(key, content).encode() + b"\n" + content)
            os.replace(name, folder / f"{key}.patterns")
        except OSError:
            os.unlink(name)
        _remove_old(folder)


def _digest(key: str, content: bytes) -> str:
    return hashlib.sha256(key.encode() + content).hexdigest()


def _remove_old(folder: Path) -> None:
    files = sorted(folder.glob("*.patterns"), key=lambda path: path.stat().st_mtime)
    for path in files[:-_MAX_FILES]:
        path.unlink(missing_ok=True)
