"""The other customer, nobody, and whoever has a token that is none, over plain HTTP and websockets.

Tables and functions come from the catalogue: a new one is asked here without anybody's doing.
"""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest
from websockets.asyncio.client import connect

from customer_tickets import AsyncCustomerTickets, Upload
from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.keys import user_claims
from faces import Office
from fix_stack import People
from realtime_client import Frames
from stack.attached import BUCKET
from stack.test_writes_happen_once import state

pytestmark = [pytest.mark.anyio, pytest.mark.faults, pytest.mark.timeout(120)]

CALLERS = ("stranger", "anonymous", "expired", "unsigned", "foreign", "spliced")
Database = psycopg.Connection[Any]


def token_of(stack: LocalStack, people: People, caller: str) -> str | None:
    """What a caller puts into the Authorization header."""
    issuer = f"{stack.url}/auth/v1"
    claims = user_claims(issuer, str(people.ana.id), people.ana.email, 3600)
    match caller:
        case "owner":
            return stack.mint_token(people.ana.id)
        case "stranger":
            return stack.mint_token(people.ben.id)
        case "expired":
            return stack.mint_token(people.ana.id, lifetime=-60)
        case "unsigned":
            return jwt.encode(claims, "", "none")
        case "foreign":
            return jwt.encode(claims, "the secret of another project, as long", "HS256")
        case "spliced":
            head, _, signature = stack.mint_token(people.ben.id).split(".")
            return f"{head}.{stack.mint_token(people.ana.id).split('.')[1]}.{signature}"
        case _:
            return None


def headers_of(stack: LocalStack, people: People, caller: str) -> dict[str, str]:
    token = token_of(stack, people, caller)
    more = {} if token is None else {"Authorization": f"Bearer {token}"}
    return {"apikey": stack.publishable_key, **more}


@dataclass
class Secrets:
    """What is ana's: words that only she and staff may read, and the ids to ask for it by."""

    words: list[str] = field(default_factory=list[str])
    ids: dict[str, UUID] = field(default_factory=dict[str, UUID])
    organization: UUID | None = None

    def word(self) -> str:
        self.words.append(f"secret{uuid4().hex}")
        return self.words[-1]

    def in_(self, answer: httpx.Response) -> bool:
        return any(word.encode() in answer.content for word in self.words)


@pytest.fixture
async def tickets(stack: LocalStack, people: People) -> AsyncIterator[AsyncCustomerTickets]:
    """Ana's client; of one face, for nothing here is about the library."""
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(people.ana.email, people.ana.password)
        yield client


@pytest.fixture
async def secrets(tickets: AsyncCustomerTickets, people: People, office: Office) -> Secrets:
    """A ticket with all there is: messages, files, a rating, drafts of both kinds."""
    secrets = Secrets(organization=people.organization_id)
    word = secrets.word
    ticket = await tickets.create(
        organization=people.organization_id,
        subject=word(),
        description=word(),
        attachments=[Upload(word().encode(), f"{word()}.txt")],
    )
    thread = await tickets.thread(ticket)
    message = await thread.send(word(), attachments=[Upload(word().encode(), f"{word()}.txt")])
    office.answer(ticket.id, word())
    await thread.close_ticket(word())
    await thread.rate(1, word())
    await thread.reopen_ticket()
    draft = await tickets.drafts.save(
        subject=word(), description=word(), attachments=[Upload(b"x", f"{word()}.txt")]
    )
    await tickets.drafts.save(ticket=ticket, text=word())
    secrets.ids = {
        "ticket": ticket.id,
        "message": message.id,
        "draft": draft.id,
        "file": message.attachments[0].id,
        "ana": people.ana.id,
    }
    return secrets


def tables(database: Database) -> list[str]:
    rows = database.execute(
        "select relname from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind in ('r', 'p', 'v', 'm', 'f') order by 1"
    )
    return [row[0] for row in rows]


@dataclass(frozen=True)
class Function:
    """One function that PostgREST may offer."""

    name: str
    reads: bool
    arguments: dict[str, str]


def functions(database: Database) -> list[Function]:
    rows = database.execute(
        "select proname, provolatile <> 'v', coalesce(proargnames[1:pronargs], '{}'),"
        " array(select t::regtype::text from unnest(proargtypes) t)"
        " from pg_proc where pronamespace = 'public'::regnamespace order by 1"
    )
    return [Function(row[0], row[1], dict(zip(row[2], row[3], strict=True))) for row in rows]


