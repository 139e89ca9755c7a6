"""The example about attachments runs as it is."""

import os
import subprocess
import sys
from pathlib import Path

from remote_project import Stack

EXAMPLE = Path(__file__).parents[2] / "examples" / "attachments.py"


def run(stack: Stack, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), *words],
        env={
            **os.environ,
            "SUPABASE_URL": stack.url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_it_sends_and_saves(seeded: Stack, tmp_path: Path) -> None:
    done = run(seeded, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "orders.csv: 21 bytes" in done.stdout
    assert "video.mp4: 5,000,000 bytes" in done.stdout
    assert "5.0/5.0 MB" in done.stdout  # the bar
    assert "left over: 0" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_is_wrong(seeded: Stack, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>")
    done = run(seeded, tmp_path, "none.pdf", "page.html")
    assert done.returncode == 1
    assert "attachments[0]: cannot be read (No such file or directory)" in done.stderr
    (tmp_path / "none.pdf").touch()
    done = run(seeded, tmp_path, "none.pdf", "page.html")
    assert "attachments[1]: has the type text/html, which is not taken" in done.stderr
