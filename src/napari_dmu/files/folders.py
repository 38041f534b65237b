"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from napari_dmu.errors import FileError


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


def _check_target(wanted: Path, target: Path, replaceable: Callable[[Path], bool], what: str) -> None:
    """Refuse a place that cannot take a folder, or holds what is not ours to replace."""
    if not target.parent.is_dir():
        raise FileError(
            f"'{wanted}' cannot be written because the folder '{wanted.parent}' does not exist: make it first."
        )
    if target.exists() and not target.is_dir():
        raise FileError(f"'{wanted}' is a file: give the name of a folder to write.")
    if target.is_dir() and any(target.iterdir()) and not replaceable(target):
        raise FileError(f"'{wanted}' holds other files and no {what} of napari-dmu: choose a new or empty folder.")


@contextlib.contextmanager
def atomic_folder(
    path: str | os.PathLike[str], *, replaceable: Callable[[Path], bool], what: str = "data"
) -> Iterator[Path]:
    """Give a temporary folder beside `path`, and rename it to `path` once the block has succeeded.

    Parameters
    ----------
    path
        The folder to write; the folder around it must exist.
    replaceable
        Whether an older folder of that name, which is not empty, may be replaced.
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
    wanted = Path(path)
    try:
        target = wanted.resolve()
    except (OSError, RuntimeError):
        target = wanted.absolute()
    _check_target(wanted, target, replaceable, what)
    token = secrets.token_hex(6)
    temporary, older = target.with_name(f".{token}.{target.name}"), target.with_name(f".{token}.old")
    try:
        temporary.mkdir()
        yield temporary
        _flush(temporary)
        _check_target(wanted, target, replaceable, what)  # somebody may have filled it in the meantime
        if target.exists():
            target.rename(older)
        try:
            temporary.rename(target)
        except OSError:
            if older.exists():
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
