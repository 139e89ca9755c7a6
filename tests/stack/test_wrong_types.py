"""Every parameter of every public method, given what it cannot be: one typed error, no request."""

import inspect
import io
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import customer_tickets
from customer_tickets import (
    AsyncCustomerTickets,
    AsyncPeople,
    CustomerTickets,
    CustomerTicketsError,
    InvalidInput,
    verify_export,
)
from faces import Client, got, opened, opened_editor, opened_list, page_of, thread_of
from fix_stack import People
from remote_project import Stack
from stack.attached import attached
from stack.test_tickets import create, requests

pytestmark = pytest.mark.anyio

# What no parameter of any method takes.
STRANGE: tuple[object, ...] = (object(), 1j, [object()], {"a": object()}, float("nan"))
# What some take and others do not: an error of ours, or an answer.
DOUBTFUL: tuple[object, ...] = (
    None, "", "\x00", "\ud800", b"\xff\xfe", True, -1, 10**40, 2.5, float("inf"), (), {}, "no id",
    "x" * 100_000,
)  # fmt: skip

# By name, whichever method it is of; what is not here is optional.
Values = dict[str, object]


def public_methods(thing: object) -> list[str]:
    """The methods that a user may call; closing, and the hooks of `with`, take nothing."""
    return [
        name
        for name, _ in inspect.getmembers(type(thing), callable)
        if not name.startswith("_") and name not in {"from_env", "from_supabase", "forget"}
    ]


def parameters(method: Callable[..., object]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(method).parameters)


async def outcome(method: Callable[..., object], given: Values) -> BaseException | None:
    try:
        answer = await got(method(**given))
        if inspect.isasyncgen(answer):
            await anext(answer, None)
        elif inspect.isgenerator(answer):
            next(answer, None)
    except Exception as error:  # noqa: BLE001 - which one it is, is what is asked
        return error
    return None


@pytest.fixture
async def things(
    tickets: Client, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, object], Values]:
    """One of each thing that has methods, and good values for what they cannot do without."""
    monkeypatch.chdir(tmp_path)  # where files are saved to when nothing is said
    ticket = await create(tickets, people)
    (file,) = await attached(tickets, people, b"one")
    draft = await got(tickets.drafts.save(subject="x"))
    page = await page_of(tickets, size=1)
    owners: dict[str, object] = {
        "client": tickets,
        "organizations": tickets.organizations,
        "drafts": tickets.drafts,
        "attachments": tickets.attachments,
        "thread": await thread_of(tickets, ticket),
        "page": page,
    }
    good: Values = {
        "organization": people.organization_id, "subject": "x", "text": "x", "rating": 5,
        "email": "a@example.com", "password": "a password of tests", "access_token": "a.b.c",
        "refresh_token": "abc", "to": tmp_path / "to", "file": io.BytesIO(), "attachment": file,
        "body": f"attachment:{file.id}", "ticket": ticket.id, "name": "x", "id": uuid4(),
        "draft": draft, "message": uuid4(), "attachments": [file],
    }  # fmt: skip
    return owners, good


OWNERS = ("client", "organizations", "drafts", "attachments", "thread", "page")


async def wrong_of(
    owner: object, good: Values, values: tuple[object, ...], caplog: pytest.LogCaptureFixture
) -> list[tuple[str, str, object, BaseException | None, int]]:
    """What each method says to each wrong value of each of its parameters."""
    said: list[tuple[str, str, object, BaseException | None, int]] = []
    for name in public_methods(owner):
        method = getattr(owner, name)
        known = parameters(method)
        needed = {n: good[n] for n, one in known.items() if one.default is one.empty}
        for parameter in known:
            for value in values:
                caplog.clear()
                error = await outcome(method, {**needed, parameter: value})
                said.append((name, parameter, value, error, requests(caplog)))
    return said


