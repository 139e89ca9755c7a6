"""PURE: who asks, by the token that came along."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from customer_tickets.devstack.realtime.tokens import TokenRefused, verify
from customer_tickets.devstack.storage import errors

__all__ = ["ANON", "SERVICE", "Caller", "Scope", "caller_of"]

_BEARER = re.compile(r"Bearer\s+", re.IGNORECASE)
_WORDS = {
    "MalformedJWT": "Invalid Compact JWS",
    "JwtSignerError": '"alg" (Algorithm) Header Parameter value not allowed',
    "JwtSignatureError": "signature verification failed",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The role that the database is asked as, and the claims that policies read."""

    role: str
    subject: str | None
    claims: Mapping[str, object] = field(repr=False)
    authenticated: bool = True


# Nobody in particular, and the server itself where the caller was let in by other means.
ANON = Caller("anon", None, {"role": "anon"}, authenticated=False)
SERVICE = Caller("service_role", None, {"role": "service_role"})


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything that a policy can ask about a request."""

    caller: Caller
    operation: str
    method: str = ""
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def settings(self) -> list[str]:
        """The values of the settings that `database` makes, in its order."""
        return [
            json.dumps(self.caller.claims),
            self.caller.subject or "",
            self.caller.role,
            json.dumps(self.headers),
            self.method,
            self.path,
            self.operation,
            self.caller.role,
        ]


def caller_of(authorization: str | None, secret: str, now: float) -> Caller:
    """The caller whom this header proves; raises `Unauthorized` for a token that is not good."""
    if authorization is None:
        raise errors.invalid_request("headers must have required property 'authorization'")
    try:
        claims = verify(_BEARER.sub("", authorization, count=1), secret, now)
    except TokenRefused as refused:
        code = refused.reason.partition(":")[0]
        words = _WORDS.get(code, '"exp" claim timestamp check failed')
        raise errors.access_denied(words) from None
    subject = claims.all.get("sub")
    return Caller(claims.role, subject if isinstance(subject, str) else None, claims.all)
