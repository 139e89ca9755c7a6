"""A TCP proxy in a thread, between a client and the stack, with faults to switch on."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

LOOPBACK = "127.0.0.1"
_CHUNK = 1 << 16


class TcpProxy:
    """Forwards every connection to one port of the loopback address; a context manager.

    Faults, each from the moment it is asked for: `cut` (now, with RST), `refuse` (new connections),
    `swallow_next_answer` (the request goes through, the answer does not, then RST), `half_open`
    (bytes vanish both ways, connections stay), `strand` (the same, but new connections work),
    `slam` (websockets are closed as soon as they are open; `upgrades` counts them), `latency`
    (seconds added each way). `heal` ends them all.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy")
        self._links: set[_Link] = set()
        self._accepting: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.latency = 0.0
        self.is_half_open = False
        self.refuses = False
        self.swallows = False
        self.swallowed = threading.Event()
        self.slams = False
        self.upgrades = 0

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._links)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Break every connection now, with RST; new ones work."""
        self._run(self._cut())

    def refuse(self) -> None:
        """Break every connection now and refuse new ones until `heal`."""
        self.refuses = True
        self._run(self._stop_listening())
        self.cut()

    def swallow_next_answer(self) -> None:
        """Let the next request through, keep its answer back and break its connection.

        Connections that are idle now stay usable. `swallowed` is set when it has happened.
        """
        self.swallowed.clear()
        self.swallows = True

    def half_open(self) -> None:
        """Let bytes vanish in both directions while the connections seem to stay."""
        self.is_half_open = True

    def strand(self) -> None:
        """Let bytes vanish on the connections that there are, which seem to stay."""
        self._run(self._strand())

    def slam(self) -> None:
        """Close all websockets, and each new one as soon as it is open."""
        self.slams = True
        self.cut()

    def heal(self) -> None:
        """End every fault; connections that lost bytes are broken."""
        self.latency = 0.0
        self.swallows = self.slams = False
        self._run(self._cut(stranded_only=True))
        if self.is_half_open:
            self.is_half_open = False
            self.cut()
        if self.refuses:
            self.refuses = False
            self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._stop_listening()
        # A connection may have been accepted that is no link yet.
        while self._accepting:
            await self._cut()
            await asyncio.wait(self._accepting, timeout=0.05)
        await asyncio.sleep(0)

    async def _strand(self) -> None:
        for link in self._links:
            link.stranded = True

    async def _cut(self, *, stranded_only: bool = False) -> None:
        links = [link for link in self._links if link.stranded or not stranded_only]
        for link in links:
            link.reset()
        for link in links:
            await link.ended.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        if self.refuses:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            _reset(writer)
            return
        link = _Link(self, (reader, writer), (far_reader, far_writer))
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    """One client's connection and its twin to the stack."""

    def __init__(
        self,
        proxy: TcpProxy,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._near, self._far = near, far
        self._doomed = False
        self._websocket = False
        self.stranded = False
        self.ended = asyncio.Event()

    def reset(self) -> None:
        _reset(self._near[1])
        self._far[1].transport.abort()

    async def run(self) -> None:
        pumps = [
            asyncio.create_task(self._pump(self._near[0], self._far[1], self._sending)),
            asyncio.create_task(self._pump(self._far[0], self._near[1], self._answering)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for _, writer in (self._near, self._far):
                writer.close()
            self.ended.set()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: Callable[[bytes], bool],
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                if self._proxy.latency:
                    await asyncio.sleep(self._proxy.latency)
                if self._proxy.is_half_open or self.stranded or not passes(data):
                    continue
                writer.write(data)
                await writer.drain()
                if self._proxy.slams and self._websocket and reader is self._far[0]:
                    return

    def _sending(self, data: bytes) -> bool:
        if b"\r\nupgrade: websocket\r\n" in data.lower():
            self._websocket = True
            self._proxy.upgrades += 1
        if self._proxy.swallows:
            # The answer to this very request is the one that is lost.
            self._proxy.swallows = False
            self._doomed = True
        return True

    def _answering(self, _data: bytes) -> bool:
        if not self._doomed:
            return True
        self._proxy.swallowed.set()
        self.reset()
        return False


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: the peer sees its connection break, not end."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
