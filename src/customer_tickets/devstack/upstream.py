"""HTTP/1.1 to the parts behind the gateway: kept connections, and bodies as they come.

A general client costs a third of a millisecond per request; this one knows that it talks to four
parts of this stack, over loopback, and looks at nothing that the gateway does not need.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import hdrs
from aiohttp.streams import StreamReader as Incoming
from multidict import CIMultiDict

from customer_tickets.devstack.process import LOOPBACK

# The parts close idle connections after 30 s; this has to be sooner, or a request would now and
# then be written to a connection that is being closed.
_IDLE_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_PIECE = 1 << 16
_BODILESS = frozenset({204, 304})
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


class PartLost(Exception):
    """The part went away before its answer was whole."""


@dataclass(slots=True)
class Asked:
    """One request as it goes to a part: the head's lines, and the body.

    A body that is an incoming stream is sent as it comes, chunked when its `length` is not known.
    """

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes | Incoming | None = None
    length: int | None = None

    def head(self) -> bytes:
        """Return the head, with the length or encoding that tells where the body ends."""
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if isinstance(self.body, bytes):
            lines.append(f"Content-Length: {len(self.body)}")
        elif self.length is not None:
            lines.append(f"Content-Length: {self.length}")
        elif self.body is not None:
            lines.append("Transfer-Encoding: chunked")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


class Answer:
    """The head of a part's answer, and its body piece by piece."""

    def __init__(self, reader: asyncio.StreamReader, method: str) -> None:
        self._reader = reader
        self._method = method
        self._left: int | None = None
        self._chunked = False
        self.status = 0
        self.headers = CIMultiDict[str]()
        self.ended = False
        self.keeps_connection = False

    async def read_head(self) -> None:
        """Read up to where the body begins."""
        text = (await self._reader.readuntil(b"\r\n\r\n")).decode("utf-8", "surrogateescape")
        first, *lines = text[:-4].split("\r\n")
        self.status = int(first[9:12])
        for line in lines:
            name, _, value = line.partition(":")
            self.headers.add(name, value.strip())
        length = self.headers.get(hdrs.CONTENT_LENGTH)
        self._chunked = "chunked" in self.headers.get(hdrs.TRANSFER_ENCODING, "").lower()
        if self._method == hdrs.METH_HEAD or self.status in _BODILESS:
            self.ended = True
        elif length is not None and not self._chunked:
            self._left = int(length)
            self.ended = self._left == 0
        framed = self.ended or self._chunked or length is not None
        closes = self.headers.get(hdrs.CONNECTION, "").lower() == "close"
        self.keeps_connection = framed and not closes and first.startswith("HTTP/1.1")

    async def small(self) -> bytes:
        """Return the body as far as it fits into one write: all of it when `ended` is true then."""
        pieces: list[bytes] = []
        size = 0
        while not self.ended and size < _PIECE:
            pieces.append(await self.piece())
            size += len(pieces[-1])
        return b"".join(pieces)

    async def piece(self) -> bytes:
        """Return what comes next; empty when `ended` is true then. Raises PartLost."""
        try:
            if self._chunked and not self._left:
                await self._next_chunk()
            if self.ended:
                return b""
            wanted = _PIECE if self._left is None else min(_PIECE, self._left)
            data = await self._reader.read(wanted)
            if self._left is None:
                # Its end is that of the connection.
                self.ended = not data
                return data
            if not data:
                raise PartLost
            self._left -= len(data)
            if self._chunked and not self._left:
                await self._reader.readexactly(2)
                # Most often the last one is here already: the answer is whole then.
                await self._next_chunk()
            elif not self._left:
                self.ended = True
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            raise PartLost from error
        return data

    async def _next_chunk(self) -> None:
        size = await self._reader.readuntil(b"\r\n")
        self._left = int(size.split(b";")[0], 16)
        if self._left == 0:
            # Trailers, if any, and the empty line.
            while await self._reader.readuntil(b"\r\n") != b"\r\n":
                pass
            self.ended = True


class _Connection:
    """One connection to a part."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sending: asyncio.Task[None] | None = None
        self.used = False
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        recent = time.monotonic() - self.idle_since < _IDLE_SECONDS
        return recent and not self._reader.at_eof() and not self._writer.is_closing()

    @property
    def has_sent(self) -> bool:
        return self._sending is None or self._sending.done()

    async def ask(self, asked: Asked) -> Answer:
        if isinstance(asked.body, Incoming):
            self._writer.write(asked.head())
            self._sending = asyncio.create_task(self._send(asked.body, asked.length is None))
            # Its failure is looked at only when no answer comes.
            self._sending.add_done_callback(lambda task: task.cancelled() or task.exception())
        else:
            self._sending = None
            self._writer.write(asked.head() + (asked.body or b""))
        answer = Answer(self._reader, asked.method)
        try:
            await answer.read_head()
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            if self._sending is not None and self._sending.done() and self._sending.exception():
                raise ConnectionResetError("the client went away") from self._sending.exception()
            raise PartLost from error
        return answer

    async def _send(self, body: Incoming, chunked: bool) -> None:
        try:
            async for piece in body.iter_any():
                self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                # A part that refuses the rest may have closed: its answer tells.
                with contextlib.suppress(ConnectionError):
                    await self._writer.drain()
                if self._writer.is_closing():
                    return
            if chunked:
                self._writer.write(b"0\r\n\r\n")
        except BaseException:
            # Half a body must not look like a whole one.
            self._writer.transport.abort()
            raise

    def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        self._writer.close()


class Upstream:
    """Connections to the parts, kept for the next request."""

    def __init__(self) -> None:
        self._idle: dict[int, list[_Connection]] = {}

    @asynccontextmanager
    async def exchange(self, port: int, asked: Asked) -> AsyncGenerator[Answer]:
        """Send a request to the part on this port; yields its answer when the head is there.

        Raises ConnectionRefusedError when nobody listens (the request did not go out), PartLost
        when the part went away.
        """
        connection = self._kept(port) or await self._connected(port)
        try:
            try:
                answer = await connection.ask(asked)
            except PartLost:
                # Closed while it was idle, as it seems: harmless things may be asked twice.
                streamed = isinstance(asked.body, Incoming)
                if not connection.used or streamed or asked.method not in _REPEATABLE:
                    raise
                connection.close()
                connection = await self._connected(port)
                answer = await connection.ask(asked)
            yield answer
            if answer.ended and answer.keeps_connection and connection.has_sent:
                connection.used = True
                connection.idle_since = time.monotonic()
                self._idle.setdefault(port, []).append(connection)
                return
        except BaseException:
            connection.close()
            raise
        connection.close()

    def close(self) -> None:
        """Close the kept connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _kept(self, port: int) -> _Connection | None:
        connections = self._idle.get(port, [])
        while connections:
            connection = connections.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _connected(self, port: int) -> _Connection:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return _Connection(*await asyncio.open_connection(LOOPBACK, port, limit=1 << 17))
