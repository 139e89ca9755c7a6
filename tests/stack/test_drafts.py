"""Drafts on the server: versions, conflicts, autosave, and submitting exactly once."""

import asyncio
import logging
from uuid import UUID, uuid4

import anyio
import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    Conflict,
    Draft,
    DraftConflict,
    InvalidInput,
    NotFound,
    Offline,
    SignInRequired,
    Ticket,
    TicketClosedError,
)
from customer_tickets.devstack import LocalStack
from faces import Client, Office, got, opened_editor, thread_of
from fix_stack import People
from stack.attached import pipe_of
from stack.conftest import Opener
from stack.test_tickets import create, requests
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio


async def test_a_draft_of_a_ticket_is_saved_changed_listed_and_submitted(
    tickets: Client, people: People
) -> None:
    draft = await got(tickets.drafts.save(subject="Ref"))
    assert (draft.version, draft.subject, draft.organization_id) == (1, "Ref", None)
    draft = await got(
        tickets.drafts.save(
            draft, subject="Refund", description="**It** broke", organization=people.organization_id
        )
    )
    assert (draft.version, draft.subject, draft.priority) == (2, "Refund", "medium")
    assert await got(tickets.drafts.list()) == (draft,)
    assert await got(tickets.drafts.get(draft.id)) == draft
    done = await got(tickets.drafts.submit(draft))
    assert done.message is None
    assert (done.ticket.id, done.ticket.subject) == (draft.id, "Refund")
    assert done.ticket.description == "**It** broke"
    assert await got(tickets.drafts.list()) == ()
    with pytest.raises(NotFound):
        await got(tickets.drafts.get(draft.id))


async def test_a_reply_is_drafted_in_its_thread_and_submitted(
    tickets: Client, people: People, office: Office
) -> None:
    ticket = await create(tickets, people)
    office.answer(ticket.id, "Which colour?")
    thread = await thread_of(tickets, ticket)
    question = thread.messages[0]
    draft = await got(tickets.drafts.save(ticket=ticket, text="Bl", reply_to=question))
    draft = await got(tickets.drafts.save(draft, text="Blue"))
    await got(thread.refresh())
    assert thread.draft == draft
    done = await got(tickets.drafts.submit(draft))
    assert done.message is not None
    assert (done.message.id, done.message.body) == (draft.id, "Blue")
    assert done.message.reply_to == question.id
    await got(thread.refresh())
    assert thread.draft is None
    assert [message.body for message in thread.messages] == ["Which colour?", "Blue"]


async def test_a_replys_ticket_may_be_named_again_and_be_no_other(
    tickets: Client, people: People
) -> None:
    ticket = await create(tickets, people)
    draft = await got(tickets.drafts.save(ticket=ticket, text="1"))
    written: list[Ticket | UUID | str] = [ticket, ticket.id, str(ticket.id), ticket.id.hex.upper()]
    for n, same in enumerate(written):
        draft = await got(tickets.drafts.save(draft, ticket=same, text=str(n)))
        tickets.drafts.edit(draft, ticket=same)
    others: list[UUID | str] = [uuid4(), str(uuid4())]
    for other in others:
        with pytest.raises(InvalidInput, match="ticket: is not the ticket of this draft"):
            await got(tickets.drafts.save(draft, ticket=other, text="No"))
    with pytest.raises(InvalidInput, match="ticket: must be an id"):
        await got(tickets.drafts.save(draft, ticket="no id"))


async def test_two_windows_cannot_overwrite_each_other(
    tickets: Client, opener: Opener, people: People
) -> None:
    elsewhere = await opener(people.ana)
    draft = await got(tickets.drafts.save(subject="One"))
    newer = await got(elsewhere.drafts.save(draft, subject="Two"))
    with pytest.raises(DraftConflict) as caught:
        await got(tickets.drafts.save(draft, subject="Three"))
    assert caught.value.newer == newer
    assert "Two" not in str(caught.value)
    with pytest.raises(DraftConflict):
        await got(tickets.drafts.submit(draft))
    merged = await got(tickets.drafts.save(caught.value.newer, subject="Three"))
    assert (merged.version, merged.subject) == (3, "Three")


