"""Random input through everything that takes text: exactly back, or InvalidInput, nothing else.

`make fuzz` sends 100,000 of them; else a few, `CUSTOMER_TICKETS_FUZZ` says how many.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unicodedata import normalize
from uuid import UUID, uuid4

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from customer_tickets import AsyncCustomerTickets, AsyncTicketThread, InvalidInput, Upload
from customer_tickets.devstack.fixtures import StackUser, UserFactory
from fix_stack import People
from remote_project import Stack

INPUTS = int(os.environ.get("CUSTOMER_TICKETS_FUZZ", "2000"))
AT_ONCE = 20
# Nobody has more tickets than this: it is not the size of lists that is looked at here.
INPUTS_A_USER = 1000

HOSTILE = (
    "'; drop table public.tickets; --", "\\'; select pg_sleep(9); --", "%_\\%", "\"),or=(id.gt.0",
    "*", "a,b.eq.(c)", "{\"a\": 1}", "null", "NaN", "$$", "${jndi:ldap://x}", "%00", "\\u0000",
    "\x00", "a\x00b", "\ud800", "a\udfffb",
    "\u202egpj.exe", "\u200d", "👩‍👩‍👧‍👦", "e\u0301" * 30, "ﷺ",
    "İıſß", "\ufeff", "\u2028\u2029", "\r\n\r\nX: y", "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](data:text/html,x)",
    "<!-- <a href='", "&lt;b&gt;", "\x1b[31m", "../../etc/passwd", "..", "con.txt", "a/b\\c",
    "-rf", ".", " ", "\t\n", "", "x" * 255, "ä" * 255, "x" * 20_000, "é" * 20_001, "w " * 21,
    "x" * (1 << 20), "😀" * 20_000,
)  # fmt: skip
ANY_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=60),
    st.text(st.sampled_from("a%_\\'\"<>&*,.()[]!:;/{}|`~#\n \t\u0301\u202e\u200d😀"), max_size=60),
    st.sampled_from(HOSTILE),
    st.tuples(st.sampled_from(HOSTILE[:44]), st.text(max_size=10)).map("".join),
)
NO_TEXT = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=5),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1), st.lists(st.text(max_size=2)),
    st.just(object()), st.just(uuid4()),
)  # fmt: skip
MOSTLY_TEXT = st.integers(0, 9).flatmap(lambda n: NO_TEXT if n == 0 else ANY_TEXT)
# What a file on a disk can be called: any bytes but two.
DISK_NAMES = st.binary(min_size=1, max_size=200).map(
    lambda name: name.replace(b"/", b"_").replace(b"\x00", b"_")
)
Input = tuple[str, tuple[Any, ...]]
INPUT = st.one_of(
    st.tuples(st.just("create"), st.tuples(MOSTLY_TEXT, MOSTLY_TEXT)),
    st.tuples(st.just("send"), st.tuples(MOSTLY_TEXT)),
    st.tuples(st.just("search"), st.tuples(MOSTLY_TEXT)),
    st.tuples(st.just("draft"), st.tuples(MOSTLY_TEXT, MOSTLY_TEXT)),
    st.tuples(st.just("file"), st.tuples(MOSTLY_TEXT)),
    st.tuples(st.just("disk"), st.tuples(DISK_NAMES)),
)
ALLOWED = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "em"),
    *("strong", "s", "code", "pre", "a", "img", "table", "thead", "tbody", "tr", "th", "td"),
    *("div", "span", "b", "style", "time", "bdi", "details", "summary"),
}


class Page(HTMLParser):
    """Fails on whatever a text must not become."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name in {"href", "src"}:
                assert (value or "").split(":")[0] in {"http", "https", "mailto"}, value

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


def assert_harmless(markup: str) -> None:
    page = Page()
    page.feed(markup)
    page.close()


def html_of(shown: Any) -> str:
    """What a notebook shows."""
    html: str = shown._repr_html_()
    return html


