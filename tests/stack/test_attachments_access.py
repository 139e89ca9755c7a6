"""Whose files are whose: what strangers, staff and nobody can do to them over plain HTTP."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from customer_tickets import Attachment, InvalidInput, NotFound
from faces import Client, Office, got, thread_of
from fix_stack import People, Person
from remote_project import Stack
from stack.attached import BUCKET, as_user, attached, objects, put, with_files
from stack.conftest import Opener

pytestmark = pytest.mark.anyio

SECRET = b"nobody else's"


@dataclass(frozen=True)
class Asked:
    """Whoever asks storage and REST by hand."""

    http: httpx.Client

    def __call__(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            return self.http.request(method, path, content=body, headers=names)
        return self.http.request(method, path, json=body, headers=names)


@pytest.fixture
def ask(stack: Stack, people: People) -> Iterator[Asked]:
    """Ben, who is signed in and a stranger to Ana's ticket."""
    with httpx.Client(base_url=stack.url, headers=as_user(stack, people.ben)) as http:
        yield Asked(http)


@pytest.fixture
def nobody(stack: Stack) -> Iterator[Asked]:
    """Somebody who has the key that every web page shows."""
    with httpx.Client(base_url=stack.url, headers={"apikey": stack.publishable_key}) as http:
        yield Asked(http)


async def one_of(tickets: Client, people: People) -> tuple[Attachment, str]:
    (one,) = await attached(tickets, people, SECRET)
    return one, f"{BUCKET}/{one.user_id}/{one.id}"


async def test_a_stranger_cannot_read(
    tickets: Client, people: People, ask: Asked, nobody: Asked, opener: Opener
) -> None:
    one, path = await one_of(tickets, people)
    answers = [
        caller(method, f"/storage/v1/object/{form}{path}")
        for caller in (ask, nobody)
        for method in ("GET", "HEAD")
        for form in ("", "authenticated/", "public/", "info/", "info/authenticated/", "sign/")
        if not (method == "HEAD" and form.startswith("info"))
    ]
    answers += [
        caller(method, f"/storage/v1/object/sign/{place}", body)
        for caller in (ask, nobody)
        for method, place, body in (
            ("POST", path, {"expiresIn": 60}),
            ("GET", f"{path}?token=x", None),
        )
    ]
    assert [answer.status_code for answer in answers if answer.is_success] == []
    assert not any(SECRET in answer.content for answer in answers)
    many = ask(
        "POST",
        f"/storage/v1/object/sign/{BUCKET}",
        {"expiresIn": 60, "paths": [path.removeprefix(f"{BUCKET}/")]},
    )
    assert [signed["signedURL"] for signed in many.json()] == [None]
    bens = await opener(people.ben)
    with pytest.raises(NotFound):
        await got(bens.attachments.read(one))
    with pytest.raises(NotFound):
        await got(bens.attachments.link(one))
    assert await got(bens.attachments.links([one])) == {}


async def test_a_stranger_sees_nothing_in_lists(
    tickets: Client, people: People, ask: Asked, nobody: Asked
) -> None:
    one, _ = await one_of(tickets, people)
    for caller in (ask, nobody):
        for prefix in ("", str(people.ana.id)):
            listed = caller(
                "POST", f"/storage/v1/object/list/{BUCKET}", {"prefix": prefix, "limit": 100}
            )
            assert str(one.id) not in listed.text
            assert str(people.ana.id) not in listed.text
    rows = ask("GET", f"/rest/v1/ticket_attachments?id=eq.{one.id}")
    assert rows.json() == []
    assert nobody("GET", "/rest/v1/ticket_attachments").status_code == 401
    orphans = ask("POST", "/rest/v1/rpc/orphaned_uploads", {"older_than_seconds": 0})
    assert orphans.json() == {"uploads": []}


async def test_nobody_replaces_a_file_or_removes_one_that_is_attached(
    tickets: Client, people: People, ask: Asked, nobody: Asked, stack: Stack
) -> None:
    one, path = await one_of(tickets, people)
    key = path.removeprefix(f"{BUCKET}/")
    other = f"{people.ben.id}/{uuid4()}"
    with httpx.Client(base_url=stack.url, headers=as_user(stack, people.ana)) as http:
        for caller in (ask, nobody, Asked(http)):
            text = {"Content_Type": "text/plain"}
            answers = [
                caller("POST", f"/storage/v1/object/{path}", b"x", **text),
                caller("POST", f"/storage/v1/object/{path}", b"x", x_upsert="true", **text),
                caller("PUT", f"/storage/v1/object/{path}", b"x", **text),
                caller("POST", f"/storage/v1/object/upload/sign/{path}", x_upsert="true"),
                caller("DELETE", f"/storage/v1/object/{path}"),
                caller(
                    "POST",
                    "/storage/v1/object/move",
                    {"bucketId": BUCKET, "sourceKey": key, "destinationKey": other},
                ),
                caller("POST", f"/storage/v1/bucket/{BUCKET}/empty"),
                caller("DELETE", f"/storage/v1/bucket/{BUCKET}"),
                caller("PUT", f"/storage/v1/bucket/{BUCKET}", {"public": True}),
            ]
            assert [answer.status_code for answer in answers if answer.is_success] == []
            many = caller("DELETE", f"/storage/v1/object/{BUCKET}", {"prefixes": [key]})
            assert not many.is_success or many.json() == []
    assert await got(tickets.attachments.read(one)) == SECRET