def calls(function: Function, secrets: Secrets) -> Iterator[dict[str, Any]]:
    """The function with each of ana's ids, as far as it takes one."""
    file = {
        "id": str(secrets.ids["file"]),
        "file_name": "x.txt",
        "content_type": "text/plain",
        "size_bytes": 39,
        "sha256": "0" * 64,
    }
    named = {"ticket_id": secrets.ids["ticket"], "handling_org_id": secrets.organization}
    by_type: dict[str, Any] = {
        "text": "x", "text[]": [secrets.words[0]], "jsonb": [file], "integer": 1, "bigint": 0,
        "boolean": True,
    }  # fmt: skip
    texts = {"priority": "high", "message_type": "public", "status": "closed"}
    for known in (*secrets.ids.values(), uuid4()):
        values: dict[str, Any] = {}
        for name, kind in function.arguments.items():
            if kind == "uuid":
                values[name] = str(named.get(name, known))
            elif kind == "uuid[]":
                values[name] = [str(one) for one in secrets.ids.values()]
            else:
                values[name] = texts.get(name, by_type[kind])
        yield values
        optional = {"attachments", "reply_to", "follow_up_of", "after_id", "after_change"}
        yield {name: value for name, value in values.items() if name not in optional}


def asked_of_rest(
    http: httpx.Client, database: Database, secrets: Secrets, *, writes: bool
) -> Iterator[httpx.Response]:
    for table in tables(database):
        yield http.get(f"/rest/v1/{table}")
        yield http.get(f"/rest/v1/{table}?select=*", headers={"Prefer": "count=exact"})
        if writes:
            represent = {"Prefer": "return=representation"}
            for column in ("id", "ticket_id", "user_id"):
                for known in secrets.ids.values():
                    path = f"/rest/v1/{table}?{column}=eq.{known}"
                    yield http.get(path)
                    yield http.patch(path, json={column: str(uuid4())}, headers=represent)
                    yield http.delete(path, headers=represent)
            row = {"id": str(secrets.ids["ticket"]), "ticket_id": str(secrets.ids["ticket"])}
            for body in ({}, row):
                yield http.post(f"/rest/v1/{table}", json=body, headers=represent)
    for function in functions(database):
        if writes or function.reads:
            for values in calls(function, secrets):
                yield http.post(f"/rest/v1/rpc/{function.name}", json=values)


def asked_of_storage(http: httpx.Client, secrets: Secrets) -> Iterator[httpx.Response]:
    key = f"{secrets.ids['ana']}/{secrets.ids['file']}"
    path, root = f"{BUCKET}/{key}", "/storage/v1/object"
    for form in ("", "authenticated/", "public/", "info/", "info/public/", "sign/"):
        yield http.get(f"{root}/{form}{path}")
        yield http.head(f"{root}/{form}{path}")
    yield http.get(f"/storage/v1/render/image/authenticated/{path}")
    yield http.get(f"/storage/v1/object/sign/{path}?token=x")
    yield http.post(f"{root}/sign/{path}", json={"expiresIn": 60})
    yield http.post(f"{root}/sign/{BUCKET}", json={"expiresIn": 60, "paths": [key]})
    yield http.post(f"{root}/upload/sign/{path}", headers={"x-upsert": "true"})
    for prefix in ("", f"{secrets.ids['ana']}"):
        yield http.post(f"{root}/list/{BUCKET}", json={"prefix": prefix, "limit": 100})
        yield http.post(f"{root}/list-v2/{BUCKET}", json={"prefix": prefix, "limit": 100})
    text = {"Content-Type": "text/plain", "x-upsert": "true"}
    yield http.post(f"{root}/{path}", content=b"mine", headers=text)
    yield http.put(f"{root}/{path}", content=b"mine", headers=text)
    yield http.delete(f"{root}/{path}")
    yield http.request("DELETE", f"{root}/{BUCKET}", json={"prefixes": [key]})
    for act in ("move", "copy"):
        body = {"bucketId": BUCKET, "sourceKey": key, "destinationKey": f"{uuid4()}/{uuid4()}"}
        yield http.post(f"{root}/{act}", json=body)
    yield http.post(f"/storage/v1/bucket/{BUCKET}/empty")
    yield http.put(f"/storage/v1/bucket/{BUCKET}", json={"public": True})
    yield http.get("/storage/v1/bucket")


