"""PURE: what a notebook shows: escaped HTML for light and dark pages, narrow and wide ones.

Colours come from the page's own text colour, and no colour alone says anything. The one style sheet
is for what Markdown may hold; without it (a viewer may drop it) everything is still readable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ._models import Attachment, Counts, Draft, Message, Organization, Permissions, Ticket

Kind = Literal["ticket", "page", "thread", "history"]

_FAINT = "opacity:.75"
_EDGE = "1px solid color-mix(in srgb, currentColor 30%, transparent)"
_CELL = "text-align:left;vertical-align:top;white-space:normal;padding:.35em .7em;max-width:none"
_WIDE = "display:inline-block;min-width:9em;overflow-wrap:anywhere"
_SHEET = (
    "<style>.customer-tickets-text img{max-width:100%;height:auto}"
    ".customer-tickets-text pre{overflow-x:auto}"
    ".customer-tickets-text p{margin:.3em 0}"
    ".customer-tickets-text table{margin:.3em 0;table-layout:auto}"
    ".customer-tickets-text :is(td,th){text-align:left}"
    ".customer-tickets-text :is(h1,h2,h3,h4,h5,h6){font-size:1.1em;margin:.4em 0}</style>"
)
_STATUS = {"open": "○ open", "in-progress": "◐ in progress", "closed": "● closed"}
_PRIORITY = {"low": "↓ low", "medium": "• medium", "high": "↑ high"}
# Marks that turn the direction of writing: with them `gpj.exe` is shown as `exe.jpg`. For
# str.translate, where what somebody wrote is shown among what they did not write.
TURNING = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")


class HistoryRow(NamedTuple):
    """One event as it is shown."""

    seq: int
    at: datetime
    who: str
    role: str
    what: str


def ticket(one: Ticket, now: datetime | None = None) -> str:
    """Return a ticket with its description."""
    return _framed(_head(one, "", now) + _sheet_text(one.html), f"Ticket: {one.subject}")


def tickets(items: Sequence[Ticket], note: str = "", now: datetime | None = None) -> str:
    """Return a table of tickets, with a line below it."""
    rows = [
        (
            _wide(("<b>● unread</b> " if one.unread else "") + _text(one.subject)),
            _status(one),
            _priority(one),
            _time(one.created_at, now),
            _time(one.updated_at, now),
        )
        for one in items
    ]
    table = _table(("Subject", "Status", "Priority", "Created", "Updated"), rows, "No tickets.")
    return _framed(table + _faint(note), "Tickets")


def thread(
    one: Ticket,
    organization: str,
    messages: Sequence[Message],
    history: Iterable[HistoryRow],
    can: Permissions,
    attachments: Sequence[Attachment] = (),
    now: datetime | None = None,
) -> str:
    """Return a ticket with its description, its messages, and its history folded up."""
    events = list(history)
    allowed = [name.replace("_", "-") for name, may in can if may]
    may = f"You may: {', '.join(allowed)}." if allowed else "There is nothing you may do now."
    parts = [
        _SHEET,
        _head(one, organization, now),
        _markdown(one.html),
        "".join(_file(each) for each in attachments),
        "".join(_message(each, now) for each in messages),
        _faint(may),
        f'<details><summary style="cursor:pointer">History ({len(events)})</summary>',
        f'<div style="overflow-x:auto">{_history(events, now)}</div></details>',
    ]
    return _framed("".join(parts), f"Thread: {one.subject}")


def messages(items: Sequence[Message], now: datetime | None = None) -> str:
    """Return messages, one below the other."""
    shown = "".join(_message(one, now) for one in items) or _faint("No messages.")
    return _framed(_SHEET + shown, "Messages")


def message(one: Message, now: datetime | None = None) -> str:
    """Return a message."""
    return _framed(_SHEET + _message(one, now), "Message")


def history(rows: Sequence[HistoryRow], now: datetime | None = None) -> str:
    """Return a table of events."""
    return _framed(_history(rows, now), "History")


def counts(numbers: Counts) -> str:
    """Return the numbers of tickets, each with what it counts."""
    cells = "".join(
        f'<span style="border:{_EDGE};border-radius:.5em;padding:.3em .8em">'
        f'<b style="font-size:1.3em">{number}</b> {name.replace("_", " ")}</span>'
        for name, number in numbers
    )
    return _framed(f'<div style="display:flex;flex-wrap:wrap;gap:.5em">{cells}</div>', "Counts")


def attachment(one: Attachment) -> str:
    """Return a file's name, type and size."""
    return _framed(_file(one), "Attachment")


