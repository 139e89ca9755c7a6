"""Everything this library raises on purpose, as one tree.

CustomerTicketsError
 ├─ SignInRequired            nobody is signed in, or the session has ended
 ├─ SignInFailed              wrong e-mail or password, or the account may not sign in
 ├─ SignUpFailed              the account could not be made
 ├─ InvalidInput              one or more fields are wrong; all of them are named
 ├─ NotFound                  it does not exist, or it is not yours (the two look the same)
 ├─ NotAllowed                it is there, but you may not do this to it
 │   ├─ TicketClosedError     a closed ticket takes no messages, edits or closing
 │   ├─ TicketNotClosed       only a closed ticket can be reopened or rated
 │   ├─ ReopenWindowOver      the organization's time for reopening has passed
 │   └─ RatingWindowOver      a rating can be changed for 14 days
 ├─ Conflict                  the id was used before, for something else
 │   └─ DraftConflict         the draft was saved elsewhere meanwhile; `newer` is that one
 ├─ Unavailable               the server could not do it now; what failed may be repeated
 │   ├─ Offline               no answer: no network, a broken connection, or too slow
 │   ├─ RateLimited           too many requests; `retry_after` says when to come back
 │   └─ Busy                  two writes met in the database; repeating settles it
 ├─ StoreFailed               the session could not be read from its store, or kept there
 ├─ FileChanged               a file changed while it was sent, so nothing was written
 ├─ FileDamaged               what was received is not the file that was attached
 ├─ ExportFailed              the disk is full, or refuses to be written to
 ├─ ExportDamaged             an export is not what its manifest says; `files` names what is wrong
 ├─ UnexpectedAnswer          the server answered something this library does not understand
 └─ ClientClosed              the client was closed, or belongs to another process

Messages never hold the text of a ticket, an e-mail address or a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ._models import Draft


class CustomerTicketsError(Exception):
    """The root of all errors of this library.

    Attributes:
        message: what happened, in one sentence.
        code: the SQLSTATE, PostgREST code or auth code it came with, if any.
        hint: what to do about it, if more can be said.
        status: the HTTP status of the answer, if there was an answer.
        request_id: the server's id of the request; give it to whoever runs the server.
        write_id: the key of the write that failed. Repeating the call with it (`id=` or
            `request_id=`) is safe even when the first attempt did arrive.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.status = status
        self.request_id = request_id
        self.write_id: UUID | None = None

    def __str__(self) -> str:
        text = self.message
        if self.hint is not None:
            text = f"{text.rstrip('.')}. {self.hint}"
        facts = [
            f"{name} {value}"
            for name, value in (
                ("code", self.code),
                ("HTTP", self.status),
                ("request", self.request_id),
            )
            if value is not None
        ]
        return f"{text} [{', '.join(facts)}]" if facts else text


class SignInRequired(CustomerTicketsError):
    """Nobody is signed in, or the session has ended; no request was made as anonymous."""


class SignInFailed(CustomerTicketsError):
    """Wrong e-mail or password, or the account may not sign in."""


class SignUpFailed(CustomerTicketsError):
    """The account could not be made: taken, too weak a password, or sign-up is off."""


@dataclass(frozen=True)
class FieldError:
    """One wrong field: its name as the method calls it, and what is wrong with it."""

    field: str
    message: str


class InvalidInput(CustomerTicketsError):
    """One or more fields are wrong; `fields` names every one of them."""

    def __init__(
        self,
        fields: Sequence[FieldError],
        *,
        code: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        self.fields = tuple(fields)
        super().__init__(
            "; ".join(f"{wrong.field}: {wrong.message}" for wrong in self.fields),
            code=code,
            hint=hint,
            status=status,
            request_id=request_id,
        )

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[object, ...], dict[str, object]]:
        # An exception is copied and pickled by its arguments, of which the message is none here.
        return type(self), (self.fields,), self.__dict__


class NotFound(CustomerTicketsError):
    """It does not exist, or it is not yours; the two cannot be told apart."""


class NotAllowed(CustomerTicketsError):
    """You may see it, but you may not do this to it."""


class TicketClosedError(NotAllowed):
    """The ticket is closed: no messages, edits or closing until it is reopened."""


class TicketNotClosed(NotAllowed):
    """Only a closed ticket can be reopened, rated or followed up."""


class ReopenWindowOver(NotAllowed):
    """The organization's time for reopening has passed; `ended_at` says when."""

    ended_at: datetime | None = None


class RatingWindowOver(NotAllowed):
    """A rating can be changed for 14 days; `ended_at` says when that was over."""

    ended_at: datetime | None = None


class Conflict(CustomerTicketsError):
    """The id was used before, by somebody else or with other content."""


class DraftConflict(Conflict):
    """The draft was saved elsewhere meanwhile, so nothing was overwritten.

    `newer` is the draft as it is now, or None when it could not be read.
    """

    newer: Draft | None = None


class Unavailable(CustomerTicketsError):
    """The server could not do it now; the same call may be repeated."""


class Offline(Unavailable):
    """No answer came: no network, a broken connection, or too slow.

    `sent` is False when the request certainly never left; otherwise it may have arrived, and
    repeating it with `write_id` does it at most once.
    """

    sent: bool = True


class RateLimited(Unavailable):
    """Too many requests; `retry_after` is in seconds when the server said it."""

    retry_after: float | None = None


class Busy(Unavailable):
    """Two writes met in the database and one gave way; repeating settles it."""


class StoreFailed(CustomerTicketsError):
    """The session could not be read from its store, or kept there; in this process it goes on."""


class FileChanged(CustomerTicketsError):
    """A file changed while it was being sent, so it was not attached and nothing was written."""


class FileDamaged(CustomerTicketsError):
    """What was received has not the size or the SHA-256 of what was attached; nothing was kept."""


class ExportFailed(CustomerTicketsError):
    """An export could not be written; what was complete is kept, and another call goes on there."""


class ExportDamaged(CustomerTicketsError):
    """An export is not what its manifest says; `files` has the paths of what is missing or changed.

    It is empty when the export is whole as far as it goes, but was never finished.
    """

    def __init__(self, message: str, files: Sequence[str] = (), *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.files = tuple(files)


class UnexpectedAnswer(CustomerTicketsError):
    """The server answered something this library does not understand."""


class ClientClosed(CustomerTicketsError):
    """The client was closed, or belongs to another process (after a fork)."""
