"""Where sessions are kept: what a file may be, who reads it, and what is never destroyed."""

import json
import logging
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from uuid import uuid4

import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    CustomerTickets,
    FileStore,
    InvalidInput,
    MemoryStore,
    StoreFailed,
)
from customer_tickets._kept import Kept
from customer_tickets._models import User
from customer_tickets._tokens import Tokens, read, written

URL = "https://abc.supabase.co"
ANA = User(id=uuid4(), email="ana@example.com")
TOKENS = Tokens("access", "refresh", 3600.0, 2e9, ANA)
TEXT = written(TOKENS, URL)
needs_owner = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "session"


@pytest.fixture
def store(path: Path) -> FileStore:
    return FileStore(path)


def test_what_is_saved_is_loaded_until_it_is_cleared(store: FileStore) -> None:
    for kept in (store, MemoryStore()):
        assert kept.load() is None
        kept.save(TEXT)
        kept.save(TEXT)
        assert kept.load() == TEXT
        kept.clear()
        kept.clear()
        assert kept.load() is None


def test_a_file_is_private_and_so_are_the_folders_made_for_it(path: Path, store: FileStore) -> None:
    before = os.umask(0)
    try:
        store.save(TEXT)
        unlock = store.try_lock()
        assert unlock is not None
        unlock()
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert [mode(folder) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]
    assert sorted(one.name for one in path.parent.iterdir()) == ["session", "session.lock"]
    assert mode(path.parent / "session.lock") == 0o600


