"""PURE: what a file may be called and what type it has, on the way out and on the way back."""

from __future__ import annotations

import mimetypes
import re
import sys
from collections.abc import Callable
from pathlib import PurePath
from unicodedata import category, normalize

from ._html import TURNING

LONGEST_NAME = 255
LONGEST_TYPE = 127
_LONGEST_ENDING = 24
_NAMELESS = "attachment"
ANY_TYPE = "application/octet-stream"

# Control characters, halves of surrogate pairs, separators of lines and of paragraphs.
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
_WINDOWS = '<>:"|?*'
# Windows takes a superscript for its digit, and looks at no spaces before the ending.
_DEVICES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³]) *(\..*)?", re.IGNORECASE
)
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+", re.ASCII)
_PACKED = {"gzip": "application/gzip"}
# How bytes without a name begin.
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "png", "image/png"),
    (b"\xff\xd8\xff", "jpg", "image/jpeg"),
    (b"GIF8", "gif", "image/gif"),
    (b"%PDF-", "pdf", "application/pdf"),
)


def stated_name(name: str) -> str:
    """Return a name that the caller chose, in NFC and trimmed; ValueError says what is wrong."""
    name = normalize("NFC", name).strip()
    if not name:
        raise ValueError("the name must not be empty")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the name must have at most {LONGEST_NAME} characters")
    if name in {".", ".."} or "/" in name or "\\" in name:
        raise ValueError("the name must be a file's, not a path")
    if any(category(character) in _CONTROL for character in name):
        raise ValueError("the name must have no control characters")
    if any(ord(character) in TURNING for character in name):
        raise ValueError("the name must not turn the direction of writing")
    return name


def found_name(name: str) -> str:
    """Return a name that a path or a file object has, with what no name may have replaced."""
    name = normalize("NFC", "".join(_replaced(character) for character in name.strip())).strip()
    if len(name) > LONGEST_NAME:
        name = _cut(name, len)
    return _NAMELESS if name in {"", ".", ".."} else name


def _replaced(character: str) -> str:
    if ord(character) in TURNING:
        return ""
    return "_" if character in "/\\" or category(character) in _CONTROL else character


def name_on_disk(name: str, *, windows: bool = sys.platform == "win32") -> str:
    """Return the name under which a file that somebody sent is saved: never a path, 255 bytes.

    A dot at the beginning is replaced, as browsers do: nobody else makes a hidden file, or a
    program's settings, in one's folder.
    """
    name = found_name(name)
    if name.startswith("."):
        name = f"_{name[1:]}"
    if windows:
        name = "".join("_" if character in _WINDOWS else character for character in name)
        name = name.rstrip(". ") or _NAMELESS
        if _DEVICES.fullmatch(name):
            name = f"_{name}"
    return name if _bytes(name) <= LONGEST_NAME else _cut(name, _bytes)


def _bytes(text: str) -> int:
    return len(text.encode())


def _cut(name: str, size: Callable[[str], int]) -> str:
    """Shorten a name in the middle, so that its ending stays."""
    ending = PurePath(name).suffix
    if size(ending) > _LONGEST_ENDING:
        ending = ""
    stem = name.removesuffix(ending) if ending else name
    while size(stem) + size(ending) > LONGEST_NAME:
        stem = stem[:-1]
    return stem.rstrip() + ending


def nameless(beginning: bytes, content_type: str | None) -> tuple[str, str]:
    """Return name and type of bytes that came with neither, or with a type alone."""
    for start, ending, kind in _BEGINNINGS:
        if content_type in {None, kind} and beginning.startswith(start):
            return f"{_NAMELESS}.{ending}", kind
    if content_type is None:
        return _NAMELESS, ANY_TYPE
    return f"{_NAMELESS}{mimetypes.guess_extension(content_type) or ''}", content_type


def guessed_type(name: str) -> str:
    """Return the type that a file's name tells."""
    kind, packed = mimetypes.guess_type(PurePath(name).name)
    if packed is not None:
        return _PACKED.get(packed, ANY_TYPE)
    return kind or ANY_TYPE


def stated_type(content_type: str) -> str:
    """Return a type that the caller chose, in lower case; ValueError says what is wrong."""
    kind = content_type.strip().lower()
    if len(kind) > LONGEST_TYPE or not _TYPE.fullmatch(kind):
        raise ValueError("the content type must be like image/png, without parameters")
    return kind


def is_taken(content_type: str, allowed: tuple[str, ...] | None) -> bool:
    """Tell whether a bucket with this list takes the type; `image/*` stands for all images."""
    if not allowed:
        return True
    kind = content_type.partition("/")[0]
    return any(entry in {content_type, f"{kind}/*", "*/*", "*"} for entry in allowed)
