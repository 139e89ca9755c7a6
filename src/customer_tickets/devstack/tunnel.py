"""One upgraded connection (a websocket), spliced byte by byte through the gateway.

Frames are not looked at: pings, close codes, extensions, refusals with a body, and a connection
that just breaks reach the other side as they are.
"""

import asyncio
import contextlib
from typing import cast

from aiohttp import web
from aiohttp.http import WebSocketReader
from multidict import CIMultiDict

from customer_tickets.devstack.process import LOOPBACK

# A side that does not read makes the other one wait from here on.
_MOST_UNREAD = 1 << 20
_CHUNK = 1 << 16


class _Upstream:
    """What aiohttp hands the client's bytes to, in the place of its own websocket parser."""

    def __init__(self, writer: asyncio.StreamWriter, client: asyncio.Transport) -> None:
        self._writer = writer
        self._client = client
        self._draining: asyncio.Task[None] | None = None

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > _MOST_UNREAD and not self._draining:
            self._client.pause_reading()
            self._draining = asyncio.create_task(self._drain())
        return False, b""

    def feed_eof(self) -> None:
        self._writer.close()

    async def _drain(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        self._draining = None
        if not self._client.is_closing():
            self._client.resume_reading()


async def splice(
    request: web.BaseRequest,
    port: int,
    target: str,
    headers: CIMultiDict[str],
    *,
    loses: bool = False,
) -> web.StreamResponse:
    """Repeat this upgrade request on a port of the loopback address and connect both sides.

    Ends when one side does; with `loses`, when the answer is here, which the client does not get.
    Raises OSError when nobody answers on that port.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    client = request.transport
    if client is None:
        writer.close()
        raise ConnectionResetError
    try:
        lines = [f"{request.method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))
        if loses:
            await reader.read(_CHUNK)
            raise ConnectionResetError
        upstream = _Upstream(writer, client)
        # It needs these two methods of a parser and nothing else of a WebSocketReader.
        request.protocol.set_parser(cast("WebSocketReader", upstream))
        while data := await reader.read(_CHUNK):
            client.write(data)
            await request.writer.drain()
        client.close()
    except ConnectionError:
        client.abort()
    finally:
        writer.close()
    # Nobody will read it: the connection is closed. aiohttp wants an answer for its own books.
    return web.Response()
