"""An upload as it comes in: the fields around the file, and the file as chunks."""

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from customer_tickets.devstack.realtime.values import as_object
from customer_tickets.devstack.storage import errors, names

__all__ = ["Incoming", "receive"]

_CHUNK = 1 << 16
# What aiohttp says of a form that is none, or none any more.
_MALFORMED = (ValueError, AssertionError, RuntimeError, HttpProcessingError)
_MAX_FIELDS = 10
_MAX_FIELD = 1 << 20
# Fields that count; whatever else a form has is ignored.
_TAKEN = frozenset({"cacheControl", "metadata", "userMetadata", "contentType"})


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file on its way: its bytes have not been read yet."""

    chunks: AsyncIterator[bytes]
    mimetype: str
    cache_control: str
    user_metadata: Mapping[str, object] | None
    declared_size: int | None
    """What the request says of itself; nobody is bound by it."""
    limit: int


async def receive(
    request: web.Request, *, key: str, limit: int, allowed: Sequence[str] | None
) -> Incoming:
    """Read up to the file, and check what is known by then.

    A form (as the clients for Python and browsers send) or a raw body (as storage-js sends what is
    no form). Raises `Payload too large`, `invalid_mime_type`, and InvalidRequest without a file.
    """
    if names.is_placeholder(key):
        limit, allowed = 0, None
    if request.content_type == "multipart/form-data":
        incoming = await _form(request, limit)
    else:
        incoming = _raw(request, limit)
    names.accept_type(incoming.mimetype, allowed)
    return incoming


def _raw(request: web.Request, limit: int) -> Incoming:
    size = request.content_length
    if size is not None and size > limit:
        raise errors.too_large()
    return Incoming(
        _all_of(request.content),
        request.headers.get("Content-Type", "application/octet-stream"),
        request.headers.get("Cache-Control", "no-cache"),
        user_metadata(request.headers.get("x-metadata")),
        size,
        limit,
    )


async def _all_of(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    async for chunk in content.iter_chunked(_CHUNK):
        yield chunk


def user_metadata(header: str | None) -> Mapping[str, object] | None:
    """The metadata that a header carries (base64 of JSON); None if it carries none that is good."""
    if header is None:
        return None
    try:
        return _object(base64.b64decode(header, validate=False))
    except ValueError:
        return None


def _object(text: bytes) -> Mapping[str, object] | None:
    try:
        return as_object(json.loads(text))
    except (ValueError, RecursionError):
        return None


async def _form(request: web.Request, limit: int) -> Incoming:
    fields: dict[str, bytes] = {}
    try:
        reader = await request.multipart()
        part = await _file_part(reader, fields)
        content_type = fields.get("contentType", b"").decode()
        cache_seconds = fields.get("cacheControl", b"").decode()
    except _MALFORMED:
        raise errors.no_content() from None
    metadata = fields.get("metadata", fields.get("userMetadata"))
    if not names.is_header_value(cache_seconds):
        raise errors.no_content("Invalid cacheControl")
    return Incoming(
        _all_of_part(part, reader),
        content_type or part.headers.get("Content-Type", "text/plain"),
        f"max-age={cache_seconds}" if cache_seconds else "no-cache",
        None if metadata is None else _object(metadata),
        request.content_length,
        limit,
    )


async def _file_part(reader: MultipartReader, fields: dict[str, bytes]) -> BodyPartReader:
    """Read the fields before the file; those after it come too late to count."""
    for _ in range(_MAX_FIELDS + 1):
        part = await reader.next()
        if not isinstance(part, BodyPartReader):
            break
        if part.filename is not None:
            return part
        value = await _field(part)
        if part.name in _TAKEN:
            fields[part.name] = value
    raise errors.no_content()


async def _field(part: BodyPartReader) -> bytes:
    value = bytearray()
    while not part.at_eof():
        value += await part.read_chunk(_CHUNK)
        if len(value) > _MAX_FIELD:
            raise errors.too_large("user_metadata")
    return bytes(value)


async def _all_of_part(part: BodyPartReader, reader: MultipartReader) -> AsyncIterator[bytes]:
    try:
        while not part.at_eof():
            yield await part.read_chunk(_CHUNK)
        # To the last boundary: a form that breaks off before it is not whole.
        for _ in range(_MAX_FIELDS):
            after = await reader.next()
            if not isinstance(after, BodyPartReader):
                return
            await _field(after)
    except _MALFORMED:
        raise errors.no_content("The form is malformed or incomplete") from None
    raise errors.no_content("The form has too many fields")
