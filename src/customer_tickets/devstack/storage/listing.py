"""Lists of objects: by folder with an offset, or by prefix with a cursor (version 2)."""

import base64
import binascii
import json

from aiohttp import web
from psycopg import sql
from psycopg.rows import DictRow

from customer_tickets.devstack.realtime.values import as_list, parse_json
from customer_tickets.devstack.storage import errors, rows
from customer_tickets.devstack.storage.asked import Body
from customer_tickets.devstack.storage.project import Call, Project, Route

__all__ = ["Listing"]

_SORTS = ("name", "updated_at", "created_at", "last_accessed_at")
_ORDERS = ("asc", "desc")
_LONGEST_PAGE = 1000

# Everything is ordered by a time and then by name, so that one condition continues any order: the
# time is no time at all when names alone count, and for folders.
_PAGE = sql.SQL("""
    with matching as (
      select o.*, strpos(substr(o.name, length(%(prefix)s) + 1), '/') as slash
      from storage.objects as o
      where o.bucket_id = %(bucket)s and starts_with(o.name, %(prefix)s)
    ), entries as (
      select name, id, updated_at, created_at, last_accessed_at, metadata,
        coalesce({moment}, '-infinity'::timestamptz) as moment
      from matching where not %(folders)s or slash = 0
      union all
      select distinct left(name, length(%(prefix)s) + slash), null::uuid, null::timestamptz,
        null::timestamptz, null::timestamptz, null::jsonb, '-infinity'::timestamptz
      from matching where %(folders)s and slash > 0
    )
    select name, id, updated_at, created_at, last_accessed_at, metadata, moment::text as place
    from entries
    where %(after)s::text is null
      or (moment, name collate "C") {behind} (%(moment)s::timestamptz, %(after)s::text collate "C")
    order by moment {order}, name collate "C" {order}
    limit %(limit)s
""")


class Listing:
    """Shows what the caller may see of a bucket."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route("POST", "object/list", "bucket", "storage.object.list", self._list),
            Route("POST", "object/list-v2", "bucket", "storage.object.list_v2", self._pages),
        ]

    async def _list(self, call: Call) -> web.Response:
        body = Body.parsed(await call.request.read())
        prefix = body.text("prefix")
        if prefix and not prefix.endswith("/"):
            # Always a folder.
            prefix += "/"
        sort = body.inner("sortBy")
        asked = [
            *(prefix, call.bucket, body.whole("limit", 1) or 100, body.whole("offset", 0) or 0),
            body.optional_text("search") or "",
            sort.choice("column", _SORTS) or "name",
            sort.choice("order", _ORDERS) or "asc",
        ]
        async with self._project.database.acting(call.scope) as connection:
            found = await connection.execute(
                "select * from storage.search(%s, %s, %s, 1, %s, %s, %s, %s)", asked
            )
            listed = [rows.shown(row, rows.LISTED) for row in await found.fetchall()]
        return web.json_response(listed)

    async def _pages(self, call: Call) -> web.Response:
        body = Body.parsed(await call.request.read())
        limit = min(body.whole("limit", 1) or _LONGEST_PAGE, _LONGEST_PAGE)
        sort = body.inner("sortBy")
        column = sort.choice("column", _SORTS[:3]) or "name"
        descending = sort.choice("order", _ORDERS) == "desc"
        moment, after = _position(body.optional_text("cursor"))
        statement = _PAGE.format(
            moment=sql.SQL("null") if column == "name" else sql.Identifier(column),
            behind=sql.SQL("<" if descending else ">"),
            order=sql.SQL("desc" if descending else "asc"),
        )
        asked = {
            "bucket": call.bucket,
            "prefix": body.optional_text("prefix") or "",
            "folders": body.flag("with_delimiter") or False,
            "moment": moment,
            "after": after,
            # One more tells whether there is more.
            "limit": limit + 1,
        }
        async with self._project.database.acting(call.scope) as connection:
            found = await (await connection.execute(statement, asked)).fetchall()
        return web.json_response(_page(found[:limit], has_next=len(found) > limit))


def _page(found: list[DictRow], *, has_next: bool) -> dict[str, object]:
    page: dict[str, object] = {
        "hasNext": has_next,
        "folders": [{"id": None, "name": row["name"]} for row in found if row["id"] is None],
        "objects": [rows.shown(row, rows.LISTED) for row in found if row["id"] is not None],
    }
    if has_next:
        last = json.dumps([found[-1]["place"], found[-1]["name"]])
        page["nextCursor"] = base64.b64encode(last.encode()).decode()
        page["nextCursorKey"] = found[-1]["name"]
    return page


def _position(cursor: str | None) -> tuple[str | None, str | None]:
    """Moment and name behind which a page begins; the moment is checked by the database."""
    if not cursor:
        return None, None
    try:
        position = as_list(parse_json(base64.b64decode(cursor, validate=True)))
    except (ValueError, binascii.Error):
        position = None
    if position is None or len(position) != 2 or not all(isinstance(p, str) for p in position):
        raise errors.invalid_parameter("Invalid Parameter continuation token")
    return str(position[0]), str(position[1])