async def test_a_file_goes_below_ones_own_folder_and_nowhere_else(
    people: People, stack: Stack, supabase_database: psycopg.Connection[Any]
) -> None:
    ana, ben = people.ana.id, people.ben.id
    for name in (
        *(f"{ana}/{uuid4()}", str(uuid4()), f"{ben}/a.txt", f"{ben}/{uuid4()}/x"),
        *(f"{str(ben).upper()}/{uuid4()}", f"{ben}/{str(uuid4()).upper()}", f"x/{ben}/{uuid4()}"),
        f"{ben}/{uuid4()}.html",
    ):
        assert not put(stack, people.ben, b"x", name).is_success, name
    assert objects(supabase_database, people.ana) == {}
    assert objects(supabase_database, people.ben) == {}
    assert put(stack, people.ben, b"x").is_success


def row_of(attachment: Attachment, **changes: object) -> dict[str, Any]:
    fields = {"id", "file_name", "content_type", "size_bytes", "sha256"}
    return {**attachment.model_dump(mode="json", include=fields), **changes}


async def test_only_what_one_has_uploaded_can_be_attached(
    tickets: Client, people: People, ask: Asked
) -> None:
    one, _ = await one_of(tickets, people)
    never = row_of(one, id=str(uuid4()))
    for row in (row_of(one), never):
        answer = ask(
            "POST",
            "/rest/v1/rpc/create_ticket",
            {
                "id": str(uuid4()),
                "subject": "Mine?",
                "handling_org_id": str(people.organization_id),
                "description": "",
                "attachments": [row],
            },
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "TK001")
        assert {wrong["field"] for wrong in json.loads(answer.json()["details"])} == {"attachments"}
    for method in ("POST", "PATCH", "DELETE"):
        answer = ask(method, f"/rest/v1/ticket_attachments?id=eq.{one.id}", row_of(one))
        assert answer.status_code in {401, 403}, method


async def test_one_upload_cannot_be_attached_twice(
    tickets: Client, people: People, stack: Stack
) -> None:
    one, _ = await one_of(tickets, people)
    with pytest.raises(InvalidInput) as caught:
        await with_files(tickets, people, one)
    assert {wrong.field for wrong in caught.value.fields} == {"attachments"}
    assert await got(tickets.attachments.read(one)) == SECRET


async def test_the_file_of_a_note_is_for_staff_alone(
    tickets: Client, people: People, stack: Stack, office: Office
) -> None:
    ticket = await with_files(tickets, people)
    note_id, file_id = uuid4(), uuid4()
    put(stack, people.eva, SECRET, f"{people.eva.id}/{file_id}").raise_for_status()
    row = {
        "id": str(file_id),
        "file_name": "note.txt",
        "content_type": "text/plain",
        "size_bytes": len(SECRET),
        "sha256": "0" * 64,
    }
    office.call(
        "send_message",
        id=str(note_id),
        ticket_id=str(ticket.id),
        body="among us",
        message_type="internal",
        attachments=[row],
    ).raise_for_status()
    thread = await thread_of(tickets, ticket)
    assert (thread.attachments, thread.messages, len(thread.history)) == ((), (), 1)
    assert reached(stack, people.admin, f"{people.eva.id}/{file_id}") == SECRET
    for person in (people.ana, people.ben):
        assert reached(stack, person, f"{people.eva.id}/{file_id}") is None
        assert rows_of(stack, person) == []


def rows_of(stack: Stack, person: Person) -> Any:
    """The attachments that somebody sees."""
    url = f"{stack.url}/rest/v1/ticket_attachments?select=id"
    return httpx.get(url, headers=as_user(stack, person)).json()


def reached(stack: Stack, person: Person, key: str) -> bytes | None:
    """What somebody gets who knows a file's key."""
    url = f"{stack.url}/storage/v1/object/authenticated/{BUCKET}/{key}"
    answer = httpx.get(url, headers=as_user(stack, person))
    return answer.content if answer.is_success else None
