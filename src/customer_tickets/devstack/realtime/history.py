"""Stored messages that a channel asks to have sent again when it joins."""

from datetime import UTC, datetime, timedelta

import psycopg

from customer_tickets.devstack.realtime.database import Connection, Database, DatabaseTrouble
from customer_tickets.devstack.realtime.frames import RawBroadcast
from customer_tickets.devstack.realtime.joining import JoinRefused, Replay

__all__ = ["replay"]

# The newest ones win: more than the limit, and the oldest are silently absent. As on Supabase.
NEWEST = (
    "select id::text, event, payload::text, binary_payload from realtime.messages"
    " where topic = %s and private and extension = 'broadcast'"
    " and inserted_at >= %s and inserted_at < %s"
    " order by inserted_at desc limit %s"
)


async def replay(database: Database, topic: str, name: str, wanted: Replay) -> list[RawBroadcast]:
    """The newest stored messages of a private topic since then, oldest first.

    Raises JoinRefused when they cannot be read.
    """
    since = datetime.fromtimestamp(wanted.since / 1000, UTC).replace(tzinfo=None)
    until = datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=1)

    async def work(connection: Connection) -> list[RawBroadcast]:
        rows = await connection.execute(NEWEST, (name, since, until, wanted.limit))
        found = [_broadcast(topic, *row) for row in await rows.fetchall()]
        return [message for message in reversed(found) if message is not None]

    try:
        return await database.run(work)
    except (DatabaseTrouble, psycopg.Error):
        raise JoinRefused(
            "UnableToReplayMessages: Realtime was unable to replay messages"
        ) from None


def _broadcast(
    topic: str, row_id: str, event: str | None, payload: str | None, binary: bytes | None
) -> RawBroadcast | None:
    body = binary if payload is None else payload.encode()
    if event is None or body is None:
        return None
    return RawBroadcast(
        topic, event, body, payload is not None, meta={"id": row_id, "replayed": True}
    )
