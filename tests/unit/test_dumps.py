"""Every public model and event can be dumped and read again, compared, copied, put into a set."""

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

import customer_tickets
from customer_tickets import (
    Attachment,
    Counts,
    Draft,
    Feedback,
    Message,
    MessageAdded,
    Organization,
    OtherEvent,
    Permission,
    Permissions,
    Person,
    Presence,
    StatusChanged,
    Submitted,
    Ticket,
    TicketAssigned,
    TicketChanged,
    TicketClosed,
    TicketCreated,
    TicketEdited,
    TicketRated,
    TicketReopened,
    User,
    Verification,
)

ID = UUID("71c00000-0000-4000-8000-000000000001")
AT = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
# As the server answers them.
ATTACHMENT: dict[str, Any] = {
    "id": str(ID),
    "user_id": str(ID),
    "message_id": str(ID),
    "file_name": "a.txt",
    "content_type": "text/plain",
    "size_bytes": 3,
    "sha256": "0" * 64,
    "created_at": AT,
}
TICKET: dict[str, Any] = {
    "id": str(ID),
    "user_id": str(ID),
    "subject": "Subject",
    "description": "*Text*",
    "status": "closed",
    "priority": "low",
    "handling_org_id": str(ID),
    "closed_at": AT,
    "last_seq": 4,
    "last_staff_seq": 3,
    "ticket_reads": [{"last_read_seq": 2}],
    "created_at": AT,
    "updated_at": AT,
}
MESSAGE: dict[str, Any] = {
    "id": str(ID),
    "ticket_id": str(ID),
    "seq": 2,
    "author_id": None,
    "author_role": "system",
    "author_name": "",
    "body": "Text",
    "reply_to": str(ID),
    "attachments": [ATTACHMENT],
    "created_at": AT,
}
DRAFT: dict[str, Any] = {
    "id": str(ID),
    "ticket_id": None,
    "handling_org_id": str(ID),
    "subject": "Subject",
    "description": "Text",
    "priority": "high",
    "body": "Reply",
    "reply_to": None,
    "version": 3,
    "ticket_attachments": [ATTACHMENT],
    "created_at": AT,
    "updated_at": AT,
}
ALLOWED = {"allowed": False, "reason": "closed", "until": AT}
CAN = dict.fromkeys(("reply", "edit", "close", "reopen", "rate", "follow_up"), ALLOWED)


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {
        "ticket_id": str(ID),
        "seq": 2,
        "kind": kind,
        "created_at": AT,
        "actor_id": str(ID),
        "actor_role": "customer",
        "actor_name": "Ana",
        "data": data,
    }


EDIT = {"fields": ["subject", "description"], "from": {"subject": "a"}, "to": {"subject": "b"}}
PERSON = {"id": ID, "name": "Eva", "role": "employee"}
MODELS: list[BaseModel] = [
    Organization(id=ID, name="Acme", reopen_window_seconds=5),
    User(id=ID, email="ana@example.com"),
    Ticket.model_validate(TICKET),
    Attachment.model_validate(ATTACHMENT),
    Message.model_validate(MESSAGE),
    Draft.model_validate(DRAFT),
    Feedback(ticket_id=ID, rating=4, comment=None, created_at=AT, updated_at=AT),
    Permission.model_validate(ALLOWED),
    Permissions.model_validate(CAN),
    Counts(open=1, in_progress=2, closed=3, unread=0),
    Submitted.model_validate({"ticket": TICKET, "message": MESSAGE}),
    Verification(first_seq=1, last_seq=4, differing=(2, 3)),
    Person.model_validate(PERSON),
    Presence.model_validate({"here": [PERSON], "typists": [PERSON]}),
    TicketChanged.model_validate({"ticket": TICKET}),
    TicketCreated.model_validate(event("created")),
    MessageAdded.model_validate({**event("message"), "message": MESSAGE}),
    TicketEdited.model_validate(event("edited", **EDIT)),
    StatusChanged.model_validate(event("status", **{"from": "open", "to": "in-progress"})),
    TicketAssigned.model_validate(event("assigned", to={"team": "A", "employee_name": "Eva"})),
    TicketClosed.model_validate(event("closed", reason="solved")),
    TicketReopened.model_validate(event("reopened")),
    TicketRated.model_validate(event("rated", rating=4)),
    OtherEvent.model_validate(event("merged", into=[{"id": 1, "tags": ["a", None]}])),
]
each = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


def test_every_public_model_is_here() -> None:
    public = [getattr(customer_tickets, name) for name in customer_tickets.__all__]
    models = {one for one in public if isinstance(one, type) and issubclass(one, BaseModel)}
    assert {type(model) for model in MODELS} == models


@each
def test_what_is_dumped_can_be_read_again(model: BaseModel) -> None:
    kind = type(model)
    again = [
        kind.model_validate(model.model_dump()),
        kind.model_validate(model.model_dump(mode="json")),
        kind.model_validate_json(model.model_dump_json()),
        kind.model_validate(json.loads(json.dumps(model.model_dump(mode="json")))),
        kind.model_validate(dict(model)),
        pickle.loads(pickle.dumps(model)),
        copy.copy(model),
        copy.deepcopy(model),
        model.model_copy(),
    ]
    assert again == [model] * len(again)
    assert {type(one) for one in again} == {kind}
    assert {model, *again} == {model}
    assert [one.model_dump_json() for one in again] == [model.model_dump_json()] * len(again)


@each
def test_nothing_in_it_can_be_changed(model: BaseModel) -> None:
    for name, value in model:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, name, value)
        assert not isinstance(value, list | set | bytearray)
        hash(value)


def test_what_was_changed_is_a_dict_that_nobody_changes() -> None:
    edited = TicketEdited.model_validate(event("edited", **EDIT))
    after: Any = edited.after
    changes = [
        after.clear,
        after.popitem,
        lambda: after.pop("subject"),
        lambda: after.update(subject="c"),
        lambda: after.setdefault("priority", "low"),
        lambda: after.__setitem__("subject", "c"),
        lambda: after.__delitem__("subject"),
        lambda: after.__ior__({"subject": "c"}),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    assert edited.after == {"subject": "b"} == dict(edited.after)
    assert {**edited.before, "priority": "low"} == {"subject": "a", "priority": "low"}
    assert json.loads(json.dumps(after)) == {"subject": "b"}
    other = OtherEvent.model_validate(event("merged", into=[{"tags": ["a"]}]))
    assert other.data == {"into": ({"tags": ("a",)},)}
    assert other.model_dump(mode="json")["data"] == {"into": [{"tags": ["a"]}]}
