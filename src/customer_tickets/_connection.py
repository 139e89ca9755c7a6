"""The one door to REST and storage: token, retries, the call itself, translation, parsing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import httpx
from postgrest import AsyncPostgrestClient
from postgrest.base_request_builder import RequestConfig
from pydantic import TypeAdapter, ValidationError
from tenacity import AsyncRetrying

from ._borrowed import AnySession
from ._cache import Cache
from ._errors import ClientClosed, CustomerTicketsError, Offline, SignInRequired, UnexpectedAnswer
from ._retry import retrying
from ._session import another_user
from ._translate import from_network, from_response, from_storage, request_id

_log = logging.getLogger("customer_tickets")
_T = TypeVar("_T")
_FEEDS_AT_ONCE = 8
# What is sent once more for each attempt, with the headers of the user.
_Send = Callable[[httpx.Headers], Awaitable[httpx.Response]]
_Translate = Callable[[httpx.Response], CustomerTicketsError]
_Attempts = Callable[[], AsyncRetrying]
# Of files no time in all can be asked for: these are for one step of the way. Storage answers an
# upload only when it has put the file where it belongs.
_FILE_STEPS = httpx.Timeout(30.0, connect=5.0, read=120.0)


class Query(Protocol):
    """A built postgrest query: all that this module needs of it is the request inside."""

    request: RequestConfig[httpx.AsyncClient]


@dataclass(frozen=True)
class Rows(Generic[_T]):
    """The parsed rows of a query and, where it was asked for, how many there are in all."""

    items: _T
    total: int | None


class Connection:
    """A client's connection to the servers, as the signed-in user and never as anybody else."""

    def __init__(
        self,
        url: str,
        key: str,
        session: AnySession,
        http: httpx.AsyncClient,
        *,
        timeout: float,
        cache: float,
    ) -> None:
        self.session = session
        self._cache = Cache(cache, time.monotonic)
        self._kept_for: UUID | None = None
        self.rest = AsyncPostgrestClient(
            f"{url}/rest/v1", headers={"apikey": key}, http_client=http, retry_enabled=False
        )
        self.storage_url = f"{url}/storage/v1"
        self._key = key
        self._http = http
        self._timeout = timeout
        self._background: set[asyncio.Task[None]] = set()
        # Feeds ask by themselves, perhaps a thousand of them at one moment: time that is spent
        # waiting for one's turn is not time that the server took.
        self._in_turn = asyncio.Semaphore(_FEEDS_AT_ONCE)

    @property
    def cache(self) -> Cache:
        """What is kept for who is signed in: with another user it begins anew."""
        user: UUID | None = None
        with suppress(SignInRequired):
            user = self.session.user.id
        if user != self._kept_for:
            self._kept_for = user
            self._cache.clear()
        return self._cache

    def in_background(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[None]:
        """Run something that reports its own failure; it ends with the client at the latest."""
        task = asyncio.create_task(_quiet(work), name="customer_tickets.background")
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        # One that is cancelled before its first step never comes to awaiting its work.
        task.add_done_callback(lambda _: work.close())
        return task

    async def aclose(self) -> None:
        """End what runs in the background."""
        await asyncio.sleep(0)  # what has not begun yet begins, so that it can say how it ended
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)

    async def call(
        self,
        function: str,
        arguments: Mapping[str, object],
        answer: TypeAdapter[_T],
        *,
        write_id: UUID | None = None,
        patience: float | None = None,
    ) -> _T:
        """Call one of the API's functions; `write_id` is the key that makes repeating it safe.

        `patience` is the time in seconds for all attempts together, where it is not the client's.
        """
        # The package annotates the arguments as texts and sends any JSON.
        present: dict[str, Any] = {
            name: str(value) if isinstance(value, UUID) else value
            for name, value in arguments.items()
            if value is not None
        }
        try:
            query = self.rest.rpc(function, present)
            if patience is None:
                response = await self._send(_sending(query), function, None)
            else:
                async with self._in_turn:
                    brief = _brief_at_first(query, patience / 4)
                    response = await self._send(brief, function, patience)
            return _parsed(response, answer)
        except BaseException as error:
            if isinstance(error, CustomerTicketsError):
                error.write_id = write_id
            if write_id is not None:
                self.cache.clear()  # it may have arrived, or was refused for what is not known here
            raise

    async def select(self, query: Query, answer: TypeAdapter[_T]) -> Rows[_T]:
        """Read rows of a table."""
        response = await self._send(_sending(query), query.request.path.name, None)
        _, _, total = response.headers.get("content-range", "").partition("/")
        return Rows(_parsed(response, answer), int(total) if total.isdigit() else None)

    async def storage(
        self, method: str, path: str, what: str, *, json: object = None
    ) -> httpx.Response:
        """Ask storage for something small, at a path below `object`."""

        async def send(user: httpx.Headers) -> httpx.Response:
            return await self._http.send(self._to_storage(method, path, user, json=json))

        return await self._send(send, what, None, from_storage)

    async def upload(
        self, path: str, headers: Mapping[str, str], content: Callable[[], AsyncIterator[bytes]]
    ) -> None:
        """Put a file into storage; `content` begins it anew for each attempt.

        It may take as long as bytes move.
        """

        async def send(user: httpx.Headers) -> httpx.Response:
            user.update(headers)
            request = self._to_storage("POST", path, user, content=content(), timeout=_FILE_STEPS)
            return await self._http.send(request)

        await self._transfer(send, "upload")

    async def download(self, path: str, start: int) -> httpx.Response:
        """Begin to receive a file from byte `start` on; the caller reads the answer and closes it.

        The answer is 206 when it begins there, 200 when it begins at 0 nevertheless.
        """

        async def send(user: httpx.Headers) -> httpx.Response:
            # A gateway that compresses would change what a range counts.
            user["Accept-Encoding"] = "identity"
            if start:
                user["Range"] = f"bytes={start}-"
            request = self._to_storage("GET", path, user, timeout=_FILE_STEPS)
            return await self._http.send(request, stream=True)

        return await self._transfer(send, "download")

    async def _transfer(self, send: _Send, what: str) -> httpx.Response:
        self._check_open()
        attempts = partial(retrying, self._timeout, waits_only=True)
        return await self._as_user(send, what, attempts, from_storage)

    def _to_storage(
        self, method: str, path: str, headers: httpx.Headers, **more: Any
    ) -> httpx.Request:
        headers["apikey"] = self._key
        url = f"{self.storage_url}/object/{path}"
        return self._http.build_request(method, url, headers=headers, **more)

    def _check_open(self) -> None:
        if self._http.is_closed:
            raise ClientClosed("This client is closed.", hint="Make a new one.")

    async def _send(
        self,
        send: _Send,
        what: str,
        patience: float | None,
        translate: _Translate = from_response,
    ) -> httpx.Response:
        self._check_open()
        seconds = self._timeout if patience is None else patience
        try:
            async with asyncio.timeout(seconds):
                return await self._as_user(send, what, partial(retrying, seconds), translate)
        except TimeoutError:
            raise Offline(
                f"The server did not answer within {seconds:g} seconds.", hint="Is the network up?"
            ) from None

    async def _as_user(
        self, send: _Send, what: str, attempts: _Attempts, translate: _Translate
    ) -> httpx.Response:
        # The session repeats by itself what it asks of auth: not once more for each repetition.
        token = await self.session.token()
        user = self.session.user
        try:
            return await self._repeat(send, token, what, attempts, translate)
        except SignInRequired as error:
            # The server's clock or its key decides, not ours: one refresh, then its word counts.
            if error.status != 401:
                raise
        await self.session.replace(token)
        token = await self.session.token()
        if self.session.user.id != user.id:
            raise another_user()
        return await self._repeat(send, token, what, attempts, translate)

    async def _repeat(
        self, send: _Send, token: str, what: str, attempts: _Attempts, translate: _Translate
    ) -> httpx.Response:
        async for attempt in attempts():
            with attempt:
                self._check_open()  # it may have been closed while this waited
                return await _once(send, token, what, translate)
        raise AssertionError("tenacity returns or raises")


