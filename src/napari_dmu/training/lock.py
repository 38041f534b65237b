"""A lock that ends with its process, so that a kill never blocks the next run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from napari_dmu.errors import FileError


class Lock:
    """A lock file that is held; it carries a line of text from one holder to the next."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.remove = False

    def read(self) -> str:
        """The text that the last holder left; empty where there is none."""
        self._file.seek(1)
        return self._file.read().decode(errors="replace").strip()

    def write(self, text: str) -> None:
        """Leave a text for the next holder."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(b"\n" + text.encode())  # the first byte is what Windows locks
        self._file.flush()

    def remove_at_end(self) -> None:
        """Remove the file when the lock is given back: there is nothing more to guard."""
        self.remove = True


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[Lock | None]:
    """Hold the lock of this name, or None where another process holds it.

    Whoever gets a lock must look again whether the work is still to be done: its last holder may have finished it and
    removed the file in between.

    Raises
    ------
    FileError
        Where the file cannot be written.
    """
    try:
        file = path.open("a+b")
    except OSError as error:
        raise FileError(f"'{path}' cannot be written ({error.strerror}): choose another folder.") from error
    with file:
        if not _held(file):
            yield None
            return
        lock = Lock(file)
        try:
            yield lock
        finally:
            if lock.remove:
                with contextlib.suppress(OSError):  # Windows removes no open file; an empty lock does no harm
                    path.unlink()


def _held(file: IO[bytes]) -> bool:
    """Lock the open file for this process; False where another one has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
