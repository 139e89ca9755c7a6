"""PURE: which names, types and sizes are allowed."""

import re
from collections.abc import Sequence

from customer_tickets.devstack.storage import errors

__all__ = [
    "accept_type",
    "check_allowed_types",
    "check_bucket_name",
    "check_key",
    "is_header_value",
    "is_placeholder",
    "parse_size",
]

_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+", re.ASCII)
_BUCKET = re.compile(r"[A-Za-z0-9_!.*'() &$=@;:+,?-]{1,100}", re.ASCII)
_TYPE = re.compile(r"[a-zA-Z0-9\-+.]+/([a-zA-Z0-9\-+.]+|\*)(;\s*charset=[a-zA-Z0-9\-]+)?|\*")
# A header of the answer will carry it.
_PRINTABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(gb|mb|kb|b)", re.IGNORECASE)
_UNITS = {"gb": 10**9, "mb": 10**6, "kb": 1000, "b": 1}
_LONGEST_KEY = 1024
_LONGEST_TYPE = 1000


def check_key(key: str) -> None:
    """Raise InvalidKey for a name that no object may have.

    Beyond the alphabet: no `/` at the end, and no `.` or `..` between slashes, because clients and
    proxies would take them for a way.
    """
    parts = key.split("/")
    if (
        not _KEY.fullmatch(key)
        or len(key) > _LONGEST_KEY
        or parts[-1] == ""
        or "." in parts
        or ".." in parts
    ):
        raise errors.invalid_key(key)


def check_bucket_name(name: str) -> None:
    """Raise InvalidBucketName for a name that no bucket may have."""
    if not _BUCKET.fullmatch(name) or name != name.strip():
        raise errors.invalid_bucket_name()


def is_placeholder(key: str) -> bool:
    """Whether this is what the dashboard keeps an empty folder alive with: always empty."""
    return key.endswith(".emptyFolderPlaceholder")


def accept_type(mimetype: str, allowed: Sequence[str] | None) -> None:
    """Raise invalid_mime_type unless a bucket with this list takes the type; `image/*` works."""
    if not is_header_value(mimetype) or len(mimetype) > _LONGEST_TYPE:
        raise errors.invalid_type(mimetype[:80])
    if not allowed:
        return
    kind, slash, subtype = mimetype.partition("/")
    for entry in allowed:
        allowed_kind, _, allowed_subtype = entry.partition("/")
        if slash and kind == allowed_kind and allowed_subtype in ("*", subtype):
            return
    raise errors.invalid_type(mimetype)


def is_header_value(text: str) -> bool:
    """Whether an answer's header can carry this text."""
    return _PRINTABLE.fullmatch(text) is not None


def check_allowed_types(types: Sequence[str]) -> None:
    """Raise invalid_mime_type for an entry that a bucket's list cannot have."""
    for entry in types:
        if len(entry) > _LONGEST_TYPE or not _TYPE.fullmatch(entry):
            raise errors.invalid_type(entry[:80])


def parse_size(value: float | str) -> int:
    """Bytes, from a number or from words like `20MB`."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is None:
            raise errors.no_content("Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B")
        return int(float(match[1]) * _UNITS[match[2].lower()])
    return int(value)
