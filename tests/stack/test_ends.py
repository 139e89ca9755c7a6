"""However a program ends in the middle of something, it ends at once and without a word."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from customer_tickets.devstack import LocalStack
from fix_stack import People
from tcp_proxy import TcpProxy

CHILD = Path(__file__).with_name("ends_child.py")
DURING = ["feed", "reconnecting", "list", "send", "editor", "upload"]
ENDS = {
    "blocking": ["ctrl_c", "exit", "drop", "fork"],
    "async": ["ctrl_c", "exit", "drop", "fork", "cancel"],
}

pytestmark = [pytest.mark.faults, pytest.mark.slow]

# With bytes still unsent, httpx's connection may be left to the collector, which then says so in
# development mode: of a program that never closed its client.
UNSENT = ("async", "exit", "upload")


@pytest.fixture
def way(proxy: TcpProxy) -> Iterator[TcpProxy]:
    # Slow enough that an upload, or a message, can be ended in the middle.
    proxy.latency = 0.03
    yield proxy
    proxy.latency = 0.0


def begun(
    face: str, during: str, end: str, way: TcpProxy, stack: LocalStack, people: People
) -> "subprocess.Popen[str]":
    who = (people.ana.email, people.ana.password, str(people.organization_id))
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-X", "dev", str(CHILD), face, during, end],
        env={
            **os.environ,
            "PYTHONASYNCIODEBUG": "1",
            "ENDS_CHILD": "\n".join((way.url, stack.publishable_key, *who)),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("during", DURING)
@pytest.mark.parametrize(
    ("face", "end"), [(face, end) for face, ends in ENDS.items() for end in ends]
)
def test_it_ends_at_once_and_says_nothing(
    face: str, end: str, during: str, way: TcpProxy, stack: LocalStack, people: People
) -> None:
    if during == "reconnecting":
        way.slam()
    running = begun(face, during, end, way, stack, people)
    assert running.stdout is not None
    watchdog = threading.Timer(40, running.kill)
    watchdog.start()
    try:
        first = running.stdout.readline()
        began = time.monotonic()
        rest, said = running.communicate()
    finally:
        watchdog.cancel()
    if (face, end, during) == UNSENT:
        assert "destroyed" not in said
        assert "never awaited" not in said
    else:
        assert said == ""
    left = "-" if end in {"ctrl_c", "exit", "fork"} else "[]"
    assert (first, rest, running.returncode) == ("ready\n", f"threads {left}\n", 0)
    assert time.monotonic() - began < 6
