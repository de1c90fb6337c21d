"""The code blocks of README.md run as they stand, in order, as a newcomer would."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_readme_blocks_run(tmp_path, monkeypatch):
    """Protects the first lines of code that anybody copies."""
    text = README.read_text(encoding="utf-8")
    blocks = list(PYTHON_BLOCK.finditer(text))
    assert blocks, "README.md has no ```python block"

    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in blocks:
        # Blank lines in front give tracebacks the line numbers of README.md.
        first_line = text.count("\n", 0, block.start(1))
        source = "\n" * first_line + block.group(1)
        exec(compile(source, str(README), "exec"), namespace)
