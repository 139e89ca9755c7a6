"""Messages, events and tickets become dicts for JSON and data frames with typed columns."""

import json
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pandas
import pytest

from customer_tickets import (
    History,
    Message,
    MessageAdded,
    Messages,
    OtherEvent,
    StatusChanged,
    Ticket,
    TicketAssigned,
    TicketClosed,
    TicketCreated,
    TicketEdited,
    TicketEvent,
    TicketRated,
    TicketReopened,
)
from customer_tickets._rows import ticket_frame, what

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID(int=7)


def message(body: str = "Hello *you*", **changed: Any) -> Message:
    known: dict[str, Any] = {
        "id": ID,
        "ticket_id": ID,
        "seq": 2,
        "author_id": ID,
        "author_role": "customer",
        "author_name": "Ana",
        "body": body,
        "created_at": AT,
    }
    return Message(**{**known, **changed})


def row(seq: int = 1, data: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "ticket_id": ID,
        "seq": seq,
        "created_at": AT,
        "actor_id": None,
        "actor_role": "employee",
        "actor_name": "Eva",
        "data": data,
        **more,
    }


EVENTS: list[tuple[TicketEvent, str]] = [
    (TicketCreated(**row()), "created the ticket"),
    (MessageAdded(**row(message=message())), "wrote a message"),
    (
        TicketEdited(
            **row(
                data={
                    "fields": ["subject", "description"],
                    "from": {"subject": "a"},
                    "to": {"subject": "b"},
                }
            )
        ),
        "changed subject from “a” to “b”, description",
    ),
    (
        StatusChanged(**row(data={"from": "open", "to": "in-progress"})),
        "changed the status from open to in-progress",
    ),
    (
        TicketAssigned(**row(data={"to": {"team": "Returns", "employee_name": "Eva"}})),
        "gave the ticket to Eva, Returns",
    ),
    (TicketAssigned(**row(data={"to": {}})), "gave the ticket to nobody"),
    (TicketClosed(**row(data={"reason": "solved"})), "closed the ticket: solved"),
    (TicketClosed(**row(data={"reason": None})), "closed the ticket"),
    (TicketReopened(**row()), "opened the ticket again"),
    (TicketRated(**row(data={"rating": 4})), "rated the ticket 4 of 5"),
    (OtherEvent(**row(data={}, kind="merged")), "merged"),
]


@pytest.mark.parametrize(("event", "said"), EVENTS, ids=[said[:20] for _, said in EVENTS])
def test_an_event_is_said_in_words(event: TicketEvent, said: str) -> None:
    assert what(event) == said


def test_dicts_are_json_and_come_back() -> None:
    failed = message(state="failed", error=RuntimeError("x"))
    dicts = json.loads(json.dumps(Messages([message(), failed]).to_dicts()))
    assert dicts[0]["id"] == str(ID)
    assert dicts[0]["created_at"] == "2026-03-01T12:00:00Z"
    assert "error" not in dicts[1]
    assert Message.model_validate(dicts[0]) == message()
    events = json.loads(json.dumps(History(event for event, _ in EVENTS).to_dicts()))
    assert [event["seq"] for event in events] == [1] * len(EVENTS)


def test_a_slice_is_of_the_same_kind() -> None:
    rows = Messages([message(), message("two")])
    assert isinstance(rows[1:], Messages)
    assert rows[1:] == (rows[1],)
    assert "Hello" in rows[:1]._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert "wrote" in History([EVENTS[1][0]])._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert "Hello" not in repr(rows)


def columns(frame: pandas.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in frame.dtypes.items()}


def test_messages_become_a_typed_frame() -> None:
    frame = Messages([message(), message("two", reply_to=ID)]).to_pandas()
    assert list(frame["text"]) == ["Hello you", "two"]
    assert list(frame["reply_to"].isna()) == [True, False]
    assert frame["created_at"].iloc[0] == pandas.Timestamp(AT)
    assert columns(frame)["created_at"] == "datetime64[us, UTC]"
    assert columns(frame)["author_role"] == "category"
    assert columns(frame)["attachments"] == "int64"
    assert columns(Messages().to_pandas()) == columns(frame)


def test_the_history_becomes_a_typed_frame() -> None:
    frame = History(event for event, _ in EVENTS).to_pandas()
    assert list(frame["what"]) == [said for _, said in EVENTS]
    assert frame["kind"].iloc[-1] == "merged"
    assert columns(frame)["kind"] == "category"
    assert columns(History().to_pandas()) == columns(frame)


def test_tickets_become_a_typed_frame_that_sorts_by_priority() -> None:
    def ticket(priority: str, **more: Any) -> Ticket:
        known: dict[str, Any] = {
            "id": ID,
            "user_id": ID,
            "subject": "Refund",
            "description": "",
            "status": "open",
            "priority": priority,
            "handling_org_id": ID,
            "last_seq": 2,
            "last_staff_seq": 2,
            "created_at": AT,
            "updated_at": AT,
        }
        return Ticket(**{**known, **more})

    frame = ticket_frame([ticket("high", closed_at=AT), ticket("low"), ticket("medium")])
    assert list(frame.sort_values("priority")["priority"]) == ["low", "medium", "high"]
    assert list(frame["closed_at"].isna()) == [False, True, True]
    assert list(frame["unread"]) == [True] * 3
    assert columns(frame)["closed_at"] == "datetime64[us, UTC]"
    assert columns(ticket_frame([])) == columns(frame)
    assert set(Ticket.model_fields) - set(frame) == {"user_id", "last_staff_seq", "last_read_seq"}


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'customer-tickets\[pandas\]'"):
        Messages().to_pandas()
