"""Foreign errors become ours here and nowhere else: HTTP answers, httpx, supabase_auth.

Only texts that the project's own SQL writes are passed on. A message of Postgres or of a proxy
can quote what the customer wrote, so for those the error says the code and not the text.
"""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import supabase_auth.errors as auth
from pydantic import TypeAdapter

from ._errors import (
    Busy,
    Conflict,
    CustomerTicketsError,
    DraftConflict,
    FieldError,
    InvalidInput,
    NotAllowed,
    NotFound,
    Offline,
    RateLimited,
    RatingWindowOver,
    ReopenWindowOver,
    SignInFailed,
    SignInRequired,
    SignUpFailed,
    TicketClosedError,
    TicketNotClosed,
    Unavailable,
    UnexpectedAnswer,
)
from ._inputs import spoken

_OBJECT = TypeAdapter(dict[str, Any])
_SIGN_IN_HINT = "Sign in first."

# Errors that the project's own migrations raise: their message and hint are ours.
OWN_CODES: dict[str, type[CustomerTicketsError]] = {
    "TK001": InvalidInput,
    "TK002": NotFound,
    "TK003": TicketClosedError,
    "TK004": TicketNotClosed,
    "TK005": ReopenWindowOver,
    "TK006": SignInRequired,
    "TK007": RatingWindowOver,
    "TK008": NotAllowed,
    "TK009": DraftConflict,
}

# What Postgres and PostgREST say, in our words.
_FOREIGN_CODES: dict[str, tuple[type[CustomerTicketsError], str, str | None]] = {
    "23505": (
        Conflict,
        "This id was already used, for something else.",
        "Leave the id out, or repeat the call with the same content.",
    ),
    # Looked for before every write: it has gone since, or a token outlives its account.
    "23503": (
        NotFound,
        "What this belongs to is not there any more.",
        "Was the account or the organization removed?",
    ),
    "42501": (NotAllowed, "You are not allowed to do this.", None),
    "XX000": (Busy, "Two writes met in the database.", "Repeat the call."),
    "40001": (Busy, "Two writes met in the database.", "Repeat the call."),
    "40P01": (Busy, "Two writes met in the database.", "Repeat the call."),
    "57014": (Unavailable, "The database took too long and was stopped.", None),
    "PGRST000": (Unavailable, "The server cannot reach its database.", None),
    "PGRST001": (Unavailable, "The server cannot reach its database.", None),
    "PGRST002": (Unavailable, "The server is still reading its database.", None),
    "PGRST003": (Unavailable, "The server's database is too busy.", None),
    "PGRST301": (SignInRequired, "The session is not valid any more.", _SIGN_IN_HINT),
    "PGRST302": (SignInRequired, "The server takes no anonymous request.", _SIGN_IN_HINT),
    "PGRST303": (SignInRequired, "The session is not valid any more.", _SIGN_IN_HINT),
    "PGRST202": (
        UnexpectedAnswer,
        "The server lacks a function that this library calls.",
        "Apply the migrations of this version of customer_tickets.",
    ),
    "PGRST204": (
        UnexpectedAnswer,
        "The server lacks a column that this library reads.",
        "Apply the migrations of this version of customer_tickets.",
    ),
    "PGRST205": (
        UnexpectedAnswer,
        "The server lacks a table that this library reads.",
        "Apply the migrations of this version of customer_tickets.",
    ),
}

_PASSING_STATUSES = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 530})

