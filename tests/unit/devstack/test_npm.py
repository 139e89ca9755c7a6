"""What an installation promises, with a small program in the place of npm: once, and whole."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from customer_tickets.devstack import npm
from customer_tickets.devstack.process import StackError

INSTALLS = """
import pathlib, time
with pathlib.Path({log!r}).open("a") as log: log.write("once\\n")
pathlib.Path("node_modules").mkdir()
time.sleep(0.2)
"""
FAILS = """
import pathlib, sys
pathlib.Path("node_modules").mkdir()
sys.exit("npm error code ENOTFOUND")
"""


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.setattr(npm, "cache_folder", lambda: tmp_path / "cache")

    def use(program: str) -> None:
        command = [sys.executable, "-c", program]
        monkeypatch.setattr(npm, "_node_and_npm", lambda: (sys.executable, command))

    return use


def test_it_installs_once_whoever_asks_at_the_same_time(
    tmp_path: Path, use: Callable[[str], None]
) -> None:
    log = tmp_path / "log"
    use(INSTALLS.format(log=str(log)))
    said: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        folders = {parts.folder for parts in pool.map(npm.npm_parts, [said.append] * 4)}
    assert log.read_text() == "once\n"
    assert len(said) == 1
    [folder] = folders
    assert (folder / "node_modules").is_dir()
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f"{folder.name}.lock"}


def test_a_failed_installation_is_said_in_words_and_leaves_nothing(
    tmp_path: Path, use: Callable[[str], None]
) -> None:
    use(FAILS)
    with pytest.raises(StackError, match=r"(?s)needs a network.*ENOTFOUND"):
        npm.npm_parts(lambda _: None)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_npm_leaves_no_cache_of_its_code(tmp_path: Path, use: Callable[[str], None]) -> None:
    program = f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(str(dict(os.environ)))"
    use(program)
    npm.npm_parts(lambda _: None)
    assert "'NODE_DISABLE_COMPILE_CACHE': '1'" in (tmp_path / "seen").read_text()


def test_a_script_stands_beside_its_modules_and_follows_its_source(tmp_path: Path) -> None:
    parts = npm.NpmParts("node", tmp_path)
    script = parts.script("auth.mjs")
    assert script.parent == tmp_path
    assert script.read_text() == (Path(npm.__file__).parent / "auth.mjs").read_text()
    assert parts.script("auth.mjs") == script


def test_a_platform_without_postgrest_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="install PostgREST 12"):
        npm.NpmParts("node", tmp_path).postgrest()


def test_the_lock_file_names_no_registry() -> None:
    text = (Path(npm.__file__).parent / "package-lock.json").read_text()
    assert '"resolved"' not in text
