"""Every Python block of README and docs runs, and prints what the page says it prints."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from customer_tickets.devstack import LocalStack
from docs import run_page
from docs.pages import PAGES, ROOT, blocks, read

WITH_CODE = [page for page in PAGES if any(block.language == "python" for block in read(page))]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(
    page: Path, seeded_stack: LocalStack, spare_database: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(run_page.__file__), str(page)],
        env={
            **os.environ,
            "SUPABASE_URL": seeded_stack.url,
            "SUPABASE_PUBLISHABLE_KEY": seeded_stack.publishable_key,
            "DATABASE_URL": spare_database,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("text", "error", "line"),
    [
        ("```python\nimport customer_tickets as c\nc.nothing\n```\n", AttributeError, 3),
        ("```python\nprint('yes')\n```\n\n```text\nno\n```\n", SystemExit, None),
        ("```python\ndef half(:\n```\n", SyntaxError, None),
        ("```python\none = 1\n```\n```python\none + two\n```\n", NameError, 5),
    ],
)
def test_wrong_code_fails(
    text: str, error: type[BaseException], line: int | None, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with warnings.catch_warnings(), pytest.raises(error) as caught:
        run_page.main(page)
    if line is not None:
        last = caught.traceback[-1]
        assert (str(last.path), last.lineno + 1) == (str(page), line)


def test_what_does_not_run_says_why(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: it would fail -->\n```python\n1 / 0\n```\n")
    assert [block.not_run for block in read(page)] == ["it would fail"]
    with warnings.catch_warnings():
        run_page.main(page)


def test_blocks_are_found_with_their_lines() -> None:
    first, second = blocks("a\n```sh\nmake\n```\n\n  ```text\n  in\n  ```\n")
    assert (first.language, first.line, first.text, first.before) == ("sh", 3, "make\n", "a")
    assert (second.text, second.line, second.follows) == ("in\n", 7, True)


def test_every_block_says_its_language() -> None:
    unnamed = [
        f"{page.relative_to(ROOT)}:{block.line}"
        for page in PAGES
        for block in read(page)
        if block.language not in {"python", "text", "sh", "sql", "toml"}
        and not block.language.startswith("{")
    ]
    assert unnamed == []
