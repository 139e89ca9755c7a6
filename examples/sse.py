"""Forward a ticket's thread to a browser as server-sent events: Starlette, one client per user.

    uvicorn --factory examples.sse:app      (needs starlette and uvicorn)

POST /sign-in with {"email": …, "password": …} sets a cookie; GET /tickets/<id>/events streams. An
event's id is its number, so a browser that lost the connection comes back with `Last-Event-ID`, and
the feed goes on right after it: nothing is lost, nothing comes twice. FastAPI takes the same
handlers. Behind a proxy, turn its buffering off; over HTTP/1.1 a browser opens six streams a host.
"""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from customer_tickets import (
    AsyncCustomerTickets,
    AsyncTicketThread,
    FeedStopped,
    InvalidInput,
    NotFound,
    SignInFailed,
    SignInRequired,
    Unavailable,
)

COOKIE = "tickets_session"
# Says that the line is alive, to proxies too, and finds a browser that is gone.
PING_EVERY = 15.0


class Users:
    """One client for each who is signed in, by cookie: all their pages share it.

    A restart of the server signs all out.
    """

    def __init__(self) -> None:
        self._by_cookie: dict[str, AsyncCustomerTickets] = {}

    async def sign_in(self, email: str, password: str) -> str:
        """Sign in and return the cookie."""
        tickets = AsyncCustomerTickets.from_env()
        try:
            await tickets.sign_in(email, password)
        except BaseException:
            await tickets.aclose()
            raise
        cookie = secrets.token_urlsafe(32)
        self._by_cookie[cookie] = tickets
        return cookie

    def of(self, request: Request) -> AsyncCustomerTickets | None:
        """Return the client of whoever asks."""
        return self._by_cookie.get(request.cookies.get(COOKIE, ""))

    async def sign_out(self, request: Request) -> None:
        """End the session and the client of whoever asks."""
        tickets = self._by_cookie.pop(request.cookies.get(COOKIE, ""), None)
        if tickets is not None:
            try:
                await tickets.sign_out()  # their streams end with an event that says so
            finally:
                await tickets.aclose()

    async def close(self) -> None:
        """Close all clients; their sessions stay valid."""
        for tickets in self._by_cookie.values():
            await tickets.aclose()


async def sign_in(request: Request) -> Response:
    body = await request.json()
    try:
        cookie = await request.app.state.users.sign_in(body["email"], body["password"])
    except (SignInFailed, InvalidInput):
        return JSONResponse({"error": "wrong e-mail or password"}, 403)
    answer = JSONResponse({})
    # `secure` needs https, which a browser takes localhost for.
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=True)
    return answer


async def sign_out(request: Request) -> Response:
    await request.app.state.users.sign_out(request)
    return JSONResponse({})


async def events(request: Request) -> Response:
    tickets = request.app.state.users.of(request)
    if tickets is None:
        return JSONResponse({"error": "sign in first"}, 401)
    try:
        thread = await tickets.thread(request.path_params["ticket"])
    except (NotFound, InvalidInput):
        return JSONResponse({"error": "no such ticket"}, 404)
    except SignInRequired:
        return JSONResponse({"error": "sign in first"}, 401)
    except Unavailable:
        return JSONResponse({"error": "try again"}, 503, headers={"Retry-After": "3"})
    # The header is what a browser sends by itself; `?after=` is for the first connection.
    after = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    if not (after.isascii() and after.isdigit()):
        return JSONResponse({"error": "Last-Event-ID must be an event's number"}, 400)
    return StreamingResponse(
        forward(thread, int(after)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def forward(thread: AsyncTicketThread, after: int) -> AsyncIterator[str]:
    """Yield what goes over the wire; Starlette closes it when the browser is gone."""
    state = ""
    async with thread.live(after=after) as feed:
        yield "retry: 1000\n\n"
        pinged = asyncio.get_running_loop().time()
        while True:
            event = await feed.next(timeout=1.0)
            if isinstance(event, FeedStopped):
                # The page closes its EventSource at `stopped`, or the browser would come back.
                yield message("stopped", {"reason": event.reason})
                return
            if event is not None:
                data = event.model_dump(mode="json")
                yield message(event.kind, data, event.seq)
            if feed.state != state:
                state = str(feed.state)
                yield message("state", {"state": state})
            if asyncio.get_running_loop().time() - pinged > PING_EVERY:
                pinged = asyncio.get_running_loop().time()
                yield ": still here\n\n"


def message(kind: str, data: object, seq: int | None = None) -> str:
    """Return one server-sent event; JSON has no line breaks that would end it early."""
    number = "" if seq is None else f"id: {seq}\n"
    return f"{number}event: {kind}\ndata: {json.dumps(data)}\n\n"


@asynccontextmanager
async def life(app: Starlette) -> AsyncIterator[None]:
    app.state.users = Users()
    yield
    await app.state.users.close()


def app() -> Starlette:
    """Make the application; SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY name the project."""
    return Starlette(
        routes=[
            Route("/sign-in", sign_in, methods=["POST"]),
            Route("/sign-out", sign_out, methods=["POST"]),
            Route("/tickets/{ticket}/events", events),
        ],
        lifespan=life,
    )


if __name__ == "__main__":
    import uvicorn

    # Ctrl-C: open streams are given a moment, and their feeds are closed in any case.
    uvicorn.run(app(), port=int(os.environ.get("PORT", "8000")), timeout_graceful_shutdown=2)
