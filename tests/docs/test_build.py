"""The pages build without a warning, every reference resolved."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT


@pytest.mark.slow
def test_the_docs_build(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "index.html").exists()
