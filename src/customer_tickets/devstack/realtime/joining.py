"""What a client asks for when it joins a channel, read as leniently as there. Pure."""

import zlib
from dataclasses import dataclass, field
from typing import Literal, TypeGuard
from uuid import uuid1

from customer_tickets.devstack.realtime.values import as_list, as_object, to_json

__all__ = ["JoinRefused", "JoinRequest", "Replay", "read_join", "topic_name"]

PREFIX = "realtime:"
REPLAY_LIMIT = 25
LATEST = 253_402_300_800_000  # the year 10000, where datetime ends


class JoinRefused(Exception):
    """A join that is answered with an error; `reason` is the text on the wire."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason

    @property
    def closes(self) -> bool:
        """Whether the whole socket is closed after the answer."""
        return self.reason.startswith(("ClientJoinRateLimitReached:", "TenantNotFound:"))


@dataclass(frozen=True, slots=True)
class Replay:
    """Which of the stored messages to send again."""

    since: int
    """Milliseconds since the epoch."""
    limit: int


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """The configuration of one channel."""

    private: bool = False
    ack: bool = False
    self_broadcast: bool = False
    replication_ready: bool = False
    presence: bool = False
    presence_key: str = ""
    replay: Replay | Literal["nothing", "invalid"] | None = None
    """None: not even mentioned, which is all that a public channel may do."""
    changes: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    """The Postgres Changes asked for, each with the id that stands for it."""
    token: str | None = None
    """None: the socket's own key counts."""


def topic_name(topic: str) -> str | None:
    """The name without its prefix; None if this is no channel's topic."""
    return topic.removeprefix(PREFIX) if topic.startswith(PREFIX) else None


def read_join(payload: object) -> JoinRequest:
    """Read the payload of a `phx_join`; nothing in it makes the join fail at this point."""
    fields = as_object(payload) or {}
    config = as_object(fields.get("config")) or {}
    broadcast = as_object(config.get("broadcast")) or {}
    presence = as_object(config.get("presence")) or {}
    return JoinRequest(
        private=_flag(config.get("private")),
        ack=_flag(broadcast.get("ack")),
        self_broadcast=_flag(broadcast.get("self")),
        replication_ready=_flag(broadcast.get("replication_ready")),
        presence=_flag(presence.get("enabled")),
        presence_key=_key(presence.get("key")),
        replay=_replay(broadcast["replay"]) if "replay" in broadcast else None,
        changes=_changes(config.get("postgres_changes")),
        token=_token(fields),
    )


def _flag(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _key(value: object) -> str:
    if value is None or value == "":
        return str(uuid1())
    return value if isinstance(value, str) else to_json(value)


def _replay(value: object) -> Replay | Literal["nothing", "invalid"]:
    settings = as_object(value)
    if settings is None:
        return "nothing"
    since, limit = settings.get("since"), settings.get("limit")
    if limit is None:
        limit = REPLAY_LIMIT
    if not _is_integer(since) or not _is_integer(limit) or not 0 <= since < LATEST:
        return "invalid"
    return Replay(since, min(max(limit, 1), REPLAY_LIMIT))


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _changes(value: object) -> list[dict[str, object]]:
    entries = [as_object(entry) for entry in as_list(value) or []]
    return [
        {**entry, "id": zlib.crc32(to_json(sorted(entry.items())).encode())}
        for entry in entries
        if entry is not None
    ]


def _token(fields: dict[str, object]) -> str | None:
    # `user_token` is the older name, and still wins.
    token = fields.get("user_token") or fields.get("access_token")
    if not isinstance(token, str) or token.startswith("sb_"):
        return None
    return token
