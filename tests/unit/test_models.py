"""Input is checked whole, before any request; what is shown names no person."""

import copy
import pickle
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_tickets import InvalidInput, Message, Ticket
from customer_tickets._inputs import NewMessage, NewTicket, checked


def wrong_fields(**values: object) -> dict[str, str]:
    good = {
        "id": uuid4(),
        "subject": "A subject",
        "description": "",
        "handling_org_id": uuid4(),
        "priority": "low",
    }
    with pytest.raises(InvalidInput) as caught:
        checked(NewTicket, **{**good, **values})
    return {wrong.field: wrong.message for wrong in caught.value.fields}


def test_every_wrong_field_is_named_at_once() -> None:
    assert wrong_fields(
        subject="", description="x" * 20_001, handling_org_id=None, priority="urgent"
    ) == {
        "subject": "must not be empty",
        "description": "must have at most 20,000 characters",
        "organization": "must be an id (UUID) or an object that has one",
        "priority": "must be one of 'low', 'medium' or 'high'",
    }


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("x" * 201, "must have at most 200 characters"),
        (" \t\n", "must not be empty"),
        ("a\x00b", "must not contain the character NUL"),
        ("\ud800", "must be valid Unicode text"),
        (b"bytes", "must be text"),
        (None, "must be text"),
        (7, "must be text"),
    ],
)
def test_a_bad_subject_is_refused_in_words(subject: object, message: str) -> None:
    assert wrong_fields(subject=subject) == {"subject": message}


def test_the_rejected_text_is_not_in_the_error_or_its_cause() -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(NewMessage, id=uuid4(), body="secret\x00", reply_to=None)
    assert "secret" not in repr(caught.value) + str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=300))
def test_any_text_is_either_refused_or_kept_to_the_letter(text: str) -> None:
    try:
        message = checked(NewMessage, id=uuid4(), body=text, reply_to=None)
    except InvalidInput:
        assert not text.strip()
    else:
        assert message.body == text


def test_an_error_with_fields_can_be_pickled_and_copied() -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(NewMessage, id=uuid4(), body="", reply_to=None)
    error = caught.value
    error.write_id = uuid4()
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (str(twin), twin.fields, twin.write_id) == (str(error), error.fields, error.write_id)


def test_reprs_hold_no_text_and_no_name() -> None:
    now = datetime.now(UTC)
    ticket = Ticket(
        id=uuid4(),
        user_id=uuid4(),
        subject="private subject",
        description="private description",
        status="open",
        priority="low",
        handling_org_id=uuid4(),
        last_seq=1,
        last_staff_seq=0,
        created_at=now,
        updated_at=now,
    )
    message = Message(
        id=uuid4(),
        ticket_id=ticket.id,
        seq=2,
        author_id=uuid4(),
        author_role="customer",
        author_name="private name",
        body="private body",
        created_at=now,
    )
    assert "private" not in f"{ticket!r}{ticket}{message!r}{message}"
    assert str(ticket.id) in repr(ticket)


def test_a_listed_ticket_takes_its_read_position_from_the_embedded_row() -> None:
    row = {
        "id": str(uuid4()),
        "user_id": str(uuid4()),
        "subject": "s",
        "description": "",
        "status": "open",
        "priority": "low",
        "handling_org_id": str(uuid4()),
        "last_seq": 4,
        "last_staff_seq": 3,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }
    unread = Ticket.model_validate({**row, "ticket_reads": []})
    read = Ticket.model_validate({**row, "ticket_reads": [{"last_read_seq": 3}]})
    assert (unread.last_read_seq, unread.unread) == (0, True)
    assert (read.last_read_seq, read.unread) == (3, False)
