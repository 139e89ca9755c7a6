import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_tickets.devstack.realtime.tokens import TokenRefused, verify

SECRET = "a secret that is long enough for HS512, which wants no less than 64 bytes"
NOW = 1_000_000.0


def signed(claims: object, algorithm: str = "HS256") -> str:
    return jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, algorithm)


def refused(token: str) -> TokenRefused:
    with pytest.raises(TokenRefused) as raised:
        verify(token, SECRET, NOW)
    return raised.value


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_good_token(algorithm: str) -> None:
    claims = {"role": "anon", "exp": NOW + 1, "sub": 5, "aud": "x", "nbf": NOW + 99, "iat": 1}
    read = verify(signed(claims, algorithm), SECRET, NOW)
    assert (read.role, read.expires, read.all) == ("anon", NOW + 1, claims)
    assert read.expired(NOW) is None


def test_blanks_and_percent_signs_do_not_matter() -> None:
    token = signed({"role": "anon", "exp": NOW + 1})
    assert verify(f" {token.replace('.', '%2E')}\n", SECRET, NOW).role == "anon"


def test_there_is_no_leeway() -> None:
    error = refused(signed({"role": "anon", "exp": NOW}))
    assert error.reason == "InvalidJWTToken: Token has expired 0 seconds ago"
    assert error.text == "Token has expired"
    assert error.system == "Token has expired 0 seconds ago"


def test_expiry_is_looked_at_before_the_required_fields() -> None:
    assert refused(signed({"exp": NOW - 5})).system == "Token has expired 5 seconds ago"


@pytest.mark.parametrize(
    "claims", [{}, {"role": "anon"}, {"exp": NOW + 1}, {"role": 7, "exp": NOW + 1}]
)
def test_role_and_expiry_are_required(claims: object) -> None:
    assert refused(signed(claims)).text == "Fields `role` and `exp` are required in JWT"


@pytest.mark.parametrize("expires", ["soon", True, [], 10**400])
def test_expiry_is_a_number(expires: object) -> None:
    error = refused(signed({"role": "anon", "exp": expires}))
    assert error.reason == "InvalidJWTToken: Token expiration time is invalid"


def test_the_time_of_issue_is_a_number_if_it_is_there() -> None:
    error = refused(signed({"role": "anon", "exp": NOW + 1, "iat": "x"}))
    assert error.reason == "MalformedJWT: The token provided is not a valid JWT"


@pytest.mark.parametrize("claims", [[], "text", None, 5])
def test_claims_are_an_object(claims: object) -> None:
    assert refused(signed(claims)).reason.startswith("MalformedJWT")


def test_a_forged_token() -> None:
    head, body, signature = signed({"role": "anon", "exp": NOW + 1}).split(".")
    _, other, _ = signed({"role": "service_role", "exp": NOW + 1}).split(".")
    for forged in (f"{head}.{other}.{signature}", f"{head}.{body}.", f"{head}.{body}.{head}"):
        error = refused(forged)
        assert error.reason == "JwtSignatureError: Failed to validate JWT signature"
        assert error.system == ":signature_error"


def test_no_algorithm_but_ours() -> None:
    unsigned = jwt.encode({"role": "service_role", "exp": NOW + 1}, "", algorithm="none")
    assert refused(unsigned).reason.startswith("JwtSignerError: Failed to generate JWT signer")


@given(st.text() | st.text(alphabet="abcXYZ-_.%=", max_size=80))
def test_anything_else_is_refused(text: str) -> None:
    refused(text)
