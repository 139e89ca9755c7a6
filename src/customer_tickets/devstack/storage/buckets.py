"""Buckets: the service role's, and whoever's the policies on storage.buckets let."""

from aiohttp import web
from psycopg import sql
from psycopg.errors import UniqueViolation

from customer_tickets.devstack.storage import catalog, errors, names, rows
from customer_tickets.devstack.storage.asked import Body
from customer_tickets.devstack.storage.project import Call, Project, Route

__all__ = ["Buckets"]

_SORTS = ("id", "name", "created_at", "updated_at")


class Buckets:
    """Creates, shows, changes, empties and deletes buckets."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def routes(self) -> list[Route]:
        """What is answered here."""
        name = "storage.bucket."
        return [
            Route("GET", "bucket", "", name + "list", self._list),
            Route("POST", "bucket", "", name + "create", self._create),
            Route("GET", "bucket", "bucket", name + "get", self._get),
            Route("PUT", "bucket", "bucket", name + "update", self._update),
            Route("DELETE", "bucket", "bucket", name + "delete", self._delete),
            Route("POST", "bucket", "bucket/empty", name + "empty", self._empty),
        ]

    async def _list(self, call: Call) -> web.Response:
        query = call.request.query
        column, order = query.get("sortColumn", "id"), query.get("sortOrder", "asc")
        if column not in _SORTS or order not in ("asc", "desc"):
            raise errors.invalid_request("querystring/sortColumn must be one of the allowed values")
        statement = sql.SQL(
            "select * from storage.buckets where strpos(lower(name), lower(%s)) > 0"
            " order by {} {} limit %s offset %s"
        ).format(sql.Identifier(column), sql.SQL("desc" if order == "desc" else "asc"))
        asked = [query.get("search", ""), _number(call, "limit"), _number(call, "offset") or 0]
        async with self._project.database.acting(call.scope) as connection:
            found = await connection.execute(statement, asked)
            buckets = [rows.shown(row, rows.BUCKET) for row in await found.fetchall()]
        return web.json_response(buckets)

    async def _get(self, call: Call) -> web.Response:
        async with self._project.database.acting(call.scope) as connection:
            row = await catalog.find_bucket(connection, call.bucket)
        return web.json_response(rows.shown(row, rows.BUCKET))

    async def _create(self, call: Call) -> web.Response:
        body = Body.parsed(await call.request.read())
        name = body.text("name")
        bucket = body.optional_text("id") or name
        names.check_bucket_name(name)
        names.check_bucket_name(bucket)
        owner = call.caller.subject
        limits = self._limits(body)
        values = [
            *(bucket, name, catalog.as_uuid(owner), owner, body.flag("public") or False),
            *(limits.get("file_size_limit"), limits.get("allowed_mime_types")),
        ]
        async with self._project.database.acting(call.scope) as connection:
            try:
                await connection.execute(
                    "insert into storage.buckets (id, name, owner, owner_id, public,"
                    " file_size_limit, allowed_mime_types) values (%s, %s, %s, %s, %s, %s, %s)",
                    values,
                )
            except UniqueViolation:
                raise errors.duplicate("BucketAlreadyExists") from None
        return web.json_response({"name": name})

    async def _update(self, call: Call) -> web.Response:
        body = Body.parsed(await call.request.read())
        changes = self._limits(body)
        public = body.flag("public")
        if public is not None:
            changes["public"] = public
        if not changes:
            raise errors.invalid_request("body must have required property 'public'")
        assignments = sql.SQL(", ").join(
            sql.SQL("{} = %s").format(sql.Identifier(column)) for column in changes
        )
        async with self._project.database.acting(call.scope) as connection:
            changed = await connection.execute(
                sql.SQL("update storage.buckets set {}, updated_at = now() where id = %s").format(
                    assignments
                ),
                [*changes.values(), call.bucket],
            )
            if changed.rowcount == 0:
                raise errors.no_such_bucket()
        return web.json_response({"message": "Successfully updated"})

    async def _delete(self, call: Call) -> web.Response:
        async with self._project.database.acting(call.service) as connection:
            await catalog.find_bucket(connection, call.bucket)
            held = await connection.execute(
                "select 1 from storage.objects where bucket_id = %s limit 1", [call.bucket]
            )
            if await held.fetchone() is not None:
                raise errors.bucket_not_empty()
        async with self._project.database.acting(call.scope) as connection:
            # An object that came meanwhile is held by the foreign key.
            deleted = await connection.execute(
                "delete from storage.buckets where id = %s", [call.bucket]
            )
            if deleted.rowcount == 0:
                raise errors.no_such_bucket()
        return web.json_response({"message": "Successfully deleted"})

    async def _empty(self, call: Call) -> web.Response:
        async with self._project.database.acting(call.scope) as connection:
            await catalog.find_bucket(connection, call.bucket)
            deleted = await catalog.delete_objects(connection, call.bucket, None)
        self._project.files.remove(row["version"] for row in deleted)
        # Hosted projects do it later and say so; clients know the sentence.
        message = "Empty bucket has been queued. Completion may take up to an hour."
        return web.json_response({"message": message})

    def _limits(self, body: Body) -> dict[str, object]:
        """The limits that the body mentions, null included; checked."""
        limits: dict[str, object] = {}
        if "file_size_limit" in body:
            size = body.size("file_size_limit")
            limits["file_size_limit"] = None if size is None else names.parse_size(size)
            if size is not None and names.parse_size(size) > self._project.file_size_limit:
                raise errors.too_large()
        if "allowed_mime_types" in body:
            types = body.texts("allowed_mime_types")
            limits["allowed_mime_types"] = None if types is None else [t for t in types if t]
            names.check_allowed_types([t for t in types or () if t])
        return limits


def _number(call: Call, name: str) -> int | None:
    text = call.request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise errors.invalid_request(f"querystring/{name} must be integer")
    return int(text)