def organization(one: Organization) -> str:
    """Return an organization's name and its id."""
    return _framed(f"<b>{_text(one.name)}</b> {_faint_word(str(one.id))}", "Organization")


def draft(one: Draft, now: datetime | None = None) -> str:
    """Return what has been written so far, as it was typed."""
    kind = "new ticket" if one.ticket_id is None else "reply"
    typed = one.description if one.ticket_id is None else one.text
    priority = _priority(one) if one.ticket_id is None else ""
    parts = [
        f"<div><b>{_text(one.subject)}</b> {_badge(f'✎ draft of a {kind}')} {priority}</div>",
        f'<div style="white-space:pre-wrap;margin:.4em 0">{escape(typed)}</div>',
        "".join(_file(each) for each in one.attachments),
        f"<div>saved {_time(one.updated_at, now)} {_faint_word(f'version {one.version}')}</div>",
    ]
    return _framed("".join(parts), "Draft")


def skeleton(kind: Kind) -> str:
    """Return a placeholder with the shape of what is being read; it stands still if one asks."""
    widths = {"ticket": (60, 90, 75), "page": (95,) * 5, "history": (70, 80, 60, 75)}.get(
        kind, (60, 90, 40, 85, 40, 80)
    )
    bars = "".join(
        f'<div class="customer-tickets-bar" style="width:{width}%;height:1em;margin:.6em 0;'
        'border-radius:.3em;background:color-mix(in srgb, currentColor 18%, transparent)"></div>'
        for width in widths
    )
    motion = (
        "<style>@keyframes customer-tickets-wait{50%{opacity:.35}}"
        ".customer-tickets-bar{animation:customer-tickets-wait 1.6s ease-in-out infinite}"
        "@media (prefers-reduced-motion:reduce){.customer-tickets-bar{animation:none}}</style>"
    )
    waiting = f'<div role="status" aria-busy="true">{_faint(f"Reading the {kind} …")}{bars}</div>'
    return _framed(motion + waiting, "Reading")


def status_line(text: str) -> str:
    """Return a line that a screen reader says when it changes; nothing for no text."""
    return f'<div role="status" style="{_FAINT};margin:.5em 0">{_text(text)}</div>' if text else ""


def size(count: int) -> str:
    """Return a number of bytes in words, as file managers do: 1.4 MB."""
    if count < 1000:
        return f"{count} bytes" if count != 1 else "1 byte"
    # 999,960 is no 1000.0 kB.
    for unit, amount in (("kB", count / 1e3), ("MB", count / 1e6)):
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
    return f"{count / 1e9:.1f} GB"


def relative(at: datetime, now: datetime) -> str:
    """Return how long ago a time was, or how far ahead it is, in one unit."""
    seconds = round((now - at).total_seconds())
    apart = abs(seconds)
    if apart < 60:
        return "just now"
    if apart < 3600:
        amount = f"{apart // 60} min"
    elif apart < 86400:
        amount = f"{apart // 3600} h"
    else:
        amount = f"{apart // 86400} day" + ("s" if apart >= 2 * 86400 else "")
    return f"{amount} ago" if seconds > 0 else f"in {amount}"


def _framed(inner: str, label: str) -> str:
    return (
        f'<div role="group" aria-label="{_text(label)}" '
        f'style="overflow-x:auto;max-width:100%;line-height:1.45">{inner}</div>'
    )


