"""What a notebook shows is escaped, needs no style sheet, and says in words what it shows."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import customer_tickets
from customer_tickets import Attachment, Counts, Draft, Message, Permission, Permissions, Ticket
from customer_tickets import _html as shown
from customer_tickets._models import Frozen

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID(int=7)
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\u202e"
# What is ours, and what Markdown can be.
TAGS = {
    *("div", "span", "b", "bdi", "time", "details", "summary", "style", "p", "br", "hr", "pre"),
    *("table", "thead", "tbody", "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("blockquote", "ul", "ol", "li", "em", "strong", "s", "code", "a", "img"),
}
VOID = {"br", "hr", "img"}


class Page(HTMLParser):
    """Fails on a tag or an attribute that nothing here writes, and on one that is not closed."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        for name, _ in attrs:
            assert not name.startswith("on")
            assert name not in {"srcdoc", "formaction"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def words(markup: str) -> str:
    return re.sub(r"\s+", " ", Page(markup).text).strip()


def ticket(**changed: Any) -> Ticket:
    known: dict[str, Any] = {
        "id": ID,
        "user_id": ID,
        "subject": "Refund",
        "description": "The **blue** one.",
        "status": "in-progress",
        "priority": "high",
        "handling_org_id": ID,
        "last_seq": 2,
        "last_staff_seq": 2,
        "created_at": NOW - timedelta(days=2),
        "updated_at": NOW - timedelta(minutes=5),
    }
    return Ticket(**{**known, **changed})


def attachment(name: str = "photo.jpg", kind: str = "image/jpeg") -> Attachment:
    return Attachment(
        id=ID,
        user_id=ID,
        file_name=name,
        content_type=kind,
        size_bytes=1_400_000,
        sha256="0" * 64,
        created_at=NOW,
    )


def message(body: str = "Hello *you*", **changed: Any) -> Message:
    known: dict[str, Any] = {
        "id": ID,
        "ticket_id": ID,
        "seq": 2,
        "author_id": ID,
        "author_role": "customer",
        "author_name": "Ana",
        "body": body,
        "created_at": NOW - timedelta(hours=3),
    }
    return Message(**{**known, **changed})


def draft(**changed: Any) -> Draft:
    known: dict[str, Any] = {
        "id": ID,
        "ticket_id": None,
        "subject": "Lamp",
        "description": "It **flickers",
        "priority": "low",
        "body": "",
        "reply_to": None,
        "version": 3,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Draft(**{**known, **changed})


YES, NO = Permission(allowed=True), Permission(allowed=False)
CAN = Permissions(reply=YES, edit=YES, close=NO, reopen=NO, rate=NO, follow_up=YES)
ROW = shown.HistoryRow(1, NOW, "Ana", "customer", "created the ticket")


def thread(text: str = "Hi") -> str:
    return shown.thread(
        ticket(subject=text, description=text),
        text,
        [message(text, author_name=text, attachments=(attachment(text, text),))],
        [shown.HistoryRow(1, NOW, text, text, text)],
        CAN,
        [attachment(text, text)],
        NOW,
    )


EVERY: list[Callable[[str], str]] = [
    thread,
    lambda text: shown.ticket(ticket(subject=text, description=text), NOW),
    lambda text: shown.tickets([ticket(subject=text)], text, NOW),
    lambda text: shown.message(message(text, author_name=text), NOW),
    lambda text: shown.history([shown.HistoryRow(1, NOW, text, text, text)], NOW),
    lambda text: shown.attachment(attachment(text, text)),
    lambda text: shown.draft(draft(subject=text, description=text), NOW),
    lambda text: shown.draft(draft(ticket_id=ID, subject="", description="", body=text), NOW),
]


@pytest.mark.parametrize("show", EVERY)
def test_nothing_that_people_wrote_is_markup(show: Callable[[str], str]) -> None:
    text = words(show(HOSTILE))
    assert "<script>alert(1)</script>" in text


@given(st.text(max_size=60), st.sampled_from(EVERY))
def test_any_text_is_shown_safely(text: str, show: Callable[[str], str]) -> None:
    Page(show(text))


def test_a_file_name_does_not_turn_its_ending_round() -> None:
    assert "\u202e" not in shown.attachment(attachment("evil\u202egpj.exe"))


def test_a_ticket_says_all_in_words() -> None:
    assert words(shown.ticket(ticket(), NOW)) == (
        "Refund ● unread ◐ in progress ↑ highcreated 2026-02-27 12:00 UTC (2 days ago)The blue one."
    )


def test_a_page_is_a_table_with_its_place_in_the_list() -> None:
    markup = shown.tickets([ticket(), ticket(subject="Lamp", last_staff_seq=0)], "2 of 9.", NOW)
    assert markup.count("<tr") == 3
    assert markup.count("unread") == 1
    assert words(markup).endswith("2026-03-01 11:55 UTC (5 min ago)2 of 9.")
    assert words(shown.tickets([])) == "No tickets."


def test_a_thread_shows_messages_files_and_what_one_may_do() -> None:
    text = words(thread("Hi"))
    assert "Ana" not in text
    assert "You may: reply, edit, follow-up." in text
    assert text.count("Attached: Hi 1.4 MB · Hi") == 2
    assert "History (1)" in text
    pending = message(state="pending"), message(state="failed")
    assert "… sending" in words(shown.messages(pending, NOW))
    assert "✗ not sent" in words(shown.messages(pending, NOW))
    assert words(shown.messages([])) == "No messages."
    assert words(shown.history([])) == "No events."


def test_models_show_themselves() -> None:
    counts = Counts(open=3, in_progress=1, closed=2, unread=1)
    every = (ticket(), message(), attachment(), draft(), counts)
    texts = [words(one._repr_html_()) for one in every]
    assert "3 open1 in progress2 closed1 unread" in texts
    assert [text[:6] for text in texts[:4]] == ["Refund", "Ana cu", "Attach", "Lamp ✎"]


@pytest.mark.parametrize("kind", ["ticket", "page", "thread", "history"])
def test_a_skeleton_stands_still_for_who_asks(kind: Any) -> None:
    markup = shown.skeleton(kind)
    assert words(markup) == f"Reading the {kind} …"
    assert re.search(r"prefers-reduced-motion:reduce\)\{[^}]*animation:none", markup)
    assert 'aria-busy="true"' in markup


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (26_214_400, "26.2 MB"),
        (3_000_000_000, "3.0 GB"),
    ],
)
def test_sizes_are_in_words(count: int, said: str) -> None:
    assert shown.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (3_600, "1 h ago"),
        (86_400, "1 day ago"),
        (86_400 * 40, "40 days ago"),
        (-7_200, "in 2 h"),
    ],
)
def test_times_are_in_words(seconds: int, said: str) -> None:
    assert shown.relative(NOW - timedelta(seconds=seconds), NOW) == said


