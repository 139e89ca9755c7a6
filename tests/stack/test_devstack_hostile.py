"""Requests that want to confuse the gateway, and clients that leave in the middle."""

import asyncio
import json
import socket
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.gateway import Gateway, Route
from customer_tickets.devstack.keys import Keys

pytestmark = pytest.mark.faults

KEYS = Keys.made_now()
KEY = f"apikey: {KEYS.secret}\r\n".encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def between() -> AsyncGenerator[tuple[int, bytearray]]:
    """A gateway in front of a part that answers every head and notes every byte it gets."""
    seen = bytearray()
    serving: list[asyncio.StreamWriter] = []

    async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(writer)
        heads = 0
        while data := await reader.read(1 << 16):
            seen.extend(data)
            new = seen.count(b"HTTP/1.1\r\n") - heads
            heads += new
            writer.write(OK * new)
        writer.close()

    server = await asyncio.start_server(part, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gateway = Gateway(KEYS, [Route("/rest/v1/", "REST", port, "/")], faults=False)
    runner = web.ServerRunner(web.Server(gateway.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1], seen
    finally:
        await runner.cleanup()
        gateway.close()
        server.close()
        for writer in serving:
            writer.close()
            await writer.wait_closed()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "request_bytes",
    [
        # Two lengths, a length and chunks, chunks in disguise: where does the body end?
        b"POST /rest/v1/a HTTP/1.1\r\nHost: x\r\n" + KEY + b"Content-Length: 5\r\n"
        b"Content-Length: 60\r\n\r\nab=12GET /rest/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /rest/v1/a HTTP/1.1\r\nHost: x\r\n" + KEY + b"Content-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /rest/v1/smuggled HTTP/1.1\r\n\r\n",
        b"POST /rest/v1/a HTTP/1.1\r\nHost: x\r\n" + KEY + b"Content-Length: 48\r\n"
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /rest/v1/smuggled HTTP/1.1\r\n\r\n",
        b"POST /rest/v1/a HTTP/1.1\r\nHost: x\r\n" + KEY + b"Transfer-Encoding : chunked\r\n\r\n"
        b"0\r\n\r\nGET /rest/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        # A head within a header, a target or a folded line.
        b"GET /rest/v1/a HTTP/1.1\r\nHost: x\r\n" + KEY + b"X: a\rGET /smuggled HTTP/1.1\r\n\r\n",
        b"GET /rest/v1/a HTTP/1.1\r\nHost: x\r\n" + KEY + b"X: a\nGET /smuggled HTTP/1.1\r\n\r\n",
        b"GET /rest/v1/a HTTP/1.1\r\nHost: x\r\n"
        + KEY
        + b"X: a\r\n GET /smuggled HTTP/1.1\r\n\r\n",
        b"GET /rest/v1/a%0d%0aX:%20smuggled HTTP/1.1\r\nHost: x\r\n" + KEY + b"\r\n",
        b"GET /rest/v1/a?b=%0d%0a%0d%0aGET%20/smuggled HTTP/1.1\r\nHost: x\r\n" + KEY + b"\r\n",
        b"GET /rest/v1/a\xc4\x8d\xc4\x8asmuggled HTTP/1.1\r\nHost: x\r\n" + KEY + b"\r\n",
        b"GET http://other/rest/v1/a HTTP/1.1\r\nHost: x\r\n" + KEY + b"\r\n",
        b"GET /rest/v1/a HTTP/1.1\r\nHost: x\r\n" + KEY + b"X: \xff\xfe\x00\r\n\r\n",
    ],
    ids=range(12),
)
async def test_one_request_stays_one(request_bytes: bytes) -> None:
    async with between() as (port, seen):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes)
        async with asyncio.timeout(5):
            status = (await reader.readuntil(b"\r\n")).split(b" ")[1]
        assert status in (b"200", b"400", b"401")
        # What follows in the same bytes has no key of its own.
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
    heads = [line for line in bytes(seen).split(b"\r\n") if line.endswith(b" HTTP/1.1")]
    assert len(heads) <= 1, heads
    if heads:
        assert b"smuggled" not in heads[0] or b"%0" in heads[0].lower() or b"\xc4" in heads[0]


def bucket_with_limit(stack: LocalStack, web_client: httpx.Client, limit: str) -> str:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    made = {"id": name, "name": name, "file_size_limit": limit}
    answer = web_client.post(f"{stack.url}/storage/v1/bucket", json=made)
    assert answer.status_code == 200, answer.text
    return name


@pytest.mark.slow
def test_a_refused_upload_is_told_why(stack: LocalStack) -> None:
    with httpx.Client(headers={"apikey": stack.secret_key}, timeout=30) as client:
        bucket = bucket_with_limit(stack, client, "1MB")
        url = f"{stack.url}/storage/v1/object/{bucket}/big"
        answer = client.post(url, content=b"x" * (20 << 20))
        assert answer.status_code in (400, 413)
        assert answer.json()["error"] == "Payload too large"
        assert client.get(f"{stack.url}/health").status_code == 200


def gateway_log(stack: LocalStack) -> str:
    return Path(stack.gateway.log).read_text()


def test_no_log_holds_tokens_or_values_or_is_open_to_others(stack: LocalStack) -> None:
    long = "hidden" * 3000
    for header in (f"Authorization: Bearer {long}", f"apikey: hid\x00den{long}", "hidden"):
        with socket.create_connection(("127.0.0.1", stack.port), timeout=5) as raw:
            raw.sendall(f"GET /rest/v1/tickets HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
            assert b" 400 " in raw.recv(100)
    # What PostgREST refuses is asked with values, too.
    headers = {"apikey": stack.secret_key}
    for path in ("tickets?id=eq.hidden", "hidden?a=eq.hidden", "tickets?hidden=eq.hidden"):
        answer = httpx.get(f"{stack.url}/rest/v1/{path}", headers=headers)
        assert answer.status_code in (400, 404)
    assert "LineTooLong" in gateway_log(stack)
    parts = (stack.rest, stack.auth, stack.storage, stack.realtime, stack.gateway)
    for child in (stack.postgres.child, *parts):
        assert "hidden" not in child.log.read_text()
        assert child.log.stat().st_mode & 0o077 == 0


def test_a_client_that_leaves_in_the_middle_leaves_no_trace(stack: LocalStack) -> None:
    headers = {"apikey": stack.secret_key}
    with httpx.Client(headers=headers, timeout=30) as client:
        bucket = bucket_with_limit(stack, client, "50MB")
        url = f"{stack.url}/storage/v1/object/{bucket}/file"
        assert client.post(url, content=b"x" * (20 << 20)).status_code == 200
        before = gateway_log(stack)
        # In the middle of a download, ...
        with client.stream("GET", url) as answer:
            next(answer.iter_raw())
        # ... of an upload with a length, and of one in chunks.
        path = f"/storage/v1/object/{bucket}/half"
        for framing in (b"Content-Length: 1000000", b"Transfer-Encoding: chunked"):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\napikey: {stack.secret_key}\r\n".encode()
            with socket.create_connection(("127.0.0.1", stack.port)) as raw:
                raw.sendall(head + framing + b"\r\n\r\n" + b"8000\r\n" + b"x" * 0x8000)
                time.sleep(0.1)
        time.sleep(0.3)
        half = client.get(f"{stack.url}{path}")
        assert half.status_code == 400
        assert json.loads(half.text)["error"] == "not_found"
        assert client.get(url).content == b"x" * (20 << 20)
        assert gateway_log(stack) == before
