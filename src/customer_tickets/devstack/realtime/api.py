"""Broadcasting by HTTP: a batch of messages, or a single one whose sender learns of a denial."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

from aiohttp import web

from customer_tickets.devstack.realtime.authorize import Caller, Grants, ask_write
from customer_tickets.devstack.realtime.database import DatabaseTrouble
from customer_tickets.devstack.realtime.frames import Broadcast, RawBroadcast, RelayedBroadcast
from customer_tickets.devstack.realtime.hub import TopicKey
from customer_tickets.devstack.realtime.joining import PREFIX
from customer_tickets.devstack.realtime.project import Project
from customer_tickets.devstack.realtime.tokens import TokenRefused
from customer_tickets.devstack.realtime.values import as_list, as_object, parse_json, to_json

__all__ = ["Api"]

MAX_BODY = 8_000_000
BLANK, INVALID = "can't be blank", "is invalid"
TOO_LARGE = "Payload size exceeds tenant limit"
BINARY = "application/octet-stream"
# What the sender of a single message is told when the policies cannot be asked.
TROUBLES = {
    "RlsPolicyError": "RLS policy error",
    "QueryCanceled": "Query canceled",
    "MissingPartition": "Missing messages partition",
    "UnableToConnectToProject": "Tenant database unavailable",
}


class Api:
    """The two endpoints, `<prefix>/broadcast` and `<prefix>/broadcast/<topic>/events/<event>`."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Serve both below this path."""
        router.add_post(f"{prefix}/broadcast", self.batch)
        router.add_post(f"{prefix}/broadcast/{{topic}}/events/{{event}}", self.single)

    async def batch(self, request: web.Request) -> web.Response:
        """Accept all messages or refuse all; private ones that are denied vanish all the same."""
        if self._project.events.exceeded(_now()):
            return _message(429, "Too many requests", self._rates())
        caller = self._caller(request)
        if caller is None:
            return _message(401, "Unauthorized")
        try:
            body = as_object(parse_json(await request.read())) or {}
        except ValueError:
            return _message(400, "Bad Request")
        messages = as_list(body.get("messages"))
        if not messages:
            return web.json_response({"errors": {"messages": [BLANK]}}, status=422)
        checked = [as_object(message) or {} for message in messages]
        errors = [_errors(message, self._project.profile.max_payload) for message in checked]
        if any(errors):
            return web.json_response({"errors": {"messages": errors}}, status=422)
        if self._is_too_much(len(checked)):
            text = "Too many messages to broadcast, please reduce the batch size"
            return _message(429, text, self._rates())
        granted: dict[str, Grants] = {}
        for message in checked:
            await self._publish(message, caller, granted)
        return web.Response(status=202, headers=self._rates())

    async def single(self, request: web.Request) -> web.Response:
        """One message whose body is the payload; 403 when it may not be sent."""
        if request.content_type not in {"application/json", BINARY}:
            return _message(415, "Unsupported Media Type")
        if self._project.events.exceeded(_now()):
            return _message(429, "Too many requests", self._rates())
        caller = self._caller(request)
        if caller is None:
            return _message(401, "Unauthorized")
        key = TopicKey(request.query.get("private") == "true", request.match_info["topic"])
        try:
            body = _single_body(await request.read(), binary=request.content_type == BINARY)
        except ValueError:
            return _message(400, "Bad Request")
        if len(body) > self._project.profile.max_payload:
            return web.json_response({"errors": {"payload": [TOO_LARGE]}}, status=422)
        try:
            allowed = not key.private or (await self._grants(caller, key.name)).broadcast
        except DatabaseTrouble as trouble:
            return _message(422, TROUBLES[trouble.code])
        if not allowed:
            return _message(403, "Unauthorized")
        is_json = request.content_type != BINARY
        event = request.match_info["event"]
        self._deliver(key, RawBroadcast(PREFIX + key.name, event, body, is_json))
        return web.Response(status=202, headers=self._rates())

    def _caller(self, request: web.Request) -> Caller | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            token = request.headers.get("apikey", "")
        headers = {k.lower(): v for k, v in request.headers.items() if k.lower().startswith("x-")}
        try:
            return Caller(self._project.verify(token), headers)
        except TokenRefused:
            return None

    async def _grants(self, caller: Caller, name: str) -> Grants:
        return await ask_write(self._project.database, caller, name)

    async def _publish(
        self, message: Mapping[str, object], caller: Caller, granted: dict[str, Grants]
    ) -> None:
        name, private = str(message["topic"]), message.get("private") is True
        if private and name not in granted:
            try:
                granted[name] = await self._grants(caller, name)
            except DatabaseTrouble:
                granted[name] = Grants()
        if private and not granted[name].broadcast:
            return
        payload = {
            "type": "broadcast",
            "event": message["event"],
            "payload": message["payload"],
        }
        if message.get("id") is not None:
            payload["meta"] = {"id": message["id"]}
        relayed = RelayedBroadcast(PREFIX + name, "broadcast", payload)
        self._deliver(TopicKey(private, name), relayed)

    def _deliver(self, key: TopicKey, message: Broadcast) -> None:
        self._project.events.count(_now())
        self._project.hub.publish(key, message)

    def _is_too_much(self, batch: int) -> bool:
        limit = self._project.profile.events_per_second
        return limit is not None and self._project.events.average(_now()) + batch > limit

    def _rates(self) -> dict[str, str]:
        limit = self._project.profile.events_per_second
        if limit is None:
            return {}
        average = self._project.events.average(_now())
        return {
            "x-rate-rolling": f"{int(average)}",
            "x-rate-limit": f"{int(limit)}",
            "x-rate-limit-remaining": f"{int(limit) - int(average)}",
        }


def _now() -> float:
    return asyncio.get_running_loop().time()


def _message(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"message": text}, status=status, headers=headers)


def _single_body(body: bytes, *, binary: bool) -> bytes:
    """The payload as it is passed on: bytes as they are, JSON always as an object."""
    if binary:
        return body
    value = parse_json(body or b"{}")
    return to_json({"_json": value} if as_object(value) is None else value).encode()


def _errors(message: Mapping[str, object], max_payload: int) -> dict[str, list[str]]:
    """What is wrong with one message of a batch, by field."""
    errors: dict[str, list[str]] = {}
    for field in ("topic", "event", "payload"):
        value = message.get(field)
        right = as_object(value) is not None if field == "payload" else _is_text(value)
        if value is None or value == "":
            errors[field] = [BLANK]
        elif not right:
            errors[field] = [INVALID]
        elif field == "payload" and len(to_json(value).encode()) > max_payload:
            errors[field] = [TOO_LARGE]
    if message.get("private") is not None and not isinstance(message["private"], bool):
        errors["private"] = [INVALID]
    if message.get("id") is not None and not _is_uuid(message["id"]):
        errors["id"] = [INVALID]
    return errors


def _is_text(value: object) -> bool:
    # Nothing can be asked of the database with a lone surrogate.
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_uuid(value: object) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True
