"""One websocket, from its connection to its first trouble.

With channels.py the only file that knows the `realtime` package. Its own reconnection gives up,
resurrects dead channels and goes deaf while it says "joined"; so a client is used for as long as
everything is well, and not a moment longer. Every wait here is bounded, and a callback only notes
what it heard. Trouble with a presence topic is that topic's alone: it rests, the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from realtime import RealtimeSubscribeStates

from .._borrowed import AnySession
from .._errors import Unavailable
from .bell import Topics
from .channels import Channel, Client, Heartbeats, RoomChannel, Trouble, server_reason, silence
from .gate import Gate
from .rest import Rests
from .room import Room, rooms

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
    # A refused join holds all topics of its socket up for five seconds: presence waits longer.
    rest_first: float = 10.0
    rest_longest: float = 300.0


_Heard = Callable[[RealtimeSubscribeStates, Exception | None], None]


class _Pulse:
    """Keeps a connection alive: heartbeats with a deadline, and every new token pushed."""

    def __init__(
        self, client: Client, session: AnySession, pace: Pace, channels: dict[str, Channel]
    ) -> None:
        self._client = client
        self._session = session
        self._pace = pace
        self._channels = channels
        self._token = ""

    async def take_token(self) -> None:
        """Take the token that the joins are made with."""
        self._token = self._client.access_token = await self._session.token()

    async def beat(self) -> None:
        """Beat until something is wrong."""
        heartbeats = Heartbeats(self._client)
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
            if channel.is_joined:
                await self._tell_token(channel)

    async def join(self, channel: Channel, heard: _Heard) -> None:
        """Join a channel; a token that became stale on the way is followed by its successor."""
        token = self._token
        await channel.subscribe(heard)
        if channel.is_joined and token != self._token:
            await self._tell_token(channel)

    async def _tell_token(self, channel: Channel) -> None:
        push = await channel.push("access_token", {"access_token": self._token})
        push.destroy()  # the server never answers it


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
        self._topics = topics
        self._pace = pace
        self._gate = gate
        self._client = Client(
            f"{url}/realtime/v1",
            key,
            auto_reconnect=False,
            max_retries=1,
            timeout=int(pace.join_within),
        )
        self._joins: dict[str, asyncio.Task[None]] = {}
        self._channels: dict[str, Channel] = {}
        self._pulse = _Pulse(self._client, session, pace, self._channels)
        self._trouble: Trouble | None = None
        self._flowing: set[str] = set()
        self._rests = Rests(pace.rest_first, pace.rest_longest, topics.changed.set)
        self._dead = False

    async def run(self) -> None:
        """Connect, join what is wanted, keep it alive; return when nothing is wanted any more."""
        await self._pulse.take_token()
        async with asyncio.timeout(self._pace.connect_within):
            await self._client.connect()
        self._client.when_deaf(self._note_silence)
        beating = asyncio.create_task(self._pulse.beat())
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
        self._rests.forget()
        for channel in list(self._client.channels.values()):
            silence(channel)
        await self._client.hang_up()

    async def _follow_topics(self) -> None:
        wanted = self._topics.wanted
        for topic in [topic for topic in self._channels if topic not in wanted]:
            channel = self._channels.pop(topic)
            self._flowing.discard(topic)
            silence(channel)
            await channel.unsubscribe()
        # Feeds first: whatever a presence topic costs must not be theirs to wait for.
        for topic in sorted(wanted, key=lambda topic: bool(rooms(self._topics, topic))):
            if topic in self._channels:
                self._greet(topic)
            elif topic not in self._joins and topic not in self._rests:
                join = asyncio.create_task(self._join(topic))
                self._joins[topic] = join
                join.add_done_callback(partial(self._joined, topic))

    async def _join(self, topic: str) -> None:
        left = self._client.channels.pop(f"realtime:{topic}", None)
        if left is not None:
            silence(left)  # the answer to its leaving would be given to the new one
        await self._gate.pass_through()
        if topic not in self._topics.wanted:
            return
        listening = rooms(self._topics, topic)
        if listening:
            await self._join_room(topic, listening[0])
            return
        channel = Channel(self._client, topic)
        channel.on_broadcast("event", lambda message: self._ring(topic, message))
        channel.on_system(lambda _: self._flow(topic, channel, sure=True))
        if await self._subscribe(topic, channel):
            self._greet(topic)
            # A server that does not know `replication_ready` never says it: then time decides.
            loop = asyncio.get_running_loop()
            loop.call_later(self._pace.flow_within, partial(self._flow, topic, channel, sure=False))

    async def _join_room(self, topic: str, me: Room) -> None:
        channel = RoomChannel(self._client, topic, me, lambda: self._listening(topic, channel))
        try:
            joined = await self._subscribe(topic, channel)
        except Exception:  # noqa: BLE001 - a room that cannot be joined is no trouble of the feeds
            self._rest(topic, channel)
        else:
            if joined and not self._dead:
                channel.begin(self._pace.rest_first)
                self._greet(topic)

    async def _subscribe(self, topic: str, channel: Channel) -> bool:
        self._client.channels[channel.topic] = self._channels[topic] = channel
        async with asyncio.timeout(self._pace.join_within):
            await self._pulse.join(
                channel, lambda state, error: self._turn(topic, channel, state, error)
            )
        return channel.is_joined

    def _listening(self, topic: str, channel: Channel) -> list[Room]:
        current = not self._dead and self._channels.get(topic) is channel
        return rooms(self._topics, topic) if current else []

    def _joined(self, topic: str, task: asyncio.Task[None]) -> None:
        self._joins.pop(topic, None)
        self._note_end(task)
        self._topics.changed.set()

    def _greet(self, topic: str) -> None:
        """Tell those who listen to a joined topic and do not know it yet."""
        channel = self._channels.get(topic)
        if self._dead or channel is None or not channel.is_joined:
            return
        for bell in self._topics.bells(topic):
            if not bell.joined:
                bell.join()
                if isinstance(bell, Room) and isinstance(channel, RoomChannel):
                    channel.welcome(bell)
                if topic in self._flowing:
                    bell.flows()

    def _turn(
        self,
        topic: str,
        channel: Channel,
        state: RealtimeSubscribeStates,
        error: Exception | None,
    ) -> None:
        if (
            self._dead
            or state is RealtimeSubscribeStates.SUBSCRIBED
            or self._channels.get(topic) is not channel
        ):
            return
        reason = server_reason(error)
        if reason.startswith(_FATAL):
            self._drop(topic, channel)
            for bell in self._topics.bells(topic):
                bell.refuse(reason)
            # Others may ask for the topic later, with more luck; this one is not asked again.
            self._topics.drop(topic)
        elif isinstance(channel, RoomChannel):
            self._rest(topic, channel)
        else:
            self._fail(f"{state.value} {reason}")

    def _drop(self, topic: str, channel: Channel) -> None:
        silence(channel)
        self._client.channels.pop(channel.topic, None)
        self._channels.pop(topic, None)

    def _rest(self, topic: str, channel: RoomChannel) -> None:
        """Leave a presence topic alone for a while: limits are mostly what ends one."""
        if self._dead or self._channels.get(topic) is not channel:
            return
        self._drop(topic, channel)
        for bell in self._topics.bells(topic):
            bell.fail()
        self._rests.begin(topic, channel.seconds_joined)

    def _ring(self, topic: str, message: Any) -> None:
        payload = message["payload"]
        if not self._dead and isinstance(payload.get("seq"), int):
            for bell in self._topics.bells(topic):
                bell.ring(payload["seq"], str(payload.get("ticket_id")))

    def _flow(self, topic: str, channel: Channel, *, sure: bool) -> None:
        """Note that broadcasts flow: the server said so, or is not one that would say it."""
        if self._dead or self._channels.get(topic) is not channel:
            return
        self._flowing.add(topic)
        for bell in self._topics.bells(topic):
            # Its word may come long after the guess: what was missed in between is looked for.
            if bell.joined and (sure or not bell.ready):
                bell.flows()

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


def reason(error: BaseException) -> str:
    return str(error) if isinstance(error, Trouble) else type(error).__name__
