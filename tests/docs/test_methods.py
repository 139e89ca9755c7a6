"""Every public method and property of what does the work is told of outside of the reference."""

import inspect
import re

import pytest

import customer_tickets
from docs.pages import ROOT

PROSE = "\n".join(
    page.read_text() for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "reference.md"
)
# What one part of the library asks of another.
INSIDE = {"forget", "ready", "take", "follow"}
# A file's and a program's memory's part of the protocol, which is told of as the store's.
OF_STORES = {"try_lock"}
MODELS = {
    name
    for name in customer_tickets.__all__
    if inspect.isclass(found := getattr(customer_tickets, name))
    and (hasattr(found, "model_fields") or issubclass(found, BaseException))
}


def members(name: str) -> set[str]:
    """The public methods and properties of a class, inherited ones too."""
    return {
        member
        for one in inspect.getmro(getattr(customer_tickets, name))
        if one.__module__.startswith("customer_tickets")
        for member, value in vars(one).items()
        if not member.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod))
    }


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in customer_tickets.__all__
        if inspect.isclass(getattr(customer_tickets, name)) and name not in MODELS
    ],
)
def test_a_page_tells_of_every_method(name: str) -> None:
    told = {member for member in members(name) if re.search(rf"[.`]{member}\b|\b{member}\(", PROSE)}
    assert members(name) - told - INSIDE - OF_STORES == set()


def test_there_is_something_to_tell() -> None:
    assert {"send", "rate", "retry", "live", "draft"} <= members("TicketThread")
    assert "next" in members("TicketFeed")
    assert "Ticket" in MODELS
    assert "Offline" in MODELS
