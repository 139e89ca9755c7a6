"""README and docs as data: their fenced blocks, with the line each begins on.

The convention, also told in CONTRIBUTING:

- The ```python blocks of a page run from top to bottom in one namespace, in a process of its own.
- A ```text block right after one is what it prints; `...` stands for anything.
- `<!-- not run: reason -->` right before a block keeps it from running.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[^`]*)$")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the number, from 1, of its first line of content."""

    language: str
    line: int
    text: str
    before: str
    """The last line before the block that is not empty."""
    follows: bool
    """Whether nothing but empty lines stands between this block and the one before."""

    @property
    def not_run(self) -> str | None:
        """The reason for which this block does not run, if it does not."""
        found = _NOT_RUN.fullmatch(self.before)
        return None if found is None else found["reason"]


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = text.splitlines()
    number, before, follows = 0, "", False
    while number < len(lines):
        line = lines[number]
        number += 1
        opening = _FENCE.fullmatch(line)
        if opening is None:
            if line.strip():
                before, follows = line.strip(), False
            continue
        first = number
        while lines[number].strip() != opening["ticks"]:
            number += 1
        inner = [one.removeprefix(opening["indent"]) for one in lines[first:number]]
        number += 1
        yield Block(opening["language"], first + 1, "\n".join(inner) + "\n", before, follows)
        follows = True


def read(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return list(blocks(page.read_text(encoding="utf-8")))
