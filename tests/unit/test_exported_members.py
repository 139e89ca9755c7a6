"""The public names are the ones promised, and nothing leaks in from inside."""

import inspect

import customer_tickets


def test_all_lists_every_public_name() -> None:
    public = [
        name
        for name, value in vars(customer_tickets).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    ]
    assert sorted(public) == sorted(customer_tickets.__all__)


def test_every_public_class_and_method_has_a_docstring() -> None:
    bare = [
        f"{name}.{part}"
        for name in customer_tickets.__all__
        if inspect.isclass(found := getattr(customer_tickets, name))
        for part, value in [("", found), *vars(found).items()]
        if not part.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and not value.__doc__
    ]
    assert bare == []


def test_both_faces_have_the_same_methods() -> None:
    for name in ("CustomerTickets", "TicketThread", "TicketPage", "Organizations", "TicketFeed"):
        blocking = {part for part in vars(getattr(customer_tickets, name)) if part[0] != "_"}
        waiting = {
            "close" if part == "aclose" else part
            for part in vars(getattr(customer_tickets, f"Async{name}"))
            if part[0] != "_"
        }
        inside = {"forget", "ready", "take"}
        fields = {"items", "total", "has_next", "has_previous", "last_seq"}
        assert blocking - fields == waiting - inside, name
