"""Markdown becomes plain text and safe HTML, whatever is in it, within a bound of time."""

import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_tickets._markdown import html, pointed_at, render, text

TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li"),
    *("em", "strong", "s", "code", "pre", "a", "img"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"href", "title", "rel", "src", "alt", "class", "start", "referrerpolicy"}


class Page(HTMLParser):
    """What a browser would be told: tags, their attributes, and the text between."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("a processing instruction")


def assert_harmless(markup: str) -> None:
    for tag, attributes in Page(markup).tags:
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES
        if tag == "a":
            assert attributes["rel"] == "nofollow noopener noreferrer"
            if "href" in attributes:
                parts = urlsplit(attributes["href"])
                assert parts.scheme in {"http", "https", "mailto"}
                # A browser takes `https:/x` on a page of https as relative to that page.
                assert parts.netloc or parts.scheme == "mailto"
        if "src" in attributes:
            assert urlsplit(attributes["src"]).scheme == "https"
            assert urlsplit(attributes["src"]).netloc
        if "class" in attributes:
            assert re.fullmatch(r"language-[\w+#.-]+", attributes["class"])


SOURCE = """\
# Title

Hello **you**, see [the shop](https://shop.example/a%20b "t"), <https://b.example> or
<me@c.example>\\
*soon*.

- one
- two
  - `code`
    1. deep

0. x
1. y

   more

> quoted
> - inside

```python
1 < 2
```

| a | b |
|---|--:|
| 1 | **2** |

---
![a cat](https://d.example/cat.png) ~~old~~
"""
PLAIN = """\
Title

Hello you, see the shop (https://shop.example/a%20b), https://b.example or
me@c.example
soon.

- one
- two
  - code
    1. deep

0. x

1. y

   more

> quoted
> - inside

1 < 2

a | b
1 | 2

---

[a cat] old"""


def test_plain_text_keeps_what_a_reader_needs() -> None:
    assert text(SOURCE) == PLAIN


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("", ""),
        ("a\nb", "a\nb"),
        ("\\*a\\*", "*a*"),
        ("![](https://a.example/x.png)", "[image]"),
        ("[](https://a.example)", "https://a.example"),
        ("- > q\n-\n- - x", "- > q\n-\n- - x"),
        ("a\n\n\n\nb", "a\n\nb"),
        ("<b>a</b>", "<b>a</b>"),
        ("\x1b[31mred &#27;[31m\x9b0m &#155;", "[31mred \ufffd[31m0m \ufffd"),
    ],
)
def test_plain_text_of(source: str, plain: str) -> None:
    assert text(source) == plain


def test_html_shows_all_of_markdown() -> None:
    markup = html(SOURCE)
    assert_harmless(markup)
    tags = [tag for tag, _ in Page(markup).tags]
    assert TAGS - set(tags) == {"h2", "h3", "h4", "h5", "h6"}
    assert '<code class="language-python">1 &lt; 2' in markup
    assert '<img src="https://d.example/cat.png" alt="a cat"' in markup


def test_an_attachment_is_its_text_until_it_has_a_link() -> None:
    photo, gone = uuid4(), uuid4()
    source = (
        f"![photo](attachment:{photo}) [the **file**](attachment:{photo}) "
        f"![lost](attachment:{gone}) [lost too](attachment:{gone}) "
        f"[![both](attachment:{photo})](attachment:{gone})"
    )
    assert html(source) == "<p>photo the <strong>file</strong> lost lost too both</p>\n"
    assert text(source) == "[photo] the file [lost] lost too [both]"
    address = "http://127.0.0.1:1/sign/a?token=x&y=z"
    page = Page(render(source, {str(photo): address}))
    assert [(tag, a.get("src", a.get("href"))) for tag, a in page.tags] == [
        ("p", None),
        ("img", address),
        ("a", address),
        ("strong", None),
        ("img", address),
    ]
    assert "lost lost too" in page.text
    assert "attachment:" not in render(source, {str(photo): address})


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("![x](attachment:photo.jpg)", "photo.jpg"),
        ("![x](<attachment:my photo (1).jpg>)", "my photo (1).jpg"),
        ("![x](attachment:my%20photo%20(1).jpg)", "my photo (1).jpg"),
        ("[x](Attachment:größe.pdf)", "größe.pdf"),
        ("![x](attachment:gro\u0308\u00dfe.pdf)", "größe.pdf"),
        ("[![x](attachment:a%2Fb)](https://x.example)", "a/b"),
    ],
)
def test_an_attachment_can_be_pointed_at_by_its_name(written: str, name: str) -> None:
    assert name in pointed_at(written)
    assert "https://d.example/1" in render(written, {name: "https://d.example/1"})
    assert "attachment:" not in html(written).lower()


def test_what_points_at_nothing_points_at_nothing() -> None:
    for body in (
        "",
        "attachment: none",
        "`![x](attachment:a)`",
        "![x](https://attachment.example)",
    ):
        assert pointed_at(body) == set()


VECTORS = [
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](java&Tab;script:alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](<java\nscript:alert(1)>)",
    "[a](\x01javascript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:msgbox)",
    "[a](file:///etc/passwd)",
    "[a](//evil.example)",
    "[a](/api/shutdown)",
    "[a](#x)",
    "[a](x:javascript:alert(1))",
    "[a]: javascript:alert(1)\n\n[a]",
    '![a](javascript:alert(1) "onerror=alert(1)")',
    '![a](https://x/"onerror="alert(1))',
    '![a"onerror="alert(1)](https://x.example/a.png)',
    '[a](https://x.example "\\"onmouseover=alert(1) x=\\"")',
    "![a](data:image/svg+xml;base64,PHN2Zy8+)",
    "![a](http://x.example/a.png)",
    "![a](attachment:00000000-0000-0000-0000-00000000000g)",
    "[a](attachment:javascript:alert(1))",
    "<javascript:alert(1)>",
    "<attachment:00000000-0000-0000-0000-000000000000>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg onload=alert(1)>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?php echo 1 ?>",
    "<a href='javascript:alert(1)'>x</a>",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "```x y onmouseover=alert(1)\nx\n```",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "**<b onclick=alert(1)>**",
    "| <script> |\n|---|\n| <img onerror=1> |",
    "[[a](https://x.example)](javascript:alert(1))",
    "<style>*{display:none}</style>",
    "<form action=//x><button>",
    "\u202e[a](https://x.example)",
    "x\x00<script>",
]


# What the URL standard resolves against a page of the same scheme, or would without its tabs.
RELATIVE = [
    "https:/logout?all=1",
    "https:logout",
    "HTTP:admin",
    "http:",
    "https:#x",
    "https:?x",
    r"https:\\\\evil.example",
    r"https:\\evil.example",
    r"https:/\\evil.example",
    "https:///evil.example",
    "https://",
    "https://?x",
    "https:&Tab;//evil.example",
    "https:/&NewLine;/evil.example",
    "&Tab;https:logout",
    "/logout",
    "//evil.example",
]


@pytest.mark.parametrize("address", RELATIVE)
@pytest.mark.parametrize(
    "written", ["[x]({})", "[x](<{}>)", "![x]({})", "<{}>", "[x][y]\n\n[y]: {}"]
)
def test_no_address_is_relative_to_the_page(address: str, written: str) -> None:
    source = written.format(address)
    for markup in (html(source), render(source, {"a": "https://x.example/a"})):
        assert_harmless(markup)
        assert not [tag for tag, some in Page(markup).tags if {"href", "src"} & some.keys()]


@pytest.mark.parametrize(
    "address",
    ["http://a.example", "HTTPS://a.example/b?c#d", "https://[::1]/", "mailto:me@a.example"],
)
def test_an_address_elsewhere_stays(address: str) -> None:
    for written in ("[x]({})", "<{}>", "[x][y]\n\n[y]: {}"):
        ((_, link),) = [one for one in Page(html(written.format(address))).tags if one[0] == "a"]
        assert link["href"].lower().startswith(address[:6].lower())


@pytest.mark.parametrize("source", VECTORS)
def test_a_known_attack_does_nothing(source: str) -> None:
    assert_harmless(html(source))
    assert_harmless(render(source, {str(UUID(int=0)): "https://x.example/a"}))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text(source))


_PIECES = st.one_of(
    st.sampled_from(
        [*VECTORS, *"[]()!<>`*_~|#&;:/\"'\\\n\t ", "](", "![", "attachment:", "<script", "> ", "- "]
    ),
    st.text(max_size=5),
)


@given(st.lists(_PIECES, max_size=40).map("".join))
def test_nothing_that_can_be_written_is_harmful(source: str) -> None:
    assert_harmless(html(source))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text(source))


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=50))
def test_plain_words_stay_as_they_are(source: str) -> None:
    assert text(source) == source
    assert Page(html(source)).text.strip() == source


def test_what_is_deeply_quoted_is_still_there() -> None:
    assert "hello" in text("> " * 40 + "hello")
    assert "hello" in html("> " * 40 + "hello")


WORST = [
    "[", "![", "[](", "[a](b", "[a]: <b\n", "![a](<", "[[a]", "[a](b \"", "]", "*", "*a ", "_*",
    "**a *b ", "a***b**c*", "`", "~~a ", "> ", ">", "- ", "- a\n", "1. ", "> - ", "<", "<a@b ",
    "<!--", "<![CDATA[", "<?", "&", "&#x41;", "|", "|a|b|\n", "\\", "\n", "a\n=\n", "# a\n", "\t",
    "~~~\n",
]  # fmt: skip


@pytest.mark.parametrize(
    "source",
    [
        *((piece * 20_000)[:20_000] for piece in WORST),
        "".join("`" * n + " " for n in range(1, 199)),
        "".join("  " * n + "- a\n" for n in range(140)),
        "|" * 9_000 + "\n" + "|-" * 5_000,
        ("|a" * 100 + "\n" + "|-" * 100 + "\n" + "|b" * 100 + "\n") * 33,
        "[" * 1_000_000,
        "[](" * 999 + "![" * 8_000,
    ],
    ids=lambda source: repr(source[:9]),
)
def test_the_worst_text_takes_a_bounded_time(source: str) -> None:
    # Of the processor, since others may use it too: about 0.3 s at most where this was written.
    start = time.process_time()
    text(source)
    markup = html(source)
    assert time.process_time() - start < 2
    assert_harmless(markup)


def test_nothing_is_imported_before_a_text_is_shown() -> None:
    code = "import sys, customer_tickets; sys.exit(bool({'nh3', 'markdown_it'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
