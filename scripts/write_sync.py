"""Write src/customer_tickets/_sync.py: the blocking face, one line a method, from the async one.

`--check` writes nothing and fails when the file is not what would be written.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "customer_tickets"
TARGET = PACKAGE / "_sync.py"
SOURCES = {
    "_resources/organizations.py": "AsyncOrganizations",
    "_resources/tickets.py": "AsyncTicketPage",
    "_draft_editor.py": "AsyncDraftEditor",
    "_resources/drafts.py": "AsyncDrafts",
    "_resources/attachments.py": "AsyncAttachments",
    "_thread.py": "AsyncTicketThread",
    "_client.py": "AsyncCustomerTickets",
}
FACES = [*SOURCES.values(), "AsyncTicketFeed", "AsyncTicketListFeed", "AsyncWatch", "AsyncPeople"]

HEADER = '''"""The blocking face. Written by scripts/write_sync.py from the async one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, TYPE_CHECKING, Self, TypeVar
from uuid import UUID

from ._client import AsyncCustomerTickets
from ._draft_content import UNSET, Submitted, Unset
from ._draft_editor import AsyncDraftEditor, EditorState
from ._errors import CustomerTicketsError
from ._events import TicketEvent
from ._export import ExportReport
from ._models import (
    Attachment, Counts, Draft, Feedback, Message, Organization, Permissions, Priority, SortKey,
    Status, Ticket, User,
)
from ._parts import Parts
from ._portal import Portal
from ._progress import ProgressTo
from ._rows import History, Messages
from ._resources.attachments import AsyncAttachments
from ._resources.drafts import AsyncDrafts
from ._resources.organizations import AsyncOrganizations
from ._resources.tickets import AsyncTicketPage
from ._stores import SessionStore
from ._live.people import Person
from ._sync_feed import TicketFeed, TicketListFeed, Watch
from ._sync_people import People
from ._thread import AsyncTicketThread
from ._view import Verification
from ._uploads import AttachmentSource

if TYPE_CHECKING:
    import pandas
    from supabase import Client

_T = TypeVar("_T")


def _iterate(portal: Portal, items: AsyncIterator[_T]) -> Iterator[_T]:
    async def step() -> tuple[_T] | None:
        try:
            return (await anext(items),)
        except StopAsyncIteration:
            return None

    while (item := portal.run(step)) is not None:
        yield item[0]
