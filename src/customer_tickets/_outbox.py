"""What one is sending into a thread: shown at once, and until the server has it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from ._arguments import check_kind
from ._errors import CustomerTicketsError, FieldError, InvalidInput, Offline
from ._inputs import NewMessage
from ._models import Message, User
from ._view import ThreadView

Deliver = Callable[[], Awaitable[Message]]


class Outbox:
    """Own messages on their way, as the thread shows them: pending, then confirmed or failed.

    They go one after the other, in the order of the calls.
    """

    def __init__(self, view: ThreadView) -> None:
        self.view = view
        self._again: dict[UUID, Deliver] = {}
        self._line: deque[asyncio.Event] = deque()

    def post(self, ticket_id: UUID, message: NewMessage, author: User, deliver: Deliver) -> Message:
        """Show a message as pending; `deliver` is what sends it, now and when it is retried."""
        pending = Message(
            id=message.id,
            ticket_id=ticket_id,
            seq=0,
            author_id=author.id,
            author_role="customer",
            author_name=self.view.name_of(author.id),
            body=message.body,
            reply_to=message.reply_to,
            created_at=datetime.now(UTC),
            state="pending",
        )
        # What has been confirmed since, by a feed for example, is never sent again: its files go.
        self._again = {
            key: again for key, again in self._again.items() if key in self.view.outgoing
        }
        self._again[message.id] = deliver
        self.view.show_outgoing(pending)
        return pending

    def posted_again(self, message: Message | UUID) -> Message:
        """Show a failed message as pending once more.

        Raises:
            InvalidInput: it is not one of the thread's failed messages.
        """
        failed = self._failed(message)
        pending = failed.model_copy(update={"state": "pending", "error": None})
        self.view.show_outgoing(pending)
        return pending

    def delivery(self, pending: Message) -> Coroutine[None, None, Message]:
        """Give a pending message its place in line; what is returned sends it when it is its turn.

        It returns the message as it was stored; a failure is shown and raised.
        """
        deliver, turn = self._again[pending.id], asyncio.Event()
        self._line.append(turn)
        self._line[0].set()
        return self._deliver(pending, deliver, turn)

    async def _deliver(self, pending: Message, deliver: Deliver, turn: asyncio.Event) -> Message:
        try:
            await turn.wait()
            sent = await deliver()
        except CustomerTicketsError as error:
            self._fail(pending, error)
            raise
        except asyncio.CancelledError:
            self._fail(pending, Offline("Cancelled; it may or may not have arrived."))
            raise
        except BaseException as error:
            # Of the caller's own: a file that cannot be read, a progress callback that raises.
            self._fail(pending, error)
            raise
        finally:
            # However it ended, and also if its turn had not come, it holds up nobody.
            self._line.remove(turn)
            if self._line:
                self._line[0].set()
        if self._again.get(pending.id) is deliver:  # and not that of another call with its id
            del self._again[pending.id]
        return sent

    def discard(self, message: Message | UUID) -> None:
        """Show a failed message no more."""
        failed = self._failed(message)
        del self._again[failed.id]
        self.view.outgoing.pop(failed.id, None)

    def _fail(self, pending: Message, error: BaseException) -> None:
        # The server may have confirmed it meanwhile, by its answer or by the live feed.
        shown = self.view.outgoing.get(pending.id)
        if shown is not None and shown.state == "pending":
            failed = pending.model_copy(update={"state": "failed", "error": error})
            self.view.show_outgoing(failed)

    def _failed(self, message: Message | UUID) -> Message:
        check_kind(message, (Message, UUID), "message")
        shown = self.view.outgoing.get(message.id if isinstance(message, Message) else message)
        if shown is None or shown.state != "failed":
            raise InvalidInput([FieldError("message", "is not a failed message of this thread")])
        return shown


async def untold(delivery: Coroutine[None, None, Message]) -> None:
    """Send a message for which nobody waits: whatever goes wrong is the message's `error`."""
    with suppress(BaseException):
        await delivery
