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
        # Where the tickets that are not handed out yet were asked from, and which are handed out.
        self._asked_from = after
        self._handed: dict[UUID, int] = {}

    async def __aenter__(self) -> Self:
        if self._changes.position is None:
            # Now, and not when somebody first looks: what changes in between belongs to the feed.
            self._changes.answered((), (await self._fetch(None)).horizon)
            self._asked_from = self._changes.position
        return await super().__aenter__()

    @property
    def position(self) -> str:
        """The place after the last ticket handed out: save it, and give it back as `after`.

        Raises:
            RuntimeError: the feed was not opened yet.
        """
        place = self._asked_from if self._ready else self._changes.position
        if place is None:
            raise RuntimeError("open the feed first: `with tickets.live() as changes`")
        if not self._ready:
            return place.text()
        return place.model_copy(update={"seen": place.seen | self._handed}).text()

    async def _ask(self) -> Sequence[TicketChanged]:
        before = self._changes.position
        answer = await self._fetch(self._changes.asking())
        if self._stopped:
            return ()
        if answer.ahead:
            raise Ahead("Nothing to go on from: the server has not reached the position")
        news = self._changes.answered(answer.tickets, answer.horizon)
        self._asked_from, self._handed = before, {}
        return [TicketChanged(ticket=ticket) for ticket in news]

    def _announced(self, bell: Bell) -> int:
        self._changes.announce(bell.announced)
        bell.announced = {}
        return bell.rings

    def _handed_out(self, event: TicketChanged) -> None:
        self._handed[event.ticket.id] = event.ticket.last_seq

    def _place(self) -> int:
        return 0
