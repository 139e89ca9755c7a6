"""The examples, one a feature, run as they are and say what they are there to show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from customer_tickets.devstack import LocalStack
from docs.pages import ROOT

EXAMPLES = ROOT / "examples"


def run(stack: LocalStack, folder: Path, name: str, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *words],
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
    assert (done.returncode, done.stderr) == (0, "")
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lists.py", ["with 'order 12345':", "high Refund for order 12345", "and back: True"]),
        (
            "drafts.py",
            [
                "on the laptop: unsaved",
                "left the window: saved",
                "on the phone: The lamp flickers",
                "the laptop knew an older version: The draft was changed elsewhere.",
                "submitted: The lamp flickers, high",
                "twice is once: True",
                "the reply was thrown away",
            ],
        ),
        (
            "sending.py",
            [
                "pending It fell down.",
                "confirmed It fell down.",
                "not sent: The ticket is closed.",
                "failed Can you send a new one?",
                "confirmed Can you send a new one?",
            ],
        ),
        (
            "closing.py",
            ["reopen no: not_closed", "reopen yes, until", "followed up: True", "rated 3"],
        ),
    ],
)
def test_an_example_shows_its_feature(
    seeded_stack: LocalStack, tmp_path: Path, name: str, says: list[str]
) -> None:
    lines = iter(run(seeded_stack, tmp_path, name))
    # In this order, with whatever stands between.
    missing = [part for part in says if not any(part in line for line in lines)]
    assert missing == []
    assert list(tmp_path.iterdir()) == []


def test_the_feed_of_the_list_goes_on_where_it_stopped(
    seeded_stack: LocalStack, tmp_path: Path
) -> None:
    first = run(seeded_stack, tmp_path, "list_feed.py", "position.txt", "0.5")
    assert first[0] == "from now on"
    run(seeded_stack, tmp_path, "closing.py")
    second = run(seeded_stack, tmp_path, "list_feed.py", "position.txt", "0.5")
    assert second[0] == "from where the last run stopped"
    assert {"open The new bulb flickers", "open The lamp flickers"} <= set(second)
    third = run(seeded_stack, tmp_path, "list_feed.py", "position.txt", "0.5")
    assert third[1:] == ["nothing new for 0.5 seconds"]


def test_every_example_is_run_by_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    examples = {path for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb"}}
    assert examples
    # By its name, or imported from there.
    assert {
        path.name
        for path in examples
        if f'"{path.name}"' not in tests and f"\nfrom {path.stem} import" not in tests
    } == set()
