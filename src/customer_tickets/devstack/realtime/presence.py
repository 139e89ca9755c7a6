"""Who is present on one topic: what each channel tracks, by key. Pure."""

from dataclasses import dataclass, field
from itertools import count

__all__ = ["Diff", "Metas", "Presences"]

Metas = dict[str, dict[str, list[dict[str, object]]]]
"""`{key: {"metas": [...]}}`, as clients get it."""


@dataclass(frozen=True, slots=True)
class Diff:
    """Who came and who went; an update is both at once."""

    joins: Metas
    leaves: Metas

    def payload(self) -> dict[str, object]:
        """The payload of a `presence_diff`."""
        return {"joins": self.joins, "leaves": self.leaves}


@dataclass(frozen=True, slots=True)
class _Tracked:
    key: str
    fields: dict[str, object]
    meta: dict[str, object]


@dataclass(slots=True)
class Presences:
    """One tracked meta per channel; several channels may share a key."""

    _tracked: dict[object, _Tracked] = field(default_factory=dict[object, _Tracked])
    _refs: "count[int]" = field(default_factory=lambda: count(1))

    def track(self, owner: object, key: str, fields: dict[str, object]) -> Diff | None:
        """The owner is present with these fields; None if it already was, exactly so."""
        before = self._tracked.get(owner)
        if before is not None and before.key == key and before.fields == fields:
            return None
        meta: dict[str, object] = {**fields, "phx_ref": f"F{next(self._refs):015x}"}
        if before is not None:
            meta["phx_ref_prev"] = before.meta["phx_ref"]
        self._tracked[owner] = _Tracked(key, dict(fields), meta)
        return Diff(_metas(self._tracked[owner]), {} if before is None else _metas(before))

    def untrack(self, owner: object) -> Diff | None:
        """The owner is gone; None if it was not there."""
        before = self._tracked.pop(owner, None)
        return None if before is None else Diff({}, _metas(before))

    def state(self) -> Metas:
        """Everybody, as a `presence_state` tells it."""
        state: Metas = {}
        for tracked in self._tracked.values():
            state.setdefault(tracked.key, {"metas": []})["metas"].append(tracked.meta)
        return state


def _metas(tracked: _Tracked) -> Metas:
    return {tracked.key: {"metas": [tracked.meta]}}