_SIGN_IN_CODES = {
    "invalid_credentials": "Wrong e-mail or password.",
    "email_not_confirmed": "The e-mail address is not confirmed yet.",
    "user_banned": "This account may not sign in.",
    "validation_failed": "The e-mail or the password was refused.",
}
_SIGN_UP_CODES = {
    "user_already_exists": "This e-mail address has an account already.",
    "email_exists": "This e-mail address has an account already.",
    "weak_password": "The password is too weak.",
    "signup_disabled": "This project does not take new accounts.",
    "email_provider_disabled": "This project does not take accounts by e-mail.",
    "email_address_invalid": "The e-mail address was refused.",
    "validation_failed": "The e-mail or the password was refused.",
}
# The server no longer has the session.
ENDED = frozenset(
    {
        "refresh_token_not_found",
        "refresh_token_already_used",
        "session_not_found",
        "session_expired",
        "user_not_found",
    }
)
_SESSION_OVER = ENDED | {"bad_jwt", "invalid_jwt", "no_authorization"}


def from_response(response: httpx.Response) -> CustomerTicketsError:
    """Translate an answer of PostgREST, or of a gateway before it, that is not a success."""
    body = _json_object(response)
    code = body.get("code") if isinstance(body.get("code"), str) else None
    where: dict[str, Any] = {
        "code": code,
        "status": response.status_code,
        "request_id": request_id(response),
    }
    if code in OWN_CODES:
        return _own(code, body, where)
    if response.status_code == 429:
        return _limited(response, where)
    if code in _FOREIGN_CODES:
        kind, message, hint = _FOREIGN_CODES[code]
        # A caller without a valid token is told to sign in, whatever he wanted to do.
        if response.status_code == 401 and kind is NotAllowed:
            kind, message, hint = SignInRequired, "Nobody is signed in.", _SIGN_IN_HINT
        return kind(message, hint=hint, **where)
    # While Postgres restarts, PostgREST can answer 400 with an empty code, or with one of these
    # classes: connection lost, too many of them, shutting down.
    if code == "" or (code or "").startswith(("08", "53", "57P")):
        return Unavailable("The server has lost its database for a moment.", **where)
    if response.status_code == 401:
        return SignInRequired("The server did not accept the key or the session.", **where)
    if response.status_code in _PASSING_STATUSES:
        return Unavailable("The server cannot answer right now.", **where)
    return UnexpectedAnswer("The server refused the request for a reason of its own.", **where)


def _own(code: str, body: dict[str, Any], where: dict[str, Any]) -> CustomerTicketsError:
    hint = body.get("hint")
    if code == "TK001":
        return InvalidInput(_fields(body.get("details")), **where)
    message = str(body.get("message") or "The server refused it.")
    error = OWN_CODES[code](message, hint=hint, **where)
    if isinstance(error, ReopenWindowOver | RatingWindowOver):
        with suppress(TypeError, ValueError):
            error.ended_at = datetime.fromisoformat(str(body.get("details")))
    return error


def _fields(details: object) -> list[FieldError]:
    try:
        wrong = json.loads(str(details))
        return [FieldError(spoken(str(one["field"])), str(one["message"])) for one in wrong]
    except (ValueError, TypeError, KeyError):
        return [FieldError("input", "was refused by the server")]


def from_network(error: httpx.RequestError) -> Offline:
    """Translate httpx's way of saying that no answer came."""
    if isinstance(error, httpx.TimeoutException):
        offline = Offline("The server did not answer in time.", hint="Is the network up?")
    elif _has_cause(error, ssl.SSLCertVerificationError):
        offline = Offline(
            "The server's certificate is not trusted.",
            hint="Is it the right URL? SSL_CERT_FILE names the authorities to be trusted.",
        )
    else:
        offline = Offline("The server could not be reached.", hint="Is the network up?")
    offline.sent = not isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
    )
    return offline


