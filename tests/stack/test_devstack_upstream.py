"""The gateway's own HTTP client, against servers that answer in every way and misbehave."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from multidict import CIMultiDict

from customer_tickets.devstack.process import free_port
from customer_tickets.devstack.upstream import Asked, PartLost, Upstream

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\n"


class Part:
    """A server that answers each connection's requests with the next of these bytes."""

    def __init__(self, *answers: bytes, closes_after: int = 99) -> None:
        self.answers = list(answers)
        self.closes_after = closes_after
        self.connections = 0
        self.serving: set[asyncio.Task[object] | None] = set()
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.add(asyncio.current_task())
        served = 0
        try:
            while served < self.closes_after and self.answers:
                self.requests.append(await self.request(reader))
                writer.write(self.answers.pop(0))
                served += 1
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" in head:
            return head + await reader.readuntil(b"0\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head + await reader.readexactly(int(line.split(b":")[1]))
        return head


@asynccontextmanager
async def running(part: Part) -> AsyncGenerator[Upstream]:
    server = await asyncio.start_server(part.serve, "127.0.0.1", 0)
    part.port = server.sockets[0].getsockname()[1]
    upstream = Upstream()
    try:
        yield upstream
    finally:
        upstream.close()
        server.close()
        async with asyncio.timeout(5):
            await asyncio.gather(*(task for task in part.serving if task), return_exceptions=True)


async def asked(upstream: Upstream, part: Part, method: str = "GET") -> tuple[int, bytes]:
    async with upstream.exchange(part.port, Asked(method, "/", CIMultiDict())) as answer:
        body = await answer.small()
        while not answer.ended:
            body += await answer.piece()
        return answer.status, body


@pytest.mark.parametrize(
    ("method", "answer", "body"),
    [
        ("GET", HEAD + b"Content-Length: 2\r\n\r\nok", b"ok"),
        ("GET", HEAD + b"Content-Length: 0\r\n\r\n", b""),
        ("GET", HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (
            "GET",
            HEAD + b"transfer-encoding: Chunked\r\n\r\n2;x=y\r\nok\r\nA\r\n0123456789\r\n0\r\n"
            b"Trailer: x\r\n\r\n",
            b"ok0123456789",
        ),
        ("GET", HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
        ("HEAD", HEAD + b"Content-Length: 999\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b""),
        ("GET", HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000, b"x" * 200_000),
        (
            "GET",
            HEAD
            + b"Transfer-Encoding: chunked\r\n\r\n30d40\r\n"
            + b"x" * 200_000
            + b"\r\n0\r\n\r\n",
            b"x" * 200_000,
        ),
    ],
    ids=range(10),
)
async def test_a_body_ends_where_it_says(method: str, answer: bytes, body: bytes) -> None:
    part = Part(answer, answer)
    async with running(part) as upstream:
        for _ in range(2):
            assert await asked(upstream, part, method) == (int(answer[9:12]), body)
        assert part.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"\r\nto the end",
        HEAD + b"Connection: close\r\nContent-Length: 10\r\n\r\nto the end",
        b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nto the end",
    ],
)
async def test_a_connection_that_ends_is_not_kept(answer: bytes) -> None:
    part = Part(answer, answer, closes_after=1)
    async with running(part) as upstream:
        for _ in range(2):
            assert await asked(upstream, part) == (200, b"to the end")
        assert part.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        HEAD,
        b"nonsense\r\n\r\n",
        HEAD + b"Content-Length: 10\r\n\r\nhalf",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhalf",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhalf",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
    ],
    ids=range(7),
)
async def test_an_answer_that_breaks_off_is_a_lost_part(answer: bytes) -> None:
    part = Part(answer, closes_after=1)
    async with running(part) as upstream:
        with pytest.raises(PartLost):
            await asked(upstream, part)


async def test_a_connection_closed_while_idle_is_replaced() -> None:
    ok = HEAD + b"Content-Length: 2\r\n\r\nok"
    part = Part(ok, ok, closes_after=1)
    async with running(part) as upstream:
        assert await asked(upstream, part) == (200, b"ok")
        await asyncio.sleep(0.05)
        assert await asked(upstream, part, "POST") == (200, b"ok")


@pytest.mark.parametrize(("method", "again"), [("GET", True), ("POST", False)])
async def test_only_what_may_be_repeated_is(method: str, again: bool) -> None:
    ok = HEAD + b"Content-Length: 2\r\n\r\nok"
    # The second request is read, and its connection closed without a word.
    part = Part(ok, b"", ok, closes_after=2)
    async with running(part) as upstream:
        await asked(upstream, part)
        if again:
            assert await asked(upstream, part, method) == (200, b"ok")
        else:
            with pytest.raises(PartLost):
                await asked(upstream, part, method)
        assert len(part.requests) == 2 + again


async def test_nobody_there_is_said() -> None:
    with pytest.raises(ConnectionRefusedError):
        async with Upstream().exchange(free_port(), Asked("GET", "/", CIMultiDict())):
            pass


def stream(feed: Callable[[StreamReader], None]) -> StreamReader:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    reader = StreamReader(protocol, 1 << 16, loop=loop)
    feed(reader)
    return reader


def whole(reader: StreamReader) -> None:
    reader.feed_data(b"abc")
    reader.feed_eof()


@pytest.mark.parametrize("length", [3, None])
async def test_bodies_are_sent_as_they_come(length: int | None) -> None:
    part = Part(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" * 2)
    async with running(part) as upstream:
        body = Asked("POST", "/x", CIMultiDict({"A": "b"}), stream(whole), length)
        async with upstream.exchange(part.port, body) as answer:
            assert answer.status == 201
    [request] = part.requests
    assert request.startswith(b"POST /x HTTP/1.1\r\nA: b\r\n")
    ending = b"Content-Length: 3\r\n\r\nabc" if length else b"chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert request.endswith(ending)


async def test_a_client_that_goes_away_does_not_look_like_one_that_has_finished() -> None:
    def breaks(reader: StreamReader) -> None:
        reader.feed_data(b"abc")
        reader.set_exception(ConnectionResetError("the client is gone"))

    part = Part(HEAD + b"Content-Length: 0\r\n\r\n")
    async with running(part) as upstream:
        body = Asked("POST", "/", CIMultiDict(), stream(breaks), None)
        with pytest.raises(ConnectionResetError, match="the client went away"):
            async with upstream.exchange(part.port, body):
                pass
    assert part.requests == []


async def test_an_early_answer_is_passed_on_without_waiting_for_the_body() -> None:
    class Refusing(Part):
        async def request(self, reader: asyncio.StreamReader) -> bytes:
            return await reader.readuntil(b"\r\n\r\n")

    part = Refusing(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", closes_after=1)
    async with running(part) as upstream:
        body = Asked("POST", "/", CIMultiDict(), stream(lambda reader: None), 10)
        async with asyncio.timeout(2), upstream.exchange(part.port, body) as answer:
            assert answer.status == 413
