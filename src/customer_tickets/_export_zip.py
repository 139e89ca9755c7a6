"""An export as a zip file, and the check of an export of either form; no server is asked."""

from __future__ import annotations

import os
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from ._errors import ExportDamaged
from ._export_files import ExportFolder, is_as, opened_below, parsed_manifest, path_of, refused
from ._export_format import MANIFEST, FileEntry, Manifest
from ._files import PIECE

_Open = Callable[[str], AbstractContextManager[BinaryIO]]
_READABLE_BY_OWNER = 0o100600 << 16


# What a file that is missing, damaged or made to do harm raises when it is read.
_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    NotImplementedError,  # zipfile: it is compressed in a way that Python does not know
    RuntimeError,  # it wants a password
    zipfile.BadZipFile,
    zlib.error,
)


def is_zip(path: Path) -> bool:
    """Tell whether an export to this path is to be a zip file."""
    return path.name.lower().endswith(".zip") and not path.is_dir()


def work_folder(target: Path) -> Path:
    """Return where the tickets of a zip file are gathered, so that a later run can go on there.

    Raises:
        InvalidInput: the zip file exists already, or something of somebody else's is there.
    """
    if os.path.lexists(target):
        raise refused("exists already")
    work = target.with_name(f".{target.name}.export")
    with suppress(FileNotFoundError):
        found = work.lstat()
        # In a folder that others write to as well, it may have been put there for us.
        own = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
        if not (own and stat.S_ISDIR(found.st_mode)):
            raise refused(f"has something of somebody else's beside it, {work.name}")
    return work


def clear_work(work: Path, target: Path) -> None:
    """Remove what was gathered, once the zip file is there."""
    if os.path.lexists(target):
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def packing(folder: ExportFolder, manifest: Manifest, target: Path) -> Generator[Iterator[None]]:
    """Lend the steps that pack a folder, a file each; after the last the zip is in its place.

    Raises:
        InvalidInput: something has come into its place meanwhile.
        ExportDamaged: what was packed cannot be read again as it was.
    """
    with folder.part() as (part, file):
        yield _steps(folder.path, manifest, file, part, target)


def _steps(
    folder: Path, manifest: Manifest, file: BinaryIO, part: Path, target: Path
) -> Iterator[None]:
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name in [MANIFEST, *(name for name, _ in _named(manifest))]:
            _pack(folder, archive, name)
            yield
    file.flush()
    os.fsync(file.fileno())
    with zipfile.ZipFile(file) as archive:
        yield from _checked(partial(_opened_in, archive))
    _put(part, target)


def _pack(folder: Path, archive: zipfile.ZipFile, name: str) -> None:
    entry = zipfile.ZipInfo(name, time.localtime()[:6])
    entry.external_attr = _READABLE_BY_OWNER
    if "/attachments/" not in name:  # those are mostly compressed already
        entry.compress_type = zipfile.ZIP_DEFLATED
    with opened_below(folder, name) as source, archive.open(entry, "w", force_zip64=True) as packed:
        shutil.copyfileobj(source, packed, PIECE)


def _put(part: Path, target: Path) -> None:
    try:
        os.link(part, target)  # made or refused in one step
    except FileExistsError:
        raise refused("exists already") from None
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise refused("exists already") from None
        part.replace(target)


def verify_export(path: str | os.PathLike[str]) -> None:
    """Check that an export, a folder or a zip file, is still what its manifest says.

    Every file is read; nothing is asked of a server. What is there besides is not looked at.

    Args:
        path: what `export` was given.

    Raises:
        ExportDamaged: files are missing or changed, all of them are named; or it is no export, or
            one that was not finished.
    """
    place = path_of(path)
    if place.is_dir():
        _run(_checked(partial(opened_below, place)))
        return
    try:
        if not place.is_file():
            # A pipe would be waited for, and a device may never end.
            raise OSError("is no file")
        archive = zipfile.ZipFile(place)
    except _UNREADABLE as error:
        raise ExportDamaged("There is no export that could be read.") from error
    with archive:
        _run(_checked(partial(_opened_in, archive)))


def _run(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def _checked(open_file: _Open) -> Iterator[None]:
    """Compare each file with the manifest, one a step; at the end raise about all wrong ones."""
    try:
        with open_file(MANIFEST) as file:
            manifest = parsed_manifest(file)
    except _UNREADABLE as error:
        raise ExportDamaged("There is no manifest that could be read.", [MANIFEST]) from error
    wrong: list[str] = []
    for name, entry in _named(manifest):
        if not _is_whole(open_file, name, entry):
            wrong.append(name)
        yield
    if wrong:
        raise ExportDamaged(
            f"Missing, or not what the manifest says: {len(wrong)} of the files.",
            wrong,
            hint="Export to the same folder again: what is damaged is fetched anew.",
        )
    if not manifest.complete:
        raise ExportDamaged("The export was not finished.", hint="Run it again: it goes on there.")


def _named(manifest: Manifest) -> Iterator[tuple[str, FileEntry]]:
    for ticket in manifest.tickets:
        for entry in ticket.files:
            yield f"{ticket.folder}/{entry.path}", entry


def _is_whole(open_file: _Open, name: str, entry: FileEntry) -> bool:
    try:
        with open_file(name) as file:
            return is_as(file, entry)
    except _UNREADABLE:
        return False


@contextmanager
def _opened_in(archive: zipfile.ZipFile, name: str) -> Generator[BinaryIO]:
    with archive.open(name) as file:
        yield cast("BinaryIO", file)
