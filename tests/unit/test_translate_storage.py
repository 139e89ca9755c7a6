"""Storage's refusals in our words: the body's statusCode counts, the HTTP status is mostly 400."""

import json

import httpx
import pytest

from customer_tickets import (
    Conflict,
    CustomerTicketsError,
    InvalidInput,
    NotAllowed,
    NotFound,
    RateLimited,
    SignInRequired,
    Unavailable,
    UnexpectedAnswer,
)
from customer_tickets._translate import from_storage


def refusal(said: int, error: str, message: str, *, http: int = 400) -> httpx.Response:
    body = {"statusCode": str(said), "error": error, "message": message}
    return httpx.Response(http, content=json.dumps(body))


@pytest.mark.parametrize(
    ("response", "kind", "status"),
    [
        (refusal(409, "Duplicate", "The resource already exists"), Conflict, 409),
        (refusal(413, "Payload too large", "The object exceeded ..."), InvalidInput, 413),
        (refusal(413, "Payload too large", "The object ...", http=413), InvalidInput, 413),
        (refusal(415, "invalid_mime_type", "mime type x is not supported"), InvalidInput, 415),
        (
            refusal(403, "Unauthorized", "new row violates row-level security policy"),
            NotAllowed,
            403,
        ),
        (refusal(403, "Unauthorized", "Access denied"), NotAllowed, 403),
        (refusal(403, "Unauthorized", "Invalid Compact JWS"), SignInRequired, 401),
        (refusal(403, "Unauthorized", '"exp" claim timestamp check failed'), SignInRequired, 401),
        (refusal(400, "InvalidJWT", "jwt expired"), SignInRequired, 401),
        (refusal(404, "not_found", "Object not found"), NotFound, 404),
        (refusal(404, "Bucket not found", "Bucket not found"), UnexpectedAnswer, 404),
        (refusal(423, "ResourceLocked", "The resource is locked"), Unavailable, 423),
        (refusal(544, "DatabaseTimeout", "... timed out", http=544), Unavailable, 544),
        (refusal(500, "Internal", "Internal Server Error", http=500), Unavailable, 500),
        (refusal(429, "Too many requests", "..."), RateLimited, 429),
        (refusal(400, "InvalidKey", "Invalid key: x"), UnexpectedAnswer, 400),
        (refusal(416, "InvalidRange", "...", http=416), UnexpectedAnswer, 416),
        (httpx.Response(401, content=b'{"message":"Invalid API key"}'), SignInRequired, 401),
        (httpx.Response(429, headers={"Retry-After": "7"}), RateLimited, 429),
        (httpx.Response(502, content=b"<html>"), Unavailable, 502),
        (httpx.Response(404, content=b"<html>no route</html>"), UnexpectedAnswer, 404),
        (httpx.Response(400, content=b"[]"), UnexpectedAnswer, 400),
    ],
)
def test_a_refusal_becomes_one_of_ours(
    response: httpx.Response, kind: type[CustomerTicketsError], status: int
) -> None:
    error = from_storage(response)
    assert type(error) is kind
    assert error.status == status
    if isinstance(error, RateLimited):
        assert error.retry_after == (7 if "Retry-After" in response.headers else None)


def test_nothing_of_what_the_server_says_is_passed_on() -> None:
    for said in (400, 403, 404, 409, 413, 415, 500):
        error = from_storage(refusal(said, "error", "private-name.pdf"))
        assert "private" not in str(error)
