"""PURE: the keys of one stack, tokens signed with its secret, what the gateway makes of keys."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import jwt

_TEN_YEARS = 10 * 365 * 24 * 3600


@dataclass(frozen=True, repr=False)
class Keys:
    """What a project's owner finds on its settings page; never part of a repr or a log."""

    jwt_secret: str
    publishable: str
    secret: str
    anon: str
    service_role: str
    # Opens the parts' own endpoints (mails); nobody outside the stack has it.
    control: str

    @classmethod
    def made_now(cls) -> Self:
        """Return fresh random keys."""
        jwt_secret = secrets.token_urlsafe(40)
        now = int(time.time())

        def role_key(role: str) -> str:
            claims = {"iss": "supabase", "role": role, "iat": now, "exp": now + _TEN_YEARS}
            return jwt.encode(claims, jwt_secret, "HS256")

        return cls(
            jwt_secret=jwt_secret,
            publishable=f"sb_publishable_{secrets.token_urlsafe(16)}_{secrets.token_hex(4)}",
            secret=f"sb_secret_{secrets.token_urlsafe(16)}_{secrets.token_hex(4)}",
            anon=role_key("anon"),
            service_role=role_key("service_role"),
            control=secrets.token_urlsafe(24),
        )

    def to_dict(self) -> dict[str, str]:
        """Return the keys by name, to be kept or handed to a child."""
        return asdict(self)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token with these claims that every part of the stack accepts."""
        return jwt.encode(dict(claims), self.jwt_secret, "HS256")

    def role_token(self, key: str) -> str | None:
        """Return the JWT of the role that an API key stands for, None when it is no key of ours."""
        if key in (self.publishable, self.anon):
            return self.anon
        if key in (self.secret, self.service_role):
            return self.service_role
        return None


def user_claims(issuer: str, user_id: str, email: str, lifetime: float) -> dict[str, Any]:
    """Return what the token of a user says who signed in with a password just now."""
    now = int(time.time())
    return {
        "iss": issuer,
        "sub": user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "email": email,
        "phone": "",
        "iat": now,
        "exp": int(now + lifetime),
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {},
        "is_anonymous": False,
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
    }


def authorization(sent: str | None, role_token: str) -> str:
    """Return the Authorization header for the parts behind the gateway.

    A user's token passes. No header, or a new-style key in it (which is no token), becomes the
    token of the key's role: the rule of hosted gateways.
    """
    if sent is None or sent.lower().startswith("bearer sb_"):
        return f"Bearer {role_token}"
    return sent
