"""Searching in one's own tickets: plain words, in any case, nothing of others."""

from uuid import uuid4

import pytest

from sql.world import World

TEXTS = [
    ("Refund of 100%", "The blue_one arrived."),
    ("REFUND, please", "It's 100 euros \\ 50 pounds."),
    ("Äpfel und Birnen", "x' or '1'='1"),
]


@pytest.fixture
def searched(world: World) -> World:
    with world.acting(world.ana) as ana:
        for subject, description in TEXTS:
            ana.call(
                "create_ticket",
                id=uuid4(),
                subject=subject,
                description=description,
                handling_org_id=world.acme,
            )
    with world.acting(world.ben) as ben:
        ben.call(
            "create_ticket",
            id=uuid4(),
            subject="Refund",
            description="Ben's",
            handling_org_id=world.globex,
        )
    return world


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["refund"], [0, 1]),
        (["REFUND", "euros"], [1]),
        (["refund", "birnen"], []),
        (["100%"], [0]),
        (["e_o"], [0]),
        (["_"], [0]),
        (["%"], [0]),
        (["\\"], [1]),
        (["' or '"], [2]),
        (["äPFEL"], [2]),
        (["100", "100"], [0, 1]),
        (["", None, "birnen"], [2]),
        (["ben"], []),
        (["plea" * 50], []),
        (["refund"] * 20, [0, 1]),
    ],
)
def test_every_word_in_any_case(searched: World, words: list[str | None], found: list[int]) -> None:
    with searched.as_kind("owner") as ana:
        rows = ana.rows("select subject from public.search_tickets(%s)", words)
    assert sorted(row[0] for row in rows) == sorted(TEXTS[n][0] for n in found)


@pytest.mark.parametrize("words", [[], None, [""], [None]])
def test_no_words_are_in_every_ticket(searched: World, words: list[str | None] | None) -> None:
    with searched.as_kind("owner") as ana:
        rows = ana.rows("select user_id from public.search_tickets(%s::text[])", words)
    assert rows == [(searched.ana,)] * 4


@pytest.mark.parametrize("words", [["x"] * 21, ["x" * 201]])
def test_too_much_is_refused(world: World, words: list[str]) -> None:
    with world.as_kind("owner") as ana:
        assert ana.problems("search_tickets", words=words) == ["search"]


@pytest.mark.parametrize("kind", ["employee", "admin", "other_employee"])
def test_staff_find_their_own_tickets_only(searched: World, kind: str) -> None:
    with searched.as_kind(kind) as actor:
        assert actor.rows("select * from public.search_tickets(array['refund'])") == []
