"""PURE: addresses that open one object to whoever holds them. The time is an argument."""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

import jwt

from customer_tickets.devstack.storage import errors

__all__ = ["UNQUOTED", "Opened", "sign", "verify"]

Purpose = Literal["download", "upload"]
_ALGORITHM = "HS256"
# An address keeps the alphabet of keys as it is, spaces included: clients encode it themselves.
# Only a question mark would end the path.
UNQUOTED = "/!-.*'() &$@=;:+,"


@dataclass(frozen=True, slots=True)
class Opened:
    """What a good token allows."""

    expires: int
    """Seconds since the epoch."""
    owner: str | None
    upsert: bool


def sign(
    purpose: Purpose, place: str, secret: str, *, now: float, lifetime: int, **more: object
) -> str:
    """Return the token that opens `place` (`bucket/key`) for `lifetime` seconds."""
    # What a caller may add never decides what the token opens.
    claims = {**more, "url": place, "scope": purpose, "iat": int(now), "exp": int(now) + lifetime}
    return jwt.encode(claims, secret, _ALGORITHM)


def verify(token: str, purpose: Purpose, place: str, secret: str, *, now: float) -> Opened:
    """Check signature, age, purpose and place; or raise InvalidJWT or InvalidSignature."""
    claims = _signed_claims(token, secret)
    expires: object = claims.get("exp")
    if isinstance(expires, bool) or not isinstance(expires, int | float) or expires <= now:
        raise errors.invalid_jwt('"exp" claim timestamp check failed')
    if claims.get("scope") != purpose:
        raise errors.invalid_signature(f"Token is not scoped for {purpose}")
    if claims.get("url") != place:
        raise errors.invalid_signature()
    owner = claims.get("owner")
    return Opened(
        int(expires), owner if isinstance(owner, str) else None, claims.get("upsert") is True
    )


def _signed_claims(token: str, secret: str) -> dict[str, Any]:
    try:
        return jwt.decode(
            unquote(token),
            secret,
            algorithms=[_ALGORITHM],
            # The caller's clock decides.
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
    except jwt.InvalidSignatureError:
        raise errors.invalid_jwt("signature verification failed") from None
    except jwt.InvalidAlgorithmError:
        raise errors.invalid_jwt('"alg" (Algorithm) Header Parameter value not allowed') from None
    except (jwt.PyJWTError, ValueError):
        raise errors.invalid_jwt("Invalid Compact JWS") from None