'''

# What is opened with `async with`, besides the client.
BLOCK = """
    def __enter__(self) -> Self:
        self._portal.run(self._async.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.run(self._async.__aexit__, kind, error, trace)
"""

# What opens and closes the loop is the one part that is not a method handed over.
LIFE = """
    def __init__(
        self, url: str, key: str, *, timeout: float = 30.0, cache: float = 0.0,
        store: SessionStore | None = None,
    ) -> None:
        self._start(AsyncCustomerTickets(url, key, timeout=timeout, cache=cache, store=store))

    def _start(self, client: AsyncCustomerTickets) -> None:
        self._async = client
        # Every thread, page and feed holds the portal: it lives as long as any of them is used.
        self._portal = Portal(client.aclose)

    @classmethod
    def from_env(
        cls, *, timeout: float = 30.0, cache: float = 0.0, store: SessionStore | None = None
    ) -> Self:
        {from_env_doc}
        client = cls.__new__(cls)
        client._start(AsyncCustomerTickets.from_env(timeout=timeout, cache=cache, store=store))
        return client

    @classmethod
    def from_supabase(cls, client: Client, *, timeout: float = 30.0) -> Self:
        {from_supabase_doc}
        parts = Parts.borrowed(client, timeout=timeout, blocking=True)
        made = cls.__new__(cls)
        # The two faces are one client.
        made._start(AsyncCustomerTickets._of(parts))  # pyright: ignore[reportPrivateUsage]
        try:
            made._portal.run(parts.confirm)
        except BaseException:
            made.close()
            raise
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        {aclose_doc}
        self._portal.close()
"""


def blocking(text: str) -> str:
    """Return a text in the words of the blocking face."""
    for name in FACES:
        text = text.replace(name, name.removeprefix("Async"))
    return (
        text.replace("AsyncIterator", "Iterator")
        .replace("`async with`", "`with`")
        .replace("for asynchronous code", "for code that does not await")
    )


def docstring(node: ast.AsyncFunctionDef | ast.FunctionDef | ast.ClassDef) -> str:
    """Return the docstring as source."""
    text = blocking(ast.get_docstring(node, clean=False) or "")
    return f'"""{text}"""'


def handed_over(value: str, returns: str, owner: str) -> str:
    """Return the expression that makes a blocking value of an async one."""
    face = returns.removesuffix(" | None").replace("Self", owner)
    if returns.startswith("AsyncIterator"):
        return f"return _iterate(self._portal, {value})"
    if face not in FACES:
        return f"return {value}"
    made = f"{face.removeprefix('Async')}(self._portal, {{}})"
    if returns.endswith("| None"):
        return f"found = {value}\n        return None if found is None else {made.format('found')}"
    return f"return {made.format(value)}"


def method(node: ast.AsyncFunctionDef | ast.FunctionDef, owner: str) -> str:
    """Return the source of one blocking method or property."""
    returns = ast.unparse(node.returns) if node.returns else "None"
    signature = ast.unparse(node.args)
    head = f"def {node.name}({blocking(signature)}) -> {blocking(returns.replace('Self', owner))}:"
    names = [argument.arg for argument in node.args.args[1:]]
    names += [f"{argument.arg}={argument.arg}" for argument in node.args.kwonlyargs]
    if any(ast.unparse(decorator) == "property" for decorator in node.decorator_list):
        head = f"@property\n    {head}"
        value = f"self._async.{node.name}"
    elif isinstance(node, ast.AsyncFunctionDef):
        value = f"self._portal.run({', '.join([f'self._async.{node.name}', *names])})"
    else:
        value = f"self._async.{node.name}({', '.join(names)})"
    return (
        f"\n    {head}\n        {docstring(node)}\n        {handed_over(value, returns, owner)}\n"
    )


def field(node: ast.AnnAssign, owner: ast.ClassDef) -> str:
    """Return the property that shows a public field of a dataclass, described by the class."""
    name, kind = ast.unparse(node.target), ast.unparse(node.annotation)
    described = re.search(rf"^ *{name}: (.+)$", ast.get_docstring(owner) or "", re.MULTILINE)
    if described is None:
        raise SystemExit(f"{owner.name}: the docstring does not describe {name}")
    text = described[1][0].upper() + described[1][1:]
    body = f'"""{text}"""\n        return self._async.{name}'
    return f"\n    @property\n    def {name}(self) -> {kind}:\n        {body}\n"


def face(node: ast.ClassDef) -> str:
    """Return the source of one blocking class."""
    name = node.name.removeprefix("Async")
    parts = [f"\n\nclass {name}:\n    {docstring(node)}\n"]
    methods = {
        part.name: part
        for part in node.body
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    if node.name == "AsyncCustomerTickets":
        documented = ("from_env", "from_supabase", "aclose")
        docs = {f"{known}_doc": docstring(methods[known]) for known in documented}
        parts.append(LIFE.format(**docs))
    else:
        parts.append(
            f"\n    def __init__(self, portal: Portal, inner: {node.name}) -> None:\n"
            "        self._portal = portal\n        self._async = inner\n"
        )
        if "__aenter__" in methods:
            parts.append(BLOCK)
    if "__iter__" in methods:
        items = ast.unparse(methods["__iter__"].returns or ast.Constant(None))
        parts.append(
            f"\n    def __iter__(self) -> {items}:\n        return iter(self._async)\n"
            "\n    def __len__(self) -> int:\n        return len(self._async)\n"
        )
    if "__repr__" in methods:
        parts.append(
            "\n    def __repr__(self) -> str:\n"
            '        return repr(self._async).replace("Async", "", 1)\n'
        )
    if "_repr_html_" in methods:
        parts.append(
            "\n    def _repr_html_(self) -> str:\n        return self._async._repr_html_()"
            "  # pyright: ignore[reportPrivateUsage] # the notebooks' own name\n"
        )
    parts += [
        field(part, node)
        for part in node.body
        if isinstance(part, ast.AnnAssign) and not ast.unparse(part.target).startswith("_")
    ]
    skipped = {"from_env", "from_supabase", "aclose", "forget"}
    parts += [
        method(part, node.name)
        for known, part in methods.items()
        if not known.startswith("_") and known not in skipped
    ]
    return "".join(parts)


def write() -> str:
    """Return the whole file, formatted."""
    source = HEADER
    for path, name in SOURCES.items():
        tree = ast.parse((PACKAGE / path).read_text())
        source += next(
            face(node) for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name
        )
    for command in (["check", "--fix-only", "--quiet"], ["format", "--quiet"]):
        source = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TARGET), "-"],
            input=source,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return source


def main() -> int:
    """Write the file, or with --check compare it."""
    source = write()
    if "--check" not in sys.argv:
        TARGET.write_text(source)
        return 0
    if TARGET.exists() and TARGET.read_text() == source:
        return 0
    print("src/customer_tickets/_sync.py is out of date: run scripts/write_sync.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
