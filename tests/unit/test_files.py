"""What is handed in as a file: read whole, named safely, refused in words."""

import asyncio
import gc
import io
import os
import tempfile
import threading
import unicodedata
from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from customer_tickets import InvalidInput, Upload
from customer_tickets._file_names import (
    found_name,
    guessed_type,
    is_taken,
    name_on_disk,
    nameless,
    stated_name,
    stated_type,
)
from customer_tickets._files import PIECE, MeasuredFile, in_thread, measured

pytestmark = pytest.mark.anyio

HOSTILE = [
    "../../etc/passwd",
    "..",
    ".",
    "a/b",
    "a\\b",
    "a\x00b",
    "a\nb",
    "a\x7fb",
    "a\u202egpj.exe",
    "a\u2028b",
    "\ud800",
    "",
    "  ",
    "x" * 256,
]
HARMLESS = [
    "a b.pdf",
    "фото 日本.png",
    "👩‍👩‍👧.jpg",
    "é" * 255,
    "שלום.txt",
    "-rf",
    "%2e%2e",
    "<b>.txt",
]


async def measure(*sources: Any) -> list[MeasuredFile]:
    with ExitStack() as opened:
        return await measured(dict(enumerate(sources)), opened)


async def problems(*sources: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        await measure(*sources)
    return {wrong.field: wrong.message for wrong in caught.value.fields}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_that_was_chosen_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the name must"):
        stated_name(name)


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_name_stays_as_it_is(name: str) -> None:
    assert stated_name(name) == found_name(name) == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("..", "attachment"),
        ("a\\b\x00c\n", "a_b_c"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("\udcff.txt", "_.txt"),
        ("e\u0301.txt", "é.txt"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
        ("x" * 10 + "." + "y" * 300, "x" * 10 + "." + "y" * 244),
        (" \t ", "attachment"),
    ],
)
def test_a_name_that_was_found_is_made_safe(name: str, safe: str) -> None:
    assert found_name(name) == safe


NAMES = st.text(max_size=300) | st.text(alphabet="./\\\x00\n\u202e\u0301e é日👍 a", max_size=300)


@given(NAMES)
@settings(max_examples=2_000, deadline=None)
def test_every_name_becomes_one_that_the_database_takes(name: str) -> None:
    safe = found_name(name)
    assert stated_name(safe) == safe  # so it could have been chosen, and says itself again
    assert 1 <= len(safe) <= 255
    assert safe == unicodedata.normalize("NFC", safe).strip()
    safe.encode()


@given(NAMES)
@settings(max_examples=500, deadline=None)
def test_every_name_can_be_a_file_in_a_folder(name: str) -> None:
    saved = name_on_disk(name)
    assert len(saved.encode()) <= 255
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / saved).write_bytes(b"x")
        assert os.listdir(folder) == [saved]  # noqa: PTH208 - the name as the disk has it


@given(NAMES)
def test_a_short_name_is_saved_as_it_was_chosen(name: str) -> None:
    safe = found_name(name)
    assert name_on_disk(safe) == safe or len(safe.encode()) > 255 or safe[0] == "."


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        (".htaccess", "_htaccess"),
        (".bashrc.txt", "_bashrc.txt"),
        ("..x", "_.x"),
        (".", "attachment"),
        ("a.b", "a.b"),
        ("." + "é" * 200, "_" + "é" * 127),
    ],
)
def test_nobody_else_makes_a_hidden_file(name: str, saved: str) -> None:
    for windows in (False, True):
        assert name_on_disk(name, windows=windows) == saved


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("COM¹.txt", "_COM¹.txt"),
        ("lpt³", "_lpt³"),
        ("CONIN$", "_CONIN$"),
        ("conout$.log", "_conout$.log"),
        ("CON .txt", "_CON .txt"),
        ("Com1  .tar.gz", "_Com1  .tar.gz"),
        ("console.txt", "console.txt"),
        ("con a.txt", "con a.txt"),
        ('a<b>:"|?*', "a_b______"),
        ("a. .", "a"),
        ("...", "_"),
        ("日" * 100 + ".png", "日" * 83 + ".png"),
    ],
)
def test_names_on_windows(name: str, safe: str) -> None:
    assert name_on_disk(name, windows=True) == safe


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.PDF", "application/pdf"),
        ("a.png", "image/png"),
        ("a.csv.gz", "application/gzip"),
        ("a.txt.xz", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("日本", "application/octet-stream"),
    ],
)
def test_the_name_tells_the_type(name: str, kind: str) -> None:
    assert guessed_type(name) == kind


