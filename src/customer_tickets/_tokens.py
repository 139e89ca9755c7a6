"""PURE: a session's tokens, how they are written into a store, and what a token says of itself."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ._errors import FieldError, InvalidInput
from ._models import User

_MARGIN = 60.0
_CLAIMS = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class Tokens:
    """The two tokens of a session and whose they are; times are in seconds."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    lifetime: float
    # By this machine's own wall clock, so that a wrong clock does not matter.
    expires_at: float
    user: User

    def seconds_fresh(self, now: float) -> float:
        """Return for how long the access token needs no refresh; below 0 when it does."""
        # Tokens of a few seconds exist in tests and strict projects: a quarter of their life.
        return self.expires_at - min(_MARGIN, self.lifetime / 4) - now

    def is_alive(self, now: float) -> bool:
        """Tell whether the access token has not expired."""
        return now < self.expires_at

    def newer_than(self, other: Tokens) -> bool:
        """Tell whether these came after the others: a refresh or sign-in of that user."""
        return (
            self.user.id == other.user.id
            and self.refresh != other.refresh
            and self.expires_at > other.expires_at
        )


class _Stored(BaseModel):
    """What stands in a store. The first field's name tells our text from anybody else's."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    customer_tickets_session: int
    url: str
    user_id: str
    email: str | None
    access_token: str
    refresh_token: str
    lifetime: float
    expires_at: float


def written(tokens: Tokens, url: str) -> str:
    """Return the text that a store keeps of a session at the project with this URL."""
    stored = _Stored(
        customer_tickets_session=1,
        url=url,
        user_id=str(tokens.user.id),
        email=tokens.user.email,
        access_token=tokens.access,
        refresh_token=tokens.refresh,
        lifetime=tokens.lifetime,
        expires_at=tokens.expires_at,
    )
    return stored.model_dump_json(indent=1) + "\n"


def is_written(text: str) -> bool:
    """Tell whether a text was made by `written`, for whatever project."""
    return _read(text) is not None


def read(text: str | None, url: str) -> Tokens | None:
    """Return the session of this project that a store's text holds, None when it holds none."""
    stored = None if text is None else _read(text)
    if stored is None or stored.url != url:
        return None
    return Tokens(
        stored.access_token,
        stored.refresh_token,
        stored.lifetime,
        stored.expires_at,
        User(id=UUID(stored.user_id), email=stored.email),
    )


def _read(text: str) -> _Stored | None:
    try:
        stored = _Stored.model_validate_json(text)
        UUID(stored.user_id)
    except (ValidationError, ValueError):
        return None
    whole = _is_bare(stored.access_token) and _is_bare(stored.refresh_token)
    return stored if whole and stored.customer_tickets_session == 1 else None


@dataclass(frozen=True)
class Claims:
    """What an access token says of itself, unproved; `expires_at` is by the server's clock."""

    user_id: UUID
    expires_at: float
    lifetime: float | None


def checked_tokens(access: object, refresh: object) -> Claims:
    """Return what the access token says, or raise one InvalidInput for what cannot be a session."""
    wrong: list[FieldError] = []
    claims = _claims(access) if isinstance(access, str) and _is_bare(access) else None
    if claims is None:
        wrong.append(FieldError("access_token", "must be the access token of a signed-in user"))
    if not isinstance(refresh, str) or not _is_bare(refresh):
        wrong.append(FieldError("refresh_token", "must be the refresh token of a session"))
    if claims is None or wrong:
        raise InvalidInput(wrong)
    return claims


def _is_bare(token: str) -> bool:
    return token != "" and token.isascii() and token.isprintable() and " " not in token


def _claims(access: str) -> Claims | None:
    try:
        _, payload, _ = access.split(".")
        claims = _CLAIMS.validate_json(
            base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        )
        expires_at = float(claims["exp"])
        issued_at = claims.get("iat")
        lifetime = None if issued_at is None else expires_at - float(issued_at)
        return Claims(UUID(claims["sub"]), expires_at, lifetime)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