@pytest.mark.parametrize("owner", OWNERS)
async def test_what_nothing_takes_is_refused_before_any_request(
    things: tuple[dict[str, object], Values], caplog: pytest.LogCaptureFixture, owner: str
) -> None:
    owners, good = things
    with caplog.at_level(logging.INFO, "httpx"):
        said = await wrong_of(owners[owner], good, STRANGE, caplog)
    bad = [
        f"{name}({parameter}={value!r:.40}): {error!r}, {count} requests"
        for name, parameter, value, error, count in said
        if not isinstance(error, InvalidInput) or count
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("owner", OWNERS)
async def test_what_some_take_is_an_answer_or_an_error_of_ours(
    things: tuple[dict[str, object], Values], caplog: pytest.LogCaptureFixture, owner: str
) -> None:
    owners, good = things
    said = await wrong_of(owners[owner], good, DOUBTFUL, caplog)
    bad = [
        f"{name}({parameter}={value!r:.40}): {error!r:.200}"
        for name, parameter, value, error, _ in said
        if not isinstance(error, CustomerTicketsError | None)
        # What a disk refuses is documented to come as it is.
        and not (parameter == "to" and isinstance(error, OSError))
        # This is no notebook.
        and not (name == "watch" and isinstance(error, RuntimeError))
    ]
    assert not bad, "\n".join(bad)


async def test_editors_and_feeds_refuse_it_too(tickets: Client, people: People) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    bad: list[str] = []
    async with opened_editor(tickets.drafts.edit()) as editor:
        for name in ("change", "resolve"):
            for parameter in parameters(getattr(editor, name)):
                for value in STRANGE:
                    if parameter == "attachments" and isinstance(value, list):
                        continue  # what is in the list is looked at when it is sent
                    error = await outcome(getattr(editor, name), {parameter: value})
                    if not isinstance(error, InvalidInput):
                        bad.append(f"{name}({parameter}={value!r:.40}): {error!r}")
    async with (
        opened(thread.live()) as feed,
        opened_list(tickets.live()) as changes,
        AsyncExitStack() as closing,
    ):
        met = thread.people()
        if isinstance(met, AsyncPeople):
            await closing.enter_async_context(met)
        else:
            closing.enter_context(met)
        for one in (feed, changes, met):
            for value in STRANGE:
                error = await outcome(one.next, {"timeout": value})
                if not isinstance(error, InvalidInput):
                    bad.append(f"next(timeout={value!r:.40}): {error!r}")
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("face", [CustomerTickets, AsyncCustomerTickets])
async def test_no_client_is_made_of_it(face: Callable[..., object], stack: Stack) -> None:
    good: Values = {"url": stack.url, "key": stack.publishable_key}
    bad: list[str] = []
    for parameter in parameters(face):
        for value in STRANGE:
            error = await outcome(face, {**good, parameter: value})
            if not isinstance(error, InvalidInput) or error.fields[0].field != parameter:
                bad.append(f"{parameter}={value!r:.40}: {error!r}")
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("value", [*STRANGE, None, ""], ids=lambda one: type(one).__name__)
def test_no_export_is_verified_at_it(value: Any) -> None:
    with pytest.raises(InvalidInput):
        verify_export(value)


def test_nothing_public_is_left_out() -> None:
    """What is added to the library is to be refused wrong values here too."""
    shown = {name for name, found in vars(customer_tickets).items() if inspect.isclass(found)}
    with_methods = {name for name in shown if f"Async{name}" in shown}
    assert with_methods == {
        "CustomerTickets", "Organizations", "Drafts", "Attachments", "TicketThread", "TicketPage",
        "DraftEditor", "TicketFeed", "TicketListFeed", "People", "Watch",
    }  # fmt: skip


async def test_what_is_wrong_is_said_in_the_words_of_the_call(
    tickets: Client, people: People
) -> None:
    ticket = await create(tickets, people)
    thread = await thread_of(tickets, ticket)
    organization = await got(tickets.organizations.get(people.organization_id))
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: tickets.drafts.save(ticket="x"), "ticket: must be an id"),
        (lambda: tickets.drafts.save("x"), "draft: must be a Draft or None$"),  # type: ignore[arg-type] # to see what happens
        (lambda: tickets.thread(organization), "ticket: must be a Ticket or its id"),  # type: ignore[arg-type] # as above
        (lambda: tickets.create(organization=ticket, subject="x"), "organization: must be an id"),  # type: ignore[arg-type] # as above
        (lambda: thread.live(2**63), f"after: must be less than {2**63}"),
        (lambda: thread.rate(4.5), "rating: must be a whole number$"),  # type: ignore[arg-type] # as above
        (lambda: tickets.page(size="5"), "size: must be a whole number$"),  # type: ignore[arg-type] # as above
        (lambda: tickets.page(total="yes"), "total: must be True or False$"),  # type: ignore[arg-type] # as above
        (lambda: tickets.page(status=5), "status: must be one value, or a list of some$"),  # type: ignore[arg-type] # as above
        (lambda: tickets.page(created_after=5), "created_after: must be a datetime$"),  # type: ignore[arg-type] # as above
        (lambda: tickets.page(updated_before="2026"), "updated_before: must be a datetime$"),  # type: ignore[arg-type] # as above
        (lambda: tickets.attachments.read(ticket), "attachment: must be an Attachment$"),  # type: ignore[arg-type] # as above
        (lambda: tickets.drafts.get("x"), "id: must be a Draft or its id$"),
    ]
    for call, said in wrong:
        with pytest.raises(InvalidInput, match=said):
            await got(call())
    far = timezone(timedelta(hours=17))
    assert len(await page_of(tickets, created_before=datetime.now(far) + timedelta(hours=1))) == 1
    assert not await page_of(tickets, created_after=datetime.now(far) + timedelta(hours=1))
    assert len(await page_of(tickets, created_after=datetime.min.replace(tzinfo=far))) == 1
