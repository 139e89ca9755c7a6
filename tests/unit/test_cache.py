"""What a change makes wrong is not handed out again, and the rest is."""

from uuid import UUID, uuid4

import pytest

from customer_tickets._cache import Cache


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> Cache:
    return Cache(10.0, clock)


def keep(cache: Cache, key: str, *tickets: UUID, new: bool = False, change: bool = False) -> None:
    asked_at = cache.changes()
    cache.put(key, key, asked_at=asked_at, tickets=tickets, any_new=new, any_change=change)


def test_it_keeps_for_its_time_and_no_longer(cache: Cache, clock: Clock) -> None:
    keep(cache, "page")
    clock.now += 9.9
    assert cache.get("page") == "page"
    clock.now += 0.1
    assert cache.get("page") is None


def test_no_time_keeps_nothing(clock: Clock) -> None:
    cache = Cache(0.0, clock)
    keep(cache, "page")
    assert cache.get("page") is None


def test_a_change_drops_what_shows_the_ticket_and_what_any_change_makes_wrong(
    cache: Cache,
) -> None:
    one, two = uuid4(), uuid4()
    keep(cache, "one", one)
    keep(cache, "two", two)
    keep(cache, "counts", change=True)
    cache.changed(one)
    assert [cache.get(key) for key in ("one", "two", "counts")] == [None, "two", None]


def test_a_list_that_grows_is_dropped_by_what_may_be_new(cache: Cache) -> None:
    known, old, new = uuid4(), uuid4(), uuid4()
    keep(cache, "thread", known)
    keep(cache, "list", old, new=True)
    cache.changed(known)  # it was there when the list was read, and the list does not show it
    assert cache.get("list") == "list"
    cache.changed(new)
    assert cache.get("list") is None


def test_what_a_later_answer_shows_may_be_new_to_an_earlier_one(cache: Cache) -> None:
    new = uuid4()
    keep(cache, "list", new=True)
    keep(cache, "thread", new)
    cache.changed(new)
    assert cache.get("list") is None


def test_an_answer_of_before_a_change_is_not_kept(cache: Cache) -> None:
    asked_at = cache.changes()
    cache.changed(uuid4())
    cache.put("page", "page", asked_at=asked_at)
    assert cache.get("page") is None


def test_the_oldest_goes_when_there_are_too_many(cache: Cache) -> None:
    for number in range(201):
        keep(cache, str(number))
    assert cache.get("0") is None
    assert cache.get("1") == "1"


def test_nothing_is_left_for_the_next_user(cache: Cache) -> None:
    keep(cache, "page")
    cache.clear()
    assert cache.get("page") is None
