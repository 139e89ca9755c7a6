"""PURE: the fields of a JSON body, checked and coerced as hosted projects do (`"60"` is 60)."""

import math
from collections.abc import Mapping
from typing import Self, cast

from customer_tickets.devstack.realtime.values import as_list, as_object, parse_json
from customer_tickets.devstack.storage import errors

__all__ = ["Body"]


class Body:
    """A JSON object; each getter raises InvalidRequest in words that name the field."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields

    @classmethod
    def parsed(cls, text: bytes) -> Self:
        """Read a request's body; raises InvalidRequest when it is no JSON object."""
        try:
            fields = as_object(parse_json(text))
        except ValueError:
            words = "Body is not valid JSON but content-type is set to 'application/json'"
            raise errors.invalid_request(words) from None
        if fields is None:
            raise errors.invalid_request("body must be object")
        return cls(fields)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self.optional_text(name)
        if value is None:
            raise errors.invalid_request(f"body must have required property '{name}'")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, or None when it is not there."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, str):
            raise errors.invalid_request(f"body/{name} must be string")
        return value

    def flag(self, name: str) -> bool | None:
        """True or false, or None when it is not there."""
        value = self._fields.get(name)
        if value in ("true", "false"):
            return value == "true"
        if value is not None and not isinstance(value, bool):
            raise errors.invalid_request(f"body/{name} must be boolean")
        return value

    def whole(self, name: str, least: int) -> int | None:
        """A whole number that is at least this, or None when it is not there."""
        value = self._fields.get(name)
        if value is None:
            return None
        try:
            number = float(cast("str", value)) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError):
            number = math.nan
        if not number.is_integer():
            raise errors.invalid_request(f"body/{name} must be integer")
        if number < least:
            raise errors.invalid_request(f"body/{name} must be >= {least}")
        # What is beyond has no meaning, and the database no type for it.
        return int(min(number, 2**31 - 1))

    def size(self, name: str) -> float | str | None:
        """A number, or words such as `20MB`; None when it is not there."""
        value = self._fields.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
            raise errors.invalid_request(f"body/{name} must be integer")
        return value

    def texts(self, name: str, *, least: int = 0, most: int | None = None) -> list[str] | None:
        """A list of strings, or None when it is not there."""
        value = self._fields.get(name)
        if value is None:
            return None
        entries = as_list(value)
        if entries is None:
            raise errors.invalid_request(f"body/{name} must be array")
        if len(entries) < least:
            raise errors.invalid_request(f"body/{name} must NOT have fewer than {least} items")
        if most is not None and len(entries) > most:
            raise errors.invalid_request(f"body/{name} must NOT have more than {most} items")
        texts = [entry for entry in entries if isinstance(entry, str)]
        if len(texts) < len(entries):
            raise errors.invalid_request(f"body/{name} must be array of strings")
        return texts

    def required_texts(self, name: str, *, most: int | None = None) -> list[str]:
        """A list of at least one string that must be there."""
        texts = self.texts(name, least=1, most=most)
        if texts is None:
            raise errors.invalid_request(f"body must have required property '{name}'")
        return texts

    def inner(self, name: str) -> "Body":
        """The object of that name; an empty one when it is not there."""
        value = self._fields.get(name)
        fields = as_object(value if value is not None else {})
        if fields is None:
            raise errors.invalid_request(f"body/{name} must be object")
        return Body(fields)

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """One of these words, or None when it is not there."""
        word = self.optional_text(name)
        if word is not None and word not in choices:
            raise errors.invalid_request(f"body/{name} must be equal to one of the allowed values")
        return word
