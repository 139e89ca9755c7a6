"""The server as a process of its own: started, stopped, killed, and its Postgres restarted."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from customer_tickets.devstack.postgres import Postgres
from customer_tickets.devstack.process import free_port
from realtime_client import ANON_KEY, SECRET, Frames, serve

pytest_plugins = ("fix_realtime",)
pytestmark = [pytest.mark.anyio, pytest.mark.faults]


@contextmanager
def process(dsn: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A healthy server on that port."""
    command = [sys.executable, "-m", "customer_tickets.devstack.realtime", "--port", str(port)]
    command += ["--database-url", dsn, "--jwt-secret-env", "REALTIME_TEST_SECRET"]
    environment = os.environ | {"REALTIME_TEST_SECRET": SECRET}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as server:
        try:
            wait_until_healthy(port)
            yield server
        finally:
            server.kill()


def wait_until_healthy(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
                assert json.load(answer) == {"status": "ok"}
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_cleanly_and_soon_with_a_client_connected(
    realtime_dsn: str, topic: str, number: signal.Signals
) -> None:
    port = free_port()
    with process(realtime_dsn, port) as server:
        url = f"ws://127.0.0.1:{port}/socket/websocket?apikey={ANON_KEY}"
        async with connect(url) as client:
            await Frames(client).join_ready(topic)
            started = time.monotonic()
            server.send_signal(number)
            await client.wait_closed()
            assert client.close_code == 1012
        assert server.wait(5) == 0
        assert time.monotonic() - started < 1
        assert server.stderr is not None
        assert server.stderr.read() == b""


async def test_a_killed_server_can_be_started_again_on_its_port(
    realtime_dsn: str, topic: str
) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}/socket/websocket?apikey={ANON_KEY}"
    for _ in range(2):
        with process(realtime_dsn, port) as server:
            async with connect(url) as client:
                await Frames(client).join_ready(topic)
                server.kill()
                await client.wait_closed()
                assert client.close_code == 1006


@pytest.mark.slow
async def test_a_restart_of_postgres_is_survived(topic: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="customer-tickets-test-"))
    try:
        with Postgres.start(folder) as postgres:
            dsn = postgres.dsn("postgres", "supabase_admin")
            async with serve(dsn) as server, server.client() as client:
                await client.join_ready(topic)
                # Postgres waits for those who follow its log: we must not keep it.
                started = time.monotonic()
                await asyncio.to_thread(postgres.stop)
                assert time.monotonic() - started < 3
                assert (await client.join(f"{topic}:2"))["status"] == "error"
                await asyncio.to_thread(postgres.child.start)
                await client.join_ready(f"{topic}:2")
                await server.announce(topic, '{"n": 1}', private=False)
                frame = await client.until("broadcast")
                assert frame["payload"]["payload"]["n"] == 1
    finally:
        shutil.rmtree(folder)


def test_no_part_of_a_bad_request_is_logged(realtime_dsn: str) -> None:
    port = free_port()
    with process(realtime_dsn, port) as server:
        for request in (
            b"GET /socket/websocket?apikey=" + b"hidden" * 3000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nauthorization: " + b"hidden" * 3000 + b"\r\n\r\n",
            b"hidden\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(request)
                assert b" 400 " in connection.recv(100)
        wait_until_healthy(port)
        server.terminate()
        assert server.stderr is not None
        log = server.stderr.read()
    assert b"LineTooLong" in log
    assert b"hidden" not in log


def test_without_a_secret_it_says_so() -> None:
    command = [sys.executable, "-m", "customer_tickets.devstack.realtime", "--port", "1"]
    command += ["--database-url", "postgresql://x", "--jwt-secret-env", "NO_SUCH_VARIABLE"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "the variable NO_SUCH_VARIABLE holds no secret\n"
