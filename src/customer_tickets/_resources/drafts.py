"""Drafts on the server: of new tickets and of replies, versioned, submitted exactly once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar
from uuid import UUID

from postgrest import CountMethod
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from .._arguments import check_kind, check_progress
from .._connection import Connection
from .._draft_content import UNSET, DraftInput, Submitted, Unset, draft_input
from .._draft_editor import AsyncDraftEditor
from .._errors import CustomerTicketsError, DraftConflict, FieldError, InvalidInput, NotFound
from .._inputs import checked, id_of
from .._models import Attachment, Draft, Frozen, Message, Organization, Priority, Ticket
from .._progress import ProgressTo
from .._session import another_user
from .._storage import remove
from .._uploads import AttachmentSource, checked_with, file_list, uploaded
from .._view import ThreadAnswer

_P = ParamSpec("_P")
_T = TypeVar("_T")
_COLUMNS = (
    "id,ticket_id,handling_org_id,subject,description,priority,body,reply_to,version,created_at,"
    "updated_at,ticket_attachments(*)"
)


class _Saved(BaseModel):
    draft: Draft


class _Discarded(BaseModel):
    discarded: bool


_DRAFTS = TypeAdapter(tuple[Draft, ...])
_SAVED = TypeAdapter(_Saved)
_DISCARDED = TypeAdapter(_Discarded)
_SUBMITTED = TypeAdapter(Submitted)
_UUID = TypeAdapter(UUID)


class _EditorOptions(Frozen):
    every: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class AsyncDrafts:
    """Your drafts, kept on the server: nobody else sees them, on any of your devices you do."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> tuple[Draft, ...]:
        """Return all your drafts, the last saved first."""
        found: list[Draft] = []
        while True:
            # The server cuts every answer at a number of rows of its own: the count tells.
            query = (
                self._connection.rest.from_("ticket_drafts")
                .select(_COLUMNS, count=CountMethod.exact)
                .eq("user_id", str(self._connection.session.user.id))
                .order("place", foreign_table="ticket_attachments")
                .order("id")
            )
            if found:
                query = query.gt("id", str(found[-1].id))
            answer = await self._connection.select(query, _DRAFTS)
            found += answer.items
            if not answer.items or len(answer.items) >= (answer.total or 0):
                return tuple(sorted(found, key=lambda draft: draft.updated_at, reverse=True))

    async def get(self, id: UUID | str) -> Draft:
        """Return one draft as it is now.

        Raises:
            NotFound: it was submitted or discarded, or never was.
        """
        query = (
            self._connection.rest.from_("ticket_drafts")
            .select(_COLUMNS)
            .eq("user_id", str(self._connection.session.user.id))
            .eq("id", str(_draft_id(id, "id")))
            .order("place", foreign_table="ticket_attachments")
        )
        answer = await self._connection.select(query, _DRAFTS)
        if not answer.items:
            raise NotFound("There is no such draft.", hint="Was it submitted, or discarded?")
        return answer.items[0]

    async def save(
        self,
        draft: Draft | None = None,
        *,
        ticket: Ticket | UUID | str | None = None,
        organization: Organization | UUID | str | Unset | None = UNSET,
        subject: str | Unset = UNSET,
        description: str | Unset = UNSET,
        priority: Priority | Unset = UNSET,
        text: str | Unset = UNSET,
        reply_to: Message | UUID | Unset | None = UNSET,
        attachments: Iterable[AttachmentSource] | Unset = UNSET,
        progress: ProgressTo = None,
        id: UUID | None = None,
    ) -> Draft:
        """Save a new draft, or a newer version of one, and return it as it was stored.

        What is left out stays as it is in `draft`. Nothing is stored when nothing changed.

        Args:
            draft: the draft that is changed, as last read; left out, a new one is made.
            ticket: for a new reply: the ticket that it is for. Without, it is of a new ticket.
            organization: of a new ticket: who shall handle it.
            subject: of a new ticket: up to 200 characters.
            description: of a new ticket: Markdown, up to 20,000 characters.
            priority: of a new ticket: low, medium or high.
            text: of a reply: Markdown, up to 20,000 characters.
            reply_to: of a reply: the message that it answers.
            attachments: all files that it shall have from now on: those of `draft.attachments`
                that stay, and new ones as for `create`. They go along when it is submitted.
            progress: a function that gets a Progress as bytes are sent, or True for a bar.
            id: the id of a new draft, to repeat a call that failed with its `write_id`.

        Raises:
            InvalidInput: one or more fields are wrong; no request was made.
            DraftConflict: it was saved elsewhere since; nothing was overwritten, and the error's
                `newer` is that draft.
            NotFound: it was submitted or discarded meanwhile, or the ticket is not yours.
        """
        check_progress(progress)
        changes: dict[str, object] = {
            "handling_org_id": id_of(organization, Organization),
            "subject": subject,
            "description": description,
            "priority": priority,
            "body": text,
            "reply_to": id_of(reply_to, Message),
        }
        check = partial(draft_input, draft, id_of(ticket, Ticket), id, changes)
        if isinstance(attachments, Unset):
            wanted = check()
        else:
            wanted = await checked_with(check, attachments)
            files = tuple(file_list(attachments))
            wanted = wanted.model_copy(update={"attachments": files})
        return await self._store(wanted, draft, progress)

    async def _store(
        self, wanted: DraftInput, known: Draft | None, progress: ProgressTo = None
    ) -> Draft:
        async with self._with_newer(wanted.id):
            return await store(self._connection, wanted, known, progress)

    @asynccontextmanager
    async def _with_newer(self, id: UUID) -> AsyncGenerator[None]:
        """Give a conflict the newer draft, which an error of the database could not carry."""
        try:
            yield
        except DraftConflict as conflict:
            with suppress(CustomerTicketsError):
                conflict.newer = await self.get(id)
            raise

    def edit(
        self,
        draft: Draft | None = None,
        *,
        ticket: Ticket | UUID | str | None = None,
        every: float = 2.0,
    ) -> AsyncDraftEditor:
        """Return an editor that saves by itself, to be opened with `async with`.

        Args:
            draft: the draft to go on with; left out, a new one is made with the first change.
            ticket: for a new reply: the ticket that it is for.
            every: seconds after a change until it is saved; changes within them go together.

        Raises:
            InvalidInput: an argument is wrong.
            SignInRequired: nobody is signed in.
        """
        # What is wrong with the ticket's id is said now, not in the background.
        first = draft_input(draft, id_of(ticket, Ticket), None, {})
        author = self._connection.session.user

        def as_author(call: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaitable[_T]]:
            async def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
                if self._connection.session.user.id != author.id:
                    raise another_user()  # what was typed is nobody else's, whoever is here now
                return await call(*args, **kwargs)

            return called

        return AsyncDraftEditor(
            as_author(self._store),
            as_author(self.get),
            as_author(self.submit),
            as_author(self.discard),
            draft,
            first,
            checked(_EditorOptions, every=every).every,
        )

    async def discard(self, draft: Draft | UUID | str) -> bool:
        """Throw a draft away with its attachments; False when it was not there any more.

        That is the answer too when an earlier one of the same call was lost on its way.
        """
        known = _draft_id(draft)
        answer = await self._connection.call(
            "discard_draft", {"id": known}, _DISCARDED, write_id=known
        )
        # By its id alone it is not known whether, and in which thread, it was shown.
        self._connection.cache.drop(lambda answer: isinstance(answer, ThreadAnswer))
        if isinstance(draft, Draft):
            await _remove(self._connection, draft.attachments)
        return answer.discarded

    async def submit(self, draft: Draft) -> Submitted:
        """Make the ticket, or send the reply, that a draft holds, with its attachments.

        The draft is gone after it. The ticket or message has the draft's id, so it is made once,
        however often and from wherever it is submitted.

        Raises:
            InvalidInput: something in it is missing or wrong; all of it is named.
            DraftConflict: it was saved elsewhere since; the error's `newer` is that draft.
            NotFound: it was discarded meanwhile.
            TicketClosedError: it is a reply, and the ticket is closed.
        """
        check_kind(draft, Draft, "draft")
        arguments = {"id": draft.id, "version": draft.version}
        done = await self._connection.call("submit_draft", arguments, _SUBMITTED, write_id=draft.id)
        self._connection.cache.changed(done.ticket.id)
        return done