def _has_cause(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


def from_auth(error: auth.AuthError, *, signing_up: bool = False) -> CustomerTicketsError:
    """Translate an error of supabase_auth, whose texts can hold an e-mail address: none is kept."""
    cause = error.__cause__
    if isinstance(cause, httpx.RequestError):
        return from_network(cause)
    code = error.code
    response = cause.response if isinstance(cause, httpx.HTTPStatusError) else None
    status = None if response is None else response.status_code
    where: dict[str, Any] = {"code": code, "status": status}
    if response is not None:
        where["request_id"] = request_id(response)
        if status == 429:
            return _limited(response, where)
    if isinstance(error, auth.AuthRetryableError) or (status is not None and status >= 500):
        return Unavailable("The server cannot sign anybody in right now.", **where)
    if status == 401 and code is None:
        return UnexpectedAnswer("The server did not accept the project's key.", **where)
    if code in _SESSION_OVER or isinstance(error, auth.AuthSessionMissingError):
        return SignInRequired("The session has ended.", hint="Sign in again.", **where)
    unreadable = isinstance(error, auth.AuthUnknownError)
    if unreadable or (code is None and status not in {None, 400, 401, 403, 422}):
        return UnexpectedAnswer(
            "The server did not answer as Supabase's auth does.",
            hint="Is another program answering at this URL?",
            **where,
        )
    words, kind = (_SIGN_UP_CODES, SignUpFailed) if signing_up else (_SIGN_IN_CODES, SignInFailed)
    what = "make the account" if signing_up else "sign in"
    return kind(words.get(code or "", f"The server refused to {what}."), **where)


def from_storage(response: httpx.Response) -> CustomerTicketsError:
    """Translate an answer of storage that is not a success.

    The HTTP status is mostly 400 there; the body's `statusCode` says what it is about.
    """
    body = _json_object(response)
    said = str(body.get("statusCode", ""))
    status = int(said) if said.isdigit() else response.status_code
    code = body.get("code") or body.get("error")
    where: dict[str, Any] = {
        "code": code if isinstance(code, str) and said else None,
        "status": status,
        "request_id": request_id(response),
    }
    if status == 429:
        return _limited(response, where)
    if response.status_code == 401 or _is_about_the_token(status, body):
        where["status"] = 401
        return SignInRequired("The server did not accept the key or the session.", **where)
    if status in _STORAGE_FIELDS:
        return InvalidInput([FieldError("attachments", _STORAGE_FIELDS[status])], **where)
    if status >= 500 or status in _PASSING_STATUSES or status == 423:
        return Unavailable("Storage cannot answer right now.", **where)
    if body.get("message") == "Bucket not found":
        return UnexpectedAnswer(
            "The server has no bucket for attachments.",
            hint="Apply the migrations of this version of customer_tickets.",
            **where,
        )
    if said and status in _STORAGE_KINDS:
        kind, message = _STORAGE_KINDS[status]
        return kind(message, **where)
    return UnexpectedAnswer("Storage refused the request for a reason of its own.", **where)


_STORAGE_FIELDS = {
    413: "is larger than the server takes",
    415: "has a type that the server does not take",
}
_STORAGE_KINDS: dict[int, tuple[type[CustomerTicketsError], str]] = {
    403: (NotAllowed, "You are not allowed to do this with the file."),
    404: (NotFound, "The file does not exist, or it is not yours."),
    409: (Conflict, "A file with this id is there already."),
}


def _is_about_the_token(status: int, body: dict[str, Any]) -> bool:
    # A token that is not good and a policy that says no have one status and one code.
    message = str(body.get("message")).lower()
    if status == 403:
        return "row-level security" not in message and "access denied" not in message
    return status == 400 and ("jwt" in message or '"exp"' in message)


def _limited(response: httpx.Response, where: dict[str, Any]) -> RateLimited:
    limited = RateLimited("Too many requests.", hint="Wait a little.", **where)
    limited.retry_after = retry_after(response)
    return limited


def request_id(response: httpx.Response) -> str | None:
    """Return the server's id of a request, as hosted Supabase and common proxies name it."""
    for name in ("sb-request-id", "x-request-id", "cf-ray"):
        if found := response.headers.get(name):
            return str(found)
    return None


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of a Retry-After header, which may also be a date."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):  # a date without a zone cannot be compared
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None


def _json_object(response: httpx.Response) -> dict[str, Any]:
    with suppress(ValueError):
        return _OBJECT.validate_json(response.content)
    return {}
