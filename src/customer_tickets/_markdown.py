"""PURE: Markdown to plain text, and to sanitized HTML.

Two walls: raw HTML is not Markdown here, so the renderer escapes it; and what it writes goes
through an allow-list all the same. Both packages are imported when the first text is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from html import escape
from itertools import takewhile
from typing import TYPE_CHECKING
from unicodedata import normalize
from urllib.parse import unquote
from uuid import UUID

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from nh3 import Cleaner

# No text of a ticket is longer. Some patterns take quadratic time, so a longer one is not parsed.
_LONGEST = 20_000
# Brackets are the worst of them; so many are no links.
_MOST_BRACKETS = 1_000
_DEEPEST = 50

_SCHEMES = {"http", "https", "mailto"}
# With fewer slashes, a browser takes an address with its page's own scheme as relative to the page.
_ELSEWHERE = re.compile(r"https?://[^/\\?#\s]|mailto:", re.IGNORECASE)
_ATTACHMENT = re.compile(r"attachment:(.+)", re.IGNORECASE)
_LANGUAGE = re.compile(r"language-[\w+#.-]{1,30}")
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li"),
    *("em", "strong", "s", "code", "pre", "a", "img"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "code": {"class"},
    "img": {"src", "alt", "title"},
    "ol": {"start"},
}
# A terminal obeys these; a line end and a tab are all that a text needs.
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


@lru_cache(maxsize=256)
def text(body: str) -> str:
    """Return Markdown as plain text: a link as "text (address)", an image as "[alt]"."""
    if len(body) > _LONGEST:
        return body.translate(_CONTROL)
    plain = _Plain()
    for token in _parser(body).parse(body):
        plain.take(token)
    return "\n".join(plain.lines).translate(_CONTROL).strip("\n")


@lru_cache(maxsize=256)
def html(body: str) -> str:
    """Return Markdown as safe HTML; what points at an attachment is shown as its text alone."""
    return render(body, {})


def render(body: str, links: Mapping[str, str]) -> str:
    """Return Markdown as safe HTML.

    `![alt](attachment:<id or file name>)` and `[text](attachment:…)` get the address that `links`
    has for that id or name, and without one are shown as their text. An image elsewhere must be
    https.
    """
    if len(body) > _LONGEST:
        return f"<p>{escape(body)}</p>"
    parser = _parser(body)
    tokens = parser.parse(body)
    for token in tokens:
        if token.children:
            token.children = list(_linked(token.children, links))
    return _cleaner().clean(parser.renderer.render(tokens, parser.options, {}))


def pointed_at(body: str) -> set[str]:
    """Return the ids and file names of the attachments that Markdown points at."""
    if len(body) > _LONGEST or "attachment:" not in body.lower():
        return set()
    addresses = [
        str(token.attrGet("src") or token.attrGet("href") or "")
        for block in _parser(body).parse(body)
        for token in _all(block.children or [])
    ]
    return {found for address in addresses if (found := _attachment(address)) is not None}


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or [])


def _parser(body: str) -> MarkdownIt:
    return _parsers()[body.count("[") > _MOST_BRACKETS]


@cache
def _parsers() -> tuple[MarkdownIt, MarkdownIt]:
    """The parser, and the one that knows no links."""
    from markdown_it import MarkdownIt

    class Parser(MarkdownIt):
        def validateLink(self, url: str) -> bool:  # noqa: N802 - the package's own name
            return _ELSEWHERE.match(url) is not None or _ATTACHMENT.match(url) is not None

    options = {"html": False, "maxNesting": _DEEPEST}
    made = [Parser("commonmark", options).enable(["table", "strikethrough"]) for _ in range(2)]
    return made[0], made[1].disable(["link", "image", "reference"])


@cache
def _cleaner() -> Cleaner:
    from nh3 import Cleaner

    return Cleaner(
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_harmless,
        url_schemes=_SCHEMES,
        # A relative address would be the page's own server: in a notebook, the notebook's.
        url_relative="deny",
        link_rel="nofollow noopener noreferrer",
        set_tag_attribute_values={"img": {"referrerpolicy": "no-referrer"}},
    )


def _harmless(tag: str, name: str, value: str) -> str | None:
    if name == "class" and not _LANGUAGE.fullmatch(value):
        return None
    if name in {"href", "src"} and not _ELSEWHERE.match(value):
        return None
    return value


def _linked(tokens: Sequence[Token], links: Mapping[str, str]) -> Iterator[Token]:
    """Yield inline tokens with addresses in the place of attachments, and without what has none."""
    bare = False
    for token in tokens:
        if token.type == "link_open":
            bare = not _addressed(token, "href", links)
        if token.type == "image":
            usable = _addressed(token, "src", links)
            yield token if usable else _alt(token)
        elif not (bare and token.type in {"link_open", "link_close"}):
            if token.children:
                token.children = list(_linked(token.children, links))
            yield token


def _addressed(token: Token, attribute: str, links: Mapping[str, str]) -> bool:
    """Give a link or an image the address it can have; return whether it has one."""
    address = str(token.attrGet(attribute))
    found = _attachment(address)
    if found is None:
        return attribute == "href" or address.lower().startswith("https://")
    if found not in links:
        return False
    token.attrSet(attribute, links[found])
    return True


def _attachment(address: str) -> str | None:
    """Return the id or the file name of the attachment that an address points at."""
    found = _ATTACHMENT.fullmatch(address)
    if found is None:
        return None
    name = normalize("NFC", unquote(found[1]))
    try:
        return str(UUID(name))
    except ValueError:
        return name


def _alt(image: Token) -> Token:
    from markdown_it.token import Token

    return Token("text", "", 0, content=_inline(image.children or []))


class _Plain:
    """Writes block tokens as lines of plain text."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        # Of each open list item and quotation: how its next line begins, and how all others do.
        self._open: list[tuple[str, str]] = []
        self._numbers: list[int | None] = []
        self._cells: list[str] | None = None
        # Whether an empty line is due, and whether one is not: at a quotation's beginning.
        self._gap, self._fresh = False, True

    def take(self, token: Token) -> None:
        """Write the next token."""
        match token.type:
            case "inline" if self._cells is not None:
                self._cells.append(_inline(token.children or []))
            case "inline":
                self._write(_inline(token.children or []))
            case "fence" | "code_block" | "hr":
                self._gap = not self._fresh
                self._write("---" if token.type == "hr" else token.content.rstrip("\n"))
            case "paragraph_open" | "heading_open" | "table_open":
                self._gap = self._gap or not (self._fresh or token.hidden)
            case "tr_open":
                self._cells = []
            case "tr_close":
                self._write(" | ".join(self._cells or []))
                self._cells = None
            case _:
                self._take_container(token)

    def _take_container(self, token: Token) -> None:
        match token.type:
            case "blockquote_open":
                if not self._fresh and not self._in_new_item():
                    self.lines.append(self._prefix().rstrip())
                    self._fresh = True
                self._open.append(("> ", "> "))
            case "bullet_list_open" | "ordered_list_open":
                start = token.attrGet("start")
                first = 1 if start is None else int(start)
                self._numbers.append(first if token.type == "ordered_list_open" else None)
                self._gap = self._gap or not (self._fresh or self._open)
            case "bullet_list_close" | "ordered_list_close":
                self._numbers.pop()
            case "list_item_open":
                self._begin_item()
            case "list_item_close" | "blockquote_close":
                if self._in_new_item():
                    self._write("")
                self._open.pop()
            case _:
                pass

    def _begin_item(self) -> None:
        number = self._numbers[-1]
        mark = "- " if number is None else f"{number}. "
        if number is not None:
            self._numbers[-1] = number + 1
        self._open.append((mark, " " * len(mark)))

    def _in_new_item(self) -> bool:
        return any(begin != others for begin, others in self._open)

    def _prefix(self) -> str:
        """How an empty line begins: not in an item that has not begun, but before it."""
        begun = takewhile(lambda one: one[0] == one[1], self._open)
        return "".join(others for _, others in begun)

    def _write(self, content: str) -> None:
        if self._gap:
            self.lines.append(self._prefix().rstrip())
        self._gap = self._fresh = False
        for line in content.split("\n"):
            begins = "".join(begin for begin, _ in self._open)
            self.lines.append((begins + line).rstrip())
            self._open = [(others, others) for _, others in self._open]


def _inline(tokens: Sequence[Token]) -> str:
    """Return inline tokens as plain text."""
    parts: list[str] = []
    address, label_from = "", 0
    for token in tokens:
        match token.type:
            case "softbreak" | "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(f"[{_inline(token.children or []) or 'image'}]")
            case "link_open":
                address, label_from = str(token.attrGet("href")), len(parts)
            case "link_close":
                label = "".join(parts[label_from:])
                parts[label_from:] = [_link(label, address)]
            case _:
                parts.append(token.content)
    return "".join(parts)


def _link(label: str, address: str) -> str:
    from markdown_it.common.normalize_url import normalizeLinkText

    if not label:
        return address
    shown = normalizeLinkText(address).removeprefix("mailto:")
    return label if shown == label or _attachment(address) else f"{label} ({address})"
