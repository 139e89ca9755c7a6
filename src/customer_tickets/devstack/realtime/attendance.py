"""What one channel does about its own presence."""

import time

from customer_tickets.devstack.realtime.admission import Admission
from customer_tickets.devstack.realtime.limits import Window
from customer_tickets.devstack.realtime.project import Project
from customer_tickets.devstack.realtime.values import as_object, to_json

__all__ = ["Attendance", "PresenceEnded"]

WINDOW_SECONDS = 30.0
Answer = tuple[str, dict[str, object]]
"""Status and response of a reply."""


class PresenceEnded(Exception):
    """A limit was exceeded: the channel ends, and the text says why."""


class Attendance:
    """Track and untrack, within the limits; `owner` stands for the channel among the others."""

    def __init__(self, project: Project, admission: Admission, owner: object) -> None:
        self._project = project
        self._admission = admission
        self._owner = owner
        self._calls = Window(project.profile.presence_per_channel, WINDOW_SECONDS)

    async def call(self, payload: dict[str, object]) -> Answer:
        """Do what a `presence` frame asks for; PresenceEnded when it is one too many."""
        if "event" not in payload:
            return "ok", {}  # it asks for nothing
        now = time.monotonic()
        self._project.presence_events.count(now)
        if self._project.presence_events.exceeded(now):
            raise PresenceEnded("Too many presence messages per second")
        if not self._calls.allows(now):
            raise PresenceEnded("Client presence rate limit exceeded")
        match str(payload.get("event")).lower():
            case "untrack":
                return self._untrack()
            case "track":
                return await self._track(payload.get("payload", {}))
            case _:
                return "error", {}

    def _untrack(self) -> Answer:
        hub, admission = self._project.hub, self._admission
        diff = hub.presences(admission.key).untrack(self._owner)
        hub.publish_presence(admission.key, admission.topic, diff)
        return "ok", {}

    async def _track(self, payload: object) -> Answer:
        fields, hub, admission = as_object(payload), self._project.hub, self._admission
        # Tracking enables presence: from now on it is heard as well, where that is allowed.
        await admission.access.want_presence()
        if not (await admission.access.write()).presence:
            return "error", {}
        if fields is None:
            return "error", {"reason": "Presence track payload must be a map"}
        if len(to_json(fields)) > self._project.profile.max_payload:
            raise PresenceEnded("Track message size exceeded")
        key = admission.request.presence_key
        diff = hub.presences(admission.key).track(self._owner, key, fields)
        hub.publish_presence(admission.key, admission.topic, diff)
        return "ok", {}
