"""Every foreign error becomes one of ours, and says nothing of what the customer wrote."""

import json
import re
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpcore
import httpx
import pytest
import supabase_auth.errors as auth

from customer_tickets import (
    Busy,
    Conflict,
    CustomerTicketsError,
    InvalidInput,
    NotAllowed,
    NotFound,
    Offline,
    RateLimited,
    ReopenWindowOver,
    SignInFailed,
    SignInRequired,
    SignUpFailed,
    TicketClosedError,
    Unavailable,
    UnexpectedAnswer,
)
from customer_tickets._translate import OWN_CODES, from_auth, from_network, from_response

MIGRATIONS = Path(__file__).parents[2] / "supabase" / "migrations"


def answer(status: int, body: object = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=content, headers=names)


def postgrest(code: str, message: str = "private text", **more: str) -> dict[str, str | None]:
    return {"code": code, "message": message, "details": None, "hint": None, **more}


def test_every_code_that_the_migrations_raise_has_an_error() -> None:
    raised = {
        code
        for path in MIGRATIONS.glob("*.sql")
        for code in re.findall(r"'(TK\d{3})'", path.read_text())
    }
    assert raised == set(OWN_CODES)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer(400, postgrest("TK002")), NotFound),
        (answer(400, postgrest("TK003")), TicketClosedError),
        (answer(409, postgrest("23505")), Conflict),
        (answer(403, postgrest("42501")), NotAllowed),
        (answer(401, postgrest("42501")), SignInRequired),
        (answer(401, postgrest("PGRST301")), SignInRequired),
        (answer(401, postgrest("PGRST303")), SignInRequired),
        (answer(401, {"message": "Invalid API key"}), SignInRequired),
        (answer(500, postgrest("XX000")), Busy),
        (answer(500, postgrest("40P01")), Busy),
        (answer(503, postgrest("PGRST002")), Unavailable),
        (answer(502, b"<html>Bad gateway</html>"), Unavailable),
        (answer(500, b""), Unavailable),
        (answer(408, b""), Unavailable),
        (answer(404, postgrest("PGRST202")), UnexpectedAnswer),
        (answer(404, b"<html>Not here</html>"), UnexpectedAnswer),
        (answer(400, [1, 2]), UnexpectedAnswer),
        (answer(400, postgrest("22P02")), UnexpectedAnswer),
        (answer(302, b""), UnexpectedAnswer),
    ],
)
def test_an_answer_becomes_the_error_that_fits(
    response: httpx.Response, kind: type[CustomerTicketsError]
) -> None:
    error = from_response(response)
    assert type(error) is kind
    assert error.status == response.status_code


def test_a_text_that_is_not_of_our_sql_is_not_passed_on() -> None:
    for code in ("22P02", "23514", "42501", "P0001", "XX000"):
        assert "private" not in str(from_response(answer(400, postgrest(code))))


def test_field_errors_are_named_as_the_methods_call_them() -> None:
    details = json.dumps([{"field": "handling_org_id", "message": "There is no such one."}])
    error = from_response(answer(400, postgrest("TK001", details=details)))
    assert isinstance(error, InvalidInput)
    assert [wrong.field for wrong in error.fields] == ["organization"]


@pytest.mark.parametrize("details", ["", "null", "{}", "[1]", "not json"])
def test_field_errors_that_cannot_be_read_are_still_an_error(details: str) -> None:
    error = from_response(answer(400, postgrest("TK001", details=details)))
    assert isinstance(error, InvalidInput)


def test_the_end_of_the_reopen_window_is_kept() -> None:
    error = from_response(answer(400, postgrest("TK005", details="2026-01-02T03:04:05+00:00")))
    assert isinstance(error, ReopenWindowOver)
    assert error.ended_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0.5", 0.5, 0.5),
        ("-3", 0, 0),
        (timedelta(seconds=90), 80, 90),
        (timedelta(seconds=-90), 0, 0),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(
    header: str | timedelta, low: float, high: float
) -> None:
    if isinstance(header, timedelta):
        header = format_datetime(datetime.now(UTC) + header)
    error = from_response(answer(429, b"", retry_after=header))
    assert isinstance(error, RateLimited)
    assert error.retry_after is not None
    assert low <= error.retry_after <= high


def test_a_retry_after_that_is_nonsense_is_none() -> None:
    error = from_response(answer(429, b"", retry_after="soon"))
    assert isinstance(error, RateLimited)
    assert error.retry_after is None


def test_the_request_id_is_kept_and_shown() -> None:
    error = from_response(answer(503, b"", sb_request_id="abc-1"))
    assert error.request_id == "abc-1"
    assert "request abc-1" in str(error)


def every_class(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(leaf for below in root.__subclasses__() for leaf in every_class(below))]


@pytest.mark.parametrize("kind", every_class(httpx.RequestError))
def test_every_way_that_httpx_fails_is_offline(kind: type[httpx.RequestError]) -> None:
    error = from_network(kind("private text"))
    assert isinstance(error, Offline)
    assert error.sent is not issubclass(
        kind, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
    )
    assert "private" not in str(error)


def auth_error(status: int, code: str | None) -> auth.AuthError:
    error = auth.AuthApiError("private@example.com", status, code)  # type: ignore[arg-type] # any
    request = httpx.Request("POST", "http://x")
    error.__cause__ = httpx.HTTPStatusError("x", request=request, response=answer(status))
    return error


@pytest.mark.parametrize(
    ("error", "signing_up", "kind"),
    [
        (auth_error(400, "invalid_credentials"), False, SignInFailed),
        (auth_error(400, "something new"), False, SignInFailed),
        (auth_error(422, "user_already_exists"), True, SignUpFailed),
        (auth.AuthWeakPasswordError("private@example.com", 422, ["length"]), True, SignUpFailed),
        (auth_error(400, "refresh_token_not_found"), False, SignInRequired),
        (auth.AuthSessionMissingError(), False, SignInRequired),
        (auth_error(429, "over_request_rate_limit"), False, RateLimited),
        (auth_error(500, None), False, Unavailable),
        (auth.AuthRetryableError("private@example.com", 503), False, Unavailable),
        (auth_error(404, None), False, UnexpectedAnswer),
    ],
)
def test_an_error_of_auth_becomes_the_error_that_fits(
    error: auth.AuthError, signing_up: bool, kind: type[CustomerTicketsError]
) -> None:
    ours = from_auth(error, signing_up=signing_up)
    assert type(ours) is kind
    assert "private" not in f"{ours}{ours!r}"


@pytest.mark.parametrize("kind", every_class(auth.AuthError))
def test_every_class_of_auth_is_translated(kind: type[auth.AuthError]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "private@example.com")
    error.message, error.code = "private@example.com", None
    assert isinstance(from_auth(error), CustomerTicketsError)


@pytest.mark.parametrize("code", ["", "08006", "53300", "57P01", "57P03"])
def test_a_database_that_is_away_for_a_moment_is_worth_another_try(code: str) -> None:
    body = {"code": code, "message": "server closed the connection unexpectedly"}
    assert type(from_response(httpx.Response(400, json=body))) is Unavailable


def test_a_certificate_that_is_not_trusted_is_no_lack_of_network() -> None:
    refused = httpcore.ConnectError("certificate verify failed")
    refused.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = refused
    offline = from_network(error)
    assert (offline.message, offline.sent) == ("The server's certificate is not trusted.", False)
    assert from_network(httpx.ConnectError("refused")).message != offline.message
