"""Objects that are there: sign, move, copy, remove."""

from urllib.parse import quote

from aiohttp import web

from customer_tickets.devstack.realtime.values import as_object
from customer_tickets.devstack.storage import catalog, errors, names, rows, signing
from customer_tickets.devstack.storage.asked import Body
from customer_tickets.devstack.storage.catalog import NewObject
from customer_tickets.devstack.storage.project import Call, Project, Route
from customer_tickets.devstack.storage.receiving import user_metadata
from customer_tickets.devstack.storage.uploads import commit, may_write

__all__ = ["Objects"]

_MOST = 1000
_NOT_YOURS = "Either the object does not exist or you do not have access to it"


class Objects:
    """Everything about objects that moves no bytes to or from the client."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def routes(self) -> list[Route]:
        """What is answered here."""
        name = "storage.object."
        return [
            Route("POST", "object/move", "", name + "move", self._move),
            Route("POST", "object/copy", "", name + "copy", self._copy),
            Route("POST", "object/sign", "bucket/key", name + "sign", self._sign),
            Route("POST", "object/sign", "bucket", name + "sign_many", self._sign_many),
            Route("DELETE", "object", "bucket/key", name + "delete", self._delete),
            Route("DELETE", "object", "bucket", name + "delete_many", self._delete_many),
        ]

    async def _sign(self, call: Call) -> web.Response:
        lifetime = _lifetime(Body.parsed(await call.request.read()))
        names.check_key(call.key)
        async with self._project.database.acting(call.scope) as connection:
            await catalog.find_object(connection, call.bucket, call.key)
        return web.json_response({"signedURL": self._signed_url(call.bucket, call.key, lifetime)})

    async def _sign_many(self, call: Call) -> web.Response:
        body = Body.parsed(await call.request.read())
        lifetime = _lifetime(body)
        paths = body.required_texts("paths", most=_MOST)
        async with self._project.database.acting(call.scope) as connection:
            found = await connection.execute(
                "select name from storage.objects where bucket_id = %s and name = any(%s)",
                [call.bucket, paths],
            )
            visible = {row["name"] for row in await found.fetchall()}
        answers = [
            {
                "error": None,
                "path": path,
                "signedURL": self._signed_url(call.bucket, path, lifetime),
            }
            if path in visible
            else {"error": _NOT_YOURS, "path": path, "signedURL": None}
            for path in paths
        ]
        return web.json_response(answers)

    def _signed_url(self, bucket: str, key: str, lifetime: int) -> str:
        place = f"{bucket}/{key}"
        now = self._project.now()
        token = signing.sign(
            "download", place, self._project.jwt_secret, now=now, lifetime=lifetime
        )
        return f"/object/sign/{quote(place, safe=signing.UNQUOTED)}?token={token}"

    async def _move(self, call: Call) -> web.Response:
        source, target = _way(Body.parsed(await call.request.read()))
        async with self._project.database.acting(call.scope) as connection:
            await catalog.find_object(connection, *source)
            row = await catalog.move(connection, source, target, call.caller.subject)
        return web.json_response(
            {"message": "Successfully moved", "Id": str(row["id"]), "Key": row["name"]}
        )

    async def _copy(self, call: Call) -> web.Response:
        body = Body.parsed(await call.request.read())
        source, target = _way(body)
        async with self._project.database.acting(call.scope) as connection:
            original = await catalog.find_object(connection, *source)
        metadata = as_object(original["metadata"]) or {}
        own = original["user_metadata"]
        if body.flag("copyMetadata") is False:
            own = user_metadata(call.request.headers.get("x-metadata"))
            metadata |= _changes(body.inner("metadata"))
        owner = call.caller.subject
        upsert = call.request.headers.get("x-upsert") == "true"
        trial = NewObject(*target, owner, "1", metadata, own)
        await may_write(self._project, call.scope, trial, upsert=upsert)
        try:
            version = await self._project.files.copy(original["version"])
        except FileNotFoundError:
            raise errors.file_missing() from None
        new = NewObject(*target, owner, version, metadata, own)
        row = await commit(self._project, call, new, upsert=upsert)
        answer = {"Id": str(row["id"]), "Key": "/".join(target)}
        return web.json_response(answer | rows.shown(row, rows.OBJECT))

    async def _delete(self, call: Call) -> web.Response:
        async with self._project.database.acting(call.service) as connection:
            await catalog.find_object(connection, call.bucket, call.key)
        if not await self._remove(call, [call.key]):
            raise errors.access_denied("Access denied")
        return web.json_response({"message": "Successfully deleted"})

    async def _delete_many(self, call: Call) -> web.Response:
        body = Body.parsed(await call.request.read())
        removed = await self._remove(call, body.required_texts("prefixes", most=_MOST))
        return web.json_response(removed)

    async def _remove(self, call: Call, keys: list[str]) -> list[dict[str, object]]:
        async with self._project.database.acting(call.scope) as connection:
            deleted = await catalog.delete_objects(connection, call.bucket, keys)
        # After the commit: a file too many is swept one day, a row without its file never.
        self._project.files.remove(row["version"] for row in deleted)
        return [rows.shown(row, rows.OBJECT) for row in deleted]


def _lifetime(body: Body) -> int:
    seconds = body.whole("expiresIn", 1)
    if seconds is None:
        raise errors.invalid_request("body must have required property 'expiresIn'")
    return seconds


def _way(body: Body) -> tuple[tuple[str, str], tuple[str, str]]:
    """From where to where: bucket and key, twice."""
    bucket = body.text("bucketId")
    source, target = body.text("sourceKey"), body.text("destinationKey")
    names.check_key(target)
    return (bucket, source), (body.optional_text("destinationBucket") or bucket, target)


def _changes(body: Body) -> dict[str, object]:
    changes = {name: body.optional_text(name) for name in ("cacheControl", "mimetype")}
    return {name: value for name, value in changes.items() if value is not None}
