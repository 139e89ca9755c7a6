"""What goes over the wire: both versions of the protocol, text and binary. Pure.

Version 1.0.0 is one JSON object a frame and never says `join_ref` to a client; version 2.0.0 is a
JSON array, or a binary frame whose first byte says which kind it is.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from customer_tickets.devstack.realtime.values import as_list, as_object, parse_json, to_json

__all__ = [
    "Broadcast",
    "BytesBroadcast",
    "Codec",
    "Frame",
    "RawBroadcast",
    "RelayedBroadcast",
    "UserPush",
    "Version1",
    "Version2",
    "Wire",
    "codec_for",
]

PUSH, BROADCAST, USER_PUSH, USER_BROADCAST = 0, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Wire:
    """One encoded websocket message."""

    data: bytes
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One message from a client."""

    topic: str
    event: str
    payload: object
    ref: object = None
    join_ref: object = None


@dataclass(frozen=True, slots=True)
class UserPush:
    """The payload of a broadcast that came in a binary frame of version 2."""

    event: str
    payload: bytes
    is_json: bool


class Broadcast(Protocol):
    """Something to deliver to every subscriber of a topic; encoded once for each version."""

    def wire(self, version: Literal[1, 2]) -> Wire | None:
        """The message as a client of that version gets it; None if it cannot be told."""
        ...


@dataclass(slots=True)
class RelayedBroadcast:
    """An event whose payload is one JSON value, sent as text to both versions."""

    topic: str
    event: str
    payload: object
    _wires: dict[int, Wire] = field(default_factory=dict[int, Wire], init=False)

    def wire(self, version: Literal[1, 2]) -> Wire:
        """Text for either version, without refs."""
        if version == 2 and as_object(self.payload) is None:
            # There it is whoever sends it that crashes, once somebody of version 2 listens.
            raise ValueError("version 2 has objects only")
        if version not in self._wires:
            codec = VERSION_1 if version == 1 else VERSION_2
            self._wires[version] = codec.push(self.topic, self.event, self.payload)
        return self._wires[version]


@dataclass(slots=True)
class RawBroadcast:
    """A user's event whose payload is passed on as it was written, without being parsed.

    `meta` travels with it: the row's id for those from the database. Binary payloads have no form
    in version 1.
    """

    topic: str
    event: str
    payload: bytes
    is_json: bool = True
    meta: dict[str, object] | None = None
    _wires: dict[int, Wire | None] = field(default_factory=dict[int, Wire | None], init=False)

    def wire(self, version: Literal[1, 2]) -> Wire | None:
        """JSON for version 1, a binary frame for version 2."""
        if version not in self._wires:
            self._wires[version] = self._version_1() if version == 1 else self._version_2()
        return self._wires[version]

    def replayed(self, version: Literal[1, 2], join_ref: object) -> Wire | None:
        """The message as one channel's own: in version 2 JSON is text then, and tells the join."""
        if version == 1 or not self.is_json:
            return self.wire(version)
        return self._text(f'[{to_json(join_ref)},null,{to_json(self.topic)},"broadcast",', "]")

    @property
    def id(self) -> object:
        """The id of the stored row, if it is one."""
        return None if self.meta is None else self.meta.get("id")

    def _version_1(self) -> Wire | None:
        if not self.is_json:
            return None
        topic = to_json(self.topic)
        return self._text(f'{{"ref":null,"topic":{topic},"event":"broadcast","payload":', "}")

    def _text(self, head: str, end: str) -> Wire:
        meta = "" if self.meta is None else f',"meta":{to_json(self.meta)}'
        head += f'{{"type":"broadcast","event":{to_json(self.event)}{meta},"payload":'
        return Wire(b"".join((head.encode(), self.payload, b"}", end.encode())))

    def _version_2(self) -> Wire | None:
        topic, event = self.topic.encode(), self.event.encode(errors="replace")
        meta = b"" if self.meta is None else to_json(self.meta).encode()
        if max(len(topic), len(event), len(meta)) > 255:
            return None
        sizes = bytes((USER_BROADCAST, len(topic), len(event), len(meta), int(self.is_json)))
        return Wire(b"".join((sizes, topic, event, meta, self.payload)), binary=True)


@dataclass(frozen=True, slots=True)
class BytesBroadcast:
    """An event whose payload is bytes; has a form in version 2 only."""

    topic: str
    event: str
    payload: bytes

    def wire(self, version: Literal[1, 2]) -> Wire | None:
        """A binary frame, or nothing."""
        topic, event = self.topic.encode(), self.event.encode(errors="replace")
        if version == 1 or max(len(topic), len(event)) > 255:
            return None
        sizes = bytes((BROADCAST, len(topic), len(event)))
        return Wire(b"".join((sizes, topic, event, self.payload)), binary=True)


