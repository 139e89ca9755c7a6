"""What the pages name exists: commands, options, functions, codes, classes; nothing is left out."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import customer_tickets
from customer_tickets import _errors, migrate
from customer_tickets.cli import main
from docs.pages import PAGES, ROOT, read

COMMANDS = [
    (f"{page.relative_to(ROOT)}:{block.line}", shlex.split(line, comments=True))
    for page in PAGES
    for block in read(page)
    if block.language == "sh"
    for line in block.text.splitlines()
    if line.strip()
]
MAKEFILE = (ROOT / "Makefile").read_text()
SCHEMA = (ROOT / "docs" / "schema.md").read_text()


@pytest.mark.parametrize(
    "words", [words for _, words in COMMANDS], ids=[f"{at} {words[0]}" for at, words in COMMANDS]
)
def test_a_command_exists(words: list[str]) -> None:
    program, arguments = words[0], words[1:]
    match program.removeprefix(".venv/bin/"):
        case "make":
            assert set(arguments) <= set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
        case "customer-tickets":
            assert set(arguments) <= {"dev"}
        case "python":
            paths = [word for word in arguments if word.startswith(("scripts/", "tests/"))]
            assert paths
            assert [path for path in paths if not (ROOT / path).exists()] == []
        case "pip":
            assert arguments in (["install", "."], ["install", ".[dev]"])
        case "supabase":
            assert arguments[0] in {"link", "db", "start", "status"}
        case tool:
            # The project's own environment has it; outside of it a reader has nothing of ours.
            assert program.startswith(".venv/bin/")
            assert (Path(sys.prefix) / "bin" / tool).exists()


def test_the_options_of_dev_are_the_ones_described(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dev", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--seed"}
    page = (ROOT / "docs" / "local-stack.md").read_text()
    assert set(re.findall(r"^\| `(--[a-z-]+)", page, re.MULTILINE)) == options


def test_sql_runs(spare_database: str) -> None:
    for page in PAGES:
        for block in read(page):
            if block.language == "sql":
                with psycopg.connect(spare_database) as connection:
                    connection.execute(block.text.encode())


def test_every_function_is_described_with_its_arguments(spare_database: str) -> None:
    described = {
        name: [one.partition("=>")[0].strip() for one in arguments.split(",") if one]
        for name, arguments in re.findall(r"^\| `(\w+)\((.*?)\)`", SCHEMA, re.MULTILINE)
    }
    with psycopg.connect(spare_database) as connection:
        rows = connection.execute(
            "select proname, coalesce(proargnames, '{}') from pg_proc"
            " where pronamespace = 'public'::regnamespace"
        )
        assert described == dict(rows.fetchall())


def test_every_default_of_a_function_is_the_one_described(spare_database: str) -> None:
    with psycopg.connect(spare_database) as connection:
        rows = connection.execute(
            "select proname, pg_get_function_arguments(oid) from pg_proc"
            " where pronamespace = 'public'::regnamespace"
        ).fetchall()
    defaults = {
        (function, *found)
        for function, arguments in rows
        for found in re.findall(r"(\w+) \w+ DEFAULT (?:NULL::)?('?\w+'?)", arguments)
    }
    described = {
        (function, *found)
        for function, arguments in re.findall(r"^\| `(\w+)\((.*?)\)`", SCHEMA, re.MULTILINE)
        for found in re.findall(r"(\w+) => ('?\w+'?)", arguments)
    }
    nulls = {"null": True, "text": True, "uuid": True, "jsonb": True, "bigint": True}
    assert {(f, a, nulls.get(v, v)) for f, a, v in described} == {
        (f, a, nulls.get(v, v)) for f, a, v in defaults
    }


def test_every_table_is_described(spare_database: str) -> None:
    with psycopg.connect(spare_database) as connection:
        rows = connection.execute("select tablename from pg_tables where schemaname = 'public'")
        tables = {row[0] for row in rows}
    assert tables <= set(re.findall(r"^\| `(\w+)` \|", SCHEMA, re.MULTILINE))


def test_every_refusal_is_described() -> None:
    raised = {
        code
        for migration in migrate.migrations()
        for code in re.findall(r"'(TK\d+)'", migration.sql)
    }
    assert set(re.findall(r"^\| `(TK\d+)`", SCHEMA, re.MULTILINE)) == raised


def test_the_tree_of_errors_is_the_one_in_the_code() -> None:
    def tree(text: str) -> Iterator[tuple[int, str]]:
        for indent, name, says in re.findall(r"^([ │├└─]*)([A-Z]\w+) *(.*)$", text, re.MULTILINE):
            yield bool(indent) + (len(indent) > 4), f"{name} {says}"

    drawn = (_errors.__doc__ or "").split("\n\n")[1]
    (page,) = [
        block for block in read(ROOT / "docs" / "errors.md") if block.text.startswith("Customer")
    ]
    assert list(tree(page.text)) == list(tree(drawn))


def anchors(text: str) -> set[str]:
    """The names that a page's headings get: lower case, spaces to hyphens, signs dropped."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings}


# Sphinx checks the links of docs/; these two pages are read elsewhere.
@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\((?!https://)([^)]+)\)", (ROOT / page).read_text()):
        path, _, anchor = link.partition("#")
        assert (ROOT / path).exists(), link
        assert not anchor or anchor in anchors((ROOT / path).read_text()), link


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "reference.md").read_text()
    kinds = "class|exception|data|function"
    shown = re.findall(rf"^\.\. (?:auto|py:)(?:{kinds}):: (\w+)", page, re.MULTILINE)
    assert set(customer_tickets.__all__) <= set(shown)
