"""JSON, read strictly and written plainly. Pure."""

import json
import math
from typing import cast

__all__ = ["as_list", "as_object", "parse_json", "to_json"]

MAX_DEPTH = 500


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number too large to be written again")
    return number


def parse_json(text: str | bytes) -> object:
    """Read JSON strictly; whatever is wrong with it is a ValueError."""
    try:
        value = cast(
            "object", json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    # Whatever is read has to be written again, and that may happen further down the stack.
    data = text if isinstance(text, bytes) else text.encode(errors="replace")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        objects = [child for inner in level for child in (as_object(inner) or {}).values()]
        level = objects + [child for inner in level for child in as_list(inner) or ()]
        if not level:
            return
    raise ValueError("nested too deeply")


def to_json(value: object) -> str:
    """Write compact JSON in ASCII, so that a lone surrogate cannot make invalid UTF-8."""
    return json.dumps(value, separators=(",", ":"))


def as_object(value: object) -> dict[str, object] | None:
    """The value as a JSON object, or None if it is something else."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """The value as a JSON array, or None if it is something else."""
    return cast("list[object]", value) if isinstance(value, list) else None