class Codec(Protocol):
    """One version of the protocol, as a socket uses it."""

    version: Literal[1, 2]

    def decode(self, data: str | bytes, *, binary: bool) -> Frame | None:
        """Read a frame; None if it is none and has to be dropped."""
        ...

    def reply(self, frame: Frame, status: str, response: object) -> Wire:
        """Answer one frame of the client's."""
        ...

    def push(
        self, topic: str, event: str, payload: object, join_ref: object = None, ref: object = None
    ) -> Wire:
        """Say something that the client did not ask for."""
        ...


class Version1:
    """JSON objects."""

    version: Literal[1, 2] = 1

    def decode(self, data: str | bytes, *, binary: bool) -> Frame | None:
        """Read an object with the four required keys."""
        if binary:
            return None
        try:
            message = as_object(parse_json(data))
        except ValueError:
            return None
        if message is None or not {"topic", "event", "payload", "ref"} <= message.keys():
            return None
        return _frame(message)

    def reply(self, frame: Frame, status: str, response: object) -> Wire:
        """`phx_reply` with the ref of the request."""
        payload = {"status": status, "response": response}
        return self.push(frame.topic, "phx_reply", payload, ref=frame.ref)

    def push(
        self, topic: str, event: str, payload: object, join_ref: object = None, ref: object = None
    ) -> Wire:
        """The join_ref is never told, except as the `ref` of a close or an error."""
        if event in {"phx_close", "phx_error"}:
            ref = join_ref
        message = {"ref": ref, "topic": topic, "event": event, "payload": payload}
        return Wire(to_json(message).encode())


class Version2:
    """JSON arrays `[join_ref, ref, topic, event, payload]`, and binary user broadcasts."""

    version: Literal[1, 2] = 2

    def decode(self, data: str | bytes, *, binary: bool) -> Frame | None:
        """Read an array of five or more, or a binary frame."""
        if binary:
            return _decode_binary(data if isinstance(data, bytes) else data.encode())
        try:
            parts = as_list(parse_json(data))
        except ValueError:
            return None
        if parts is None or len(parts) < 5:
            return None
        return _frame(
            dict(zip(("join_ref", "ref", "topic", "event", "payload"), parts, strict=False))
        )

    def reply(self, frame: Frame, status: str, response: object) -> Wire:
        """`phx_reply` with both refs of the request."""
        payload = {"status": status, "response": response}
        return self.push(frame.topic, "phx_reply", payload, frame.join_ref, frame.ref)

    def push(
        self, topic: str, event: str, payload: object, join_ref: object = None, ref: object = None
    ) -> Wire:
        """Both refs are told; a close or an error has that of the join twice."""
        if event in {"phx_close", "phx_error"}:
            ref = join_ref
        return Wire(to_json([join_ref, ref, topic, event, payload]).encode())


def _frame(message: dict[str, object]) -> Frame | None:
    topic, event = message["topic"], message["event"]
    if not isinstance(topic, str) or not isinstance(event, str):
        return None
    try:
        topic.encode()
    except UnicodeEncodeError:  # a lone surrogate, which no database could be asked about
        return None
    return Frame(topic, event, message["payload"], message["ref"], message.get("join_ref"))


def _decode_binary(data: bytes) -> Frame | None:
    """Four strings and bytes; or a user's broadcast, which has metadata and an encoding as well."""
    is_user = data[:1] == bytes([USER_PUSH])
    count = 5 if is_user else 4
    at = 1 + count + is_user
    if len(data) < at or data[0] not in {PUSH, USER_PUSH}:
        return None
    strings: list[bytes] = []
    for size in data[1 : 1 + count]:
        strings.append(data[at : at + size])
        at += size
    if len(data) < at:
        return None
    is_json = is_user and data[6] != 0
    try:
        join_ref, ref, topic, event = (text.decode() for text in strings[:4])
        if is_json:
            parse_json(data[at:])
    except ValueError:
        return None
    payload = UserPush(event, data[at:], is_json) if is_user else data[at:]
    return Frame(topic, "broadcast" if is_user else event, payload, ref or None, join_ref or None)


VERSION_1, VERSION_2 = Version1(), Version2()


def codec_for(vsn: str) -> Codec | None:
    """The codec of a `vsn` query parameter, or None if there is no such version."""
    codecs: dict[str, Codec] = {"1.0.0": VERSION_1, "2.0.0": VERSION_2}
    return codecs.get(vsn)
