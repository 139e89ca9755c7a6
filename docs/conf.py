"""How the pages are built: `sphinx-build -W -n docs docs/_build`."""

from importlib.metadata import version as installed_version
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import customer_tickets

project = "customer_tickets"
author = "The customer_tickets developers"
copyright = author
version = release = installed_version("customer-tickets")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"customer_tickets {version}"
templates_path: list[str] = []

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
# A docstring's `name` is code.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# No intersphinx: a build asks nothing of the network but the package registry. What is not ours is
# named here, class by class, so that a wrong reference to one of our own still fails the build.
nitpick_ignore_regex = [
    (r"py:class", r"customer_tickets\._sync_feed\._Event|customer_tickets\._live\.feed\.Event"),
    (
        r"py:.*",
        (
            r"(uuid\.)?UUID|(datetime\.)?datetime|(pathlib\.)?Path|types\.TracebackType|TracebackType"
            r"|(typing\.)?(Any|Literal|Self|ClassVar|TypeAlias)|(collections\.abc\.)?(Sequence|Iterator"
            r"|AsyncIterator|Callable|Awaitable)|float|int|str|bool|None|dict|tuple|list|type|Exception"
            r"|BaseException|RuntimeError|(psycopg\.)?Connection|TupleRow|(pandas\.)?DataFrame|(enum\.)?StrEnum"
            r"|(collections\.abc\.)?(Iterable|Mapping)|(os\.)?PathLike|(io\.)?BufferedIOBase|AsyncClient"
            r"|Client"
        ),
    ),
]

_PUBLIC = set(customer_tickets.__all__)
_ALIASES = {
    str(getattr(customer_tickets, name)).removeprefix("typing."): name
    for name in ("Priority", "Role", "SortKey", "Status", "StopReason")
}


def our_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Find `customer_tickets._models.Ticket`, or just `Ticket`, where it is documented."""
    name = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in _PUBLIC:
        return None
    domain: Any = env.get_domain("py")
    return domain.resolve_xref(
        env,
        env.current_document.docname if hasattr(env, "current_document") else env.docname,
        app.builder,
        "obj",
        f"customer_tickets.{name}",
        node,
        content,
    )


def readable_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Show names for long types, and how a thing is made only for what users make: the client."""
    if signature is None:
        return None
    if what in {"class", "exception"} and not name.endswith("CustomerTickets"):
        return "", None
    for written_out, alias in _ALIASES.items():
        signature = signature.replace(f"~typing.{written_out}", alias).replace(written_out, alias)
    return signature, returns


def not_a_type(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Keep napoleon from reading "The key of servers: role …" as a type and its description."""
    if what in {"attribute", "property"}:
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    app.connect("missing-reference", our_name)
    app.connect("autodoc-process-signature", readable_signature)
    app.connect("autodoc-process-docstring", not_a_type, priority=100)
