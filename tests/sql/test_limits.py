"""The library's checks and the database's are the same, to the character."""

from uuid import uuid4

import psycopg
import pytest
from pydantic import BaseModel

from customer_tickets._inputs import Closing, NewMessage, NewTicket, TicketChange
from sql.world import World


def test_both_trim_exactly_the_same_characters(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select n from generate_series(1, 1114111) n where n not between 55296 and 57343"
            " and private.trimmed(chr(n) || 'x' || chr(n)) <> chr(n) || 'x' || chr(n)"
        ).fetchall()
    trimmed = {row[0] for row in rows}
    stripped = {n for n in range(1, 0x110000) if not chr(n).strip()}
    assert trimmed == stripped


@pytest.mark.parametrize("letter", ["v", "t", "n", "f", "r", "u", "0", "\\"])
def test_no_letter_of_an_escape_is_trimmed(database: str, letter: str) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute("select private.trimmed(%s)", [letter * 3]).fetchone()
    assert row == (letter * 3,)


def longest(model: type[BaseModel], field: str) -> int:
    properties = model.model_json_schema()["properties"][field]
    ways = [properties, *properties.get("anyOf", [])]
    (limit,) = [way["maxLength"] for way in ways if "maxLength" in way]
    return int(limit)


CALLS: dict[str, tuple[tuple[type[BaseModel], ...], str]] = {
    "subject": ((NewTicket, TicketChange), "edit_ticket"),
    "description": ((NewTicket, TicketChange), "edit_ticket"),
    "body": ((NewMessage,), "send_message"),
    "reason": ((Closing,), "close_ticket"),
}


@pytest.mark.parametrize("field", CALLS)
def test_both_have_the_same_limits(world: World, field: str) -> None:
    models, function = CALLS[field]
    keys = {"send_message": {"id": uuid4()}, "close_ticket": {"request_id": uuid4()}}
    more = {"ticket_id": world.ticket, **keys.get(function, {})}
    for model in models:
        limit = longest(model, field)
        with world.acting(world.ana, keep=False) as ana:
            assert ana.problems(function, **more, **{field: "é" * (limit + 1)}) == [field]
            ana.call(function, **more, **{field: "é" * limit})
