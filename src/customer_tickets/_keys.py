"""PURE: the project's URL and key, checked before anything is sent with them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ._errors import FieldError, InvalidInput


def checked_url(url: object) -> str:
    """Return the project's base URL without a trailing slash, or raise InvalidInput."""
    url = url.strip() if isinstance(url, str) else ""  # None: a variable that is not set
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        parts, whole = urlsplit(""), False
    if not whole or not url.isascii() or not url.isprintable():
        raise InvalidInput([FieldError("url", "must look like https://abc.supabase.co")])
    if parts.query or parts.fragment or parts.username:
        raise InvalidInput([FieldError("url", "must have no query, fragment or user name")])
    return url.rstrip("/")


def checked_key(key: object) -> str:
    """Return the key, or raise InvalidInput if it is none or one that no customer may hold."""
    key = key.strip() if isinstance(key, str) else ""  # a key from a file ends with a new line
    role = _role(key) if re.fullmatch(r"[\x21-\x7e]+", key) else None
    if role is None:
        raise InvalidInput(
            [FieldError("key", "must be a publishable key (sb_publishable_…) or the anon JWT")]
        )
    if role != "anon":
        raise InvalidInput(
            [FieldError("key", "is a secret key: it would see every customer's tickets")],
            hint="Use the publishable key.",
        )
    return key


def from_environment(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return URL and key from the usual variables, or raise InvalidInput for what is missing."""
    url = environment.get("SUPABASE_URL", "")
    key = environment.get("SUPABASE_PUBLISHABLE_KEY") or environment.get("SUPABASE_ANON_KEY", "")
    missing = [
        FieldError(name, "is not set in the environment")
        for name, value in (("SUPABASE_URL", url), ("SUPABASE_PUBLISHABLE_KEY", key))
        if not value
    ]
    if missing:
        raise InvalidInput(missing)
    return url, key


def checked_timeout(timeout: object) -> float:
    """Return the seconds that a call may take, or raise InvalidInput."""
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout < 1e6:
        return float(timeout)
    raise InvalidInput([FieldError("timeout", "must be a number of seconds above 0")])


def checked_cache(cache: object) -> float:
    """Return the seconds that answers are kept, or raise InvalidInput."""
    if isinstance(cache, int | float) and not isinstance(cache, bool) and 0 <= cache < 1e6:
        return float(cache)
    raise InvalidInput([FieldError("cache", "must be a number of seconds from 0 on")])


def _role(key: str) -> str | None:
    if key.startswith("sb_publishable_"):
        return "anon"
    if key.startswith("sb_secret_"):
        return "service_role"
    try:
        _, payload, _ = key.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["role"])
    except (ValueError, KeyError, TypeError):
        return None
