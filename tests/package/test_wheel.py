"""What is installed is whole: the wheel alone, without this repository."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True)
    return target


def run(installed: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_holds_real_files(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "supabase").glob("*/*.sql"):
        assert f"customer_tickets/{path.parent.name}/{path.name}" in names
    assert {"customer_tickets/py.typed", "customer_tickets/seed.sql"} <= names
    assert {
        f"customer_tickets/devstack/{name}" for name in ("auth.mjs", "package-lock.json")
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "node_modules"))]


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"Makefile", "requirements.lock", "tests/conftest.py", "supabase/seed.sql"} <= names


def test_the_wheel_imports_silently_and_from_itself(installed: Path) -> None:
    where = run(installed, "-c", "import customer_tickets; print(customer_tickets.__file__)")
    assert Path(where).is_relative_to(installed)


def test_the_wheel_finds_its_migrations(installed: Path) -> None:
    program = (
        "from customer_tickets.migrate import migrations, seed; seed(); print(len(migrations()))"
    )
    expected = len(list((ROOT / "supabase" / "migrations").glob("*.sql")))
    assert run(installed, "-c", program) == str(expected)


def test_the_command_is_there(installed: Path) -> None:
    assert run(installed, "-m", "customer_tickets", "--version").startswith("customer-tickets ")


def test_importing_the_library_imports_nothing_of_the_local_stack(installed: Path) -> None:
    program = (
        "import sys, customer_tickets;"
        "print([name for name in sys.modules if name.startswith("
        "('customer_tickets.devstack', 'psycopg', 'aiohttp'))])"
    )
    assert run(installed, "-c", program) == "[]"
