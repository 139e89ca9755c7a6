"""PURE: rows of the database as the API shows them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

__all__ = ["BUCKET", "LISTED", "OBJECT", "moment", "shown"]

BUCKET = (
    *("id", "name", "owner", "public", "type", "file_size_limit", "allowed_mime_types"),
    *("created_at", "updated_at"),
)
OBJECT = (
    *("name", "bucket_id", "owner", "owner_id", "version", "id", "updated_at", "created_at"),
    *("last_accessed_at", "metadata", "user_metadata"),
)
LISTED = ("name", "id", "updated_at", "created_at", "last_accessed_at", "metadata")

# Never null in an answer: clients declare them as plain strings.
_TEXTS = frozenset({"name", "bucket_id", "owner", "owner_id", "version"})


def shown(row: Mapping[str, object], columns: Sequence[str]) -> dict[str, object]:
    """These columns of a row, as JSON can say them."""
    return {column: _plain(column, row[column]) for column in columns}


def moment(value: datetime) -> str:
    """A time as JavaScript writes it, in UTC and milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(column: str, value: object) -> object:
    if value is None:
        return "" if column in _TEXTS else None
    if isinstance(value, datetime):
        return moment(value)
    return str(value) if isinstance(value, UUID) else value
