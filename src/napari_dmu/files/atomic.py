"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from napari_dmu.errors import FileError

LONGEST_NAME = 255  # bytes, on nearly all file systems


def _sync(path: Path) -> None:
    """Flush one file or folder to the disk, where the system offers it."""
    try:
        handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    except OSError:  # Windows cannot open a folder; network drives may refuse
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def resolved(wanted: Path) -> Path:
    """Where a name leads: a link is followed, so that it stays a link."""
    try:
        return wanted.resolve()
    except (OSError, RuntimeError):
        return wanted.absolute()


def _beside(path: Path) -> Path:
    """A name of its own in the same folder, with the target's name in it where the disk allows so long a one."""
    token = f".{secrets.token_hex(6)}"
    if len(os.fsencode(path.name)) + len(token) + 1 <= LONGEST_NAME:
        return path.with_name(f"{token}.{path.name}")
    return path.with_name(token + (path.suffix if len(os.fsencode(path.suffix)) < 100 else ""))


def left_by_kills(path: Path) -> list[Path]:
    """Temporary files of ``atomic_path`` beside ``path``, for it and for files whose names begin like its name.

    Only for who knows that nobody else is writing any of them.
    """
    return sorted(path.parent.glob(f".{'[0-9a-f]' * 12}.{glob.escape(path.name)}*"))


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`, and rename it to `path` once the block has succeeded.

    The temporary name has the target's extension, so that writers that look at it still work. If the
    block fails, is cancelled or writes nothing, the temporary file is removed and an older `path` is untouched.

    Parameters
    ----------
    path
        The file to write; its folder must exist.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    FileError
        The folder does not exist, `path` is a folder, or the disk refused.
    """
    wanted, target = Path(path), resolved(Path(path))
    if not target.parent.is_dir():
        raise FileError(
            f"'{wanted}' cannot be written because the folder '{wanted.parent}' does not exist: make it first."
        )
    if target.is_dir():
        raise FileError(f"'{wanted}' is a folder: give the name of a file to write.")
    temporary = _beside(target)
    try:
        yield temporary
        if not temporary.is_file():
            raise FileError(f"'{wanted}' was not written because there was nothing to write.")
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError(
            f"'{wanted}' cannot be written ({reason}): check the disk and the folder's permissions."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
