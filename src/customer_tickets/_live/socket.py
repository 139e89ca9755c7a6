"""One websocket, from its connection to its first trouble.

The only file that knows the `realtime` package. Its own reconnection gives up, resurrects dead
channels and goes deaf while it says "joined"; so a client is used for as long as everything is
well, and not a moment longer. Every wait here is bounded, and a callback only notes what it heard.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates
from realtime.message import Message, ServerMessage
from realtime.types import ChannelEvents, RealtimeChannelOptions

from .._borrowed import AnySession
from .._errors import Unavailable
from .bell import Topics
from .gate import Gate

# The package logs each failed attempt as an error; without a handler Python prints those.
logging.getLogger("realtime").addHandler(logging.NullHandler())

# How the reasons begin that no repetition changes; trying again would stall the whole socket.
_FATAL = (
    "Unauthorized",
    "PrivateOnly",
    "TopicNameRequired",
    "RealtimeDisabledForTenant",
    "TenantNotFound",
    "You do not have permissions",
    "You no longer have permission",
)


@dataclass(frozen=True)
class Pace:
    """How long things may take, in seconds."""

    first_wait: float = 0.25
    short_wait: float = 2.0
    longest_wait: float = 15.0
    stable_after: float = 10.0
    connect_within: float = 10.0
    join_within: float = 20.0
    beat_every: float = 2.5
    beat_within: float = 3.0
    flow_within: float = 3.0
    # A free project allows 100 joins a second for all its customers together.
    joins_per_second: float = 40.0


class Trouble(Exception):
    """The connection is not worth keeping; the text says why, without any customer's data."""


class _Client(AsyncRealtimeClient):
    """The package's client, with an end that is short whatever the network does."""

    def when_deaf(self, tell: Callable[[asyncio.Task[None]], None]) -> None:
        """Tell when the task that reads ends, which it may by an error of the package's own."""
        listening: asyncio.Task[None] | None = self._listen_task  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # the package says only Task
        if listening is not None:
            listening.add_done_callback(tell)

    async def hang_up(self) -> None:
        connection = self._ws_connection
        if connection is not None:
            with suppress(Exception):
                # A half-open connection would take ten seconds to close politely.
                async with asyncio.timeout(0.5):
                    await connection.close()
            connection.transport.abort()
        await self.close()


class _Heartbeats(AsyncRealtimeChannel):
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


