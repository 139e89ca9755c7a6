"""The live changes of a customer's list: which tickets changed, with their new summary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Self
from uuid import UUID

from .._events import ChangedTickets, TicketChanged
from .bell import Bell
from .changes import Changes, Position
from .feed import AsyncFeed, Listening
from .recovery import Ahead

Fetch = Callable[[int | None], Awaitable[ChangedTickets]]
"""Asks what changed since a horizon; None only asks where the horizon is."""


class AsyncTicketListFeed(AsyncFeed[TicketChanged]):
    """The changes of your tickets; open it with `async with`, read it with `async for`.

    A ticket that changed several times between two looks at the table comes once, as it is then.
    """

    def __init__(
        self,
        user_id: UUID,
        after: Position | None,
        *,
        line: Listening,
        fetch: Fetch,
        check_every: float,
        poll_every: float,
    ) -> None:
        self._changes = Changes(after)
        super().__init__(
            f"customer:{user_id}",
            None,
            self._changes,
            line=line,
            check_every=check_every,
            poll_every=poll_every,
        )
        self._fetch = fetch
        # A place, and what was handed out since: one pair, for whoever looks from another thread.
        self._reached: tuple[Position | None, dict[UUID, int]] = (after, {})
        # What has been read and not handed out.
        self._waiting: set[UUID] = set()

    async def __aenter__(self) -> Self:
        if self._changes.position is None:
            # Now, and not when somebody first looks: what changes in between belongs to the feed.
            self._changes.answered((), (await self._fetch(None)).horizon)
            self._reached = (self._changes.position, {})
        return await super().__aenter__()

    @property
    def position(self) -> str:
        """The place after the last ticket handed out: save it, and give it back as `after`.

        Raises:
            RuntimeError: the feed was not opened yet.
        """
        place, handed = self._reached
        if place is None:
            raise RuntimeError("open the feed first: `with tickets.live() as changes`")
        return place.model_copy(update={"seen": place.seen | handed}).text()

    async def _ask(self) -> Sequence[TicketChanged]:
        answer = await self._fetch(self._changes.asking())
        if self._stopped:
            return ()
        if answer.ahead:
            raise Ahead("Nothing to go on from: the server has not reached the position")
        news = self._changes.answered(answer.tickets, answer.horizon)
        # Only what was handed out moves the place: what still waits may never be, as after a close.
        self._waiting = {ticket.id for ticket in news}
        self._note_place()
        return [TicketChanged(ticket=ticket) for ticket in news]

    def _announced(self, bell: Bell) -> int:
        self._changes.announce(bell.announced)
        bell.announced = {}
        return bell.rings

    def _handed_out(self, event: TicketChanged) -> None:
        self._waiting.discard(event.ticket.id)
        self._reached[1][event.ticket.id] = event.ticket.last_seq
        self._note_place()

    def _note_place(self) -> None:
        if not self._waiting:
            self._reached = (self._changes.position, {})

    def _place(self) -> int:
        return 0