@dataclass
class Fuzzed:
    """A signed-in customer who does what the inputs say."""

    client: AsyncCustomerTickets
    thread: AsyncTicketThread
    organization: UUID
    folder: Path
    seen: Counter[str] = field(default_factory=Counter[str])

    async def all(self, batch: list[Input]) -> None:
        for n, outcome in enumerate(
            await asyncio.gather(*(self.one(*one) for one in batch), return_exceptions=True)
        ):
            kind, given = batch[n]
            if isinstance(outcome, InvalidInput):
                self.seen[f"{kind}: refused"] += 1
                continue
            text = f"{kind}{given!a:.300}: {outcome!r:.300}"
            assert not isinstance(outcome, BaseException), text
            self.seen[f"{kind}: came back"] += 1

    async def one(self, kind: str, given: tuple[Any, ...]) -> None:
        await getattr(self, f"_{kind}")(*given)

    async def _create(self, subject: Any, description: Any) -> None:
        ticket = await self.client.create(
            organization=self.organization, subject=subject, description=description
        )
        assert (ticket.subject, ticket.description) == (subject.strip(), description)
        assert_harmless(html_of(ticket))

    async def _send(self, text: Any) -> None:
        message = await self.thread.send(text)
        assert message.body == text
        assert_harmless(html_of(message))

    async def _search(self, words: Any) -> None:
        page = await self.client.page(search=words, size=5)
        for ticket in page.items:
            shown = f"{ticket.subject}\n{ticket.description}".lower()
            # What is one case of what is Unicode's business, and the database's version of it.
            assert all(word.lower() in shown for word in (words or "").split() if word.isascii())

    async def _draft(self, subject: Any, description: Any) -> None:
        draft = await self.client.drafts.save(subject=subject, description=description)
        try:
            assert (draft.subject, draft.description) == (subject, description)
            assert_harmless(html_of(draft))
        finally:
            await self.client.drafts.discard(draft)

    async def _file(self, name: Any) -> None:
        draft = await self.client.drafts.save(attachments=[Upload(b"x", name)])
        try:
            (file,) = draft.attachments
            if name is not None:
                assert file.file_name == normalize("NFC", name).strip()
            assert_harmless(html_of(file))
        finally:
            await self.client.drafts.discard(draft)

    async def _disk(self, name: bytes) -> None:
        if name in {b".", b".."}:
            return
        folder = self.folder / uuid4().hex
        folder.mkdir()
        path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118 - a path is text
        with open(path, "wb") as file:  # noqa: PTH123, ASYNC230 - as above; one byte
            file.write(b"x")
        draft = await self.client.drafts.save(attachments=[os.fsdecode(path)])
        try:
            (attachment,) = draft.attachments
            # Of a name that is no text, what can be said of it; it is a name again at the end.
            saved = await self.client.attachments.save(attachment, folder, overwrite=True)
            assert saved.parent == folder
            assert saved.read_bytes() == b"x"
        finally:
            await self.client.drafts.discard(draft)
            for left in folder.iterdir():
                left.unlink()
            folder.rmdir()


async def opened(stack: Stack, people: People, user: StackUser, folder: Path) -> Fuzzed:
    client = AsyncCustomerTickets(stack.url, stack.publishable_key)
    await client.sign_in(user.email, user.password)
    ticket = await client.create(organization=people.organization_id, subject="Fuzz")
    return Fuzzed(client, await client.thread(ticket), people.organization_id, folder)


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.mark.slow
@pytest.mark.timeout(100 + INPUTS // 10)
def test_random_input_comes_back_or_is_refused(
    stack: Stack, people: People, supabase_user: UserFactory, portal: BlockingPortal,
    tmp_path: Path,
) -> None:  # fmt: skip
    users: list[Fuzzed] = []
    done = 0

    @settings(
        max_examples=max(1, INPUTS // AT_ONCE),
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a smaller one would take as long again: the input is shown
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )
    @given(st.lists(INPUT, min_size=AT_ONCE, max_size=AT_ONCE))
    def fuzz(batch: list[Input]) -> None:
        nonlocal done
        if done >= INPUTS_A_USER * len(users):
            if users:
                portal.call(users[-1].client.aclose)
            user = supabase_user("Fuzz")
            users.append(portal.call(opened, stack, people, user, tmp_path))
        portal.call(users[-1].all, batch)
        done += len(batch)

    try:
        fuzz()
    finally:
        if users:
            portal.call(users[-1].client.aclose)
    seen = sum((user.seen for user in users), Counter[str]())
    print(dict(sorted(seen.items())), done)
    assert done >= INPUTS * 0.95
    for kind in ("create", "send", "search", "draft", "file", "disk"):
        assert seen[f"{kind}: came back"] >= done // 100, seen
