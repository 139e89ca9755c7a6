"""The live events of one ticket: every one, once, in order, from any number on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from .._events import FeedStopped, TicketEvent
from .bell import Bell
from .feed import AsyncFeed, Listening
from .recovery import Recovery

Fetch = Callable[[int], Awaitable[tuple[Sequence[TicketEvent], int]]]


class AsyncTicketFeed(AsyncFeed[TicketEvent]):
    """The live events of one ticket; open it with `async with`, read it with `async for`.

    Attributes:
        last_seq: the number of the last event handed out; save it, and give it back as `after`.
    """

    def __init__(
        self,
        ticket_id: UUID,
        after: int,
        *,
        line: Listening,
        fetch: Fetch,
        check_every: float,
        poll_every: float,
    ) -> None:
        self._sequence = Recovery(after)
        super().__init__(
            f"ticket:{ticket_id}",
            ticket_id,
            self._sequence,
            line=line,
            check_every=check_every,
            poll_every=poll_every,
        )
        self.last_seq = after
        self._fetch = fetch

    async def _ask(self) -> Sequence[TicketEvent]:
        events, newest = await self._fetch(self._sequence.fetching())
        if self._stopped:
            return ()
        if self._bell is not None:
            # So that a check notices when the table has fewer some day: it was restored.
            self._bell.highest = max(self._bell.highest, newest)
        return self._sequence.fetched(events, newest)

    def _announced(self, bell: Bell) -> int:
        return bell.highest

    def _handed_out(self, event: TicketEvent) -> None:
        self.last_seq = event.seq

    def _place(self) -> int:
        waiting = [event.seq for event in self._ready if not isinstance(event, FeedStopped)]
        return waiting[-1] if waiting else self.last_seq
