"""PURE: what the gateway answers by itself, by the look of a request."""

from yarl import URL

# Of what is changed these choose nothing.
_NO_FILTERS = frozenset({"select", "order", "limit", "offset", "columns", "on_conflict", "apikey"})
_STATEMENTS = {"PATCH": "UPDATE", "DELETE": "DELETE"}
_TABLES, _FUNCTIONS = "/rest/v1/", "/rest/v1/rpc/"


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
