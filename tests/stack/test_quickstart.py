"""The examples run as they are, also when the realtime server dies in the conversation."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from customer_tickets.devstack import LocalStack
from remote_project import Stack

STORY = ["2.", "3.", "4.", "5.", "6.", "7.", "8.", "9.", "10"]
QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart.py"


def start(stack: Stack, pause: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(QUICKSTART)],
        env={
            **os.environ,
            "SUPABASE_URL": stack.url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
            "QUICKSTART_PAUSE": pause,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def events(output: str) -> list[str]:
    """The lines of the feed, without how long each took."""
    return [
        line.split("|")[1].split("(")[0].strip() for line in output.splitlines() if "ms)" in line
    ]


def test_the_quickstart_tells_the_whole_story(seeded: Stack) -> None:
    output, errors = start(seeded, "0").communicate(timeout=50)
    assert errors == ""
    assert [line[:2] for line in events(output)] == STORY
    assert "TicketClosedError: The ticket is closed." in output
    assert "Counts(open=" in output


@pytest.mark.faults
def test_it_tells_the_same_when_the_realtime_server_dies_in_the_middle(
    seeded: LocalStack,
) -> None:
    calm, _ = start(seeded, "0").communicate(timeout=50)
    running = start(seeded, "0.5")
    assert running.stdout is not None
    output = ""
    for line in running.stdout:
        output += line
        if "2. Eva" in line:
            seeded.realtime.kill()
        if "4. Ana" in line:
            seeded.realtime.start()
    assert running.wait(timeout=50) == 0
    assert running.stderr is not None
    assert running.stderr.read() == ""
    running.stdout.close()
    running.stderr.close()
    assert events(output) == events(calm)
    assert "(polling," in output  # the feed said so while it lasted
    assert "(live," in output


@pytest.mark.faults
def test_the_demo_starts_a_stack_tells_the_story_and_ends() -> None:
    done = subprocess.run(
        [sys.executable, str(QUICKSTART.with_name("demo.py"))],
        env={**os.environ, "QUICKSTART_PAUSE": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "A whole Supabase is up at http://127.0.0.1:" in done.stdout
    assert [line[:2] for line in events(done.stdout)] == STORY


def test_ctrl_c_ends_it_at_once_and_leaves_nothing(seeded: Stack) -> None:
    running = start(seeded, "30")
    assert running.stdout is not None
    while "Ana signs in" not in running.stdout.readline():
        assert running.poll() is None  # it came as far as its first pause
    running.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, errors = running.communicate(timeout=20)
    assert time.monotonic() - began < 3
    assert (running.returncode, errors) == (130, "")


def test_the_second_run_of_the_sessions_example_needs_no_password(
    seeded: Stack, tmp_path: Path
) -> None:
    said: list[str] = []
    for password in ("secret123", "wrong"):
        done = subprocess.run(
            [sys.executable, "-W", "error", str(QUICKSTART.with_name("sessions.py")), "session"],
            env={
                **os.environ,
                "SUPABASE_URL": seeded.url,
                "SUPABASE_PUBLISHABLE_KEY": seeded.publishable_key,
                "TICKETS_PASSWORD": password,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        said.append(done.stdout)
        if password == "secret123":
            assert (done.returncode, done.stderr) == (0, "")
    assert said[0].startswith("signed in with the password\n")
    assert said[0].endswith("signed out there too: True\n")
    assert said[1].startswith("signed in by the session in the file\n")
