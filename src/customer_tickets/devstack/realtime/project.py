"""What all sockets of the one project share."""

import asyncio
import time
from dataclasses import dataclass, field

from customer_tickets.devstack.realtime.capture import Capture
from customer_tickets.devstack.realtime.database import Database
from customer_tickets.devstack.realtime.faults import Faults
from customer_tickets.devstack.realtime.hub import Hub
from customer_tickets.devstack.realtime.limits import Rate
from customer_tickets.devstack.realtime.profile import Profile
from customer_tickets.devstack.realtime.tokens import Claims, verify
from customer_tickets.devstack.realtime.wal import Inserted

__all__ = ["Project", "Publisher"]


@dataclass(frozen=True, slots=True)
class Publisher:
    """The way of a committed row to the hub, past the faults and the rate of events."""

    hub: Hub
    events: Rate
    faults: Faults

    def take(self, row: Inserted) -> None:
        """Publish a row, or do to it what the faults want."""
        for delivery in self.faults.deliveries(row):
            if delivery.seconds:
                loop = asyncio.get_running_loop()
                loop.call_later(delivery.seconds, self.publish, delivery.row)
            else:
                self.publish(delivery.row)

    def publish(self, row: Inserted) -> None:
        """Over the rate, a message from the database is dropped, and nobody is told."""
        now = time.monotonic()
        self.events.count(now)
        if not self.events.exceeded(now):
            self.hub.publish_row(row)


@dataclass(slots=True)
class Project:
    """One Supabase project; the real server calls it a tenant."""

    profile: Profile
    jwt_secret: str = field(repr=False)
    database: Database
    capture: Capture
    hub: Hub
    events: Rate
    faults: Faults
    joins: Rate
    presence_events: Rate
    joined_sockets: set[object] = field(default_factory=set[object])
    """Sockets that have joined at least one channel: those are counted against the limit."""

    @classmethod
    def connect(cls, dsn: str, jwt_secret: str, profile: Profile) -> "Project":
        """The project of that database; nothing is opened yet."""
        publisher = Publisher(Hub(profile.max_payload), Rate(profile.events_per_second), Faults())
        return cls(
            profile,
            jwt_secret,
            Database(dsn),
            Capture(dsn, publisher.take, profile.capture_retry),
            publisher.hub,
            publisher.events,
            publisher.faults,
            Rate(profile.joins_per_second),
            Rate(profile.presence_per_second),
        )

    def verify(self, token: str) -> Claims:
        """The claims of a token that is good now, or TokenRefused."""
        return verify(token, self.jwt_secret, time.time())

    def too_many_sockets(self) -> bool:
        """Whether the limit of connected users is reached."""
        limit = self.profile.sockets
        return limit is not None and len(self.joined_sockets) >= limit

    def arrive(self, socket: object) -> None:
        """A socket has joined a channel: from now on the log is followed, if it was not before."""
        self.joined_sockets.add(socket)
        self.capture.want()

    def depart(self, socket: object) -> None:
        """A socket is gone; some time after the last one, the log is not followed any longer."""
        self.joined_sockets.discard(socket)
        linger = self.profile.capture_linger
        if linger is not None and not self.joined_sockets:
            asyncio.get_running_loop().call_later(linger, self._rest)

    def _rest(self) -> None:
        if not self.joined_sockets:
            self.capture.rest()

    async def close(self) -> None:
        """Stop following the log and let go of the database."""
        await self.capture.stop()
        await self.database.close()
