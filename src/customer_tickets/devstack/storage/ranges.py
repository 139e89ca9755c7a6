"""PURE: which part of a file is wanted, and whether the client has it already."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from customer_tickets.devstack.storage import errors

__all__ = ["is_fresh", "wanted_range"]

# One range; a longer number than that names no byte of any file.
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def wanted_range(headers: Mapping[str, str], etag: str, size: int) -> range | None:
    """The bytes to send, or None for all of them.

    What cannot be understood (several ranges, other units) is as if it were not there. Raises
    InvalidRange when the range begins behind the end.
    """
    match = _RANGE.fullmatch(headers.get("Range", "").replace(" ", ""))
    if match is None or headers.get("If-Range", etag) != etag:
        return None
    first, last = match.groups()
    if first == "":
        if last == "":
            return None
        if int(last) == 0 or size == 0:
            raise errors.unsatisfiable_range(size)
        return range(max(0, size - int(last)), size)
    if last != "" and int(last) < int(first):
        return None
    if int(first) >= size:
        raise errors.unsatisfiable_range(size)
    end = size if last == "" else min(size, int(last) + 1)
    return range(int(first), end)


def is_fresh(headers: Mapping[str, str], etag: str, modified: datetime | None) -> bool:
    """Whether the client's copy is the current one (304)."""
    known = headers.get("If-None-Match")
    if known is not None:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return "*" in tags or etag in tags
    since = headers.get("If-Modified-Since")
    if since is None or modified is None:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except (ValueError, OverflowError):
        return False
    # Without a zone it cannot be compared.
    return moment.tzinfo is not None and modified.replace(microsecond=0) <= moment
