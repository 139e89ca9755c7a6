"""How the public API is used, for type checkers: checked by mypy and pyright, never run."""

import gzip
from io import BytesIO
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import NamedTemporaryFile, SpooledTemporaryFile
from typing import Any, assert_type
from uuid import UUID
from zipfile import ZipFile

import pandas
from supabase import AsyncClient, Client

from customer_tickets import (
    AsyncCustomerTickets,
    AsyncTicketFeed,
    AsyncTicketPage,
    AsyncTicketThread,
    Counts,
    CustomerTickets,
    FeedState,
    FeedStopped,
    FileStore,
    History,
    Message,
    MessageAdded,
    Messages,
    Organization,
    Ticket,
    TicketClosed,
    TicketFeed,
    TicketPage,
    TicketThread,
    Upload,
    User,
)


def blocking(organization: Organization) -> None:
    with CustomerTickets("https://abc.supabase.co", "sb_publishable_x") as tickets:
        assert_type(tickets.sign_in("a", "b"), User)
        assert_type(tickets.organizations.named("Acme"), Organization)
        ticket = tickets.create(organization=organization, subject="x", priority="high")
        assert_type(ticket, Ticket)
        page = tickets.page(status=["open", "closed"], sort="-priority", total=True)
        assert_type(page, TicketPage)
        assert_type(page.next(), TicketPage | None)
        assert_type([one.id for one in tickets.all(status="open")], list[UUID])
        assert_type(tickets.counts(), Counts)
        thread = tickets.thread(ticket)
        assert_type(thread, TicketThread)
        assert_type(thread.send("x", attachments=["a.pdf", b"x", Upload(b"y", "b.png")]), Message)
        for attachment in thread.attachments:
            assert_type(tickets.attachments.save(attachment, "folder", progress=True), Path)
            assert_type(tickets.attachments.read(attachment), bytes)
        assert_type(tickets.attachments.links(thread.attachments), dict[UUID, str])
        assert_type(thread.messages[0].text, str)
        assert_type(thread.messages[-5:], Messages)
        assert_type(thread.history, History)
        assert_type(thread.history.to_pandas(), pandas.DataFrame)
        assert_type(thread.render(), str)
        assert_type(page.to_dicts(), list[dict[str, Any]])
        with thread.live(after=17) as events:
            assert_type(events, TicketFeed)
            assert_type(events.state, FeedState)
            for event in events:
                match event:
                    case MessageAdded(message=message):
                        assert_type(message.body, str)
                    case TicketClosed(reason=reason):
                        assert_type(reason, str | None)
                    case FeedStopped(after_seq=number):
                        assert_type(number, int)
                    case _:
                        pass


def every_kind_of_file(thread: TicketThread, tickets: CustomerTickets) -> None:
    with (
        Popen(["ls"], stdout=PIPE) as program,
        ZipFile("x") as packed,
        packed.open("y") as member,
        gzip.open("x.gz") as zipped,
        NamedTemporaryFile() as named,
        SpooledTemporaryFile() as spooled,
        Path("x").open("rb") as opened,
    ):
        assert program.stdout is not None
        thread.send("x", attachments=[program.stdout, member, zipped, named, spooled, opened])
        thread.send("x", attachments=[BytesIO(b"x"), Upload(program.stdout), Upload(zipped)])
        for attachment in thread.attachments:
            tickets.attachments.write_to(attachment, named)
            tickets.attachments.write_to(attachment, spooled)
            tickets.attachments.write_to(attachment, BytesIO())


async def waiting(organization: Organization) -> None:
    async with AsyncCustomerTickets("https://abc.supabase.co", "sb_publishable_x") as tickets:
        ticket = await tickets.create(organization=organization, subject="x")
        assert_type(ticket, Ticket)
        assert_type(await tickets.page(), AsyncTicketPage)
        assert_type([one async for one in tickets.all()], list[Ticket])
        thread = await tickets.thread(ticket.id)
        assert_type(thread, AsyncTicketThread)
        async with thread.live() as events:
            assert_type(events, AsyncTicketFeed)
            async for event in events:
                if isinstance(event, MessageAdded):
                    assert_type(event.message, Message)


def mistakes(tickets: CustomerTickets, organization: Organization) -> None:
    tickets.create(organization=organization, subject="x", priority="urgent")  # type: ignore[arg-type] # must be an error
    tickets.page(status="resolved")  # type: ignore[arg-type] # must be an error
    tickets.create(subject="x")  # type: ignore[call-arg] # must be an error


class Row:
    def load(self) -> str | None: ...
    def save(self, whatever: str) -> None: ...
    def clear(self) -> None: ...


def sessions(client: Client, other: AsyncClient, path: Path) -> None:
    CustomerTickets.from_env(store=Row())
    tickets = CustomerTickets("https://abc.supabase.co", "sb_publishable_x", store=FileStore(path))
    assert_type(tickets.set_session("a", "b"), User)
    assert_type(CustomerTickets.from_supabase(client), CustomerTickets)
    CustomerTickets.from_supabase(other)  # type: ignore[arg-type] # must be an error
    CustomerTickets.from_env(store=path)  # type: ignore[arg-type] # must be an error


async def waiting_sessions(client: Client, other: AsyncClient) -> None:
    assert_type(await AsyncCustomerTickets.from_supabase(client), AsyncCustomerTickets)
    assert_type(await AsyncCustomerTickets.from_supabase(other), AsyncCustomerTickets)
