"""What an export is written as: names that are safe everywhere, quotes that nobody leaves."""

import json
from datetime import UTC, datetime
from unicodedata import normalize
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import ValidationError

from customer_tickets import Attachment, Feedback, Message, MessageAdded, Organization, Ticket
from customer_tickets import TicketCreated as Created
from customer_tickets._export_format import (
    FileEntry,
    Manifest,
    TicketDocument,
    TicketEntry,
    as_json,
    as_manifest,
    as_markdown,
    folder_of,
    paths_of,
)

AT = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
ID = UUID("71c00000-0000-4000-8000-000000000001")
# What means something in Markdown, in HTML or at the beginning of a line, and some of the rest.
NASTY = st.lists(
    st.sampled_from(
        [
            *("#", "# ", "## x", "> ", "\n", "\r", "\r\n", "\n\n", "---", "===", "```", "~~~"),
            *("<!--", "<script>", "</div>", "<", ">", "[", "]", "(", ")", "![", "[a]: b", "*", "_"),
            *("`", "|", "\\", "&lt;", "- ", "1. ", "    ", "\t", "a", "\u2028", "\x0b", "\x0c"),
            *("\x85", "é", " "),
        ]
    ),
    max_size=12,
).map("".join)


def attachment(name: str = "a.txt", **more: object) -> Attachment:
    fields = {
        "id": uuid4(),
        "user_id": ID,
        "ticket_id": ID,
        "file_name": name,
        "content_type": "text/plain",
        "size_bytes": 3,
        "sha256": "0" * 64,
        "created_at": AT,
    }
    return Attachment.model_validate(fields | more)


def document(
    subject: str = "Subject",
    description: str = "",
    body: str = "Body",
    who: str = "Ana",
    files: tuple[Attachment, ...] = (),
    comment: str | None = None,
) -> TicketDocument:
    ticket = Ticket(
        id=ID,
        user_id=ID,
        subject=subject,
        description=description,
        status="open",
        priority="low",
        handling_org_id=ID,
        last_seq=2,
        last_staff_seq=2,
        last_read_seq=1,
        created_at=AT,
        updated_at=AT,
    )
    message = Message(
        id=uuid4(),
        ticket_id=ID,
        seq=2,
        author_id=ID,
        author_role="customer",
        author_name=who,
        body=body,
        attachments=files,
        created_at=AT,
    )
    actor = {"ticket_id": ID, "created_at": AT, "actor_id": ID, "actor_role": "customer"}
    events = (
        Created.model_validate({**actor, "seq": 1, "actor_name": who}),
        MessageAdded.model_validate({**actor, "seq": 2, "actor_name": who, "message": message}),
    )
    feedback = Feedback(ticket_id=ID, rating=3, comment=comment, created_at=AT, updated_at=AT)
    organization = Organization(id=ID, name=who, reopen_window_seconds=1)
    return TicketDocument(ticket, organization, feedback, (), events)


def blocks(page: str) -> list[str]:
    """The page's own blocks, with what lies inside of quotes left out."""
    return [token.type for token in outside(page) if token.nesting >= 0 and token.type != "inline"]


def outside(page: str) -> list[Token]:
    depth, found = 0, list[Token]()
    for token in MarkdownIt("commonmark").parse(page):
        depth += token.nesting if token.type.startswith("blockquote") else 0
        if depth == 0 or (depth == 1 and token.type == "blockquote_open"):
            found.append(token)
    return found


@settings(max_examples=400, deadline=None)
@given(NASTY, NASTY, NASTY, NASTY, NASTY)
def test_nobody_leaves_their_quote(
    subject: str, description: str, body: str, who: str, name: str
) -> None:
    # The database takes no blank ones.
    file = attachment(f"a{name}".replace("/", "").replace("\n", "")[:200])
    texts = (f"s{subject}", f"d{description}", f"b{body}", f"w{who}", (file,), f"c{body}")
    page = as_markdown(document(*texts), paths_of([file])).decode()
    plain = as_markdown(document("s", "d", "b", "w", (attachment(),), "c"), {file.id: "x"})
    assert blocks(page) == blocks(plain.decode())
    inside = [child for token in outside(page) for child in token.children or []]
    kinds = {child.type for child in inside}
    assert kinds <= {"text", "em_open", "em_close", "link_open", "link_close", "text_special"}
    links = [child.attrGet("href") for child in inside if child.type == "link_open"]
    assert len(links) == 1
    assert str(links[0]).startswith("attachments/")


