"""The live view in a real kernel, in both faces: what the notebook is told to show, and when."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import UUID

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from customer_tickets import CustomerTickets
from customer_tickets.devstack import LocalStack
from faces import Office
from fix_stack import People
from tcp_proxy import TcpProxy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    # What the notebook's packages warn of is not ours.
    pytest.mark.filterwarnings("default:::jupyter_client"),
]


class Notebook:
    """A kernel, and the outputs of its cells as a page shows them."""

    def __init__(self, folder: Path, face: str) -> None:
        self._folder, self._face = folder, face
        self.shown: dict[str, dict[str, str]] = {}
        """By display id, in order: what each output is now."""
        self.other: list[str] = []
        """Whatever else cells put out."""

    def __enter__(self) -> "Notebook":
        names = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
        self._log = (self._folder / "kernel.log").open("w")
        self._manager = KernelManager(kernel_name="python3")
        self._manager.connection_file = str(self._folder / "kernel.json")
        self._manager.start_kernel(
            env={**os.environ, **{name: str(self._folder / name.lower()) for name in names}},
            cwd=self._folder,
            stdout=self._log,
            stderr=self._log,
        )
        self._client: BlockingKernelClient = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=not self._manager.is_alive())
        self._log.close()

    def run(self, code: str) -> float:
        """Run a cell of the blocking face or, with `await` where needed, of the other."""
        if self._face == "async":
            code = re.sub(r"\b(tickets|thread|view)\.(?=\w+\()", r"await \1.", code)
            code = code.replace("CustomerTickets", "AsyncCustomerTickets")
            code = code.replace("await tickets.close", "await tickets.aclose")
        began = time.monotonic()
        asked = self._client.execute(code)
        while self._client.get_shell_msg(timeout=30)["parent_header"].get("msg_id") != asked:
            pass  # an answer to `wait_for_ready`, which asks again when it takes long
        return time.monotonic() - began

    def until(self, met: Callable[[], bool], timeout: float = 20) -> None:
        """Take in what the kernel tells until something is so."""
        deadline = time.monotonic() + timeout
        while not met():
            assert time.monotonic() < deadline, [self.shown, self.other]
            try:
                message: dict[str, Any] = self._client.get_iopub_msg(timeout=0.2)
            except Empty:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "display_data" | "update_display_data":
                    self.shown[content["transient"]["display_id"]] = content["data"]
                case "execute_result" | "stream" | "error":
                    self.other.append(str(content))
                case _:
                    pass

    def now(self, position: int = -1) -> str:
        """What the last view shows, or another one."""
        views = [data["text/html"] for data in self.shown.values()]
        return views[position] if -len(views) <= position < len(views) else ""

    def restart(self) -> str:
        """Restart the kernel; return what the old one said at its end."""
        self._manager.restart_kernel()
        self._client.wait_for_ready(timeout=30)
        self._log.flush()
        return (self._folder / "kernel.log").read_text()

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()


@pytest.fixture(params=["blocking", "async"])
def notebook(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Notebook]:
    with Notebook(tmp_path, request.param) as running:
        yield running


@pytest.fixture
def ticket(stack: LocalStack, people: People) -> UUID:
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        return tickets.create(
            organization=people.organization_id, subject="Lamp <b>", description="It **flickers**"
        ).id


def sign_in(notebook: Notebook, url: str, stack: LocalStack, people: People) -> None:
    notebook.run(
        f"""
