"""PURE: what may be asked of the fault switches. Both sides look here, who asks and who is asked.

A switch that took nonsense in silence would let a test pass in which nothing went wrong.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

__all__ = ["checked"]

_CHANNEL_EVENTS = ("stale_close", "error", "end")
_REQUEST_ACTIONS = ("lose_answer", "lose_request", "answer", "delay")
_ROW_ACTIONS = ("drop", "repeat", "delay", "swap")


class _Rule(NamedTuple):
    words: str
    holds: Callable[[object], bool]
    required: bool = False


def _whole(least: int, most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _one_of(words: tuple[str, ...], *, required: bool = True) -> _Rule:
    def holds(value: object) -> bool:
        return value in words

    return _Rule(f"one of {', '.join(words)}", holds, required)


def _or_none(holds: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or holds(value)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/")


def _method(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isalpha() and value.isupper()


def _seconds(value: object) -> bool:
    return type(value) in (int, float) and 0 <= cast("float", value) <= 600


def _close_code(value: object) -> bool:
    # What a server may send (RFC 6455, 7.4). 1005, 1006 and 1015 are how a client calls what it was
    # not sent.
    codes = (1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000))
    return type(value) is int and value in codes


_TIMES = _Rule("a whole number from 1 to 1,000,000", _whole(1, 1_000_000))
_DAY = _Rule("a whole number of seconds from 0 to 86,400", _whole(0, 86_400))
_SECONDS = _Rule("a number from 0 to 600", _seconds)
_TOPIC = _Rule('a name without "realtime:", or None', _or_none(_text))
_WORDS = _Rule("text", _text)
_RULES: dict[str, dict[str, _Rule]] = {
    "requests": {
        "action": _one_of(_REQUEST_ACTIONS),
        "path": _Rule("a path that begins with /", _path),
        "method": _Rule("an upper-case word, or None", _or_none(_method)),
        "times": _TIMES,
        "seconds": _SECONDS,
        "status": _Rule("a whole number from 200 to 599", _whole(200, 599)),
        "retry_after": _Rule(f"{_DAY.words}, or None", _or_none(_DAY.holds)),
    },
    "rows": {
        "action": _one_of(_ROW_ACTIONS),
        "times": _TIMES,
        "topic": _TOPIC,
        "seconds": _SECONDS,
    },
    "joins": {"reason": _WORDS, "times": _TIMES, "topic": _TOPIC},
    "replication": {"running": _Rule("true or false", _flag, required=True)},
    "sockets": {
        "code": _Rule(
            "a code that a server may send (1000 to 1003, 1007 to 1014, 3000 to 4999), or None to "
            "close without a word, which clients see as 1006",
            _or_none(_close_code),
            required=True,
        )
    },
    "channels": {"event": _one_of(_CHANNEL_EVENTS), "topic": _TOPIC, "message": _WORDS},
    "tokens": {"seconds": _DAY._replace(required=True)},
}


def checked(kind: str, fields: object) -> dict[str, Any]:
    """Return these fields of a switch of that kind; ValueError says what is wrong with them."""
    rules = _RULES.get(kind)
    if rules is None:
        raise ValueError(f"there is no switch for {kind}")
    if not isinstance(fields, Mapping):
        raise ValueError("an object is wanted")  # noqa: TRY004 - a bad request, not a bug
    given = dict(cast("Mapping[str, Any]", fields))
    for name, value in given.items():
        if name not in rules:
            raise ValueError(f"{name} is no field of it")
        if not rules[name].holds(value):
            raise ValueError(f"{name} has to be {rules[name].words}, not {value!r}")
    for name, rule in rules.items():
        if rule.required and name not in given:
            raise ValueError(f"{name} is missing: {rule.words}")
    return given
