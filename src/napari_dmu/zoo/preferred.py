"""The folder of pattern sets that the user prefers in napari, kept where commands and Python find it too."""

from __future__ import annotations

import contextlib
from pathlib import Path

from napari_dmu.errors import FileError

# As this process was told: it goes on where nothing can be written among the user's data.
_told: list[Path] = []


def own_folder() -> Path:
    """Where the user's data of this program are; it need not be there."""
    from platformdirs import user_data_path

    return user_data_path("napari-dmu", appauthor=False)


def note_file() -> Path:
    """Where the folder is noted down; it need not be there."""
    return own_folder() / "preferred-sets.txt"


def preferred_folders() -> list[Path]:
    """The folder that is preferred, or none."""
    if _told:
        return list(_told)
    try:
        noted = note_file().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return []
    return [Path(noted)] if noted else []


def prefer_folder(folder: Path | None) -> None:
    """Look for pattern sets in this folder instead of the one preferred before, in other processes too."""
    _told[:] = [] if folder is None else [folder]
    note = note_file()
    with contextlib.suppress(OSError, FileError, UnicodeError):  # napari itself finds the folder all the same
        if folder is None:
            note.unlink(missing_ok=True)
        elif not _says(note, str(folder)):
            from napari_dmu.files.atomic import atomic_path

            note.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(note) as path:
                path.write_text(str(folder), encoding="utf-8")


def _says(note: Path, text: str) -> bool:
    try:
        return note.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
