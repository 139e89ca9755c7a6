"""Uploads: a file and its row appear together, or neither does."""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import psycopg
from aiohttp import web
from psycopg.rows import DictRow

from customer_tickets.devstack.storage import catalog, names, rows, signing
from customer_tickets.devstack.storage.caller import Scope
from customer_tickets.devstack.storage.catalog import NewObject
from customer_tickets.devstack.storage.files import Stored
from customer_tickets.devstack.storage.project import Call, Project, Route
from customer_tickets.devstack.storage.receiving import Incoming, receive, user_metadata

__all__ = ["Uploads", "commit", "may_write"]

# As hosted projects give them.
_SIGNED_UPLOAD_SECONDS = 7200
# Of a row that is only tried out.
_TRIAL = "1"


class Uploads:
    """Puts files in, in the caller's name or by a signed address."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def routes(self) -> list[Route]:
        """What is answered here."""
        sign = "object/upload/sign"
        signed, update = "storage.object.upload_signed", "storage.object.upload_update"
        return [
            Route("POST", sign, "bucket/key", "storage.object.sign_upload_url", self._sign),
            Route("PUT", sign, "bucket/key", signed, self._signed, access="anyone"),
            Route("POST", "object", "bucket/key", "storage.object.upload", self._create),
            Route("PUT", "object", "bucket/key", update, self._update),
        ]

    async def _create(self, call: Call) -> web.Response:
        owner = call.caller.subject
        return await self._upload(call, call.scope, owner, upsert=_wants_upsert(call))

    async def _update(self, call: Call) -> web.Response:
        return await self._upload(call, call.scope, call.caller.subject, upsert=True)

    async def _signed(self, call: Call) -> web.Response:
        opened = signing.verify(
            call.request.query.get("token", ""),
            "upload",
            f"{call.bucket}/{call.key}",
            self._project.jwt_secret,
            now=self._project.now(),
        )
        # Whoever signed the address was asked then.
        return await self._upload(call, call.service, opened.owner, upsert=opened.upsert)

    async def _sign(self, call: Call) -> web.Response:
        names.check_key(call.key)
        owner, upsert = call.caller.subject, _wants_upsert(call)
        metadata = {"mimetype": call.request.headers.get("Content-Type")}
        trial = NewObject(
            *(call.bucket, call.key, owner, _TRIAL, metadata),
            user_metadata(call.request.headers.get("x-metadata")),
        )
        await may_write(self._project, call.scope, trial, upsert=upsert)
        place = f"{call.bucket}/{call.key}"
        token = signing.sign(
            *("upload", place, self._project.jwt_secret),
            now=self._project.now(),
            lifetime=_SIGNED_UPLOAD_SECONDS,
            owner=owner,
            upsert=upsert,
        )
        url = f"/object/upload/sign/{quote(place, safe=signing.UNQUOTED)}?token={token}"
        return web.json_response({"url": url, "token": token})

    async def _upload(
        self, call: Call, scope: Scope, owner: str | None, *, upsert: bool
    ) -> web.Response:
        names.check_key(call.key)
        async with self._project.database.acting(call.service) as connection:
            bucket = await catalog.find_bucket(connection, call.bucket)
        limit = bucket["file_size_limit"]
        incoming = await receive(
            call.request,
            key=call.key,
            limit=min(self._project.file_size_limit, limit if limit is not None else 2**63),
            allowed=bucket["allowed_mime_types"],
        )
        trial = NewObject(
            *(call.bucket, call.key, owner, _TRIAL, _declared(incoming), incoming.user_metadata)
        )
        # Before the first byte is written: a stranger must not be able to fill the disk.
        await may_write(self._project, scope, trial, upsert=upsert)
        stored = await self._project.files.write(incoming.chunks, incoming.limit)
        new = NewObject(
            *(call.bucket, call.key, owner, stored.version),
            _metadata(incoming, stored),
            incoming.user_metadata or {},
        )
        row = await commit(self._project, call, new, upsert=upsert)
        return web.json_response({"Id": str(row["id"]), "Key": f"{call.bucket}/{call.key}"})


async def may_write(project: Project, scope: Scope, trial: NewObject, *, upsert: bool) -> None:
    """Ask the policies whether this row may be written; raises what they say, and Duplicate."""
    async with project.database.acting(scope, trial=True) as connection:
        await (catalog.upsert if upsert else catalog.insert)(connection, trial)


async def commit(project: Project, call: Call, new: NewObject, *, upsert: bool) -> DictRow:
    """Write the row of a file that is there, and remove the file that it replaces.

    When that fails the new file is removed. Only a commit whose outcome is unknown leaves it: the
    next start of the server knows.
    """
    replaced = None
    try:
        async with project.database.acting(call.service) as connection:
            await catalog.enter_commit(connection)
            if upsert:
                replaced = await catalog.locked_version(connection, new.bucket, new.key)
                row = await catalog.upsert(connection, new)
            else:
                # Of two uploads at once one is a duplicate, however late it turns out.
                await catalog.insert(connection, new)
                row = await catalog.find_object(connection, new.bucket, new.key)
    except Exception as error:
        if not isinstance(error, psycopg.OperationalError) or error.sqlstate is not None:
            project.files.remove([new.version])
        raise
    project.files.remove([replaced])
    return row


def _wants_upsert(call: Call) -> bool:
    return call.request.headers.get("x-upsert") == "true"


def _declared(incoming: Incoming) -> Mapping[str, object]:
    """What a policy can ask about the content before it has come."""
    return {"mimetype": incoming.mimetype, "contentLength": incoming.declared_size}


def _metadata(incoming: Incoming, stored: Stored) -> Mapping[str, object]:
    return {
        "eTag": stored.etag,
        "size": stored.size,
        "mimetype": incoming.mimetype,
        "cacheControl": incoming.cache_control,
        "lastModified": rows.moment(datetime.now(UTC)),
        "contentLength": stored.size,
        "httpStatusCode": 200,
    }