def test_nobody_turns_the_direction_of_what_others_wrote() -> None:
    mark = "\u202e"
    file = attachment(f"{mark}gpj.exe")
    page = as_markdown(
        document(f"s{mark}", "d", "b", f"w{mark}", (file,)), paths_of([file])
    ).decode()
    assert mark not in page
    assert "\ufffdgpj" in page


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=260), max_size=8))
def test_names_are_safe_and_unlike_each_other(names: list[str]) -> None:
    files = [attachment(name) for name in names]
    paths = [*paths_of(files).values()]
    folded = {normalize("NFKC", path).casefold() for path in paths}
    assert len(folded) == len(files)
    for path in paths:
        folder, _, name = path.partition("/")
        assert folder == "attachments"
        assert 1 <= len(name.encode()) <= 255
        assert not set('<>:"/\\|?*\0\n') & set(name)
        assert name not in {".", ".."}
        assert FileEntry(path=path, size=0, sha256="0" * 64).path == path
    # What comes later changes nothing of what was written.
    assert [*paths_of(files[:3]).values()] == paths[:3]


def test_the_same_name_twice_is_told_apart() -> None:
    names = ["a.txt", "A.TXT", "a.txt", "a (2).txt", "x" * 251 + ".txt", "x" * 251 + ".txt", "nul"]
    assert [path.partition("/")[2] for path in paths_of(map(attachment, names)).values()] == [
        "a.txt",
        "A (2).TXT",
        "a (3).txt",
        "a (2) (2).txt",
        "x" * 251 + ".txt",
        "x" * 247 + " (2).txt",
        "_nul",
    ]


def test_a_folder_is_named_by_the_day_in_utc() -> None:
    assert folder_of(document().ticket) == f"2026-03-01-{ID}"


def test_json_depends_on_events_alone() -> None:
    one = document()
    read = TicketDocument(
        one.ticket.model_copy(update={"last_read_seq": 2}),
        one.organization,
        one.feedback,
        one.attachments,
        one.events,
    )
    assert as_json(one, {}) == as_json(read, {})
    saved = json.loads(as_json(one, {}))
    assert "last_read_seq" not in saved["ticket"]
    assert saved["events"][1]["message_id"] == saved["messages"][0]["id"]
    assert "message" not in saved["events"][1]


def test_what_was_not_saved_is_said_so() -> None:
    page = as_markdown(document(files=(attachment("a.txt"),)), {}).decode()
    assert "- a\\.txt (not saved), text\\/plain, 3 bytes" in page


ENTRY = {"id": ID, "last_seq": 1, "messages": 0, "attachments": 0, "with_attachments": True}


@pytest.mark.parametrize(
    "path",
    [
        *("", "/x", "../x", "x/y", "attachments/", "attachments/..", "attachments/../x", "a\\b"),
        *("c:d", "attachments/a/b", "attachments/\\\\host", "..", "a\0", "//x", "a\n"),
    ],
)
def test_a_manifest_leads_nowhere_else(path: str) -> None:
    with pytest.raises(ValidationError):
        FileEntry(path=path, size=1, sha256="0" * 64)


@pytest.mark.parametrize("folder", ["", "..", "/", "2026-03-01", f"2026-03-01-{ID}/..", f"x{ID}"])
def test_a_ticket_has_a_folder_of_its_own(folder: str) -> None:
    with pytest.raises(ValidationError):
        TicketEntry.model_validate({**ENTRY, "folder": folder, "files": []})


def test_a_manifest_comes_back_as_it_was() -> None:
    entry = TicketEntry.model_validate(
        {**ENTRY, "folder": f"2026-03-01-{ID}", "files": [], "missing": [ID]}
    )
    manifest = Manifest(
        complete=True, exported_at=AT, user_id=ID, library_version="1", tickets=(entry,)
    )
    assert Manifest.model_validate_json(as_manifest(manifest)) == manifest