async def test_the_same_content_is_saved_once(tickets: Client, people: People) -> None:
    key = uuid4()
    first = await got(tickets.drafts.save(subject="Same", id=key))
    assert await got(tickets.drafts.save(subject="Same", id=key)) == first
    assert await got(tickets.drafts.save(first, subject="Same")) == first
    second = await got(tickets.drafts.save(first, subject="Other"))
    # The answer was lost, and the call is repeated with the version that one knew.
    assert await got(tickets.drafts.save(first, subject="Other")) == second


async def test_a_draft_is_submitted_once_from_everywhere(stack: LocalStack, people: People) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)
        draft = await tickets.drafts.save(subject="Once", organization=people.organization_id)
        done = await asyncio.gather(*(tickets.drafts.submit(draft) for _ in range(6)))
        assert {one.ticket.id for one in done} == {draft.id}
        assert len([ticket async for ticket in tickets.all()]) == 1
        later = await tickets.drafts.submit(draft)
        assert later.ticket.id == draft.id
        with pytest.raises(Conflict):
            await tickets.drafts.save(subject="Again", id=draft.id)


async def test_an_unfinished_draft_is_refused_with_all_that_is_missing(tickets: Client) -> None:
    draft = await got(tickets.drafts.save(subject="   "))
    with pytest.raises(InvalidInput) as caught:
        await got(tickets.drafts.submit(draft))
    assert {wrong.field for wrong in caught.value.fields} == {"subject", "organization"}
    assert await got(tickets.drafts.list()) == (draft,)


async def test_a_reply_to_a_closed_ticket_stays_a_draft(tickets: Client, people: People) -> None:
    ticket = await create(tickets, people)
    draft = await got(tickets.drafts.save(ticket=ticket, text="Late"))
    await got((await thread_of(tickets, ticket)).close_ticket())
    with pytest.raises(TicketClosedError):
        await got(tickets.drafts.submit(draft))
    assert await got(tickets.drafts.list()) == (draft,)


async def test_a_discarded_draft_is_gone(tickets: Client) -> None:
    draft = await got(tickets.drafts.save(subject="Away"))
    assert await got(tickets.drafts.discard(draft)) is True
    assert await got(tickets.drafts.discard(draft.id)) is False
    with pytest.raises(NotFound):
        await got(tickets.drafts.save(draft, subject="Back"))
    with pytest.raises(NotFound):
        await got(tickets.drafts.submit(draft))


@pytest.mark.parametrize("by_id", [True, False])
async def test_a_discarded_reply_is_shown_by_no_kept_thread(
    opener: Opener, people: People, by_id: bool
) -> None:
    tickets = await opener(people.ana, cache=60.0)
    ticket = await create(tickets, people)
    draft = await got(tickets.drafts.save(ticket=ticket, text="Blue"))
    assert (await thread_of(tickets, ticket)).draft == draft
    assert await got(tickets.drafts.discard(draft.id if by_id else draft))
    assert (await thread_of(tickets, ticket)).draft is None


async def test_an_editor_that_is_not_open_takes_nothing(tickets: Client) -> None:
    editor = tickets.drafts.edit(every=0.05)
    with pytest.raises(RuntimeError, match="open it first: `with tickets"):
        await got(editor.change(subject="Lost"))
    async with opened_editor(editor):
        await got(editor.change(subject="Kept"))
    assert editor.draft is not None
    assert editor.draft.subject == "Kept"
    with pytest.raises(RuntimeError, match="open it first"):
        await got(editor.change(subject="Lost"))
    assert editor.state == "saved"