def _text(value: str) -> str:
    return escape(value.translate(TURNING))


def _faint(text: str) -> str:
    return f'<div style="{_FAINT};margin:.3em 0">{escape(text)}</div>' if text else ""


def _faint_word(text: str) -> str:
    return f'<span style="{_FAINT}">{_text(text)}</span>'


def _badge(text: str, *, strong: bool = False) -> str:
    weight = "bold" if strong else "normal"
    return (
        f'<span style="border:{_EDGE};border-radius:1em;padding:0 .6em;white-space:nowrap;'
        f'display:inline-block;font-weight:{weight}">{_text(text)}</span>'
    )


def _status(one: Ticket) -> str:
    return _badge(_STATUS[one.status])


def _priority(one: Ticket | Draft) -> str:
    return _badge(_PRIORITY[one.priority], strong=one.priority == "high")


def _time(at: datetime, now: datetime | None) -> str:
    at = at.astimezone(UTC)
    ago = relative(at, datetime.now(UTC) if now is None else now)
    return (
        f'<time datetime="{at.isoformat()}" style="white-space:nowrap">{at:%Y-%m-%d %H:%M} UTC'
        f"</time> {_nowrap(ago)}"
    )


def _nowrap(text: str) -> str:
    return f'<span style="{_FAINT};white-space:nowrap">({text})</span>'


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> str:
    """Return a table of cells that are HTML already."""
    # Notebooks style tables for numbers: fixed widths, to the right, on one line.
    body = "".join(
        f'<tr style="background:none;border-top:{_EDGE}">'
        + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    if not body:
        return _faint(empty)
    head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in names)
    return (
        '<table style="border-collapse:collapse;table-layout:auto;margin:0">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _wide(cell: str) -> str:
    return f'<span style="{_WIDE}">{cell}</span>'


def _history(rows: Sequence[HistoryRow], now: datetime | None) -> str:
    cells = [
        (str(row.seq), _time(row.at, now), _person(row.who, row.role), _wide(_text(row.what)))
        for row in rows
    ]
    return _table(("#", "When", "Who", "What"), cells, "No events.")


def _person(name: str, role: str) -> str:
    return f"<bdi>{_text(name)}</bdi> {_faint_word(role)}" if name else _text(role)


def _head(one: Ticket, organization: str, now: datetime | None) -> str:
    unread = "<b>● unread</b> " if one.unread else ""
    by = f" · {_text(organization)}" if organization else ""
    closed = f" · closed {_time(one.closed_at, now)}" if one.closed_at is not None else ""
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:.4em;align-items:center">'
        f'<b style="font-size:1.15em;overflow-wrap:anywhere">{_text(one.subject)}</b> '
        f"{unread}{_status(one)} {_priority(one)}</div>"
        f'<div style="{_FAINT}">created {_time(one.created_at, now)}{closed}{by}</div>'
    )


def _message(one: Message, now: datetime | None) -> str:
    state = {"pending": _badge("… sending"), "failed": _badge("✗ not sent", strong=True)}
    side = "0" if one.author_role == "customer" else "1.5em"
    return (
        f'<div style="border:{_EDGE};border-radius:.5em;padding:.4em .8em;margin:.5em 0 0 {side}">'
        f"<div>{_person(one.author_name, one.author_role)} · {_time(one.created_at, now)} "
        f"{state.get(one.state, '')}</div>{_markdown(one.html)}"
        f"{''.join(_file(each) for each in one.attachments)}</div>"
    )


def _sheet_text(html: str) -> str:
    return _SHEET + _markdown(html)


def _markdown(html: str) -> str:
    return f'<div class="customer-tickets-text" style="overflow-wrap:anywhere">{html}</div>'


def _file(one: Attachment) -> str:
    return (
        f'<div style="overflow-wrap:anywhere">Attached: <bdi>{_text(one.file_name)}</bdi> '
        f"{_faint_word(f'{size(one.size_bytes)} · {one.content_type}')}</div>"
    )
