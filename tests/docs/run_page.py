"""Run one page's Python blocks: `python run_page.py PAGE`; a traceback shows the page's lines."""

import contextlib
import doctest
import io
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs.pages import Block, read

_LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def main(page: Path) -> None:
    """Run a page; raises what its code raises, SystemExit when it prints something else."""
    # What supabase-py says about itself when it makes a client: not the page's doing.
    warnings.filterwarnings("ignore", r"The '\w+' parameter is deprecated", DeprecationWarning)
    namespace: dict[str, object] = {"__name__": "__main__"}
    found = read(page)
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.language == "python" and block.not_run is None:
            shown = following if following is not None and following.follows else None
            run(page, block, shown, namespace)


def run(page: Path, block: Block, shown: Block | None, namespace: dict[str, object]) -> None:
    # Moved down to the line it has in the page: the traceback then quotes the page itself.
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, namespace)
    if shown is None or shown.language != "text":
        return
    if not doctest.OutputChecker().check_output(shown.text, printed.getvalue(), _LIKE):
        sys.exit(
            f"{page}:{shown.line}: the page says that this is printed:\n{shown.text}\n"
            f"but it is this:\n{printed.getvalue()}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
