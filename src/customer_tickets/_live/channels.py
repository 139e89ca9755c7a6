"""The `realtime` package's classes, made fit for use: what a frame says is never acted on by them.

With socket.py the only one that knows the package. An error in one of its handlers would end the
reader of the whole socket; so what other people put into a topic is only handed to pure code here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from pydantic import ValidationError
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient
from realtime.message import (
    BroadcastMessage,
    ChannelCloseMessage,
    ChannelErrorMessage,
    Message,
    PresenceDiffMessage,
    PresenceStateMessage,
    ReplyMessage,
    ServerMessage,
    ServerMessageAdapter,
)
from realtime.types import ChannelEvents, RealtimeChannelOptions
from websockets.asyncio.client import connect

from .attendance import Attendance
from .room import Room

_log = logging.getLogger("customer_tickets.live")
# The package logs each failed attempt as an error; without a handler Python prints those.
logging.getLogger("realtime").addHandler(logging.NullHandler())

# More than Supabase takes from anybody. The usual 1 MiB would let one person on a presence topic
# end the websockets of all others on it, and with them their live feeds.
_LARGEST_FRAME = 8 * 2**20
_SAID_WITHIN = 1.0
_TRACKED_WITHIN = 10.0


class Trouble(Exception):
    """The connection is not worth keeping; the text says why, without any customer's data."""


class Client(AsyncRealtimeClient):
    """The package's client, with an end that is short whatever the network does."""

    async def connect(self) -> None:
        """Connect once."""
        if self._ws_connection is None:
            self._ws_connection = await connect(
                self.endpoint_url(), open_timeout=self.timeout, max_size=_LARGEST_FRAME
            )
            await self._on_connect()

    async def _listen(self) -> None:
        connection = self._ws_connection
        if connection is None:
            return
        async for frame in connection:
            # The package would write what it does not understand into the log: anybody's text.
            with suppress(ValidationError):
                message = ServerMessageAdapter.validate_json(frame)
                channel = self.channels.get(message.topic)
                if channel is not None:
                    channel._handle_message(message)  # pyright: ignore[reportPrivateUsage] # as the package's own reader does

    def when_deaf(self, tell: Callable[[asyncio.Task[None]], None]) -> None:
        """Tell when the task that reads ends, which it may by an error of the package's own."""
        listening: asyncio.Task[None] | None = self._listen_task  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # the package says only Task
        if listening is not None:
            listening.add_done_callback(tell)

    async def hang_up(self) -> None:
        """Close the connection in half a second at most."""
        connection = self._ws_connection
        if connection is not None:
            with suppress(Exception):
                # A half-open connection would take ten seconds to close politely.
                async with asyncio.timeout(0.5):
                    await connection.close()
            connection.transport.abort()
        await self.close()


class Heartbeats(AsyncRealtimeChannel):
    """Stands under the heartbeats' topic, where the package would ignore the answers."""

    def __init__(self, client: AsyncRealtimeClient) -> None:
        super().__init__(client, "phoenix")
        self._answered = asyncio.Event()

    async def beat(self, within: float) -> None:
        """Ask whether anybody is there, and wait for the answer."""
        self._answered.clear()
        beat = Message(topic="phoenix", event=ChannelEvents.heartbeat, payload={}, ref="beat")
        try:
            async with asyncio.timeout(within):
                await self.socket.send(beat)
                await self._answered.wait()
        except TimeoutError:
            raise Trouble("no answer to a heartbeat") from None

    def _handle_message(self, message: ServerMessage) -> None:
        self._answered.set()


class Channel(AsyncRealtimeChannel):
    """A private topic on which only the database speaks."""

    def __init__(self, client: AsyncRealtimeClient, topic: str) -> None:
        super().__init__(client, f"realtime:{topic}", self._wanted())

    def _wanted(self) -> RealtimeChannelOptions:
        return {
            "config": {
                "private": True,
                "broadcast": {"ack": False, "self": False, "replication_ready": True},
                "presence": {"key": "", "enabled": False},
            }
        }

    def _handle_message(self, message: ServerMessage) -> None:
        ends = isinstance(message, ChannelCloseMessage | ChannelErrorMessage)
        if ends and message.ref not in (None, self.join_push.ref):
            return  # of an earlier join, which the package would take for the end of this one
        super()._handle_message(message)


