"""PURE: dicts and lists that nobody can change any more, also inside of each other."""

from __future__ import annotations

from typing import Any, Never, TypeVar, cast

_K = TypeVar("_K")
_V = TypeVar("_V")


class _FrozenDict(dict[_K, _V]):
    """A dict, so that it equals one and json takes it; what changes a dict raises TypeError."""

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("what happened cannot be changed: make a dict of it first")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = _refuse
    # Their overloads name kinds of mappings that this one is not.
    setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __hash__(self) -> int:  # type: ignore[override] # a dict has none because it can change
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[_FrozenDict[_K, _V]], tuple[dict[_K, _V]]]:
        # Pickle and copy would fill an empty one item by item.
        return type(self), (dict(self),)


def frozen(value: object) -> Any:
    """Return JSON with dicts that cannot be changed, and with tuples for its lists."""
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return _FrozenDict({key: frozen(one) for key, one in items})
    if isinstance(value, list | tuple):
        return tuple(frozen(one) for one in cast("list[object]", value))
    return value
