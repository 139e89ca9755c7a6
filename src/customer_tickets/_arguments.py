"""PURE: single arguments, refused by name before anything is done with them.

Where several belong together, they are checked as one; see `_inputs`.
"""

from __future__ import annotations

from collections.abc import Iterable
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from ._errors import FieldError, InvalidInput
from ._models import Attachment

_T = TypeVar("_T")


def refuse_unless(fits: bool, name: str, problem: str) -> None:
    """Raise InvalidInput that names an argument, unless it fits."""
    if not fits:
        raise InvalidInput([FieldError(name, problem)])


def check_kind(value: object, kinds: type[Any] | tuple[type[Any], ...], name: str) -> None:
    """Raise InvalidInput unless an argument is an object of one of these kinds."""
    known = kinds if isinstance(kinds, tuple) else (kinds,)
    named = {str: "text", type(None): "None", Attachment: "an Attachment"}
    words = " or ".join(named.get(kind, f"a {kind.__name__}") for kind in known)
    refuse_unless(isinstance(value, kinds), name, f"must be {words}")


def check_text(value: object, name: str) -> None:
    """Raise InvalidInput unless an argument is text, and valid Unicode."""
    check_kind(value, str, name)
    try:
        str(value).encode()
    except UnicodeEncodeError:
        problem = FieldError(name, "must be valid Unicode text")
    else:
        return
    # Outside the handler, so that the traceback does not show the rejected text.
    raise InvalidInput([problem])


def check_flags(**flags: object) -> None:
    """Raise InvalidInput unless all of these are True or False: "no" would count as yes."""
    wrong = [name for name, value in flags.items() if not isinstance(value, bool)]
    if wrong:
        raise InvalidInput([FieldError(name, "must be True or False") for name in wrong])


def listed(values: Iterable[_T], kind: type[_T], name: str) -> list[_T]:
    """Return a list of objects of one kind, or raise InvalidInput when it is something else."""
    found: list[_T] = list(values) if hasattr(values, "__iter__") else []
    fits = hasattr(values, "__iter__") and all(isinstance(value, kind) for value in found)
    refuse_unless(fits, name, f"must be a list of {kind.__name__} objects")
    return found


def check_progress(progress: object) -> None:
    """Raise InvalidInput unless it is a function, True, False or None."""
    fits = progress is None or isinstance(progress, bool) or callable(progress)
    refuse_unless(fits, "progress", "must be a function, True for a bar, or None")
    # Called as bytes go through, where nobody can await it.
    plain = not any(map(iscoroutinefunction, (progress, getattr(progress, "__call__", None))))  # noqa: B004 - an object's own may be `async def`
    refuse_unless(plain, "progress", "must be a plain function, and not `async def`")


# In seconds, 46 days: what locks can still count on every system.
_LONGEST_WAIT = 4e6


def checked_wait(timeout: float | None) -> float | None:
    """Return seconds that can be waited for, or None; InvalidInput when it is something else."""
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    # No number at all is less than itself; waiting for it would never end.
    fits = timeout is None or (number and timeout == timeout)
    refuse_unless(fits, "timeout", "must be a number of seconds, or None")
    return None if timeout is None else min(max(0.0, timeout), _LONGEST_WAIT)