@pytest.mark.parametrize(
    ("kind", "taken"),
    [("image/png", True), ("application/pdf", True), ("text/html", False), ("imagex/png", False)],
)
def test_wildcards_of_a_bucket(kind: str, taken: bool) -> None:
    assert is_taken(kind, ("image/*", "application/pdf")) is taken
    assert is_taken(kind, None)
    assert is_taken(kind, ())
    assert is_taken(kind, ("*/*",))


@pytest.mark.parametrize("kind", ["", "png", "a/b/c", "text/plain; charset=utf-8", "é/x", "a/b\n"])
def test_what_is_no_type(kind: str) -> None:
    if kind == "a/b\n":
        assert stated_type(kind) == "a/b"
        return
    with pytest.raises(ValueError, match="content type"):
        stated_type(kind)


def test_bytes_without_a_name_are_looked_at() -> None:
    assert nameless(b"\x89PNG\r\n\x1a\n...", None) == ("attachment.png", "image/png")
    assert nameless(b"%PDF-1.7", None) == ("attachment.pdf", "application/pdf")
    assert nameless(b"hello", None) == ("attachment", "application/octet-stream")
    assert nameless(b"hello", "text/csv") == ("attachment.csv", "text/csv")
    assert nameless(b"%PDF-1.7", "text/plain")[1] == "text/plain"


async def test_every_kind_of_source_is_read_whole(tmp_path: Path) -> None:
    content = os.urandom(PIECE + 7)
    path = tmp_path / "receipt.pdf"
    path.write_bytes(content)
    moved = io.BytesIO(content)
    moved.seek(3)
    with path.open("rb") as binary, path.open("rb", buffering=0) as raw:
        sources: list[Any] = [
            *(path, str(path), content, bytearray(content), memoryview(content)),
            *(memoryview(content * 2)[::2], moved, binary, raw, Upload(content, "b.pdf")),
        ]
        with ExitStack() as opened:
            files = await measured(dict(enumerate(sources)), opened)
            read = [file.read(0, file.size + 9) for file in files]
    strided = (content * 2)[::2]
    assert read == [strided if number == 5 else content for number in range(len(sources))]
    assert [file.sha256 for file in files] == [sha256(one).hexdigest() for one in read]
    assert {file.size for file in files} == {len(content)}
    names = [file.name for file in files]
    assert names[:2] == names[7:9] == ["receipt.pdf", "receipt.pdf"]
    assert names[2:7] == ["attachment"] * 5
    assert files[9].name == "b.pdf"


async def test_what_cannot_be_wound_back_is_kept_on_disk() -> None:
    content = os.urandom(3 * PIECE)
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb") as pipe, ExitStack() as opened:
        (file,) = await measured({0: pipe}, opened)
        assert file.read(PIECE, file.size) == content[PIECE:]
        assert file.name == "attachment"
    thread.join()
    assert (file.size, file.sha256) == (len(content), sha256(content).hexdigest())


async def test_one_object_twice_is_two_files() -> None:
    for source in (io.BytesIO(b"abc"), Once(b"a", b"bc")):
        one, other = await measure(source, source)
        assert one.read(1, 1) + other.read(0, 3) + one.read(2, 1) == b"babcc"


