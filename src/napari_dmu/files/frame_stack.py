"""Camera frames out of files: many files as one stack, read when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError, SettingsError, SpecimenError
from napari_dmu.files.patterns import natural_key


class _Frames(NamedTuple):
    """A file of frames: where it is, and the shape (..., rows, columns) and type of what is in it."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class FrameStack:
    """Frames of several files one after the other; a file is read when one of its frames is asked for.

    Only the file of the last frame is held: a run may have more files than fit into memory. Go through them in order.
    Counts that are stored left-aligned are divided by their ``step``.
    """

    def __init__(self, files: Sequence[_Frames], step: int = 1) -> None:
        self._step = step
        self._frames = [(file, index) for file in files for index in np.ndindex(*file.shape[:-2])]
        self.shape: tuple[int, int] = (files[0].shape[-2], files[0].shape[-1])
        self._held: tuple[_Frames, Any] | None = None

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, number: int) -> NDArray[Any]:
        file, index = self._frames[number]
        if self._held is None or self._held[0] is not file:
            self._held = None  # before the next one is read, so that there are never two
            found, data = _opened(file.path)
            if found != file:
                raise FileError(f"'{file.path.name}' has changed since it was opened: read the frames again.")
            self._held = (file, data)
        frame = np.asarray(self._held[1][index])
        if self._step == 1:
            return frame
        counts, rest = np.divmod(frame.astype(np.int64), self._step)
        if rest.any():
            raise SettingsError(
                f"Frame {number} has counts that are no multiples of {self._step} and so are not left-aligned: "
                "leave out 'left_aligned'."
            )
        return counts


def _opened(path: Path) -> tuple[_Frames, Any]:
    from napari_dmu.files.specimen import read_specimen

    try:
        data = read_specimen(path).data
    except SpecimenError as error:
        raise FileError(
            f"'{path.name}' holds colours or no image at all: save the camera's counts with one frame a page."
        ) from error
    return _Frames(path, tuple(int(n) for n in data.shape), np.dtype(data.dtype)), data


def frame_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files that names and patterns of names, relative to a folder, stand for.

    Raises
    ------
    FileError
        No file fits a pattern, or it is none.
    """
    files: list[Path] = []
    for name in names:
        if not any(sign in name for sign in "*?[") or (folder / name).is_file():
            files.append(folder / name)
            continue
        root = Path(name)
        base, pattern = (Path(root.anchor), str(root.relative_to(root.anchor))) if root.anchor else (folder, name)
        try:
            fitting = list(base.glob(pattern))
        except ValueError as error:  # some versions of Python take ** for whole folders alone
            raise FileError(
                f"The pattern {name!r} cannot be understood: write one * for any part of a name."
            ) from error
        shown = (file for file in fitting if not file.name.startswith("."))  # as a shell does
        found = sorted((file for file in shown if file.is_file()), key=natural_key)
        if not found:
            raise FileError(f"No file fits {name!r} in '{base}': check 'frames'.")
        files += found
    return files


def open_frames(folder: Path, names: Sequence[str], step: int = 1) -> FrameStack:
    """The frames of files and patterns of names, relative to a folder.

    Raises
    ------
    FileError
        A file is missing, or the frames differ in size or are no whole counts.
    """
    files: list[_Frames] = []
    for path in frame_files(folder, names):
        file = _opened(path)[0]
        if file.dtype.kind not in "ui":
            raise FileError(f"'{path.name}' holds {file.dtype} values and no counts: save the camera's own frames.")
        if files and file.shape[-2:] != files[0].shape[-2:]:
            first = files[0]
            raise FileError(
                f"'{path.name}' has {file.shape[-2]} × {file.shape[-1]} pixels and '{first.path.name}' has "
                f"{first.shape[-2]} × {first.shape[-1]}: give frames of one size."
            )
        files.append(file)
    return FrameStack(files, step)


def mean_frame(folder: Path, name: str, what: str, shape: tuple[int, int], step: int = 1) -> NDArray[np.float64]:
    """A frame, or the mean of a stack of them, as large as the frames of the run, divided by ``step``.

    Raises
    ------
    FileError
        It is missing, no grey picture, of another size, or not finite.
    """
    from napari_dmu.files.specimen import read_specimen

    try:
        data = read_specimen(folder / name).data
    except SpecimenError as error:
        raise FileError(f"The {what} '{name}' holds colours or no image at all: save it as grey TIFF.") from error
    if tuple(data.shape[-2:]) != shape:
        raise FileError(
            f"The {what} '{name}' has {data.shape[-2]} × {data.shape[-1]} pixels and the frames have {shape[0]} × "
            f"{shape[1]}: take it with the same part of the camera."
        )
    mean: NDArray[np.float64] = np.asarray(data, dtype=np.float64).reshape(-1, *shape).mean(axis=0)
    if not np.isfinite(mean).all():
        raise FileError(f"The {what} '{name}' has pixels that are NaN or infinite: save it again.")
    return mean / step
