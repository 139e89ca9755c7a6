"""What a child runs first: lower its rights, tie its life to its parent's, become the program.

Started as ``python -I -S launch.py <parent pid> <death signal> <uid> <gid> <program> <arguments>``
(``-`` for "keep the user"). A small program of its own, because the same calls between fork and
exec inside a threaded parent may deadlock. It imports nothing of this package.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the program named by the arguments; returns only by an exception."""
    parent, death_signal = int(arguments[0]), int(arguments[1])
    # Looked up before the change of user, who may not be able to read Python's own files.
    prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None
    if arguments[2] != "-":
        os.setgroups([])
        os.setgid(int(arguments[3]))
        os.setuid(int(arguments[2]))
    if prctl is not None:
        # After the change of user, which would clear it.
        prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        # The parent died before the line above: nobody would ever send that signal.
        sys.exit("the process that started this one is gone")
    # Python ignores SIGPIPE, and an ignored signal stays ignored after exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.umask(0o077)
    os.execv(arguments[4], arguments[4:])  # noqa: S606 - to become another program is its purpose


if __name__ == "__main__":
    main(sys.argv[1:])