class Once(io.RawIOBase):
    """Gives its pieces once, and cannot be wound back."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked = threading.Event()

    def read(self, size: int = -1) -> bytes:
        self.asked.set()
        self.go_on.wait(10)
        return self._pieces.pop(0) if self._pieces else b""


async def test_what_comes_after_a_cancellation_is_not_lost() -> None:
    source = Once(b"one ", b"two")
    source.go_on.clear()
    attempt = asyncio.create_task(measure(source))
    await asyncio.to_thread(source.asked.wait, 10)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    source.go_on.set()
    (file,) = await measure(source)
    assert file.read(0, file.size) == b"one two"


async def test_what_was_kept_goes_with_its_object() -> None:
    source = Once(os.urandom(PIECE), b"more")  # so much that it is on the disk
    (file,) = await measure(source)
    del source
    gc.collect()
    assert file.read(PIECE, 4) == b"more"  # who is reading it still can
    del file
    gc.collect()  # what were left open would be a ResourceWarning


async def test_what_can_neither_be_wound_back_nor_kept_is_refused() -> None:
    class Strange:
        __slots__ = ()

        def read(self, size: int) -> bytes:
            return b"x"

    assert "only once" in (await problems(Strange()))["attachments[0]"]


async def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    closed = io.BytesIO()
    closed.close()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    wrong = await problems(
        *(b"good", tmp_path / "none", tmp_path, fifo, "a\x00b", io.StringIO("text"), 5, None),
        *(closed, Upload(b"", "a/b"), Upload(b"", content_type="png")),
        *(Upload(b"", 5), ["a"]),  # type: ignore[arg-type] # what a caller without types may do
    )
    assert list(wrong) == [f"attachments[{number}]" for number in range(1, 13)]
    assert wrong["attachments[1]"] == "cannot be read (No such file or directory)"
    assert "is not a file" in wrong["attachments[2]"]
    assert "is not a file" in wrong["attachments[3]"]
    assert "reading bytes" in wrong["attachments[5]"]
    assert "closed" in wrong["attachments[8]"]
    assert "not a path" in wrong["attachments[9]"]
    assert not any(str(tmp_path) in message for message in wrong.values())


class Text(io.RawIOBase):
    """Says that it has bytes, and gives something else."""

    def __init__(self, answers: Iterable[Any]) -> None:
        self._answers = iter(answers)

    def read(self, size: int = -1) -> Any:
        return next(self._answers)


@pytest.mark.parametrize("answer", ["text", None, 5])
async def test_an_object_that_gives_no_bytes_is_refused(answer: object) -> None:
    assert "reading bytes" in (await problems(Text([answer])))["attachments[0]"]


class NoPath:
    def __fspath__(self) -> Any:
        return 5


async def test_what_only_looks_like_a_file_is_refused() -> None:
    released = memoryview(b"abc")
    released.release()
    strange: list[Any] = [released, io.BytesIO, Path, Upload, NoPath(), Upload(io.BytesIO)]  # type: ignore[arg-type] # a caller without types
    wrong = await problems(*strange)
    assert list(wrong) == [f"attachments[{number}]" for number in range(len(strange))]
    assert "released" in wrong["attachments[0]"]
    assert wrong["attachments[4]"] == "is no path"


async def test_empty_and_odd_views_of_memory_are_read() -> None:
    views = [memoryview(b""), memoryview(b"abcd").cast("I"), memoryview(b"abcdef")[::-2]]
    assert [file.size for file in await measure(*views)] == [0, 4, 3]


class Broken(io.RawIOBase):
    """Raises an error of its own."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, size: int = -1) -> bytes:
        raise self._error


async def test_an_objects_own_error_is_raised_as_it_is() -> None:
    with pytest.raises(KeyError, match="own"):
        await measure(Broken(KeyError("own")))
    assert (
        "Input/output"
        in (await problems(Broken(OSError(5, "Input/output error"))))["attachments[0]"]
    )


async def test_a_file_that_is_closed_before_it_is_sent_is_named() -> None:
    source = io.BytesIO(b"abc")
    (_, file) = await measure(b"first", source)
    source.close()
    with pytest.raises(InvalidInput) as caught:
        file.read(0, 3)
    assert [wrong.field for wrong in caught.value.fields] == ["attachments[1]"]
    assert caught.value.__context__ is None


async def test_nothing_of_a_file_is_in_its_repr() -> None:
    upload = Upload(b"private", "secret.txt")
    (file,) = await measure(upload)
    shown = repr(upload) + repr(file)
    assert "private" not in shown
    assert "secret" not in shown


async def test_who_is_cancelled_waits_until_the_thread_has_ended() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(10)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
