"""Reading what Postgres streams from its write-ahead log: pgoutput, protocol version 1. Pure.

Only inserts are looked at. Postgres sends a transaction when it has committed, whole, in the order
of commits; one that was rolled back is never sent.
"""

import struct
from dataclasses import dataclass
from uuid import UUID

__all__ = ["Inserted", "KeepAlive", "Reader", "status_update"]

_DATA = struct.Struct("!cqqq")
_KEEPALIVE = struct.Struct("!cqqB")
_STATUS = struct.Struct("!cqqqqB")


@dataclass(frozen=True, slots=True)
class Inserted:
    """A new row of realtime.messages, its columns as text; None is null."""

    columns: dict[str, str | None]

    @property
    def id(self) -> str:
        """The row's id as clients see it."""
        return str(UUID(self.columns["id"]))


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The server says how far it is, and may want to be answered."""

    position: int
    reply: bool


def status_update(position: int) -> bytes:
    """Tell Postgres that everything up to there has been dealt with and may be thrown away."""
    return _STATUS.pack(b"r", position, position, position, 0, 0)


class Reader:
    """Turns the messages of one replication connection into rows; remembers the table layouts."""

    def __init__(self) -> None:
        self.position = 0
        """How far the log has been read."""
        self._columns: dict[int, list[str]] = {}

    def read(self, data: bytes) -> Inserted | KeepAlive | None:
        """One message of the replication protocol; None if it holds nothing of interest."""
        if data[:1] == b"k":
            _, end, _, reply = _KEEPALIVE.unpack_from(data)
            self.position = max(self.position, end)
            return KeepAlive(end, bool(reply))
        if data[:1] != b"w":
            return None
        _, _, end, _ = _DATA.unpack_from(data)
        self.position = max(self.position, end)
        return self._change(data[_DATA.size :])

    def _change(self, change: bytes) -> Inserted | None:
        kind = change[:1]
        if kind == b"R":
            self._relation(change)
        if kind != b"I":
            return None
        (relation,) = struct.unpack_from("!I", change, 1)
        values = _tuple(change, 6)
        return Inserted(dict(zip(self._columns[relation], values, strict=True)))

    def _relation(self, change: bytes) -> None:
        (relation,) = struct.unpack_from("!I", change, 1)
        at = change.index(b"\0", change.index(b"\0", 5) + 1) + 2
        (count,) = struct.unpack_from("!h", change, at)
        at += 2
        names: list[str] = []
        for _ in range(count):
            end = change.index(b"\0", at + 1)
            names.append(change[at + 1 : end].decode())
            at = end + 9
        self._columns[relation] = names


def _tuple(change: bytes, at: int) -> list[str | None]:
    """The columns of a row, from its kind byte (`N` was at `at - 1`) on."""
    (count,) = struct.unpack_from("!h", change, at)
    at += 2
    values: list[str | None] = []
    for _ in range(count):
        if change[at : at + 1] == b"t":
            (size,) = struct.unpack_from("!i", change, at + 1)
            values.append(change[at + 5 : at + 5 + size].decode())
            at += 5 + size
        else:
            values.append(None)
            at += 1
    return values