async def store(
    connection: Connection,
    wanted: DraftInput,
    known: Draft | None = None,
    progress: ProgressTo = None,
) -> Draft:
    """Save a version of a draft in one request; repeating it changes nothing more."""
    arguments: dict[str, Any] = wanted.model_dump(mode="json")
    if wanted.attachments is None:
        answer = await connection.call("save_draft", arguments, _SAVED, write_id=wanted.id)
    else:
        async with uploaded(connection, wanted.id, wanted.attachments, progress) as files:
            arguments["attachments"] = files
            answer = await connection.call("save_draft", arguments, _SAVED, write_id=wanted.id)
    if known is not None:
        kept = {attachment.id for attachment in answer.draft.attachments}
        await _remove(connection, [gone for gone in known.attachments if gone.id not in kept])
    if wanted.ticket_id is not None:
        # The thread shows the newest draft of a reply.
        connection.cache.changed(wanted.ticket_id)
    return answer.draft


async def _remove(connection: Connection, attachments: Sequence[Attachment]) -> None:
    # Nothing refers to them any more: what cannot be removed now, the clean-up finds.
    if attachments:
        with suppress(CustomerTicketsError):
            await remove(connection, {f"{gone.user_id}/{gone.id}" for gone in attachments})


def _draft_id(draft: Draft | UUID | str, name: str = "draft") -> UUID:
    try:
        return _UUID.validate_python(draft.id if isinstance(draft, Draft) else draft)
    except ValidationError:
        raise InvalidInput([FieldError(name, "must be a Draft or its id")]) from None