from customer_tickets import CustomerTickets
tickets = CustomerTickets({url!r}, {stack.publishable_key!r}, timeout=2)
_ = tickets.sign_in({people.ana.email!r}, {people.ana.password!r})
"""
    )


def test_a_thread_follows_what_happens_until_its_client_is_closed(
    notebook: Notebook, stack: LocalStack, people: People, office: Office, ticket: UUID
) -> None:
    sign_in(notebook, stack.url, stack, people)
    notebook.run(f"view = tickets.watch({str(ticket)!r})\nview")
    notebook.until(lambda: "● Live" in notebook.now())
    assert "Lamp &lt;b&gt;" in notebook.now()
    assert "<strong>flickers</strong>" in notebook.now()
    # No cell runs now.
    office.answer(ticket, "Have you tried <script>?")
    office.answer(ticket, "A note", internal=True)
    notebook.until(lambda: "Have you tried &lt;script&gt;?" in notebook.now())
    # What is being sent is there at once, what was sent comes once.
    notebook.run(f"thread = tickets.thread({str(ticket)!r})\n_ = thread.send('Yes.')")
    notebook.until(lambda: "<p>Yes.</p>" in notebook.now())
    notebook.run("tickets.close()")
    notebook.until(lambda: "■ Stopped: " in notebook.now())
    notebook.run("view.stop()")
    assert len(notebook.shown) == 1
    assert notebook.other == []
    assert "A note" not in notebook.now()
    texts = [data["text/plain"] for data in notebook.shown.values()]
    assert texts == ["<live thread> ■ Stopped: the view or its client was closed"]


def test_the_list_shows_what_changed_last_first(
    notebook: Notebook, stack: LocalStack, people: People, office: Office, ticket: UUID
) -> None:
    sign_in(notebook, stack.url, stack, people)
    notebook.run("view = tickets.watch()")
    notebook.until(lambda: "● Live" in notebook.now())
    create = f"tickets.create(organization={str(people.organization_id)!r}, subject='Newer')"
    notebook.run(f"_ = {create}")
    notebook.until(lambda: "Newer" in notebook.now())
    assert notebook.now().index("Newer") < notebook.now().index("Lamp &lt;b&gt;")
    office.answer(ticket, "An answer")
    notebook.until(lambda: "● unread" in notebook.now())
    assert notebook.now().index("Newer") > notebook.now().index("Lamp &lt;b&gt;")
    notebook.run("tickets.sign_out()")
    notebook.until(lambda: "■ Stopped: signed out" in notebook.now())
    assert notebook.other == []


def test_it_says_that_it_is_offline_from_the_beginning_and_in_the_middle(
    notebook: Notebook, stack: LocalStack, people: People, ticket: UUID, proxy: TcpProxy
) -> None:
    sign_in(notebook, proxy.url, stack, people)
    proxy.refuse()
    assert notebook.run(f"view = tickets.watch({str(ticket)!r})") < 1.5
    notebook.until(lambda: "⚠ Offline: " in notebook.now())
    assert "Reading the thread" in notebook.now()
    proxy.heal()
    notebook.until(lambda: "● Live" in notebook.now())
    assert "Reading the thread" not in notebook.now()
    proxy.refuse()
    proxy.cut()
    notebook.until(lambda: "⚠ Offline: " in notebook.now())
    assert "<strong>flickers</strong>" in notebook.now()
    proxy.heal()
    notebook.until(lambda: "● Live" in notebook.now())
    assert notebook.other == []


def test_it_says_that_it_polls_and_goes_on_when_a_cell_is_interrupted(
    notebook: Notebook, stack: LocalStack, people: People, office: Office, ticket: UUID
) -> None:
    sign_in(notebook, stack.url, stack, people)
    notebook.run(f"view = tickets.watch({str(ticket)!r})")
    notebook.until(lambda: "● Live" in notebook.now())
    stack.realtime.kill()
    try:
        notebook.until(lambda: "◌ Not live: no websocket" in notebook.now())
    finally:
        stack.realtime.start()
    notebook.until(lambda: "● Live" in notebook.now())
    notebook.interrupt()
    office.answer(ticket, "Still here")
    notebook.until(lambda: "Still here" in notebook.now())
    # The same cell, run again: the first view ends.
    notebook.run(f"view = tickets.watch({str(ticket)!r})")
    notebook.until(lambda: "● Live" in notebook.now(1) and "■ Stopped" in notebook.now(0))
    notebook.run("view.stop()")
    notebook.until(lambda: "■ Stopped" in notebook.now(1))
    assert notebook.other == []


def test_a_restart_of_the_kernel_leaves_nothing_and_says_nothing(
    notebook: Notebook, stack: LocalStack, people: People, ticket: UUID
) -> None:
    sign_in(notebook, stack.url, stack, people)
    notebook.run(f"view = tickets.watch({str(ticket)!r})\nmore = tickets.watch()")
    notebook.until(lambda: "● Live" in notebook.now(0) and "● Live" in notebook.now(1))
    began = time.monotonic()
    said = notebook.restart()
    assert time.monotonic() - began < 15
    ours = [line for line in said.splitlines() if "Kernel is running over TCP" not in line]
    assert ours == []


def test_outside_of_a_notebook_it_says_so(
    stack: LocalStack, people: People, ticket: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        with pytest.raises(RuntimeError, match="use live"):
            tickets.thread(ticket).watch()
        monkeypatch.setitem(__import__("sys").modules, "IPython", None)
        with pytest.raises(ImportError, match="needs IPython"):
            tickets.watch()
