"""What all tests of rules share."""

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Compiled patterns are kept in a folder of the test run, not in the user's."""
    folder = tmp_path_factory.getbasetemp() / "patterns"
    monkeypatch.setenv("SKLEARN_MEMGEN_CACHE", str(folder))
