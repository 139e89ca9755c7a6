"""PURE: who is on a presence topic, from what the realtime server hands on.

Whoever may be on the topic can put anything into it, under any key. So all of it is a claim:
bounded here, dropped where it is malformed, and never reason enough for an error.
"""

from __future__ import annotations

from collections import deque
from typing import Any, cast
from uuid import UUID

LONGEST_NAME = 100
MOST_WINDOWS = 500
_MOST_EARLY = 50
_UUID_LENGTH = 36


def as_object(value: object) -> dict[str, object]:
    """Return a JSON object as it is, and anything else as an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def claimed_user(value: Any) -> UUID | None:
    """Return the user that a key or a field names, if it does."""
    if not isinstance(value, str) or len(value) != _UUID_LENGTH:
        return None
    try:
        return UUID(value)
    except ValueError:
        return None


def claimed_name(value: Any) -> str:
    """Return a name fit to be shown, cut to 100 characters; empty where there is none."""
    if not isinstance(value, str):
        return ""
    return "".join(char for char in value[:LONGEST_NAME] if char.isprintable()).strip()


_Window = tuple[UUID, str]
_Windows = dict[str, _Window]


class Attendance:
    """Everybody's open windows; one person may have several.

    Attributes:
        known: whether the server has said who is there, and not only who came and went.
    """

    def __init__(self) -> None:
        self.known = False
        self._windows: _Windows = {}
        # On the wire a change may come before the picture that it belongs to.
        self._early: deque[tuple[_Windows, _Windows]] = deque(maxlen=_MOST_EARLY)

    def show(self, state: Any) -> None:
        """Take in the whole picture."""
        self._windows = _windows(state)
        self.known = True
        while self._early:
            self._apply(*self._early.popleft())

    def change(self, joins: Any, leaves: Any) -> None:
        """Take in who came and who went; an update is both."""
        came, gone = _windows(joins), _windows(leaves)
        if self.known:
            self._apply(came, gone)
        else:
            self._early.append((came, gone))

    def _apply(self, came: _Windows, gone: _Windows) -> None:
        for ref, window in came.items():
            # An update leaves its old reference behind in the same breath: room for both.
            if len(self._windows) < 2 * MOST_WINDOWS:
                self._windows[ref] = window
        for ref in gone:
            self._windows.pop(ref, None)

    @property
    def here(self) -> dict[UUID, str]:
        """Who is there, with the name that their newest window with a name claims."""
        people: dict[UUID, str] = {}
        for user, claim in list(self._windows.values()):  # it may be read in any thread
            people[user] = claim or people.get(user, "")
        return people


def _windows(people: Any) -> _Windows:
    """Return the windows in `{key: {"metas": [...]}}`, by the server's own reference."""
    windows: _Windows = {}
    for key, entry in as_object(people).items():
        user = claimed_user(key)
        found = as_object(entry).get("metas")
        metas = cast("list[object]", found) if isinstance(found, list) else []
        for meta in map(as_object, metas):
            ref = meta.get("phx_ref")
            if user is None or not isinstance(ref, str) or len(ref) > LONGEST_NAME:
                continue
            if len(windows) < MOST_WINDOWS:
                windows[ref] = (user, claimed_name(meta.get("name")))
    return windows
