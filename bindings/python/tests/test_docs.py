"""The examples of the pages run, each page's in one process and folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.parametrize("page", ["python", "zarr", "xarray"])
def test_examples(tmp_path, page):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert examples
    (tmp_path / "example.py").write_text(
        "if __name__ == '__main__':\n" + "\n".join(re.sub("^", "    ", e, flags=re.MULTILINE) for e in examples)
    )
    ran = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert ran.returncode == 0, ran.stderr
    assert f"docs/{page}.md" in (ROOT / "README.md").read_text()
