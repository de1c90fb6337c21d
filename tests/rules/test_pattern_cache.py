"""Compiled patterns come back from the disk, and nothing on it can do harm."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sklearn_memgen.rules import pattern_cache
from sklearn_memgen.rules.databases import Pattern, compile_patterns

PATTERNS = (Pattern(r"\brings?\b"), Pattern("größe", False))
TEXTS = ["gold ring", "GRÖSSE", "GRÖßE", ""]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Everything is worth keeping, in an empty folder."""
    folder = tmp_path / "deep" / "cache"
    monkeypatch.setenv("SKLEARN_MEMGEN_CACHE", str(folder))
    monkeypatch.setattr("sklearn_memgen.rules.databases._WORTH_KEEPING", 0)
    compile_patterns.cache_clear()
    yield folder
    compile_patterns.cache_clear()


def compile_again():
    compile_patterns.cache_clear()
    database = compile_patterns(PATTERNS)
    expected = [[1, 0], [0, 0], [0, 1], [0, 0]]
    np.testing.assert_array_equal(database.find(TEXTS).toarray(), expected)


@pytest.fixture
def compilations(monkeypatch):
    done = []
    compile = sys.modules["sklearn_memgen.rules.databases"]._compile
    monkeypatch.setattr(
        "sklearn_memgen.rules.databases._compile",
        lambda *args: done.append(1) or compile(*args),
    )
    return done


def test_patterns_are_compiled_once(folder, compilations):
    compile_again()
    (file,) = folder.iterdir()
    assert file.suffix == ".patterns" and len(compilations) == 1
    assert file.stat().st_mode & 0o077 == 0  # nobody else has to write there
    compile_again()
    assert len(compilations) == 1
    compile_patterns(PATTERNS, newlines=False)
    compile_patterns(PATTERNS[:1])
    assert len(compilations) == 3 and len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign", "renamed"])
def test_a_damaged_file_is_compiled_anew(damage, folder, compilations):
    compile_again()
    (file,) = folder.iterdir()
    content = file.read_bytes()
    if damage == "renamed":
        # What was compiled from other patterns is not taken for these.
        compile_patterns(PATTERNS[:1])
        (other,) = set(folder.iterdir()) - {file}
        content = other.read_bytes()
    file.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "flip": content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
            "empty": b"",
            "foreign": b"\xff\n" * 50,
            "renamed": content,
        }[damage]
    )
    before = len(compilations)
    compile_again()
    assert len(compilations) == before + 1
    compile_again()
    assert len(compilations) == before + 1


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path, folder, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SKLEARN_MEMGEN_CACHE", str(tmp_path / "file" / "below"))
    compile_again()
    monkeypatch.setattr("os.replace", _refuse)
    monkeypatch.setenv("SKLEARN_MEMGEN_CACHE", str(folder))
    compile_again()
    assert list(folder.iterdir()) == []


def _refuse(*args):
    raise PermissionError("read-only")


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_MEMGEN_CACHE", "")
    assert pattern_cache.cache_folder() is None
    assert pattern_cache.read("key") is None
    pattern_cache.write("key", {}, b"")
    monkeypatch.delenv("SKLEARN_MEMGEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pattern_cache.cache_folder() == tmp_path / "sklearn_memgen"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert pattern_cache.cache_folder() == tmp_path / ".cache" / "sklearn_memgen"


def test_old_files_go(folder, monkeypatch):
    monkeypatch.setattr(pattern_cache, "_MAX_FILES", 3)
    folder.mkdir(parents=True)
    for i in range(6):
        path = folder / f"{i}.patterns"
        path.write_text("")
        os.utime(path, (i, i))
    compile_again()
    names = {path.stem for path in folder.iterdir()}
    assert len(names) == 3 and {"4", "5"} < names


def test_small_sets_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_MEMGEN_CACHE", str(tmp_path))
    monkeypatch.setattr("sklearn_memgen.rules.databases._WORTH_KEEPING", 60)
    compile_again()
    assert list(tmp_path.iterdir()) == []


def test_importing_writes_nothing(tmp_path):
    script = "import sklearn_memgen.rules"
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    del environment["SKLEARN_MEMGEN_CACHE"]
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert not (tmp_path / ".cache" / "sklearn_memgen").exists()
