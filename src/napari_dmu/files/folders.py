"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from napari_dmu.errors import FileError
from napari_dmu.files.atomic import resolved

# What file browsers leave in a folder that somebody looked at: it keeps nobody from replacing the folder.
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def _flush(folder: Path) -> None:
    """Flush every file below a folder to the disk, where the system offers it."""
    for path in folder.rglob("*"):
        if path.is_file():
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDWR)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)


def check_target(path: str | os.PathLike[str], ours: Callable[[Path], Collection[str]], what: str) -> None:
    """Refuse a place that cannot take a folder, or holds what is not ours to replace; see `atomic_folder`.

    Raises
    ------
    FileError
    """
    wanted, target = Path(path), resolved(Path(path))
    if not target.parent.is_dir():
        raise FileError(
            f"'{wanted}' cannot be written because the folder '{wanted.parent}' does not exist: make it first."
        )
    if target.exists() and not target.is_dir():
        raise FileError(f"'{wanted}' is a file: give the name of a folder to write.")
    there = {entry.name for entry in target.iterdir()} - _LITTER if target.is_dir() else set()
    written = ours(target) if there else ()
    if there and not written:
        raise FileError(f"'{wanted}' holds other files and no {what} of napari-dmu: choose a new or empty folder.")
    if strange := sorted(there.difference(written)):
        raise FileError(
            f"'{wanted}' holds '{strange[0]}' beside the {what} that would be replaced: move it out of there, or "
            "choose a new folder."
        )


@contextlib.contextmanager
def atomic_folder(
    path: str | os.PathLike[str], *, ours: Callable[[Path], Collection[str]], what: str = "data"
) -> Iterator[Path]:
    """Give a temporary folder beside `path`, and rename it to `path` once the block has succeeded.

    Parameters
    ----------
    path
        The folder to write; the folder around it must exist.
    ours
        Names of the entries of an older folder that we wrote; none where it is not ours. A folder with any other
        entry is refused, since it is replaced with all that is in it.
    what
        How such an older folder is called in a sentence.

    Yields
    ------
    Path
        An empty folder to write into. If the block fails it is removed, and an older `path` is untouched.

    Raises
    ------
    FileError
        The place cannot be used, or the disk refused.
    """
    wanted, target = Path(path), resolved(Path(path))
    check_target(wanted, ours, what)
    token = secrets.token_hex(6)
    temporary, older = target.with_name(f".{token}.new"), target.with_name(f".{token}.old")
    try:
        temporary.mkdir()
        yield temporary
        _flush(temporary)
        check_target(wanted, ours, what)  # somebody may have filled it in the meantime
        try:
            if target.exists():
                target.rename(older)
            temporary.rename(target)
        except BaseException:  # Ctrl+C too may come between the two
            if older.exists() and not target.exists():
                older.rename(target)
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError(
            f"'{wanted}' cannot be written ({reason}): check the disk and the folder's permissions."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if target.exists():
            shutil.rmtree(older, ignore_errors=True)
