"""What all sockets of the one project share."""

import time
from dataclasses import dataclass, field

from customer_tickets.devstack.realtime.capture import Capture
from customer_tickets.devstack.realtime.database import Database
from customer_tickets.devstack.realtime.hub import Hub
from customer_tickets.devstack.realtime.limits import Rate
from customer_tickets.devstack.realtime.profile import Profile
from customer_tickets.devstack.realtime.tokens import Claims, verify

__all__ = ["Project"]


@dataclass(slots=True)
class Project:
    """One Supabase project; the real server calls it a tenant."""

    profile: Profile
    jwt_secret: str = field(repr=False)
    database: Database
    hub: Hub
    capture: Capture
    joins: Rate
    events: Rate
    presence_events: Rate
    joined_sockets: set[object] = field(default_factory=set[object])
    """Sockets that have joined at least one channel: those are counted against the limit."""

    @classmethod
    def connect(cls, dsn: str, jwt_secret: str, profile: Profile) -> "Project":
        """The project of that database; nothing is opened yet."""
        hub = Hub(profile.max_payload)
        events = Rate(profile.events_per_second)
        return cls(
            profile,
            jwt_secret,
            Database(dsn),
            hub,
            Capture(dsn, hub.publish_row, profile.capture_retry),
            Rate(profile.joins_per_second),
            events,
            Rate(profile.presence_per_second),
        )

    def verify(self, token: str) -> Claims:
        """The claims of a token that is good now, or TokenRefused."""
        return verify(token, self.jwt_secret, time.time())

    def too_many_sockets(self) -> bool:
        """Whether the limit of connected users is reached."""
        limit = self.profile.sockets
        return limit is not None and len(self.joined_sockets) >= limit

    async def close(self) -> None:
        """Stop following the log and let go of the database."""
        await self.capture.stop()
        await self.database.close()
