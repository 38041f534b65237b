"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from napari_dmu.errors import FileError


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


def _short_suffix(path: Path) -> str:
    """The extension of a name. Of a name of full length (255 bytes) no more fits behind our token."""
    return path.suffix if len(os.fsencode(path.suffix)) < 100 else ""


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
    wanted = Path(path)
    try:
        target = wanted.resolve()  # a link is followed, so that it stays a link
    except (OSError, RuntimeError):
        target = wanted.absolute()
    if not target.parent.is_dir():
        raise FileError(
            f"'{wanted}' cannot be written because the folder '{wanted.parent}' does not exist: make it first."
        )
    if target.is_dir():
        raise FileError(f"'{wanted}' is a folder: give the name of a file to write.")
    temporary = target.with_name(f".{secrets.token_hex(6)}{_short_suffix(target)}")
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
