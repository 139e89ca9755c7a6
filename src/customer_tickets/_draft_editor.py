"""An editor of one draft that saves by itself, what changed and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Literal, Self
from uuid import UUID

from ._arguments import refuse_unless
from ._draft_content import UNSET, DraftInput, Submitted, Unset, draft_input
from ._errors import CustomerTicketsError, DraftConflict, NotFound, Unavailable
from ._inputs import id_of
from ._models import Draft, Message, Organization, Priority
from ._uploads import AttachmentSource, file_list

EditorState = Literal["saved", "unsaved", "failed", "conflict", "gone"]

# The loop holds its tasks weakly: an editor that is dropped in its block still saves what it has.
_tasks: set[asyncio.Task[None]] = set()


class AsyncDraftEditor:
    """Edits one draft, and saves it a while after each change; open it with `async with`.

    Leaving the block saves what is not saved yet, and raises if that fails.
    """

    def __init__(
        self,
        store: Callable[[DraftInput, Draft | None], Awaitable[Draft]],
        newest: Callable[[UUID], Awaitable[Draft]],
        submit: Callable[[Draft], Awaitable[Submitted]],
        discard: Callable[[UUID], Awaitable[bool]],
        draft: Draft | None,
        first: DraftInput,
        every: float,
    ) -> None:
        self._store = store
        self._newest = newest
        self._submit = submit
        self._discard = discard
        self._every = every
        self._draft = draft
        # The id of a new draft is made once: a first save that is repeated makes no second one.
        self._first = first
        self._changes: dict[str, object] = {}
        self._error: CustomerTicketsError | None = None
        self._changed = asyncio.Event()
        self._saving = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._done = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_saved(), name="customer_tickets.draft")
        _tasks.add(self._task)
        self._task.add_done_callback(_tasks.discard)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        try:
            await self.save()
        except CustomerTicketsError:
            # The block's own error is the one to show; `state` tells of this one.
            if error is None:
                raise

    @property
    def draft(self) -> Draft | None:
        """The draft as it was last saved; None before the first time."""
        return self._draft

    @property
    def state(self) -> EditorState:
        """How things stand.

        `saved`; `unsaved`: a change waits to be saved; `failed`: the last try failed, see `error`,
        and the next follows; `conflict`: it was saved elsewhere, call `resolve`; `gone`: it was
        submitted or discarded.
        """
        if self._done or isinstance(self._error, NotFound):
            return "gone"
        if isinstance(self._error, DraftConflict):
            return "conflict"
        if self._error is not None:
            return "failed"
        return "unsaved" if self._wanted() is not None else "saved"

    @property
    def error(self) -> CustomerTicketsError | None:
        """Why the last try to save failed; None when it did not."""
        return self._error

    async def change(
        self,
        *,
        organization: Organization | UUID | str | Unset | None = UNSET,
        subject: str | Unset = UNSET,
        description: str | Unset = UNSET,
        priority: Priority | Unset = UNSET,
        text: str | Unset = UNSET,
        reply_to: Message | UUID | Unset | None = UNSET,
        attachments: Iterable[AttachmentSource] | Unset = UNSET,
    ) -> None:
        """Change the draft; it is saved a while later. No request is made here.

        The arguments are those of `drafts.save`.

        Raises:
            InvalidInput: one or more fields are wrong; none was changed.
            NotFound: it was submitted or discarded here; what is written now belongs to another.
            RuntimeError: it is not open, so that nothing would save the change.
        """
        if self._done:
            raise NotFound("This draft was submitted or discarded.", hint="Edit a new one.")
        if self._task is None:
            raise RuntimeError("open it first: `with tickets.drafts.edit() as editor`")
        given = {
            "handling_org_id": id_of(organization, Organization),
            "subject": subject,
            "description": description,
            "priority": priority,
            "body": text,
            "reply_to": id_of(reply_to, Message),
            "attachments": (
                attachments if isinstance(attachments, Unset) else tuple(file_list(attachments))
            ),
        }
        changes = self._changes | {name: to for name, to in given.items() if to is not UNSET}
        self._next(changes)  # raises if they are wrong
        self._changes = changes
        self._changed.set()

    async def save(self) -> Draft | None:
        """Save now what is not saved yet, and return the draft; None while there is none.

        Raises:
            DraftConflict: it was saved elsewhere; call `resolve`, then save again.
            NotFound: it was submitted or discarded elsewhere.
            Offline: no answer came; nothing is lost, and the next try goes on from here.
        """
        async with self._saving:
            wanted = None if self._done else self._wanted()
            if wanted is None:
                return self._draft
            sent = self._changes
            try:
                self._draft = await self._store(wanted, self._draft)
            except CustomerTicketsError as error:
                self._error = error
                raise
            self._error = None
            # What was changed meanwhile stays to be saved.
            self._changes = {
                name: to
                for name, to in self._changes.items()
                if name not in sent or sent[name] != to
            }
            return self._draft

    async def resolve(self, *, keep: Literal["mine", "theirs"]) -> None:
        """End a conflict: go on from the newer draft, with one's own changes or without them.

        Raises:
            NotFound: it was submitted or discarded meanwhile.
        """
        refuse_unless(keep in ("mine", "theirs"), "keep", "must be mine or theirs")
        if isinstance(self._error, DraftConflict):
            known = self._first.id if self._draft is None else self._draft.id
            self._draft = await self._newest(known)
            self._error = None
            if keep == "theirs":
                self._changes = {}
            self._changed.set()

    async def submit(self) -> Submitted:
        """Save what is not saved yet and submit the draft: it becomes the ticket or the message.

        Raises:
            InvalidInput: something in it is missing or wrong; all of it is named.
            DraftConflict: it was saved elsewhere; call `resolve`, then submit again.
        """
        draft = await self.save()
        if draft is None:
            # Nothing was ever written: the server says best what is missing.
            draft = self._draft = await self._store(self._first, None)
        done = await self._submit(draft)
        self._done = True
        return done

    async def discard(self) -> None:
        """Throw the draft away, saved or not."""
        async with self._saving:
            self._done, self._changes = True, {}
            if self._draft is not None:
                await self._discard(self._draft.id)

    def _next(self, changes: dict[str, object]) -> DraftInput:
        if self._draft is not None:
            return draft_input(self._draft, None, None, changes)
        return draft_input(None, self._first.ticket_id, self._first.id, changes)

    def _wanted(self) -> DraftInput | None:
        """Return what is to be saved; None when it is what was saved."""
        wanted = self._next(self._changes)
        saved = self._first if self._draft is None else self._next({})
        return None if wanted == saved else wanted

    async def _keep_saved(self) -> None:
        while not self._done:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(self._every)
            try:
                await self.save()
            except Unavailable:
                self._changed.set()
            except CustomerTicketsError:
                continue  # the user sees `state`; the next change or `resolve` tries again
