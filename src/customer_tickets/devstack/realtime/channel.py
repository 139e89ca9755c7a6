"""One joined channel of one socket: its mailbox, and what it hears."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from customer_tickets.devstack.realtime.access import AccessLost
from customer_tickets.devstack.realtime.admission import Admission
from customer_tickets.devstack.realtime.attendance import Attendance, PresenceEnded
from customer_tickets.devstack.realtime.frames import (
    Broadcast,
    BytesBroadcast,
    Codec,
    Frame,
    RawBroadcast,
    RelayedBroadcast,
    UserPush,
    Wire,
)
from customer_tickets.devstack.realtime.hub import Subscriber
from customer_tickets.devstack.realtime.project import Project
from customer_tickets.devstack.realtime.values import as_object

__all__ = ["Channel", "Line"]

logger = logging.getLogger(__name__)

# A client that talks faster than its channel can listen has to wait.
MAILBOX = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """The socket, as its channels see it."""

    codec: Codec
    send: Callable[[Wire], None]
    ended: Callable[["Channel"], None]


class Channel:
    """Hears from its subscription at once; does what the client asks in order, one by one."""

    def __init__(self, project: Project, line: Line, admission: Admission) -> None:
        self.join_ref = admission.join_ref
        self.topic = admission.topic
        self._project = project
        self._line = line
        self._admission = admission
        self._access = admission.access
        self._replayed = {message.id for message in admission.replayed}
        self._mailbox: asyncio.Queue[Frame] = asyncio.Queue(MAILBOX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._subscriber = Subscriber(self._hear, self._hear_presence)
        project.hub.subscribe(admission.key, self._subscriber)
        self._attendance = Attendance(project, admission, self)

    def start(self) -> None:
        """Begin to speak; the reply to the join has to be on its way already."""
        self._arm_timer()
        self._spawn(self._run())

    @property
    def requested_changes(self) -> list[dict[str, object]]:
        """The Postgres Changes that were asked for, with their ids."""
        return self._admission.request.changes

    async def post(self, frame: Frame) -> None:
        """Put a frame of the client's into the mailbox."""
        if not self._ended:
            await self._mailbox.put(frame)

    def end(self, message: str) -> None:
        """The server ends the channel: a system error, then the close."""
        self.system("system", "error", message)
        self.finish()

    def crash(self) -> None:
        """Stop as a process that crashed does."""
        self._push("phx_error", {"reason": "channel_crash"})
        self.finish(tell=False)

    def finish(self, *, tell: bool = True) -> None:
        """Leave the topic and stop; the client is told with `phx_close`, unless it is gone."""
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        hub, key = self._project.hub, self._admission.key
        presences = hub.presences(key)
        hub.unsubscribe(key, self._subscriber)
        hub.publish_presence(key, self.topic, presences.untrack(self))
        if tell:
            self._push("phx_close", {})
        self._line.ended(self)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        # Nobody takes from the mailbox any more: whoever waits for room in it must not wait on.
        while not self._mailbox.empty():
            self._mailbox.get_nowait()

    def system(self, extension: str, status: str, message: str) -> None:
        """Push a system message."""
        name = self._admission.key.name
        self._push(
            "system",
            {"extension": extension, "status": status, "message": message, "channel": name},
        )

    def _push(self, event: str, payload: object) -> None:
        self._line.send(self._line.codec.push(self.topic, event, payload, self.join_ref))

    def _reply(self, frame: Frame, status: str, response: object) -> None:
        self._line.send(self._line.codec.reply(frame, status, response))

    # What it hears

    def _hear(self, message: Broadcast) -> None:
        if not self._access.read.broadcast:
            return
        if self._replayed and isinstance(message, RawBroadcast) and message.id in self._replayed:
            return
        now = time.monotonic()
        self._project.events.count(now)
        if self._project.events.exceeded(now):
            self.end("Too many messages per second")
            return
        self._send(message.wire(self._line.codec.version))

    def _hear_presence(self, diff: Broadcast) -> None:
        if self._access.read.presence:
            self._send(diff.wire(self._line.codec.version))

    def _send(self, wire: Wire | None) -> None:
        if wire is not None:
            self._line.send(wire)

    # What it does

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            self._greet()
            while not self._ended:
                await self._handle(await self._mailbox.get())
        except Exception as error:  # noqa: BLE001 - a channel may crash, its socket must not
            logger.warning("channel crashed: %s", type(error).__name__)
            self.crash()

    def _greet(self) -> None:
        request = self._admission.request
        for message in self._admission.replayed:
            self._send(message.replayed(self._line.codec.version, self.join_ref))
        if request.changes:
            self.system(
                "postgres_changes", "error", "Postgres Changes are not served by the local stack"
            )
        if request.replication_ready:
            if self._project.capture.ready.is_set():
                self.system("system", "ok", "Replication connection established")
            else:
                self._spawn(self._await_replication())
        if request.presence and self._access.read.presence:
            state = self._project.hub.presences(self._admission.key).state()
            self._push("presence_state", state)

    async def _await_replication(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._project.profile.ready_timeout):
                await self._project.capture.ready.wait()
        if self._ended:
            return
        if self._project.capture.ready.is_set():
            self.system("system", "ok", "Replication connection established")
        else:
            self.end("Replication connection was not established in time")

    async def _handle(self, frame: Frame) -> None:
        match frame.event:
            case "broadcast":
                await self._broadcast(frame)
            case "presence":
                await self._presence(frame)
            case "access_token":
                await self._renew(as_object(frame.payload) or {})
            case "phx_leave":
                self._reply(frame, "ok", {})
                self.finish()
            case _:
                pass  # unknown events are ignored, as there

    async def _broadcast(self, frame: Frame) -> None:
        if not (await self._access.write()).broadcast:
            return  # silently: not even an acknowledgement that was asked for
        ack = self._admission.request.ack
        message, size = _broadcast_of(self.topic, frame.payload)
        if size > self._project.profile.max_payload:
            if ack:
                self._reply(frame, "error", "payload_size_exceeded")
            return
        self._project.events.count(time.monotonic())
        sender = None if self._admission.request.self_broadcast else self._subscriber
        self._project.hub.publish(self._admission.key, message, sender=sender)
        if ack:
            self._reply(frame, "ok", {})

    async def _presence(self, frame: Frame) -> None:
        try:
            status, response = await self._attendance.call(as_object(frame.payload) or {})
        except PresenceEnded as ended:
            self.end(str(ended))
        else:
            self._reply(frame, status, response)

    async def _renew(self, payload: dict[str, object]) -> None:
        try:
            if await self._access.renew(payload.get("access_token")):
                self._arm_timer()
        except AccessLost as lost:
            self.end(str(lost))

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._access.seconds_left(), self._check_token)

    def _check_token(self) -> None:
        refused = self._access.expired()
        if refused is not None:
            self.end(refused.system)
        elif not self._ended:
            self._arm_timer()


def _broadcast_of(topic: str, payload: object) -> tuple[Broadcast, int]:
    """What a client's payload is to others, and its size in bytes."""
    if isinstance(payload, UserPush):
        raw = RawBroadcast(topic, payload.event, payload.payload, payload.is_json)
        return raw, len(payload.payload)
    if isinstance(payload, bytes):
        return BytesBroadcast(topic, "broadcast", payload), len(payload)
    relayed = RelayedBroadcast(topic, "broadcast", payload)
    return relayed, len(relayed.wire(1).data)
