"""Downloads: a file or a part of it, for whoever may see the row, or by a signed address."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import BinaryIO
from urllib.parse import quote

from aiohttp import web
from psycopg.rows import DictRow

from customer_tickets.devstack.realtime.values import as_object
from customer_tickets.devstack.storage import catalog, errors, names, ranges, rows, signing
from customer_tickets.devstack.storage.caller import Scope
from customer_tickets.devstack.storage.project import Call, Project, Route, Tail

__all__ = ["Downloads"]

_PIECE = 1 << 18
# What JavaScript's encodeURIComponent leaves as it is.
_PLAIN = "-_.!~*'()"


class Downloads:
    """Gives files out, and what is known of them."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def routes(self) -> list[Route]:
        """What is answered here; the exact prefixes first."""
        key: Tail = "bucket/key"
        info, head = "object.get_authenticated_info", "object.head_authenticated_info"
        public_info = "storage.object.info_public"
        routes = [
            Route("GET", "object/info/public", key, public_info, self._public_info, "anyone"),
            Route("GET", "object/info/authenticated", key, info, self._info),
            Route("GET", "object/info", key, info, self._info, "anyone"),
        ]
        for method in ("GET", "HEAD"):
            get = head if method == "HEAD" else "storage.object.get_authenticated"
            public, signed = "storage.object.get_public", "storage.object.get_signed"
            routes += [
                Route(method, "object/public", key, public, self._public, "anyone"),
                Route(method, "object/sign", key, signed, self._signed, "anyone"),
                Route(method, "object/authenticated", key, get, self._own),
                Route(method, "object", key, get, self._own, "anyone"),
            ]
        return routes

    async def _own(self, call: Call) -> web.StreamResponse:
        return await self._send(call, await self._scope(call))

    async def _public(self, call: Call) -> web.StreamResponse:
        return await self._send(call, await self._public_scope(call))

    async def _info(self, call: Call) -> web.Response:
        return _info(await self._find(call, await self._scope(call)))

    async def _public_info(self, call: Call) -> web.Response:
        return _info(await self._find(call, await self._public_scope(call)))

    async def _signed(self, call: Call) -> web.StreamResponse:
        opened = signing.verify(
            call.request.query.get("token", ""),
            "download",
            f"{call.bucket}/{call.key}",
            self._project.jwt_secret,
            now=self._project.now(),
        )
        return await self._send(call, call.service, expires=opened.expires)

    async def _scope(self, call: Call) -> Scope:
        """Who the policies are asked about; nobody when the bucket is public."""
        if await self._is_public(call):
            return call.service
        if not call.caller.authenticated:
            raise errors.no_such_bucket()
        return call.scope

    async def _public_scope(self, call: Call) -> Scope:
        if not await self._is_public(call):
            raise errors.no_such_bucket()
        return call.service

    async def _is_public(self, call: Call) -> bool:
        async with self._project.database.acting(call.service) as connection:
            bucket = await catalog.find_bucket(connection, call.bucket)
        return bucket["public"] is True

    async def _find(self, call: Call, scope: Scope) -> DictRow:
        names.check_key(call.key)
        async with self._project.database.acting(scope) as connection:
            return await catalog.find_object(connection, call.bucket, call.key)

    async def _send(
        self, call: Call, scope: Scope, *, expires: int | None = None
    ) -> web.StreamResponse:
        row, file = await self._open(call, scope)
        with file:
            return await _send(call.request, file, row, expires)

    async def _open(self, call: Call, scope: Scope) -> tuple[DictRow, BinaryIO]:
        row = await self._find(call, scope)
        while True:
            try:
                return row, self._project.files.reading(row["version"])
            except FileNotFoundError:
                tried = row["version"]
            # It may have been replaced since the row was read.
            row = await self._find(call, scope)
            if row["version"] == tried:
                raise errors.file_missing()


async def _send(
    request: web.Request, file: BinaryIO, row: DictRow, expires: int | None
) -> web.StreamResponse:
    size = file.seek(0, 2)
    metadata = _metadata(row)
    modified = _modified(metadata)
    headers = _headers(metadata, modified, expires)
    if ranges.is_fresh(request.headers, headers["ETag"], modified):
        return web.Response(status=304, headers=headers)
    part = ranges.wanted_range(request.headers, headers["ETag"], size)
    wanted = part if part is not None else range(size)
    answer = web.StreamResponse(status=200 if part is None else 206, headers=headers)
    if part is not None:
        answer.headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    if "download" in request.query:
        answer.headers["Content-Disposition"] = _disposition(request.query["download"])
    answer.content_length = len(wanted)
    await answer.prepare(request)
    if request.method != "HEAD":
        file.seek(wanted.start)
        left = len(wanted)
        while left:
            piece = await asyncio.to_thread(file.read, min(left, _PIECE))
            await answer.write(piece)
            left -= len(piece)
    await answer.write_eof()
    return answer


def _metadata(row: DictRow) -> Mapping[str, object]:
    # SQL may have written anything there.
    metadata = as_object(row["metadata"])
    return metadata if metadata is not None else {}


def _modified(metadata: Mapping[str, object]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(metadata.get("lastModified")))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _headers(
    metadata: Mapping[str, object], modified: datetime | None, expires: int | None
) -> dict[str, str]:
    mimetype = str(metadata.get("mimetype") or "application/octet-stream")
    headers = {
        "Accept-Ranges": "bytes",
        # A page would run with the address of the project.
        "Content-Type": "text/plain" if "text/html" in mimetype else mimetype,
        "ETag": str(metadata.get("eTag", "")),
        "X-Robots-Tag": "none",
    }
    if modified is not None:
        headers["Last-Modified"] = _http_date(modified)
    if expires is not None:
        headers["Expires"] = _http_date(datetime.fromtimestamp(expires, UTC))
    elif cache_control := metadata.get("cacheControl"):
        headers["Cache-Control"] = str(cache_control)
    for name, value in headers.items():
        if not names.is_header_value(value):
            raise errors.invalid_header(name)
    return headers


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _disposition(name: str) -> str:
    if not name:
        return "attachment;"
    encoded = quote(name, safe=_PLAIN, errors="replace")
    return f"attachment; filename={encoded}; filename*=UTF-8''{encoded}"


def _info(row: DictRow) -> web.Response:
    metadata = _metadata(row)
    shown = rows.shown(row, ["id", "name", "version", "bucket_id", "created_at"])
    shown |= {
        "size": metadata.get("size"),
        "content_type": metadata.get("mimetype"),
        "cache_control": metadata.get("cacheControl"),
        "etag": metadata.get("eTag"),
        "metadata": row["user_metadata"],
        "last_modified": rows.shown(row, ["updated_at"])["updated_at"],
    }
    return web.json_response(shown)
