"""The list's reader: what is news, where to ask from, and what was announced too early."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_tickets import Ticket
from customer_tickets._live.changes import Changes, Position

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ticket(id: UUID, seq: int) -> Ticket:
    return Ticket(
        id=id,
        user_id=id,
        subject="s",
        description="",
        status="open",
        priority="low",
        handling_org_id=id,
        last_seq=seq,
        last_staff_seq=0,
        created_at=NOW,
        updated_at=NOW,
    )


def test_what_comes_twice_is_news_once() -> None:
    one, two = uuid4(), uuid4()
    reader = Changes(Position(horizon=5))
    assert reader.asking() == 5
    assert [t.id for t in reader.answered([ticket(one, 1)], 7)] == [one]
    assert reader.asking() == 7
    assert [t.id for t in reader.answered([ticket(one, 1), ticket(two, 3)], 9)] == [two]
    assert [t.last_seq for t in reader.answered([ticket(one, 2), ticket(two, 3)], 9)] == [2]


def test_an_announced_change_that_is_not_there_yet_is_looked_for_again() -> None:
    one = uuid4()
    reader = Changes(Position(horizon=1))
    reader.announce({str(one): 2})
    reader.doorbell(1)
    reader.asking()
    assert reader.answered([], 1) == []
    assert reader.lagging
    assert len(reader.answered([ticket(one, 2)], 4)) == 1
    assert not reader.lagging


def test_a_false_announcement_is_given_up() -> None:
    reader = Changes(Position(horizon=1))
    reader.announce({str(uuid4()): 9, "no id": 1})
    looks = 0
    while reader.lagging:
        reader.answered([], 1)
        looks += 1
    assert 2 < looks < 10


@given(st.integers(0, 2**63 - 1), st.dictionaries(st.uuids(), st.integers(0, 2**40)))
def test_a_position_survives_being_saved(horizon: int, seen: dict[UUID, int]) -> None:
    position = Position(horizon=horizon, seen=seen)
    assert Position.parse(position.text()) == position


@given(st.text())
def test_any_other_text_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no saved position"):
        Position.parse(text)
