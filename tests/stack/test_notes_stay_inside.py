"""Internal notes, looked for wherever a customer can look: their words, ids, files and traces.

Tables and functions are listed from the catalogue and methods from the classes, so that what is new
is looked at too, or fails here until somebody says how.
"""

import json
import logging
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, is_dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from pydantic import BaseModel
from websockets.asyncio.client import connect

from customer_tickets import (
    AsyncCustomerTickets,
    AsyncPeople,
    Conflict,
    CustomerTicketsError,
    InvalidInput,
    NotFound,
    Ticket,
    Upload,
)
from faces import (
    Client,
    Office,
    Thread,
    closed,
    got,
    next_event,
    opened,
    opened_list,
    page_of,
    thread_of,
)
from fix_stack import People
from realtime_client import Frames
from remote_project import Stack, access_token
from stack.attached import BUCKET, as_user, put
from stack.conftest import Opener

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

# They begin or end a session, and never hear of a ticket.
SESSIONS = {
    "aclose",
    "close",
    "from_env",
    "from_supabase",
    "set_session",
    "sign_in",
    "sign_out",
    "sign_up",
}
FILE = b"what the file of the note says: "


@dataclass
class Notes:
    """What must not be found anywhere; a random word in each text."""

    ids: list[UUID] = field(default_factory=list[UUID])
    words: list[str] = field(default_factory=list[str])
    attachment_ids: list[UUID] = field(default_factory=list[UUID])

    @property
    def attachment_id(self) -> UUID:
        """The last note's file."""
        return self.attachment_ids[-1]

    def word(self) -> str:
        self.words.append(f"note{uuid4().hex}")
        return self.words[-1]

    def found_in(self, text: str) -> list[str]:
        """The secrets that a text holds."""
        secrets = [*self.words, *map(str, [*self.ids, *self.attachment_ids])]
        return [secret for secret in secrets if secret in text or secret in text.replace("-", "")]


@dataclass
class World:
    """A customer's ticket with an answer, an employee, and what the employee notes about it."""

    stack: Stack
    people: People
    office: Office
    database: psycopg.Connection[Any]
    ticket: Ticket
    notes: Notes = field(default_factory=Notes)

    def write_notes(self) -> None:
        """A note with a file, a note that answers it, and one that answers the customer."""
        notes, eva = self.notes, self.people.eva
        notes.attachment_ids.append(uuid4())
        content = FILE + notes.word().encode()
        key = f"{eva.id}/{notes.attachment_id}"
        put(self.stack, eva, content, key).raise_for_status()
        row = {
            "id": str(notes.attachment_id),
            "file_name": f"{notes.word()}.txt",
            "content_type": "text/plain",
            "size_bytes": len(content),
            "sha256": sha256(content).hexdigest(),
        }
        public = self.database.execute(
            "select id from public.ticket_messages where ticket_id = %s and seq = 2",
            [self.ticket.id],
        ).fetchall()[0][0]
        first = self._note(attachments=[row])
        self._note(reply_to=str(first))
        self._note(reply_to=str(public))
        refused = self.office.call(
            "send_message",
            id=str(uuid4()),
            ticket_id=str(self.ticket.id),
            body="A public answer to a note.",
            reply_to=str(first),
        )
        assert refused.status_code == 400

    def _note(self, **more: object) -> UUID:
        self.notes.ids.append(uuid4())
        self.office.call(
            "send_message",
            id=str(self.notes.ids[-1]),
            ticket_id=str(self.ticket.id),
            body=f"Between us: {self.notes.word()}",
            message_type="internal",
            **more,
        ).raise_for_status()
        return self.notes.ids[-1]


@pytest.fixture
async def world(
    stack: Stack,
    people: People,
    office: Office,
    tickets: Client,
    supabase_database: psycopg.Connection[Any],
) -> World:
    ticket = await got(
        tickets.create(
            organization=people.organization_id,
            subject="The lamp",
            description="It is ![here](attachment:nothing).",
            attachments=[Upload(b"public", "public.txt")],
        )
    )
    thread = await thread_of(tickets, ticket)
    await got(thread.send("Any news?", attachments=[Upload(b"photo", "photo.png")]))
    office.answer(ticket.id, "Not yet.")
    return World(stack, people, office, supabase_database, ticket)


