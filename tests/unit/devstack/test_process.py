import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from customer_tickets.devstack.process import Child, StackError
from customer_tickets.devstack.supervise import Supervisor

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def eventually(question: object, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    assert callable(question)
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie is gone in all but name.
    return ") Z" not in Path(f"/proc/{pid}/stat").read_text()


def child(folder: Path, command: list[str], name: str = "sleeper") -> Child:
    return Child(name, command, log=folder / "log", healthy=lambda: True)


def test_a_child_starts_stops_and_starts_again(tmp_path: Path) -> None:
    sleeper = child(tmp_path, SLEEP)
    sleeper.start()
    first = sleeper.pid
    assert sleeper.running
    sleeper.stop()
    assert not sleeper.running
    sleeper.start()
    assert sleeper.pid != first
    sleeper.kill()
    assert not sleeper.running
    assert sleeper.how_it_ended() == "was killed by SIGKILL"


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, pathlib, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"pathlib.Path({str(tmp_path / 'deaf')!r}).touch(); time.sleep(60)"
    )
    stubborn = Child(
        "stubborn",
        [sys.executable, "-c", deaf],
        log=tmp_path / "log",
        healthy=(tmp_path / "deaf").exists,
        patience=0.2,
    )
    stubborn.start()
    stubborn.stop()
    assert stubborn.how_it_ended() == "was killed by SIGKILL"


def test_a_child_that_ends_at_once_is_said_with_its_last_words(tmp_path: Path) -> None:
    broken = Child(
        "the broken part",
        [sys.executable, "-c", "import sys; sys.exit('no such colour: octarine')"],
        log=tmp_path / "log",
        healthy=lambda: False,
    )
    with pytest.raises(StackError, match=r"(?s)the broken part ended by itself.*octarine"):
        broken.start()


def test_a_child_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    lazy = Child("lazy", SLEEP, log=tmp_path / "log", healthy=lambda: False)
    with pytest.raises(StackError, match="lazy was not ready within 0 s"):
        lazy.start(timeout=0.1)
    assert not lazy.running


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot tie two lives")
def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from threading import Thread
sys.path.insert(0, {str(Path(__file__).parents[3] / "src")!r})
from customer_tickets.devstack.process import Child
child = Child("c", {SLEEP!r}, log=Path({str(tmp_path / "log")!r}), healthy=lambda: True)
# Started by a thread that is over while the process goes on.
thread = Thread(target=child.start); thread.start(); thread.join()
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.2)
        assert exists(pid)
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not exists(pid))


def test_a_child_that_dies_by_itself_is_reported_and_started_again(tmp_path: Path) -> None:
    sleeper = child(tmp_path, SLEEP)
    sleeper.start()
    reports: list[str] = []
    supervisor = Supervisor([sleeper], reports.append)
    try:
        first = sleeper.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: sleeper.running and sleeper.pid != first)
        assert reports == ["sleeper was killed by SIGKILL; starting it again."]
        # Whoever kills it through the stack wants it dead.
        sleeper.kill()
        time.sleep(0.5)
        assert not sleeper.running
    finally:
        supervisor.stop()
        sleeper.kill()


def test_a_child_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    mayfly = child(tmp_path, [sys.executable, "-c", "raise SystemExit(3)"], "mayfly")
    mayfly.start()
    reports: list[str] = []
    supervisor = Supervisor([mayfly], reports.append)
    try:
        assert eventually(lambda: not mayfly.wanted)
    finally:
        supervisor.stop()
    assert reports[-1] == "mayfly ended by itself with exit code 3 again; giving it up."