def test_times_of_any_zone_are_shown_in_utc() -> None:
    there = datetime.fromisoformat("2026-03-01T05:00:00+05:30")
    assert "2026-02-28 23:30 UTC" in words(shown.ticket(ticket(created_at=there), NOW))


SAFE = {
    *("id", "ticket_id", "seq", "last_seq", "version", "rating", "status", "priority", "state"),
    *("author_role", "size_bytes", "content_type", "allowed", "reason", "until", "kind", "fields"),
    *("open", "in_progress", "closed", "unread"),
    *("reply", "edit", "close", "reopen", "rate", "follow_up"),
}
# Statuses, not texts; models, which hide their own.
SAFE_IN = {
    "StatusChanged": {"before", "after"},
    "Submitted": {"ticket", "message"},
    "TicketChanged": {"ticket"},
    "Organization": {"name"},
    "Verification": {"first_seq", "differing"},
    "Person": {"role"},
    "Presence": {"here", "typists"},
}
MODELS = [
    found
    for name in customer_tickets.__all__
    if isinstance(found := getattr(customer_tickets, name), type) and issubclass(found, Frozen)
]


@pytest.mark.parametrize("model", MODELS)
def test_a_repr_shows_nothing_that_a_person_wrote(model: type[Frozen]) -> None:
    names = set(model.model_fields) - SAFE - SAFE_IN.get(model.__name__, set())
    values: dict[str, Any] = {name: "marked" if name in names else 1 for name in model.model_fields}
    one = model.model_construct(**values)
    assert names or model.__name__ in {"Counts", "Permissions", "Permission"} | set(SAFE_IN)
    assert "marked" not in f"{one!r}{one!s}{one}"
