"""The sizes that keep the code readable: 350 lines a module, 60 a function, 200 a class."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "customer_tickets"
# The two front doors: most of their lines are what `help()` shows, their methods check and hand on.
# Every feature of the product has a method there, so they also have more of them.
FRONT_DOORS = {"_client.py": (500, 300, 16), "_thread.py": (500, 300, 17)}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "_sync.py")


def lines(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def length(node: ast.stmt) -> int:
    """Lines of code: docstrings are for the reader and do not count."""
    return lines(node) - sum(
        lines(part.body[0])
        for part in ast.walk(node)
        if isinstance(part, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(part)
    )


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_keeps_to_the_budgets(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    longest, class_lines, most_methods = FRONT_DOORS.get(path.name, (350, 200, 12))
    assert len(text.splitlines()) <= longest
    assert [f.name for f in functions(tree) if length(f) > 60] == []
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [c.name for c in classes if length(c) > class_lines] == []
    crowded = [
        c.name
        for c in classes
        if sum(f.name[0] != "_" and not f.decorator_list for f in functions_of(c)) > most_methods
    ]
    assert crowded == []


def functions_of(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_nine_of_ten_functions_are_short() -> None:
    sizes = sorted(
        length(function) for path in MODULES for function in functions(ast.parse(path.read_text()))
    )
    assert sizes[int(len(sizes) * 0.9)] < 22