class Socket:
    """One realtime client: topics are joined when first wanted and left when last dropped."""

    def __init__(
        self,
        url: str,
        key: str,
        session: AnySession,
        topics: Topics,
        pace: Pace,
        gate: Gate,
    ) -> None:
        self._session = session
        self._topics = topics
        self._pace = pace
        self._gate = gate
        self._client = _Client(
            f"{url}/realtime/v1",
            key,
            auto_reconnect=False,
            max_retries=1,
            timeout=int(pace.join_within),
        )
        self._joins: dict[str, asyncio.Task[None]] = {}
        self._channels: dict[str, AsyncRealtimeChannel] = {}
        self._trouble: Trouble | None = None
        self._flowing: set[str] = set()
        self._token = ""
        self._dead = False

    async def run(self) -> None:
        """Connect, join what is wanted, keep it alive; return when nothing is wanted any more."""
        self._token = self._client.access_token = await self._session.token()
        async with asyncio.timeout(self._pace.connect_within):
            await self._client.connect()
        self._client.when_deaf(self._note_silence)
        beating = asyncio.create_task(self._beat())
        beating.add_done_callback(self._note_end)
        try:
            while self._topics.wanted:
                self._topics.changed.clear()
                await self._follow_topics()
                await self._topics.changed.wait()
                if self._trouble is not None:
                    raise self._trouble
        finally:
            beating.cancel()

    async def discard(self) -> None:
        """Drop the client: whatever it still calls is not heard, whatever it still runs ends."""
        self._dead = True
        for join in self._joins.values():
            join.cancel()
        for channel in list(self._client.channels.values()):
            _silence(channel)
        await self._client.hang_up()

    async def _follow_topics(self) -> None:
        wanted = self._topics.wanted
        for topic in [topic for topic in self._channels if topic not in wanted]:
            channel = self._channels.pop(topic)
            self._flowing.discard(topic)
            _silence(channel)
            await channel.unsubscribe()
        for topic in list(wanted):
            if topic in self._channels:
                self._greet(topic)
            elif topic not in self._joins:
                join = asyncio.create_task(self._join(topic))
                self._joins[topic] = join
                join.add_done_callback(partial(self._joined, topic))

    async def _join(self, topic: str) -> None:
        left = self._client.channels.get(f"realtime:{topic}")
        if left is not None:
            # The package mistakes the close of the old channel for one of the new: let it pass.
            await asyncio.sleep(0.2)
            self._client.channels.pop(left.topic, None)
        await self._gate.pass_through()
        if topic not in self._topics.wanted:
            return
        channel = self._client.channel(topic, _options())
        self._channels[topic] = channel
        channel.on_broadcast("event", lambda message: self._ring(topic, message))
        channel.on_system(lambda _: self._flow(topic, channel, sure=True))
        async with asyncio.timeout(self._pace.join_within):
            await channel.subscribe(lambda state, error: self._turn(topic, channel, state, error))
        if channel.is_joined:
            self._greet(topic)
            # A server that does not know `replication_ready` never says it: then time decides.
            loop = asyncio.get_running_loop()
            loop.call_later(self._pace.flow_within, partial(self._flow, topic, channel, sure=False))

    def _joined(self, topic: str, task: asyncio.Task[None]) -> None:
        self._joins.pop(topic, None)
        self._note_end(task)
        self._topics.changed.set()

    def _greet(self, topic: str) -> None:
        """Tell those who listen to a joined topic and do not know it yet."""
        if self._dead or not self._channels[topic].is_joined:
            return
        for bell in self._topics.bells(topic):
            if not bell.joined:
                bell.join()
                if topic in self._flowing:
                    bell.flows()

    def _turn(
        self,
        topic: str,
        channel: AsyncRealtimeChannel,
        state: RealtimeSubscribeStates,
        error: Exception | None,
    ) -> None:
        if (
            self._dead
            or state is RealtimeSubscribeStates.SUBSCRIBED
            or self._channels.get(topic) is not channel
        ):
            return
        reason = _server_reason(error)
        if reason.startswith(_FATAL):
            _silence(channel)
            self._client.channels.pop(channel.topic, None)
            for bell in self._topics.bells(topic):
                bell.refuse(reason)
            # Others may ask for the topic later, with more luck; this one is not asked again.
            self._topics.drop(topic)
            self._channels.pop(topic, None)
        else:
            self._fail(f"{state.value} {reason}")

    def _ring(self, topic: str, message: Any) -> None:
        seq = message["payload"].get("seq")
        if not self._dead and isinstance(seq, int):
            for bell in self._topics.bells(topic):
                bell.ring(seq)

    def _flow(self, topic: str, channel: AsyncRealtimeChannel, *, sure: bool) -> None:
        """Note that broadcasts flow: the server said so, or is not one that would say it."""
        if self._dead or self._channels.get(topic) is not channel:
            return
        self._flowing.add(topic)
        for bell in self._topics.bells(topic):
            # Its word may come long after the guess: what was missed in between is looked for.
            if bell.joined and (sure or not bell.ready):
                bell.flows()

    async def _beat(self) -> None:
        heartbeats = _Heartbeats(self._client)
        self._client.channels["phoenix"] = heartbeats
        while True:
            fresh = self._session.seconds_fresh()
            await asyncio.sleep(min(self._pace.beat_every, max(fresh, 0.5)))
            # Auth in trouble is no trouble of this line; the server ends it with the old token.
            with suppress(TimeoutError, Unavailable):
                async with asyncio.timeout(self._pace.beat_within):
                    await self._push_token()
            # A join holds the server's side of the socket, a failing one for five seconds.
            await heartbeats.beat(
                self._pace.join_within if self._joining() else self._pace.beat_within
            )

    def _joining(self) -> bool:
        return any(channel.is_joining for channel in self._channels.values())

    async def _push_token(self) -> None:
        token = await self._session.token()
        if token == self._token:
            return
        self._token = self._client.access_token = token
        for channel in list(self._channels.values()):
            channel.join_push.update_payload({"access_token": token})
            if channel.is_joined:
                push = await channel.push("access_token", {"access_token": token})
                push.destroy()  # the server never answers it

    def _note_silence(self, listening: asyncio.Task[None]) -> None:
        if not listening.cancelled():
            listening.exception()  # looked at, so that asyncio does not report it
        self._fail("the reader has ended")

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._fail(reason(error))

    def _fail(self, reason: str) -> None:
        if self._trouble is None:
            self._trouble = Trouble(reason)
            self._topics.changed.set()


def _options() -> RealtimeChannelOptions:
    return {
        "config": {
            "private": True,
            "broadcast": {"ack": False, "self": False, "replication_ready": True},
            "presence": {"key": "", "enabled": False},
        }
    }


def _silence(channel: AsyncRealtimeChannel) -> None:
    """End the timers that would make a channel act on its own later."""
    channel.rejoin_timer.reset()
    channel.join_push.destroy()
    for push in channel.messages_waiting_for_ack.values():
        push.destroy()


def _server_reason(error: Exception | None) -> str:
    if error is None:
        return ""
    try:
        payload = json.loads(str(error))
        return str(payload.get("reason") or payload.get("message") or "")
    except (ValueError, AttributeError):
        return type(error).__name__


def reason(error: BaseException) -> str:
    return str(error) if isinstance(error, Trouble) else type(error).__name__
