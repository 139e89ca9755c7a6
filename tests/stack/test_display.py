"""What notebooks show of real answers, in both faces, and the example notebook in a real kernel."""

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from customer_tickets import (
    AsyncTicketPage,
    AsyncTicketThread,
    TicketPage,
    TicketThread,
    Upload,
)
from faces import Client, Office, got, page_of, thread_of
from fix_stack import People
from remote_project import Stack

NOTEBOOK = Path(__file__).parents[2] / "examples" / "tickets.ipynb"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 30
# In a process of its own: what the notebook's packages warn of is not ours.
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=50, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def html(shown: object) -> str:
    """What a notebook would ask an object for."""
    return str(shown._repr_html_())  # type: ignore[attr-defined] # the notebooks' own name


@pytest.mark.anyio
async def test_a_page_and_a_thread_show_themselves(
    tickets: Client, people: People, office: Office
) -> None:
    for subject in ("First <b>", "Second"):
        await got(tickets.create(organization=people.organization_id, subject=subject))
    page: TicketPage | AsyncTicketPage = await page_of(tickets, size=1, total=True)
    assert "Second" in html(page)
    assert "1 of 2 tickets; there are more after these." in html(page)
    assert [one["subject"] for one in page.to_dicts()] == ["Second"]
    assert [one["unread"] for one in page.to_dicts()] == [False]
    assert [ticket.subject for ticket in page] == ["Second"]
    assert len(page) == 1
    assert not await page_of(tickets, status="closed")
    organization = await got(tickets.organizations.get(people.organization_id))
    assert people.organization_name in repr(organization)
    assert people.organization_name in html(organization)
    assert json.dumps(page.to_dicts())
    assert list(page.to_pandas()["subject"]) == ["Second"]

    thread: TicketThread | AsyncTicketThread = await thread_of(tickets, page.items[0])
    await got(thread.send("Hello **you**"))
    office.answer(thread.ticket.id, "Hello <i>")
    office.answer(thread.ticket.id, "between us", internal=True)
    await got(thread.refresh())
    shown = html(thread)
    assert "Hello <strong>you</strong>" in shown
    assert "Hello &lt;i&gt;" in shown
    assert people.organization_name in shown
    assert "between us" not in shown
    assert "You may: reply, edit, close." in shown
    assert "wrote a message" in html(thread.history)
    assert list(thread.messages.to_pandas()["text"]) == ["Hello you", "Hello <i>"]
    assert [row["kind"] for row in thread.history.to_dicts()] == ["created", "message", "message"]
    assert "2</b> open" in html(await got(tickets.counts()))
    assert "Hello" not in repr(thread) + repr(page) + repr(thread.messages)
    assert "Second" not in repr(thread) + repr(page) + repr(page.items)


@pytest.mark.anyio
async def test_a_text_shows_the_attachments_it_points_at(tickets: Client, people: People) -> None:
    ticket = await got(
        tickets.create(
            organization=people.organization_id,
            subject="Photo",
            attachments=[Upload(PNG, "photo.png")],
        )
    )
    thread = await thread_of(tickets, ticket)
    (photo,) = thread.attachments
    source = f"![the photo](attachment:{photo.id}) ![gone](attachment:{ticket.id})"
    await got(thread.edit(description=source))
    assert thread.ticket.html == "<p>the photo gone</p>\n"
    shown = await got(thread.render())
    found = re.search(r'<p><img src="([^"]+)" alt="the photo"[^>]*> gone</p>', shown)
    assert found is not None
    assert fetched(unescape(found[1])) == PNG
    message = await got(thread.send(f"As said: ![it](attachment:{photo.id})", attachments=[b"x"]))
    assert message.html == "<p>As said: it</p>\n"
    assert 'alt="it"' in await got(thread.render(message))
    # By its name a message can show what comes along with it, whose id nobody knows before.
    own = await got(
        thread.send("![mine](attachment:photo.png)", attachments=[Upload(PNG * 2, "photo.png")])
    )
    found = re.search(r'<img src="([^"]+)" alt="mine"', await got(thread.render(own)))
    assert found is not None
    assert fetched(unescape(found[1])) == PNG * 2
    plain = await got(tickets.attachments.render("plain", thread.attachments))
    assert plain == "<p>plain</p>\n"


def fetched(address: str) -> bytes:
    """What a browser would show there."""
    return httpx.get(address).content


def executed(stack: Stack, folder: Path) -> Any:
    """The example notebook, run by a kernel of its own."""
    target = folder / "executed.ipynb"
    names = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK), str(target)],
        env={
            **os.environ,
            **{name: str(folder / name.lower()) for name in names},
            "SUPABASE_URL": stack.url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(target.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_example_notebook_runs_and_shows_html(seeded: Stack, tmp_path: Path) -> None:
    notebook = executed(seeded, tmp_path)
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert [one for one in outputs if one["output_type"] in {"error", "stream"}] == []
    data = [one["data"] for one in outputs if "text/html" in one["data"]]
    shown = ["".join(one["text/html"]) for one in data]
    labels = [re.search(r'aria-label="([^":]+)', one) for one in shown]
    assert [label[1] for label in labels if label is not None] == [
        "Ticket", "Tickets", "Thread", "Messages", "History", "Counts",
    ]  # fmt: skip
    # A viewer without HTML shows the reprs, which hold no text.
    assert "Refund" in "".join(shown)
    assert "Refund" not in "".join("".join(one["text/plain"]) for one in data)


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []
