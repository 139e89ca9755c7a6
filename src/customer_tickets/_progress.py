"""How far a transfer is: told to a function, or shown as a bar."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ._arguments import check_progress


@dataclass(frozen=True)
class Progress:
    """How far one file is.

    Attributes:
        name: the file's name.
        done: bytes that are through; never less than in the call before.
        total: bytes that the file has.
        position: which of the files it is, from 1.
        count: how many files there are.
    """

    name: str = field(repr=False)
    done: int
    total: int
    position: int = 1
    count: int = 1


ProgressTo = Callable[[Progress], object] | bool | None
"""A function that is called as bytes go through, or True for a bar (needs the extra `rich`)."""

Tell = Callable[[int], None]
"""Says how many bytes of one file are through."""


class Teller:
    """Tells one function about all files of a transfer."""

    def __init__(self, tell: Callable[[Progress], object] | None, count: int) -> None:
        self._tell = tell
        self._count = count

    def of(self, name: str, total: int, position: int) -> Tell:
        """Return what is to be called with the bytes of one file.

        A repetition begins at 0 again; nobody is told until it is beyond where it was.
        """
        most = -1

        def tell(done: int) -> None:
            nonlocal most
            if self._tell is not None and done > most:
                most = done
                self._tell(Progress(name, done, total, position, self._count))

        return tell


@contextmanager
def telling(progress: ProgressTo, count: int, *, unit: str = "bytes") -> Generator[Teller]:
    """Tell a function, show a bar while the block lasts, or do nothing.

    Raises:
        InvalidInput: it is neither a function nor True, False or None.
        ImportError: a bar is wanted, and the package rich is not installed.
    """
    check_progress(progress)
    if callable(progress):
        yield Teller(progress, count)
    elif progress:
        with _bar(unit) as show:
            yield Teller(show, count)
    else:
        yield Teller(None, count)


@contextmanager
def _bar(unit: str) -> Generator[Callable[[Progress], object]]:
    try:
        from rich import progress as rich
    except ImportError:
        raise ImportError(
            'progress=True shows a bar with the package rich: pip install "customer-tickets[rich]"'
        ) from None
    # A file's name is no markup.
    name = rich.TextColumn("{task.description}", markup=False)
    in_bytes = (rich.DownloadColumn(), rich.TransferSpeedColumn())
    columns = (
        name,
        rich.BarColumn(),
        *(in_bytes if unit == "bytes" else (rich.MofNCompleteColumn(),)),
    )
    tasks: dict[int, rich.TaskID] = {}
    with rich.Progress(*columns) as bar:

        def show(now: Progress) -> None:
            if now.position not in tasks:
                tasks[now.position] = bar.add_task(now.name, total=now.total)
            bar.update(tasks[now.position], completed=now.done)

        yield show
