"""PURE: what the gateway answers by itself, by the look of a request."""

from collections.abc import Mapping

from yarl import URL

# For programs in browsers: whoever has a key may ask from any page.
OPEN_TO_PAGES = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}
_ASKED_METHOD = "Access-Control-Request-Method"
_ASKED_HEADERS = "Access-Control-Request-Headers"
# Of what is changed these choose nothing.
_NO_FILTERS = frozenset({"select", "order", "limit", "offset", "columns", "on_conflict", "apikey"})
_STATEMENTS = {"PATCH": "UPDATE", "DELETE": "DELETE"}
_TABLES, _FUNCTIONS = "/rest/v1/", "/rest/v1/rpc/"


def preflight(method: str, headers: Mapping[str, str]) -> dict[str, str] | None:
    """Return the headers that let a page send what it asks for, None when it does not ask."""
    if method != "OPTIONS" or _ASKED_METHOD not in headers:
        return None
    return {
        "Access-Control-Allow-Methods": headers[_ASKED_METHOD],
        "Access-Control-Allow-Headers": headers.get(_ASKED_HEADERS, ""),
        "Access-Control-Max-Age": "3600",
    }


def climbs(path: str) -> bool:
    """Tell whether a decoded path has a segment that its part may take for "here" or "above"."""
    # A cheap look first: nearly no path has one. URLs in Node take a backslash for a slash.
    if "." not in path:
        return False
    return any(segment in {".", ".."} for segment in path.replace("\\", "/").split("/"))


def unfiltered(method: str, url: URL) -> dict[str, str | None] | None:
    """Return PostgREST's refusal of a change to all rows of a table, None for any other request.

    Hosted projects load the extension safeupdate, which the Postgres here does not have.
    """
    statement = _STATEMENTS.get(method)
    if statement is None or not url.path.startswith(_TABLES) or url.path.startswith(_FUNCTIONS):
        return None
    if not url.query.keys() <= _NO_FILTERS:
        return None
    message = f"{statement} requires a WHERE clause"
    return {"code": "21000", "details": None, "hint": None, "message": message}
