"""No foreign error is forgotten: every class that may reach us is translated, or never reaches us.

Classes are read from the installed packages and codes from the migrations, so that a new one of
either fails here until somebody decides about it.
"""

import importlib
import inspect
import json
import pkgutil
import re
import sys
import warnings
from datetime import UTC, datetime

import httpx
import pytest
import supabase_auth.errors as auth

import customer_tickets
from customer_tickets import (
    CustomerTicketsError,
    InvalidInput,
    Offline,
    RatingWindowOver,
    ReopenWindowOver,
    migrate,
)
from customer_tickets._translate import from_auth, from_network, from_response

PACKAGES = (
    "supabase",
    "supabase_functions",
    "postgrest",
    "storage3",
    "supabase_auth",
    "realtime",
    "httpx",
    "websockets",
)

# What can never reach a caller, and why. The name is a class, or a package for all of its classes.
NEVER = {
    "supabase": "it is raised where the user makes a client, before we are given it",
    "supabase_functions": "no function is ever called",
    "postgrest": "it builds queries only: the answer is read as it came, by _connection",
    "storage3": "it is not used: storage is asked over HTTP, by _connection",
    "realtime": "_live/line.py takes any Exception for a broken websocket and makes a new one",
    "websockets": "_live/line.py takes any Exception for a broken websocket and makes a new one",
    "httpx.HTTPStatusError": "only raise_for_status raises it: supabase_auth wraps it",
    "httpx.HTTPError": "it is the base of RequestError and HTTPStatusError, never raised itself",
    "httpx.InvalidURL": "URLs are the project's, checked when the client is made, and fixed paths",
    "httpx.CookieConflict": "no cookie is looked for by name",
    "httpx.StreamError": "it and its kind are mistakes in the use of a stream, not of a server",
}


def classes(package: str) -> list[type[BaseException]]:
    """Return every exception class that an installed package defines, in any of its modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for found in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f"{package}."
        ):
            if found.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(found.name)
            except ModuleNotFoundError:  # of an optional part, whose errors nobody can raise
                continue
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == package]
    defined = {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, BaseException)
        and value.__module__.split(".")[0] == package
    }
    return sorted(defined, key=name_of)


def name_of(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def reason(kind: type[BaseException]) -> str | None:
    """Return why a class never reaches a caller; a reason is for what is below the class too."""
    package = kind.__module__.split(".")[0]
    if package in NEVER:
        return NEVER[package]
    if name_of(kind) == "httpx.HTTPError":
        return NEVER["httpx.HTTPError"]
    known = (name_of(above) for above in kind.__mro__ if name_of(above) != "httpx.HTTPError")
    return next((NEVER[name] for name in known if name in NEVER), None)


def translated(kind: type[BaseException]) -> CustomerTicketsError | None:
    """Return what an error of this class becomes, None when nothing translates it."""
    error = kind.__new__(kind)
    error.args = ("private@example.com",)
    if isinstance(error, httpx.RequestError):
        return from_network(error)
    if isinstance(error, auth.AuthError):
        error.message, error.code = "private@example.com", None
        return from_auth(error)
    return None


EVERY = [kind for package in PACKAGES for kind in classes(package)]


@pytest.mark.parametrize("kind", EVERY, ids=name_of)
def test_a_foreign_class_is_translated_or_never_reaches_a_caller(
    kind: type[BaseException],
) -> None:
    ours = translated(kind)
    assert (ours is None) != (reason(kind) is None), (ours, reason(kind))
    if ours is not None:
        assert "private" not in f"{ours}{ours!r}"


def test_every_reason_is_about_something() -> None:
    names = {name_of(kind) for kind in EVERY} | {name_of(kind).split(".")[0] for kind in EVERY}
    assert set(NEVER) <= names


@pytest.mark.parametrize("package", ["realtime", "websockets"])
def test_what_breaks_a_websocket_can_be_taken_for_an_end(package: str) -> None:
    assert [kind for kind in classes(package) if not issubclass(kind, Exception)] == []


def test_a_network_error_inside_one_of_auth_is_offline() -> None:
    for kind in classes("httpx"):
        if issubclass(kind, httpx.RequestError):
            error = auth.AuthRetryableError("private", 0)
            error.__cause__ = kind("private")
            assert isinstance(from_auth(error), Offline)


DETAILS = {
    "TK001": json.dumps([{"field": "subject", "message": "It is missing."}]),
    "TK005": "2026-01-02T03:04:05+00:00",
    "TK007": "2026-01-02T03:04:05+00:00",
}
RAISED = sorted(
    {
        code
        for migration in migrate.migrations()
        for code in re.findall(r"refuse\('(\w{5})'", migration.sql)
        + re.findall(r"'(TK\d{3})'", migration.sql)
        + re.findall(r"errcode\s*=\s*'(\w{5})'", migration.sql)
    }
)


def raised(code: str, details: str = "") -> CustomerTicketsError:
    body = {"code": code, "message": "It is refused.", "hint": "A hint.", "details": details}
    return from_response(httpx.Response(400, json=body))


def test_the_codes_are_found() -> None:
    assert {"23505", "TK001", "TK007", "TK009"} <= set(RAISED)


@pytest.mark.parametrize("code", RAISED)
def test_a_code_that_the_migrations_raise_is_an_error_of_its_own(code: str) -> None:
    error = raised(code, DETAILS.get(code, ""))
    assert type(error).__name__ in customer_tickets.__all__
    assert type(error) is not CustomerTicketsError
    assert error.code == code
    others = {type(raised(other, DETAILS.get(other, ""))) for other in RAISED if other != code}
    assert type(error) not in others
    assert "private" not in f"{error}{error!r}"


@pytest.mark.parametrize(
    ("code", "kind"), [("TK005", ReopenWindowOver), ("TK007", RatingWindowOver)]
)
def test_when_a_window_ended_is_kept(
    code: str, kind: type[ReopenWindowOver] | type[RatingWindowOver]
) -> None:
    error = raised(code, DETAILS[code])
    assert isinstance(error, kind)
    assert error.ended_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    unknown = raised(code, "soon")
    assert isinstance(unknown, kind)
    assert unknown.ended_at is None


def test_a_field_is_named_whatever_the_details_are() -> None:
    error = raised("TK001", DETAILS["TK001"])
    assert isinstance(error, InvalidInput)
    assert [wrong.field for wrong in error.fields] == ["subject"]