def is_empty(answer: httpx.Response) -> bool:
    """Whether a list is one of nothing; what storage signs in bulk, it lists with a null each."""
    found: Any = answer.json()
    if "objects" in found:
        return bool(found["objects"] == [] and found["folders"] == [])
    return all(one == {**one, "signedURL": None} for one in found)


@pytest.mark.parametrize("caller", CALLERS)
async def test_nothing_comes_back_and_nothing_changes(
    stack: LocalStack, people: People, supabase_database: Database, secrets: Secrets, caller: str
) -> None:
    before = state(supabase_database, people)
    headers = headers_of(stack, people, caller)
    with httpx.Client(base_url=stack.url, headers=headers, timeout=30) as http:
        answers = [
            *asked_of_rest(http, supabase_database, secrets, writes=True),
            *asked_of_storage(http, secrets),
        ]
    assert [answer.request.url.path for answer in answers if secrets.in_(answer)] == []
    assert [a.request.url.path for a in answers if a.status_code >= 500] == []
    if caller != "stranger":
        # The rest is refused, not merely empty.
        let_in = [answer for answer in answers if answer.is_success and not is_empty(answer)]
        assert [(answer.request.method, answer.request.url.path) for answer in let_in] == []
    assert state(supabase_database, people) == before


async def test_the_owner_is_answered_the_same_questions(
    stack: LocalStack, people: People, supabase_database: Database, secrets: Secrets
) -> None:
    """Else the test above would find nothing however wrong things were."""
    headers = headers_of(stack, people, "owner")
    with httpx.Client(base_url=stack.url, headers=headers, timeout=30) as http:
        answers = list(asked_of_rest(http, supabase_database, secrets, writes=False))
        file = next(asked_of_storage(http, secrets))
    told = {answer.request.url.path.split("/")[-1] for answer in answers if secrets.in_(answer)}
    assert {
        "tickets", "ticket_messages", "ticket_events", "ticket_attachments", "ticket_drafts",
        "ticket_feedback", "ticket_thread", "search_tickets", "ticket_events_after",
    } <= told  # fmt: skip
    assert secrets.in_(file)


@pytest.mark.parametrize("caller", CALLERS)
async def test_no_topic_is_heard(
    stack: LocalStack, people: People, secrets: Secrets, office: Office, caller: str
) -> None:
    ticket, token = secrets.ids["ticket"], token_of(stack, people, caller)
    url = f"{stack.url.replace('http', 'ws', 1)}/realtime/v1/websocket?vsn=1.0.0&apikey="
    topics = (f"ticket:{ticket}", f"ticket:{ticket}:presence", f"customer:{people.ana.id}")
    async with connect(url + stack.publishable_key) as socket:
        frames = Frames(socket)
        for topic in topics:
            reply = await frames.join(topic, access_token=token, private=True)
            assert reply["status"] == "error", topic
    async with connect(url + stack.publishable_key) as socket:
        frames = Frames(socket)
        for topic in topics:
            # A public topic of the same name is another one.
            await frames.join(topic, private=False)
        frames.seen.clear()
        began = time.monotonic()
        office.answer(ticket, secrets.word())
        while time.monotonic() < began + 1.0:
            await frames.send("phoenix", "heartbeat")
            await frames.receive()
        assert {frame["topic"] for frame in frames.seen} <= {"phoenix", "realtime:"} | {
            frame["topic"]
            for frame in frames.seen
            if frame["event"] in {"system", "presence_state"}
        }
        assert not [frame for frame in frames.seen if frame["event"] == "broadcast"]


def test_there_are_no_other_topics(supabase_database: Database) -> None:
    """A new kind of topic belongs into the test above."""
    found = supabase_database.execute(
        "select pg_get_functiondef('private.can_hear(text)'::regprocedure),"
        " (select count(*) from pg_policy where polrelid = 'realtime.messages'::regclass)"
    ).fetchall()[0]
    assert "'^(ticket|customer):(" in found[0]
    assert found[1] == 2
