"""Is this JSON Web Token good, and what does it claim? Pure: the time is an argument."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard
from urllib.parse import unquote

import jwt

from customer_tickets.devstack.realtime.values import as_object, parse_json

__all__ = ["Claims", "TokenRefused", "verify"]

ALGORITHMS = ["HS256", "HS384", "HS512"]
_SIGNATURES = jwt.PyJWS()


class TokenRefused(Exception):
    """A token that is malformed, forged, incomplete or too old.

    The same reason is worded in three ways: `reason` in the reply to a join, `text` as the answer
    to an HTTP request, `system` in a system message to a live channel.
    """

    def __init__(self, code: str, text: str, *, http: str | None = None, system: str | None = None):
        super().__init__(text)
        self.reason = f"{code}: {text}"
        self.text = http if http is not None else text
        self.system = system if system is not None else text


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says: the database role, the moment of expiry, and everything else."""

    role: str
    expires: float
    """Seconds since the epoch."""
    all: Mapping[str, object]

    def expired(self, now: float) -> TokenRefused | None:
        """The refusal that holds at that moment, if the token has run out by then."""
        return _too_old(self.expires, now) if self.expires <= now else None


def verify(token: str, secret: str, now: float) -> Claims:
    """Check form, signature, expiry and required fields, in this order; or raise TokenRefused."""
    claims = _signed_claims("".join(unquote(token).split()), secret)
    expires, role, issued = claims.get("exp"), claims.get("role"), claims.get("iat")
    if expires is not None:
        if not _is_number(expires):
            raise TokenRefused("InvalidJWTToken", "Token expiration time is invalid")
        if float(expires) <= now:
            raise _too_old(float(expires), now)
    if issued is not None and not _is_number(issued):
        raise _malformed()
    if expires is None or not isinstance(role, str):
        raise TokenRefused("InvalidJWTToken", "Fields `role` and `exp` are required in JWT")
    return Claims(role, float(expires), claims)


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -(2**63) < value < 2**63


def _too_old(expires: float, now: float) -> TokenRefused:
    text = f"Token has expired {math.floor(now - expires)} seconds ago"
    return TokenRefused("InvalidJWTToken", text, http="Token has expired")


def _malformed() -> TokenRefused:
    return TokenRefused("MalformedJWT", "The token provided is not a valid JWT")


def _signed_claims(token: str, secret: str) -> dict[str, object]:
    try:
        unverified = _SIGNATURES.decode_complete(token, options={"verify_signature": False})
        claims = as_object(parse_json(unverified["payload"]))
    except (jwt.PyJWTError, ValueError):
        raise _malformed() from None
    if claims is None:
        raise _malformed()
    if unverified["header"].get("alg") not in ALGORITHMS:
        raise TokenRefused(
            "JwtSignerError", "Failed to generate JWT signer, check your JWT secret or JWKS"
        )
    try:
        _SIGNATURES.decode(token, secret, algorithms=ALGORITHMS)
    except jwt.PyJWTError:
        raise TokenRefused(
            "JwtSignatureError", "Failed to validate JWT signature", system=":signature_error"
        ) from None
    return claims