class RoomChannel(Channel):
    """A presence topic, on which the ticket's people speak.

    Args:
        topic: its name.
        me: who is said to be there.
        rooms: returns those who listen, as long as this is the channel that they listen to.
    """

    def __init__(
        self, client: AsyncRealtimeClient, topic: str, me: Room, rooms: Callable[[], list[Room]]
    ) -> None:
        self._user, self._name = str(me.user), me.name
        super().__init__(client, topic)
        self._rooms = rooms
        self._attendance = Attendance()
        self._tracked: asyncio.Future[bool] | None = None
        self._attending: asyncio.Task[None] | None = None
        self._joined_at = float("inf")

    def _wanted(self) -> RealtimeChannelOptions:
        return {
            "config": {
                "private": True,
                "broadcast": {"ack": False, "self": False},
                "presence": {"key": self._user, "enabled": True},
            }
        }

    @property
    def seconds_joined(self) -> float:
        """For how long it has been joined; negative when it never was."""
        return time.monotonic() - self._joined_at

    def begin(self, rest: float) -> None:
        """Say that this user is there; an attempt that fails is repeated after a rest."""
        if self._attending is None:
            self._joined_at = time.monotonic()
            attending = self._attend(rest)
            self._attending = asyncio.create_task(attending, name="customer_tickets.attend")

    def welcome(self, room: Room) -> None:
        """Let somebody listen and speak who came when all was said already."""
        room.say = self.say
        room.meet(self._attendance)

    async def say(self, payload: dict[str, str]) -> None:
        """Tell the others that this user types; lost where the network is in trouble."""
        word = {"type": "broadcast", "event": "typing", "payload": payload}
        # The socket's own supervisor notices whatever this is.
        with suppress(Exception):
            async with asyncio.timeout(_SAID_WITHIN):
                await self._send("broadcast", word, None)

    def stop(self) -> None:
        """Say no more that this user is there."""
        if self._attending is not None:
            self._attending.cancel()

    async def _attend(self, rest: float) -> None:
        # The server ends a channel that calls a sixth time in thirty seconds.
        rest = max(rest, 10.0)
        track = {"type": "presence", "event": "track", "payload": {"name": self._name}}
        while True:
            self._tracked = asyncio.get_running_loop().create_future()
            with suppress(Exception):
                async with asyncio.timeout(_TRACKED_WITHIN):
                    await self._send("presence", track, "track")
                    if await self._tracked:
                        return
            await asyncio.sleep(rest)
            rest = min(2 * rest, 300.0)

    async def _send(self, event: str, payload: Mapping[str, object], ref: str | None) -> None:
        join = self.join_push.ref
        await self.socket.send(
            Message(topic=self.topic, event=event, payload=payload, ref=ref, join_ref=join)
        )

    def _handle_message(self, message: ServerMessage) -> None:
        try:
            self._hear(message)
        except Exception as error:  # noqa: BLE001 - the reader of all topics must not end by it
            _log.debug("presence not understood: %s", type(error).__name__)

    def _hear(self, message: ServerMessage) -> None:
        match message:
            case BroadcastMessage():
                if message.payload["event"] == "typing":
                    for room in self._rooms():
                        room.typed(message.payload["payload"])
            case PresenceStateMessage():
                self._attendance.show(message.payload)
                self._tell()
            case PresenceDiffMessage():
                self._attendance.change(message.payload["joins"], message.payload["leaves"])
                self._tell()
            case ReplyMessage(ref="track"):
                if self._tracked is not None and not self._tracked.done():
                    self._tracked.set_result(message.payload.status == "ok")
            case _:
                super()._handle_message(message)

    def _tell(self) -> None:
        for room in self._rooms():
            room.meet(self._attendance)


def silence(channel: AsyncRealtimeChannel) -> None:
    """End the timers and tasks that would make a channel act on its own later."""
    channel.rejoin_timer.reset()
    channel.join_push.destroy()
    for push in channel.messages_waiting_for_ack.values():
        push.destroy()
    if isinstance(channel, RoomChannel):
        channel.stop()


def server_reason(error: Exception | None) -> str:
    """Return the reason that the server gave, from the package's wrapping of it."""
    if error is None:
        return ""
    try:
        payload = json.loads(str(error))
        return str(payload.get("reason") or payload.get("message") or "")
    except (ValueError, AttributeError):
        return type(error).__name__
