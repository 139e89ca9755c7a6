"""One websocket connection: frames in, frames out, and the channels that live on it."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Literal

from aiohttp import WSMsgType, web

from customer_tickets.devstack.realtime.admission import Applicant, admit
from customer_tickets.devstack.realtime.channel import Channel, Line
from customer_tickets.devstack.realtime.frames import Codec, Frame, Wire
from customer_tickets.devstack.realtime.joining import PREFIX, JoinRefused, topic_name
from customer_tickets.devstack.realtime.outbox import Outbox
from customer_tickets.devstack.realtime.project import Project

__all__ = ["CLOSE_SECONDS", "BytesSocket", "Connection"]

logger = logging.getLogger(__name__)

BytesSocket = web.WebSocketResponse[Literal[False]]
# A client that does not answer a close is not waited for any longer.
CLOSE_SECONDS = 0.2
UNMATCHED = {"reason": "unmatched topic"}


class Connection:
    """Reads one frame after the other; a join blocks everything else on this socket."""

    def __init__(
        self,
        project: Project,
        socket: BytesSocket,
        transport: asyncio.BaseTransport,
        codec: Codec,
        api_key: str,
        headers: Mapping[str, str],
    ) -> None:
        self._project = project
        self._socket = socket
        self._transport = transport
        self._codec = codec
        self._api_key = api_key
        self._headers = headers
        self._channels: dict[str, Channel] = {}
        self._has_joined = False
        self._outbox = Outbox(project.profile.max_backlog, self.abort)
        self._line = Line(codec, self._outbox.put, self._forget)

    async def run(self) -> None:
        """Serve the client until either side ends the connection."""
        writer = asyncio.create_task(self._write_for_ever())
        try:
            await self._read_for_ever()
        finally:
            writer.cancel()
            for channel in list(self._channels.values()):
                channel.finish(tell=False)
            self._project.depart(self)

    def abort(self) -> None:
        """Cut the connection without a word."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()

    def abort_if_abandoned(self) -> None:
        """Cut it if it had channels and has none any more."""
        if self._has_joined and not self._channels:
            self.abort()

    async def disconnect(self, code: int) -> None:
        """Tell every channel that the server wants this socket gone, and close it."""
        message = {
            "extension": "system",
            "status": "ok",
            "message": "Server requested disconnect",
        }
        for channel in list(self._channels.values()):
            self._outbox.put(self._codec.push(channel.topic, "system", message, channel.join_ref))
        self._outbox.release()
        with contextlib.suppress(OSError):
            await self._outbox.flush(self._write)
        await self._close(code)

    def close_stale(self, name: object) -> None:
        """The fault of a `phx_close` that speaks of a join which ended long ago."""
        for channel in self._named(name):
            self._outbox.put(self._codec.push(channel.topic, "phx_close", {}, "stale"))

    def crash_channels(self, name: object) -> None:
        """The fault of a channel whose process crashed."""
        for channel in self._named(name):
            channel.crash()

    def end_channels(self, name: object, message: str) -> None:
        """The fault of a channel that the server ends, for the reason given."""
        for channel in self._named(name):
            channel.end(message)

    def _named(self, name: object) -> list[Channel]:
        wanted = None if name is None else f"{PREFIX}{name}"
        return [c for c in self._channels.values() if wanted in {None, c.topic}]

    async def _close(self, code: int) -> None:
        try:
            async with asyncio.timeout(2 * CLOSE_SECONDS):
                await self._socket.close(code=code)
        except TimeoutError:  # a client that does not read does not get the close either
            self.abort()

    async def _read_for_ever(self) -> None:
        while True:
            try:
                message = await self._socket.receive(self._project.profile.idle_timeout)
            except TimeoutError:
                await self._close(1000)
                return
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                return  # closed by the client, or by aiohttp: 1009 for a frame that is too long
            frame = self._codec.decode(message.data, binary=message.type is WSMsgType.BINARY)
            if frame is not None:
                await self._dispatch(frame)

    async def _write_for_ever(self) -> None:
        try:
            await self._outbox.drain_for_ever(self._write)
        except OSError:
            self.abort()

    async def _write(self, wire: Wire) -> None:
        kind = WSMsgType.BINARY if wire.binary else WSMsgType.TEXT
        await self._socket.send_frame(wire.data, kind)

    async def _dispatch(self, frame: Frame) -> None:
        channel = self._channels.get(frame.topic)
        if frame.topic == "phoenix" and frame.event == "heartbeat":
            self._reply(frame, "ok", {})
        elif frame.event == "phx_join":
            await self._join(frame)
        elif channel is not None:
            if frame.event == "phx_leave":
                del self._channels[frame.topic]
            await channel.post(frame)
        elif frame.event == "phx_leave":
            self._reply(frame, "ok", {})
        else:
            self._reply(frame, "error", UNMATCHED)

    async def _join(self, frame: Frame) -> None:
        name = topic_name(frame.topic)
        if name is None:
            self._reply(frame, "error", UNMATCHED)
            return
        old = self._channels.pop(frame.topic, None)
        if old is not None:
            old.finish(tell=False)
        self._outbox.hold()
        refusal, channel = None, None
        try:
            channel = await self._admit(frame, name)
            reply = self._codec.reply(frame, "ok", {"postgres_changes": channel.requested_changes})
        except JoinRefused as refused:
            await asyncio.sleep(self._project.profile.join_error_delay)
            refusal, reply = refused, self._codec.reply(frame, "error", {"reason": refused.reason})
        # The answer comes before everything that was heard meanwhile, the old channel's end second.
        ends = [] if old is None else [self._codec.push(old.topic, "phx_close", {}, old.join_ref)]
        self._outbox.release(reply, *ends)
        if channel is not None:
            channel.start()
        if refusal is not None and refusal.closes:
            await self._outbox.flush(self._write)
            await self._close(1001)

    async def _admit(self, frame: Frame, name: str) -> Channel:
        applicant = Applicant(self, self._api_key, self._headers, len(self._channels))
        try:
            admission = await admit(self._project, applicant, frame, name)
        except JoinRefused:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the client is to hear of it
            logger.warning("join crashed: %s", type(error).__name__)
            raise JoinRefused("join crashed") from None
        self._has_joined = True
        channel = self._channels[frame.topic] = Channel(self._project, self._line, admission)
        return channel

    def _forget(self, channel: Channel) -> None:
        if self._channels.get(channel.topic) is channel:
            del self._channels[channel.topic]

    def _reply(self, frame: Frame, status: str, response: object) -> None:
        self._outbox.put(self._codec.reply(frame, status, response))