def _brief_at_first(query: Query, seconds: float) -> _Send:
    """Send a query whose first attempt ends early: a kept connection may lead nowhere any more."""
    attempts = 0

    async def send(user: httpx.Headers) -> httpx.Response:
        nonlocal attempts
        attempts += 1
        try:
            async with asyncio.timeout(seconds if attempts == 1 else None):
                return await query.request.send(user)
        except TimeoutError:
            raise httpx.ReadTimeout("no answer to the first attempt") from None

    return send


def _sending(query: Query) -> _Send:
    return query.request.send


async def _once(send: _Send, token: str, what: str, translate: _Translate) -> httpx.Response:
    started = time.perf_counter()
    try:
        response = await send(httpx.Headers({"Authorization": f"Bearer {token}"}))
        if not response.is_success:
            await response.aread()  # of a download nothing but the head has come
    except httpx.RequestError as error:
        _log.debug("%s: no answer (%s)", what, type(error).__name__)
        failure: CustomerTicketsError = from_network(error)
    else:
        spent = (time.perf_counter() - started) * 1000
        _log.debug("%s: HTTP %d in %.1f ms", what, response.status_code, spent)
        if response.is_success:
            return response
        failure = translate(response)
    # Outside the handler: httpx's errors carry the request, and with it the token.
    raise failure


async def _quiet(work: Coroutine[Any, Any, object]) -> None:
    with suppress(CustomerTicketsError):
        await work


def _parsed(response: httpx.Response, answer: TypeAdapter[_T]) -> _T:
    try:
        return answer.validate_json(response.content)
    except ValidationError as error:
        problems: list[Any] = [problem["loc"] for problem in error.errors(include_input=False)]
    raise UnexpectedAnswer(
        f"The server's answer does not fit this version of the library (at {problems[:3]}).",
        hint="Is another program answering at this URL, or is a migration missing?",
        status=response.status_code,
        request_id=request_id(response),
    )
