"""The example about who is here and who types runs as it is."""

import os
import subprocess
import sys
from pathlib import Path

from remote_project import Stack

EXAMPLE = Path(__file__).parents[2] / "examples" / "people.py"


def test_they_see_one_another(seeded: Stack) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={
            **os.environ,
            "SUPABASE_URL": seeded.url,
            "SUPABASE_PUBLISHABLE_KEY": seeded.publishable_key,
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "here: ['Eva'] typing: []",
        "Eva sees that Ana types",
        "here: ['Eva'] typing: ['Eva']",
        "here: [] typing: []",
        "closed: stopped",
    ]
