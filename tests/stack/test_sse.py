"""The examples that follow a thread: as server-sent events over HTTP, and in a plain script."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from customer_tickets import CustomerTickets
from faces import Office
from fix_stack import People, Person
from remote_project import Stack

ROOT = Path(__file__).parents[2]
SERVE = """
import asyncio, socket, sys, uvicorn
sys.path.insert(0, sys.argv[1])
from sse import app
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(app(), log_level="warning", timeout_graceful_shutdown=2))
asyncio.run(server.serve(sockets=[listening]))
"""


@pytest.fixture
def server(stack: Stack) -> Iterator[str]:
    """The example, in a process of its own; it must end without a word."""
    running = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVE, str(ROOT / "examples")],
        env=environment(stack),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(running.stdout.readline())}"
    finally:
        running.terminate()
        try:
            _, said = running.communicate(timeout=15)
        finally:
            running.kill()
            running.wait()
    assert said == ""


def environment(stack: Stack) -> dict[str, str]:
    return {
        **os.environ,
        "SUPABASE_URL": stack.url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
    }


@pytest.fixture
def ticket(stack: Stack, people: People) -> UUID:
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        return tickets.create(organization=people.organization_id, subject="Help").id


def signed_in(server: str, person: Person) -> dict[str, str]:
    answer = httpx.post(
        f"{server}/sign-in", json={"email": person.email, "password": person.password}
    )
    assert answer.status_code == 200, answer.text
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


@contextmanager
def stream(
    server: str, ticket: UUID, headers: dict[str, str]
) -> Iterator[Iterator[dict[str, Any]]]:
    address = f"{server}/tickets/{ticket}/events"
    with httpx.stream("GET", address, headers=headers, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield parsed(answer.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """What a browser makes of it."""
    fields: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield {**fields, "data": json.loads(fields["data"])}
            fields = {}


def read(events: Iterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    numbered = (event for event in events if "id" in event)
    return [next(numbered) for _ in range(count)]


def test_a_browser_that_comes_back_loses_nothing(
    server: str, people: People, ticket: UUID, office: Office
) -> None:
    cookie = signed_in(server, people.ana)
    with stream(server, ticket, cookie) as events:
        office.answer(ticket, "line\none\u2028two")
        office.answer(ticket, "Between us", internal=True)
        first = read(events, 2)
    assert [(event["event"], event["id"]) for event in first] == [
        ("created", "1"),
        ("message", "2"),
    ]
    assert first[1]["data"]["message"]["body"] == "line\none\u2028two"
    office.answer(ticket, "While nobody listens")
    office.set_status(ticket, "in-progress")
    with stream(server, ticket, cookie | {"Last-Event-ID": first[-1]["id"]}) as events:
        office.answer(ticket, "And now")
        again = read(events, 3)
    assert [event["id"] for event in again] == ["3", "4", "5"]
    assert again[2]["data"]["message"]["body"] == "And now"


def test_signing_out_ends_the_streams_in_words(server: str, people: People, ticket: UUID) -> None:
    cookie = signed_in(server, people.ana)
    with stream(server, ticket, cookie) as events, stream(server, ticket, cookie) as others:
        assert read(events, 1)[0]["id"] == "1"
        assert httpx.post(f"{server}/sign-out", headers=cookie).status_code == 200
        assert list(events)[-1]["data"] == {"reason": "signed_out"}
        assert list(others)[-1]["event"] == "stopped"
    address = f"{server}/tickets/{ticket}/events"
    assert httpx.get(address, headers=cookie).status_code == 401


def test_each_sees_only_their_own(server: str, people: People, ticket: UUID) -> None:
    address = f"{server}/tickets/{ticket}/events"
    assert httpx.get(address).status_code == 401
    assert httpx.get(address, headers={"Cookie": "tickets_session=x"}).status_code == 401
    ben = signed_in(server, people.ben)
    assert httpx.get(address, headers=ben).status_code == 404
    assert httpx.get(f"{server}/tickets/x/events", headers=ben).status_code == 404
    ana = signed_in(server, people.ana)
    for number in ("-1", "x", "²"):
        wrong = ana | {"Last-Event-ID": number}
        answer = httpx.get(address, headers={k.encode(): v.encode() for k, v in wrong.items()})
        assert answer.status_code == 400
    wrong_password = {"email": people.ana.email, "password": "wrong"}
    assert httpx.post(f"{server}/sign-in", json=wrong_password).status_code == 403


def test_the_script_goes_on_where_it_was_interrupted(
    stack: Stack, people: People, ticket: UUID, office: Office, tmp_path: Path
) -> None:
    def run(count: int) -> list[str]:
        running = subprocess.Popen(
            [sys.executable, "-W", "error", str(ROOT / "examples" / "watch.py"), str(ticket)],
            env=environment(stack)
            | {"TICKETS_EMAIL": people.ana.email, "TICKETS_PASSWORD": people.ana.password},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert running.stdout is not None
        lines = [running.stdout.readline().strip() for _ in range(count)]
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        more, said = running.communicate(timeout=15)
        assert (running.returncode, more, said) == (130, "", "")
        return lines

    office.answer(ticket, "One")
    assert run(2) == ["1 created Ana", "2 message Eva One"]
    office.answer(ticket, "Two")
    office.answer(ticket, "Three")
    assert run(2) == ["3 message Eva Two", "4 message Eva Three"]
    assert (tmp_path / "last_seq").read_text() == "4"
