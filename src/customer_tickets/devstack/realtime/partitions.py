"""The daily partitions of realtime.messages: made ahead of time, dropped after three days.

`realtime.send` never makes one: without a partition for today its messages are lost, silently.
"""

from datetime import UTC, date, datetime, timedelta

from psycopg import sql

from customer_tickets.devstack.realtime.database import Connection, Database

__all__ = ["keep_partitions", "wanted_days"]

AHEAD = 3
KEPT = timedelta(hours=72)
EXISTING = (
    "select c.relname from pg_catalog.pg_inherits i"
    " join pg_catalog.pg_class c on c.oid = i.inhrelid"
    " where i.inhparent = 'realtime.messages'::regclass"
)


def wanted_days(today: date) -> list[date]:
    """Yesterday to three days ahead."""
    return [today + timedelta(days=days) for days in range(-1, AHEAD + 1)]


async def keep_partitions(database: Database) -> None:
    """Make the partitions that are missing and drop those that are too old.

    Raises DatabaseTrouble or a psycopg.Error; whatever was done until then stays done.
    """
    now = datetime.now(UTC)
    oldest = _name((now - KEPT).date())
    async with database.own_connection() as connection:
        rows = await (await connection.execute(EXISTING)).fetchall()
        existing = {str(row[0]) for row in rows}
        for day in wanted_days(now.date()):
            if _name(day) not in existing:
                await _create(connection, day)
        for name in existing:
            if name.startswith("messages_") and name < oldest:
                await connection.execute(
                    sql.SQL("drop table if exists realtime.{}").format(sql.Identifier(name))
                )


def _name(day: date) -> str:
    return f"messages_{day:%Y_%m_%d}"


async def _create(connection: Connection, day: date) -> None:
    partition = sql.Identifier("realtime", _name(day))
    async with connection.transaction():
        await connection.execute(
            sql.SQL(
                "create table if not exists {} partition of realtime.messages"
                " for values from ({}) to ({})"
            ).format(partition, str(day), str(day + timedelta(days=1)))
        )
        await connection.execute(
            sql.SQL("alter table {} owner to supabase_realtime_admin").format(partition)
        )