async def test_wrong_fields_are_named_before_any_request(
    tickets: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        with pytest.raises(InvalidInput) as caught:
            await got(tickets.drafts.save(subject="x" * 201, description="\x00", priority="top"))  # type: ignore[arg-type] # what a caller may do
        assert {w.field for w in caught.value.fields} == {"subject", "description", "priority"}
        with pytest.raises(InvalidInput, match="a new ticket has none"):
            await got(tickets.drafts.save(text="A reply without its ticket"))
        with pytest.raises(InvalidInput, match="a reply has none"):
            await got(tickets.drafts.save(ticket=uuid4(), subject="No"))
        with pytest.raises(InvalidInput):
            await got(tickets.drafts.get("no id"))
    assert requests(caplog) == 0


async def test_drafts_are_nobody_elses(tickets: Client, opener: Opener, people: People) -> None:
    draft = await got(tickets.drafts.save(subject="Mine"))
    for stranger in (people.ben, people.eva, people.admin):
        other = await opener(stranger)
        assert await got(other.drafts.list()) == ()
        with pytest.raises(NotFound):
            await got(other.drafts.get(draft.id))
        with pytest.raises(NotFound):
            await got(other.drafts.save(draft, subject="Theirs"))
        with pytest.raises(NotFound):
            await got(other.drafts.submit(draft))
        assert await got(other.drafts.discard(draft.id)) is False
    assert await got(tickets.drafts.list()) == (draft,)


async def test_attachments_stay_with_the_draft_and_go_along(
    tickets: Client, people: People
) -> None:
    draft = await got(
        tickets.drafts.save(
            subject="Files", organization=people.organization_id, attachments=[b"one", b"two"]
        )
    )
    assert [one.size_bytes for one in draft.attachments] == [3, 3]
    draft = await got(tickets.drafts.save(draft, subject="Two files"))
    assert len(draft.attachments) == 2
    kept = draft.attachments[1]
    draft = await got(tickets.drafts.save(draft, attachments=[kept, b"three"]))
    assert kept.id in {one.id for one in draft.attachments}
    assert len(draft.attachments) == 2
    assert (await got(tickets.drafts.get(draft.id))).attachments == draft.attachments
    done = await got(tickets.drafts.submit(draft))
    thread = await thread_of(tickets, done.ticket)
    contents = {await got(tickets.attachments.read(one)) for one in thread.attachments}
    assert contents == {await got(tickets.attachments.read(kept)), b"three"}
    # What was taken off the draft is not left lying about.
    assert await got(tickets.attachments.clean_up(0)) == 0


async def test_an_editor_saves_what_changed_and_nothing_else(
    tickets: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "httpx"):
        async with opened_editor(tickets.drafts.edit(every=0.1)) as editor:
            caplog.clear()
            assert editor.state == "saved"
            for text in ("R", "Re", "Ref"):
                await got(editor.change(subject=text))
            assert str(editor.state) == "unsaved"
            await saved(editor)
            assert requests(caplog) == 1
            await got(editor.change(subject="Ref"))
            await anyio.sleep(0.3)
            assert requests(caplog) == 1
            await got(editor.change(subject="Refund"))
        assert requests(caplog) == 2
    (draft,) = await got(tickets.drafts.list())
    assert (draft.subject, draft.version) == ("Refund", 2)


async def saved(editor: object) -> None:
    await reaches(editor, "saved")


async def reaches(editor: object, state: str) -> None:
    for _ in range(500):
        if editor.state == state:  # type: ignore[attr-defined] # of either face
            return
        await anyio.sleep(0.01)
    raise AssertionError(editor.state)  # type: ignore[attr-defined] # of either face


async def test_an_editor_that_never_changed_makes_no_draft(tickets: Client) -> None:
    async with opened_editor(tickets.drafts.edit()) as editor:
        assert await got(editor.save()) is None
    assert await got(tickets.drafts.list()) == ()


async def test_what_one_user_typed_is_no_draft_of_the_next(opener: Opener, people: People) -> None:
    tickets = await opener(people.ana)
    async with opened_editor(tickets.drafts.edit(every=0.2)) as editor:
        await got(tickets.sign_in(people.ben.email, people.ben.password))
        await got(editor.change(subject="Ana's own"))
        await reaches(editor, "failed")
        with pytest.raises(SignInRequired, match="Somebody else"):
            await got(editor.submit())
        assert await got(tickets.drafts.list()) == ()
        await got(tickets.sign_in(people.ana.email, people.ana.password))
    assert [draft.subject for draft in await got(tickets.drafts.list())] == ["Ana's own"]


async def test_one_users_draft_is_discarded_by_no_other(opener: Opener, people: People) -> None:
    tickets = await opener(people.ana)
    draft = await got(tickets.drafts.save(subject="Ana's own"))
    async with opened_editor(tickets.drafts.edit(draft)) as editor:
        await got(tickets.sign_in(people.ben.email, people.ben.password))
        for call in (editor.discard, editor.submit):
            with pytest.raises(SignInRequired, match="Somebody else"):
                await got(call())
        await got(tickets.sign_in(people.ana.email, people.ana.password))
        assert await got(tickets.drafts.list()) == (draft,)


@pytest.mark.parametrize("keep", ["mine", "theirs"])
async def test_an_editor_tells_of_a_conflict_and_goes_on_from_it(
    tickets: Client, opener: Opener, people: People, keep: str
) -> None:
    draft = await got(tickets.drafts.save(subject="Base"))
    elsewhere = await opener(people.ana)
    async with opened_editor(tickets.drafts.edit(draft, every=60)) as editor:
        await got(elsewhere.drafts.save(draft, subject="Theirs", description="Kept"))
        await got(editor.change(subject="Mine"))
        with pytest.raises(DraftConflict):
            await got(editor.save())
        assert editor.state == "conflict"
        await got(editor.resolve(keep=keep))  # type: ignore[arg-type] # one of the two
        now = await got(editor.save())
    assert now is not None
    assert now.subject == keep.title()
    assert now.description == "Kept"


async def test_an_editor_has_what_can_be_read_only_once_after_a_conflict_too(
    tickets: Client, opener: Opener, people: People
) -> None:
    draft: Draft = await got(tickets.drafts.save(subject="Base"))
    elsewhere = await opener(people.ana)
    async with opened_editor(tickets.drafts.edit(draft, every=60)) as editor:
        await got(elsewhere.drafts.save(draft, subject="Theirs"))
        with pipe_of(b"important") as source:
            await got(editor.change(attachments=[source]))
            with pytest.raises(DraftConflict):
                await got(editor.save())
        await got(editor.resolve(keep="mine"))
        now = await got(editor.save())
    assert now is not None
    assert await got(tickets.attachments.read(now.attachments[0])) == b"important"


async def test_leaving_an_editor_with_an_unsolved_conflict_raises(
    tickets: Client, opener: Opener, people: People
) -> None:
    draft: Draft = await got(tickets.drafts.save(subject="Base"))
    elsewhere = await opener(people.ana)
    with pytest.raises(DraftConflict):  # noqa: PT012 - leaving the block is what raises
        async with opened_editor(tickets.drafts.edit(draft, every=60)) as editor:
            await got(elsewhere.drafts.save(draft, subject="Theirs"))
            await got(editor.change(subject="Mine"))


@pytest.mark.faults
async def test_an_editor_survives_the_network(
    opener: Opener, people: People, proxy: TcpProxy
) -> None:
    tickets = await opener(people.ana, url=proxy.url, timeout=1.0)
    async with opened_editor(tickets.drafts.edit(every=0.05)) as editor:
        await got(editor.change(subject="Before"))
        await saved(editor)
        proxy.refuse()
        await got(editor.change(subject="After"))
        with pytest.raises(Offline):
            await got(editor.save())
        assert editor.state == "failed"
        assert isinstance(editor.error, Offline)
        proxy.heal()
        await saved(editor)
    (draft,) = await got(tickets.drafts.list())
    assert draft.subject == "After"


async def test_an_editor_submits_what_was_typed_last(tickets: Client, people: People) -> None:
    async with opened_editor(tickets.drafts.edit(every=60)) as editor:
        with pytest.raises(InvalidInput):
            await got(editor.submit())
        await got(editor.change(subject="Typed last", organization=people.organization_id))
        done = await got(editor.submit())
        assert editor.state == "gone"
    assert done.ticket.subject == "Typed last"
    assert await got(tickets.drafts.list()) == ()


async def test_an_editor_refuses_what_is_wrong_and_keeps_what_was_right(tickets: Client) -> None:
    with pytest.raises(InvalidInput):
        tickets.drafts.edit(every=0)
    async with opened_editor(tickets.drafts.edit(every=60)) as editor:
        await got(editor.change(subject="Right"))
        with pytest.raises(InvalidInput):
            await got(editor.change(subject="x" * 201))
        await got(editor.discard())
        assert editor.state == "gone"
    assert await got(tickets.drafts.list()) == ()


@pytest.mark.faults
async def test_what_is_typed_while_a_save_is_under_way_is_saved_next(
    tickets: Client, stack: LocalStack
) -> None:
    async with opened_editor(tickets.drafts.edit(every=0.1)) as editor:
        stack.faults.delay("/rest/v1/rpc/save_draft", 1.0)
        await got(editor.change(subject="First", description="kept"))
        while stack.faults.requests_left():  # noqa: ASYNC110 - the switch tells when asked
            await anyio.sleep(0.02)
        await got(editor.change(subject="Second"))
        await saved(editor)
    (draft,) = await got(tickets.drafts.list())
    assert (draft.subject, draft.description, draft.version) == ("Second", "kept", 2)
