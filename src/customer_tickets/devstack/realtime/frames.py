"""What goes over the wire: both versions of the protocol, text and binary. Pure.

Version 1.0.0 is one JSON object a frame and never says `join_ref` to a client; version 2.0.0 is a
JSON array, or a binary frame whose first byte says which kind it is.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

__all__ = [
    "Broadcast",
    "Codec",
    "Frame",
    "RawBroadcast",
    "RelayedBroadcast",
    "UserPush",
    "Version1",
    "Version2",
    "Wire",
    "as_list",
    "as_object",
    "codec_for",
    "parse_json",
    "to_json",
]

USER_PUSH, USER_BROADCAST = 3, 4


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number too large to be written again")
    return number


def parse_json(text: str | bytes) -> object:
    """Read JSON strictly; whatever is wrong with it is a ValueError."""
    try:
        return cast(
            "object", json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def to_json(value: object) -> str:
    """Write compact JSON in ASCII, so that a lone surrogate cannot make invalid UTF-8."""
    return json.dumps(value, separators=(",", ":"))


def as_object(value: object) -> dict[str, object] | None:
    """The value as a JSON object, or None if it is something else."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """The value as a JSON array, or None if it is something else."""
    return cast("list[object]", value) if isinstance(value, list) else None


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

    @property
    def id(self) -> object:
        """The id of the stored row, if it is one."""
        return None if self.meta is None else self.meta.get("id")

    def _version_1(self) -> Wire | None:
        if not self.is_json:
            return None
        meta = "" if self.meta is None else f',"meta":{to_json(self.meta)}'
        head = f'{{"ref":null,"topic":{to_json(self.topic)},"event":"broadcast","payload":'
        inner = f'{{"type":"broadcast","event":{to_json(self.event)}{meta},"payload":'
        return Wire(b"".join((head.encode(), inner.encode(), self.payload, b"}}")))

    def _version_2(self) -> Wire | None:
        topic, event = self.topic.encode(), self.event.encode(errors="replace")
        meta = b"" if self.meta is None else to_json(self.meta).encode()
        if max(len(topic), len(event), len(meta)) > 255:
            return None
        sizes = bytes((USER_BROADCAST, len(topic), len(event), len(meta), int(self.is_json)))
        return Wire(b"".join((sizes, topic, event, meta, self.payload)), binary=True)


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
        """Read an array of five, or a binary user broadcast."""
        if binary:
            return _decode_user_push(data if isinstance(data, bytes) else data.encode())
        try:
            parts = as_list(parse_json(data))
        except ValueError:
            return None
        if parts is None or len(parts) != 5:
            return None
        return _frame(
            dict(zip(("join_ref", "ref", "topic", "event", "payload"), parts, strict=True))
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


def _decode_user_push(data: bytes) -> Frame | None:
    if len(data) < 7 or data[0] != USER_PUSH:
        return None
    sizes, is_json, at = data[1:6], data[6] == 1, 7
    strings: list[bytes] = []
    for size in sizes:
        strings.append(data[at : at + size])
        at += size
    if len(data) < at:
        return None
    try:
        join_ref, ref, topic, event = (text.decode() for text in strings[:4])
        if is_json:
            parse_json(data[at:])
    except ValueError:
        return None
    push = UserPush(event, data[at:], is_json)
    return Frame(topic, "broadcast", push, ref or None, join_ref or None)


VERSION_1, VERSION_2 = Version1(), Version2()


def codec_for(vsn: str) -> Codec | None:
    """The codec of a `vsn` query parameter, or None if there is no such version."""
    codecs: dict[str, Codec] = {"1.0.0": VERSION_1, "2.0.0": VERSION_2}
    return codecs.get(vsn)