@pytest.fixture
def ana(stack: Stack, people: People) -> Iterator[httpx.Client]:
    """Ana with an HTTP client, who knows where everything is."""
    with httpx.Client(base_url=stack.url, headers=as_user(stack, people.ana)) as http:
        yield http


def tables(database: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Every table and view of the API, with the columns that a user may select."""
    rows = database.execute(
        "select c.relname, coalesce(array_agg(a.attname order by a.attnum) filter ("
        "   where has_column_privilege('authenticated', c.oid, a.attnum, 'select')), '{}')"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f')"
        "   and not a.attisdropped group by c.oid, c.relname"
    )
    return dict(rows.fetchall())


@dataclass(frozen=True)
class Function:
    """A function of the API, with its arguments by name and type."""

    name: str
    changes: bool
    types: dict[str, str]
    required: list[str]


def functions(database: psycopg.Connection[Any]) -> list[Function]:
    rows = database.execute(
        "select proname, provolatile = 'v', coalesce(proargnames, '{}'), pronargdefaults,"
        " array(select format_type(t, null) from unnest(proargtypes) with ordinality x (t, n)"
        "   order by n)"
        " from pg_proc where pronamespace = 'public'::regnamespace"
        "   and has_function_privilege('authenticated', oid, 'execute')"
    )
    return [
        Function(
            name,
            changes,
            types := dict(zip(names, kinds, strict=False)),
            [*types][: len(types) - defaults],
        )
        for name, changes, names, defaults, kinds in rows
    ]


NUMBERS = {"after_seq": 0, "before_seq": 10**9, "rating": 5, "seq": 1, "version": 0}


def argument(name: str, kind: str, world: World) -> Any:
    """A value for a function's argument, of which a customer could think."""
    values = {
        "uuid": str(uuid4()) if name in {"id", "request_id"} else str(world.ticket.id),
        "uuid[]": [str(world.ticket.id)],
        "text": "closed" if name == "status" else "words",
        "text[]": world.notes.words or ["note"],
        "integer": NUMBERS.get(name, 1000),
        "bigint": NUMBERS.get(name, 1000),
        "jsonb": [],
        "boolean": True,
    }
    assert kind in values or "timestamp" in kind, f"say what to try for {name} {kind}"
    return values.get(kind, "2020-01-01T00:00:00Z")


def call(http: httpx.Client, function: Function, **arguments: Any) -> httpx.Response:
    return http.post(f"/rest/v1/rpc/{function.name}", json=arguments)


def answer_of(response: httpx.Response) -> tuple[int, str, Any]:
    """What an answer says, with rows in an order of their own."""
    try:
        content = response.json()
    except ValueError:
        content = response.text
    if isinstance(content, list):
        content = sorted(content, key=lambda row: json.dumps(row, sort_keys=True))
    return response.status_code, response.headers.get("content-range", ""), content


def reachable(http: httpx.Client, world: World) -> dict[str, tuple[int, str, Any]]:
    """Every answer that changes nothing: all rows and counts, all reading functions, all files."""
    counted = {"Prefer": "count=exact"}
    answers: dict[str, httpx.Response] = {}
    for table, columns in tables(world.database).items():
        for wanted in (",".join(columns) or "*", "*", "count", "xmin", "xmax", "ctid", "tableoid"):
            path = f"/rest/v1/{table}?select={wanted}"
            answers[path] = http.get(path, headers=counted)
    for function in functions(world.database):
        if not function.changes:
            arguments = {n: argument(n, function.types[n], world) for n in function.required}
            answers[function.name] = call(http, function, **arguments)
    for prefix in ("", str(world.people.ana.id), str(world.people.eva.id)):
        for version in ("list", "list-v2"):
            path = f"/storage/v1/object/{version}/{BUCKET}"
            answers[f"{version} {prefix}"] = http.post(path, json={"prefix": prefix, "limit": 100})
    answers["root"] = http.get("/rest/v1/")
    found = {name: answer_of(answer) for name, answer in answers.items()}
    # How many transactions the whole server has begun, whosever they are; a note is one of them.
    found["ticket_changes"][2].pop("horizon")
    return found


async def test_a_note_changes_nothing_that_a_customer_can_ask_for(
    world: World, ana: httpx.Client
) -> None:
    before = reachable(ana, world)
    assert len(before) > 40
    assert {"ticket_thread", "ticket_counts", "search_tickets"} <= before.keys()
    assert [n for n in ("ticket_thread", "ticket_counts") if before[n][0] != 200] == []
    world.write_notes()
    assert len(world.notes.words) == 5
    after = reachable(ana, world)
    after["search_tickets"], words = before["search_tickets"], after["search_tickets"]
    assert words[2] == []
    assert after == before
    assert world.notes.found_in(json.dumps([*after.values(), words])) == []


# A new row's id is its client's to choose: one that is taken must be refused, and nobody finds a
# random one by trying.
CHOSEN = {"create_ticket", "send_message", "save_draft"}


async def test_a_note_cannot_be_told_from_nothing(world: World, ana: httpx.Client) -> None:
    """Whatever is called with a note's id answers as it does for an id that never was."""
    world.write_notes()
    asked: set[tuple[str, str]] = set()
    for function in functions(world.database):
        for name in [n for n, kind in function.types.items() if kind == "uuid"]:
            if name == "request_id" or (name == "id" and function.name in CHOSEN):
                continue
            seen: set[tuple[int, str]] = set()
            for secret in (uuid4(), *world.notes.ids, world.notes.attachment_id):
                arguments = {n: argument(n, function.types[n], world) for n in function.required}
                status, _, content = answer_of(
                    call(ana, function, **arguments | {name: str(secret)})
                )
                # What the caller says may come back, from a draft; nothing else may.
                text = json.dumps(content).replace(str(secret), "what was asked for")
                assert world.notes.found_in(text) == []
                seen.add((status, text if status >= 400 else ""))
                asked.add((function.name, name))
            assert len(seen) == 1, (function.name, name, seen)
    assert {("ticket_thread", "ticket_id"), ("send_message", "reply_to")} <= asked
    assert len(asked) > 15


async def test_an_id_that_a_note_has_is_refused_without_a_word(
    world: World, tickets: Client
) -> None:
    world.write_notes()
    thread = await thread_of(tickets, world.ticket)
    with pytest.raises(Conflict) as refused:
        await got(thread.send("words", id=world.notes.ids[0]))
    error = vars(refused.value)
    assert error.pop("write_id") == world.notes.ids[0]
    assert world.notes.found_in(shown(error) + shown(refused.value.args)) == []


def asked_of_storage(ana: httpx.Client, world: World, secret: UUID) -> dict[str, httpx.Response]:
    """Every way to ask storage for a file of the employee's."""
    eva = world.people.eva.id
    key = f"{BUCKET}/{eva}/{secret}"
    return {
        "authenticated": ana.get(f"/storage/v1/object/authenticated/{key}"),
        "get": ana.get(f"/storage/v1/object/{key}"),
        "public": ana.get(f"/storage/v1/object/public/{key}"),
        "head": ana.head(f"/storage/v1/object/{key}"),
        "info": ana.get(f"/storage/v1/object/info/{key}"),
        "sign": ana.post(f"/storage/v1/object/sign/{key}", json={"expiresIn": 60}),
        "render": ana.get(f"/storage/v1/render/image/authenticated/{key}"),
        "copy": ana.post(
            "/storage/v1/object/copy",
            json={
                "bucketId": BUCKET,
                "sourceKey": f"{eva}/{secret}",
                "destinationKey": f"{world.people.ana.id}/{uuid4()}",
            },
        ),
        "move": ana.post(
            "/storage/v1/object/move",
            json={
                "bucketId": BUCKET,
                "sourceKey": f"{eva}/{secret}",
                "destinationKey": f"{world.people.ana.id}/{uuid4()}",
            },
        ),
        "delete": ana.request(
            "DELETE", f"/storage/v1/object/{BUCKET}", json={"prefixes": [f"{eva}/{secret}"]}
        ),
        "signs": ana.post(
            f"/storage/v1/object/sign/{BUCKET}",
            json={"expiresIn": 60, "paths": [f"{eva}/{secret}"]},
        ),
    }


async def test_a_notes_file_cannot_be_told_from_nothing(world: World, ana: httpx.Client) -> None:
    world.write_notes()
    seen: dict[str, list[tuple[int, Any]]] = {}
    for secret in (uuid4(), world.notes.attachment_id):
        asked = asked_of_storage(ana, world, secret)
        for name, response in asked.items():
            text = response.text.replace(str(secret), "SECRET")
            assert FILE.decode() not in text, name
            assert "token=" not in text, name
            seen.setdefault(name, []).append((response.status_code, text))
    assert {name: answers for name, answers in seen.items() if answers[0] != answers[1]} == {}


async def test_a_note_rings_no_bell(world: World) -> None:
    stack, people, ticket = world.stack, world.people, world.ticket
    token = access_token(stack, people.ana)
    address = stack.url.replace("http", "ws", 1)
    url = f"{address}/realtime/v1/websocket?apikey={stack.publishable_key}&vsn=1.0.0"
    published = world.database.execute(
        "select tablename from pg_publication_tables"
        " where pubname = 'supabase_realtime' and schemaname = 'public'"
    )
    assert published.fetchall() == []
    async with connect(url) as socket:
        frames = Frames(socket)
        for topic in (f"ticket:{ticket.id}", f"customer:{people.ana.id}"):
            await frames.join_ready(topic, access_token=token, private=True)
        await frames.join(f"ticket:{ticket.id}:presence", access_token=token, private=True)
        world.write_notes()
        world.office.answer(ticket.id, "Here it is.")
        rung = [(await frames.until("broadcast"))["payload"]["payload"] for _ in range(2)]
        await frames.nothing_more()
        everything = json.dumps(frames.seen)
    assert [(bell["kind"], bell["seq"]) for bell in rung] == [("message", 4), ("message", 4)]
    assert world.notes.found_in(everything) == []


def exported(folder: Path) -> list[str]:
    """The names and contents of all files below a folder, also of those in zip files."""
    texts: list[str] = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        texts += [str(path), path.read_bytes().decode(errors="replace")]
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                packed = [archive.read(name) for name in archive.namelist()]
            texts += [content.decode(errors="replace") for content in packed]
    return texts


def names(of: object) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")} - {"forget"}


async def listed(items: Any) -> list[Any]:
    """All of an iterator of either kind."""
    return [item async for item in items] if isinstance(items, AsyncIterator) else list(items)


def shown(value: Any) -> str:
    """All that can be seen of a value: what it says of itself, and what it holds."""
    parts = [repr(value), str(value)]
    if hasattr(value, "_repr_html_"):
        parts.append(value._repr_html_())
    if isinstance(value, BaseModel):
        parts += [value.model_dump_json(), *(shown(part) for _, part in value)]
    elif isinstance(value, bytes):
        parts.append(value.decode(errors="replace"))
    elif isinstance(value, Mapping):
        parts += [shown(part) for pair in value.items() for part in pair]
    elif isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        parts += [shown(part) for part in cast("Iterable[Any]", value)]
        if hasattr(value, "to_dicts"):
            parts.append(shown(cast("Any", value).to_dicts()))
    elif is_dataclass(value):
        parts += [shown(part) for part in vars(value).values()]
    elif isinstance(value, BaseException):
        parts.append(shown(vars(value)))
    return "\n".join(parts)


async def walked_thread(thread: Thread, world: World) -> dict[str, Any]:
    """What every method and property of a thread hands out."""
    any_thread: Any = thread
    properties = ("ticket", "organization", "messages", "history", "attachments", "can", "draft")
    seen: dict[str, Any] = {name: getattr(any_thread, name) for name in properties}
    seen["older_messages"] = await got(thread.older_messages())
    seen["older_history"] = await got(thread.older_history())
    seen["render"] = [
        await got(thread.render()),
        *[await got(thread.render(m)) for m in thread.messages],
    ]
    seen["mark_read"] = await got(thread.mark_read())
    async with opened(thread.live(0)) as feed:
        events = [await next_event(feed) for _ in range(thread.ticket.last_seq)]
        world.write_notes()
        assert await got(feed.next(timeout=0.5)) is None
        world.office.answer(world.ticket.id, "The next one.")
        events.append(await next_event(feed))
        assert [event.seq for event in events] == [*range(1, len(events) + 1)]
        seen["live"] = [*events, feed.state, feed.last_seq, repr(feed)]
    await got(thread.refresh())
    seen["verify"] = await got(thread.verify())
    seen["refresh"] = (thread.messages, thread.history, thread.attachments, thread.ticket)
    seen["send"] = await got(thread.send("Thanks"))
    for act in ("retry", "discard"):
        with pytest.raises(InvalidInput) as refused:
            await got(getattr(any_thread, act)(world.notes.ids[0]))
        seen[act] = refused.value
    seen["edit"] = await got(thread.edit(priority="high"))
    seen["close_ticket"] = await got(thread.close_ticket("solved"))
    seen["rate"] = await got(thread.rate(4))
    seen["reopen_ticket"] = await got(thread.reopen_ticket())
    seen["feedback"] = thread.feedback
    people = any_thread.people()
    async with AsyncExitStack() as opened_people:
        if isinstance(people, AsyncPeople):
            await opened_people.enter_async_context(people)
        else:
            opened_people.enter_context(people)
        await got(any_thread.typing())
        seen["people"] = [await got(people.next(timeout=1)), people.here, repr(people)]
        seen["typing"] = seen["typists"] = any_thread.typists
    # A view is the thread's HTML, in a notebook only.
    with pytest.raises(RuntimeError):
        await got(any_thread.watch())
    seen["watch"] = any_thread._repr_html_()
    assert names(thread) - seen.keys() == set(), "say here how these are called"
    return seen


async def walked_attachments(client: Client, thread: Thread, world: World, to: Path) -> Any:
    """What every method of `attachments` hands out, and that none hands out the note's file."""
    files, (first, *_) = client.attachments, thread.attachments
    hidden = first.model_copy(
        update={"id": world.notes.attachment_id, "user_id": world.people.eva.id}
    )
    refusals: list[Any] = []
    calls: dict[str, Any] = {
        "save": lambda one: files.save(one, to / f"{uuid4()}"),
        "read": files.read,
        "write_to": lambda one: files.write_to(one, BytesIO()),
        "link": files.link,
    }
    seen: dict[str, Any] = {}
    for name, fetch in calls.items():
        seen[name] = await got(fetch(first))
        with pytest.raises(NotFound) as refused:
            await got(fetch(hidden))
        refusals.append(str(refused.value).replace(str(world.notes.attachment_id), ""))
    seen["links"] = await got(files.links([first, hidden]))
    assert seen["links"].keys() == {first.id}
    pointed = f"![x](attachment:{hidden.id})"
    seen["render"] = (await got(files.render(pointed, [first]))).replace(str(hidden.id), "")
    assert "src=" not in seen["render"]
    seen["clean_up"] = await got(files.clean_up(0))
    assert names(files) - seen.keys() == set(), "say here how these are called"
    return seen, refusals


async def walked_drafts(client: Client, world: World) -> dict[str, Any]:
    """What every method of `drafts` hands out; none takes a note for a message to answer."""
    drafts = client.drafts
    seen: dict[str, Any] = {"save": await got(drafts.save(ticket=world.ticket, text="later"))}
    seen["get"] = await got(drafts.get(seen["save"].id))
    seen["list"] = await got(drafts.list())
    seen["edit"] = repr(drafts.edit(seen["save"]))
    seen["submit"] = await got(drafts.submit(seen["save"]))
    seen["discard"] = await got(drafts.discard(seen["save"]))
    answer = await got(
        drafts.save(ticket=world.ticket, text="to a note", reply_to=world.notes.ids[0])
    )
    with pytest.raises(InvalidInput) as refused:
        await got(drafts.submit(answer))
    seen["refused"] = refused.value
    await got(drafts.discard(answer))
    assert names(drafts) - seen.keys() == set(), "say here how these are called"
    return seen


async def walked_list(client: Client, world: World) -> list[Any]:
    """What the feed of all tickets hands out while notes are written: of them, nothing."""
    feed: Any = client.live()
    async with opened_list(feed):
        world.write_notes()
        assert await got(feed.next(timeout=0.5)) is None
        world.office.answer(world.ticket.id, "And another.")
        change = await got(feed.next(timeout=10))
        assert change.ticket.id == world.ticket.id
        assert await got(feed.next(timeout=0.5)) is None
        return [change, feed.position, feed.state, repr(feed)]


async def walked_client(client: Client, world: World, to: Path) -> dict[str, Any]:
    """What every method and property of a client hands out."""
    any_client: Any = client
    before = await got(client.counts())
    first = await page_of(client)
    thread = await thread_of(client, world.ticket)
    seen: dict[str, Any] = {"user": client.user, "thread": await walked_thread(thread, world)}
    seen["attachments"] = await walked_attachments(client, thread, world, to)
    seen["drafts"] = await walked_drafts(client, world)
    seen["organizations"] = await got(client.organizations.list())
    seen["create"] = await got(
        client.create(organization=world.people.organization_id, subject="Another")
    )
    seen["counts"] = [before, await got(client.counts())]
    page: Any = await page_of(client, total=True, size=1)
    seen["page"] = [first.items, page.items, page.total, repr(page), page.to_dicts()]
    assert page.total == 2
    for word in world.notes.words:
        assert await listed(any_client.all(search=word)) == []
    seen["all"] = await listed(any_client.all(search="lamp"))
    seen["export"] = [
        await got(client.export(to / "folder")),
        await got(client.export(to / "z.zip")),
    ]
    seen["live"] = await walked_list(client, world)
    # A view is the list's HTML, in a notebook only.
    with pytest.raises(RuntimeError):
        await got(any_client.watch())
    seen["watch"] = page._repr_html_()
    assert names(client) - seen.keys() - SESSIONS == set(), "say here how these are called"
    return seen


async def test_the_library_never_shows_a_note(
    world: World, tickets: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = await walked_client(tickets, world, tmp_path)
    everything = shown(seen)
    assert "Not yet." in everything
    assert "The next one." in everything
    # The editor and the refused reply were given the note's id by the customer's own hand.
    given = [str(seen["drafts"]["refused"])]
    assert world.notes.found_in("\n".join(given)) == []
    assert world.notes.found_in(everything) == []
    logged = "\n".join([caplog.text, *(shown(record.args) for record in caplog.records)])
    assert len(caplog.records) > 10
    # The employee's program, which is this one, writes to the same log where it sends a file to.
    asked_for = [*map(str, world.notes.attachment_ids), *map(str, world.notes.ids)]
    assert [found for found in world.notes.found_in(logged) if found not in asked_for] == []
    texts = exported(tmp_path)
    assert any("Not yet." in text for text in texts)
    assert world.notes.found_in("\n".join(texts)) == []


async def test_an_employees_own_ticket_is_shown_and_exported_without_notes(
    world: World, opener: Opener, tmp_path: Path
) -> None:
    """Staff see notes, with tools of their own; this library shows the customer's side of all."""
    client = await opener(world.people.eva)
    own = await got(
        client.create(organization=world.people.organization_id, subject="An employee's own")
    )
    world.ticket = own
    thread = await thread_of(client, own)
    await got(thread.send("Any news?"))
    world.write_notes()
    world.office.answer(own.id, "Not yet.")
    again = await thread_of(client, own)
    await got(again.older_messages())
    await got(client.export(tmp_path / "e"))
    texts = exported(tmp_path)
    assert sum("Not yet." in text for text in texts) == 2
    everything = shown([again.messages, again.history, again.attachments, again.ticket, texts])
    assert world.notes.found_in(everything) == []


async def test_staff_find_what_is_looked_for(world: World, stack: Stack, people: People) -> None:
    """The search itself finds a note where there is one: in what an employee may ask for."""
    world.write_notes()
    with httpx.Client(base_url=stack.url, headers=as_user(stack, people.eva)) as http:
        answers = reachable(http, world)
    secrets = [*map(str, world.notes.ids), *world.notes.words[1:], str(world.notes.attachment_id)]
    found = world.notes.found_in(json.dumps([*answers.values()]))
    assert set(secrets) <= set(found)
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        with pytest.raises(CustomerTicketsError):
            await client.counts()
        await closed(client)