def test_a_file_is_private_from_its_first_byte(
    path: Path, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    def full(number: int) -> None:
        file = next(path.parent.iterdir())
        seen.append((file.name, mode(file)))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.save(TEXT)
    assert [found for _, found in seen] == [0o600]
    assert seen[0][0] != "session"
    assert list(path.parent.iterdir()) == []


def test_a_save_that_fails_leaves_what_was_there(
    path: Path, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(TEXT)

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.save(written(TOKENS, "https://other.supabase.co"))
    assert path.read_text() == TEXT


def test_a_file_that_others_can_read_is_made_private(
    path: Path, store: FileStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(TEXT)
    path.chmod(0o644)
    assert store.load() == TEXT
    assert mode(path) == 0o600
    assert "could be read by others" in caplog.text
    assert store.load() == TEXT
    assert len(caplog.records) == 1


@needs_owner
def test_a_file_of_somebody_else_is_refused(path: Path, store: FileStore) -> None:
    store.save(TEXT)
    os.chown(path, 12345, 12345)
    for use in (store.load, store.clear, lambda: store.save(TEXT)):
        with pytest.raises(StoreFailed, match="belongs to another user"):
            use()
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    "content",
    [
        b"# my shell's configuration\n",
        b"\xff\xfe\x00",
        b"{}",
        b"[" * 100_000,
        TEXT[:-10].encode(),
        TEXT.encode() + b"x",
        TEXT.replace("access", "a b").encode(),
        TEXT.replace('"customer_tickets_session": 1', '"customer_tickets_session": 2').encode(),
        TEXT.replace(str(ANA.id), "nobody").encode(),
        json.dumps({"access_token": "a", "refresh_token": "b", "expires_at": 5}).encode(),
    ],
    ids=range(10),
)
def test_what_cannot_be_read_is_nobody_and_stays(
    path: Path, store: FileStore, content: bytes
) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(0o644)
    assert store.load() is None
    with pytest.raises(StoreFailed, match="not overwritten"):
        store.save(TEXT)
    store.clear()
    assert path.read_bytes() == content
    assert mode(path) == 0o644


def test_an_empty_file_may_be_filled(path: Path, store: FileStore) -> None:
    path.parent.mkdir(parents=True)
    path.touch(0o600)
    assert store.load() is None
    store.save(TEXT)
    assert store.load() == TEXT


@pytest.mark.parametrize("kind", ["folder", "link", "dangling", "pipe", "device"])
def test_what_is_no_plain_file_is_refused_and_stays(
    path: Path, store: FileStore, tmp_path: Path, kind: str
) -> None:
    path.parent.mkdir(parents=True)
    target = tmp_path / "target"
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            target.write_text(TEXT)
            path.symlink_to(target)
        case "dangling":
            path.symlink_to(target)
        case "pipe":
            os.mkfifo(path)
        case _:
            store = FileStore("/dev/null")
    for use in (store.load, store.clear, lambda: store.save(TEXT)):
        with pytest.raises(StoreFailed, match="no plain file"):
            use()
    if kind == "link":
        assert target.read_text() == TEXT
    assert target.exists() == (kind == "link")


def test_one_at_a_time_has_the_lock(path: Path, store: FileStore) -> None:
    for one, other in ((store, FileStore(path)), ((both := MemoryStore()), both)):
        unlock = one.try_lock()
        assert unlock is not None
        assert other.try_lock() is None
        unlock()
        again = other.try_lock()
        assert again is not None
        again()


def test_another_process_that_ends_gives_the_lock_back(path: Path, store: FileStore) -> None:
    program = f"""
        from customer_tickets import FileStore
        unlock = FileStore({str(path)!r}).try_lock()
        print(unlock is not None, flush=True)
        input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert store.try_lock() is None
        other.kill()
    unlock = store.try_lock()
    assert unlock is not None
    unlock()


@pytest.mark.parametrize("path", [None, 5, b"x", "", "\0", "/", "~nobody-at-all/x"])
def test_what_is_no_path_is_refused(path: object) -> None:
    with pytest.raises(InvalidInput, match="path"):
        FileStore(path)  # type: ignore[arg-type] # on purpose


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    FileStore("~/session").save(TEXT)
    assert (tmp_path / "session").read_text() == TEXT


def test_a_text_is_of_one_project_and_shows_whose_it_is() -> None:
    assert read(TEXT, URL) == TOKENS
    assert read(TEXT, "https://other.supabase.co") is None
    assert "access" not in repr(TOKENS)
    assert "refresh" not in repr(TOKENS).replace("refresh=", "")


def test_another_persons_session_is_neither_replaced_nor_cleared(store: FileStore) -> None:
    kept = Kept(store, URL)
    kept.save(TOKENS, over_others=True)
    ben = Tokens("other", "tokens", 3600.0, 2e9, User(id=uuid4(), email=None))
    kept.save(ben, over_others=False)
    assert kept.clear(ben) is None
    assert kept.load() == TOKENS
    elsewhere = Kept(store, "https://other.supabase.co")
    elsewhere.save(ben, over_others=False)
    assert elsewhere.clear(TOKENS) is None
    assert kept.load() == TOKENS
    elsewhere.save(ben, over_others=True)
    assert kept.load() is None


class Broken:
    """A store of a user's that quotes secrets in its errors."""

    def load(self) -> str | None:
        raise LookupError("secret")

    def save(self, text: str) -> None:
        raise LookupError(text)

    def clear(self) -> None:
        raise LookupError("secret")


def test_what_a_store_raises_is_typed_and_its_words_are_not_kept() -> None:
    with pytest.raises(StoreFailed, match="LookupError") as caught:
        CustomerTickets(URL, "sb_publishable_x", store=Broken())
    assert caught.value.__context__ is None
    assert "secret" not in f"{caught.value}{caught.value!r}"


@pytest.mark.parametrize("store", [5, "path", FileStore, object(), Path("x")])
def test_what_is_no_store_is_refused(store: object) -> None:
    with pytest.raises(InvalidInput, match="store"):
        CustomerTickets(URL, "sb_publishable_x", store=store)  # type: ignore[arg-type] # on purpose


def test_nothing_of_a_session_is_logged(store: FileStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    kept = Kept(store, URL)
    kept.save(TOKENS, over_others=True)
    kept.load()
    kept.clear(TOKENS)
    assert "ana@example.com" not in caplog.text
    assert repr(store).startswith("FileStore(")


@pytest.mark.parametrize("face", [CustomerTickets, AsyncCustomerTickets])
def test_a_store_that_nobody_would_await_is_refused(face: type[CustomerTickets]) -> None:
    class Waiting(MemoryStore):
        async def save(self, text: str) -> None:  # type: ignore[override] # what a caller may do
            raise AssertionError

    with pytest.raises(InvalidInput, match="store: has methods that are `async def`"):
        face(URL, "sb_publishable_x", store=Waiting())  # type: ignore[arg-type] # as above
