"""Camera frames out of files, corrected and added up to detector pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError, SettingsError, SpecimenError
from napari_dmu.files.patterns import natural_key

if TYPE_CHECKING:
    from napari_dmu.files.camera_run import CameraRun, Orientation
    from napari_dmu.microscope.acquisition import Registration

# Corrected counts are stored in such fractions of a camera count: rounding them again then adds 1/256 of its variance.
FRACTION = 16
# Read noises of room below zero, and counts at least.
_PEDESTAL = 10.0
# A pixel of the flat field below this part of its mean sees too little light to be corrected.
_DEAD = 0.05


class _Frames(NamedTuple):
    """A file of frames: where it is, and the shape (..., rows, columns) and type of what is in it."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class FrameStack:
    """Frames of several files one after the other; a file is read when one of its frames is asked for.

    Only the file of the last frame is held: a run may have more files than fit into memory. Go through them in order.
    """

    def __init__(self, files: Sequence[_Frames]) -> None:
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
        return np.asarray(self._held[1][index])


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
        No file fits a pattern.
    """
    files: list[Path] = []
    for name in names:
        if not any(sign in name for sign in "*?[") or (folder / name).is_file():
            files.append(folder / name)
            continue
        root = Path(name)
        base, pattern = (Path(root.anchor), str(root.relative_to(root.anchor))) if root.anchor else (folder, name)
        shown = (file for file in base.glob(pattern) if not file.name.startswith("."))  # as a shell does
        found = sorted((file for file in shown if file.is_file()), key=natural_key)
        if not found:
            raise FileError(f"No file fits {name!r} in '{base}': check 'frames'.")
        files += found
    return files


def open_frames(folder: Path, names: Sequence[str]) -> FrameStack:
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
    return FrameStack(files)


def _mean_frame(folder: Path, name: str, what: str, shape: tuple[int, int]) -> NDArray[np.float64]:
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
    return mean


def oriented(frame: NDArray[Any], orientation: Orientation) -> NDArray[Any]:
    """A frame flipped, then turned by quarter turns anticlockwise."""
    if orientation.flip in ("vertical", "both"):
        frame = frame[::-1]
    if orientation.flip in ("horizontal", "both"):
        frame = frame[:, ::-1]
    return np.rot90(frame, orientation.rotate90)


def _resampled(frame: NDArray[np.float64], registration: Registration, side: float) -> NDArray[np.float64]:
    """A frame moved onto the patterns, by linear interpolation; ``side`` of a camera pixel in specimen pixels.

    What lies at specimen pixel r is lit as position g(r) = scale·R·(r − centre) + centre + shift of the patterns is,
    so it belongs to g(r). Values are kept (a density does not change when it is moved), not their sum.
    """
    from scipy.ndimage import affine_transform

    angle = math.radians(registration.rotation)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    back = turn.T / registration.scale
    centre = np.array(frame.shape) / 2  # in camera pixels, from the corner of the first one
    shift = np.array(registration.shift) / side
    offset = centre - back @ (centre + shift) + back @ np.array([0.5, 0.5]) - 0.5
    moved: NDArray[np.float64] = affine_transform(frame, back, offset, order=1, mode="reflect")
    return moved


@dataclass(frozen=True)
class Corrections:
    """From a camera frame to the counts that are stored, and what these mean.

    Attributes
    ----------
    gain, offset, bits
        Electrons per stored count, stored counts without light, and bits that hold them.
    full
        Stored counts of a sample whose camera pixels are all at full scale; None under a flat field, where there is no
        such number.
    """

    gain: float
    offset: int
    bits: int
    full: int | None
    run: CameraRun
    side: float
    dark: NDArray[np.float64] | float
    flat: NDArray[np.float64] | float
    exact: bool

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """Type of the stored counts."""
        return np.uint16 if self.bits <= 16 else np.uint32

    def cropped(self, frame: NDArray[Any]) -> NDArray[Any]:
        """The part of a frame that is used, as it is stored."""
        roi = self.run.roi
        return frame if roi is None else frame[roi.y : roi.y + roi.height, roi.x : roi.x + roi.width]

    def light(self, frame: NDArray[Any]) -> NDArray[np.float64]:
        """A frame's part without dark counts, with the flat field divided out, as it lies on the patterns: counts."""
        return oriented((self.cropped(frame) - self.dark) / self.flat, self.run.orientation)

    def _blocks(self, frame: NDArray[Any]) -> NDArray[Any]:
        b = self.run.camera_bin
        return frame.reshape(frame.shape[0] // b, b, frame.shape[1] // b, b)

    def apply(self, frame: NDArray[Any], number: int) -> tuple[NDArray[np.unsignedinteger], int]:
        """Stored counts of a frame, and how many of them contain a saturated camera pixel.

        A sample of which half the camera pixels are saturated is stored as ``full``; less (a hot pixel) is left alone.

        Raises
        ------
        SettingsError
            The frame has counts that its bit depth cannot have.
        """
        raw, top = self.cropped(frame), 2**self.run.bits - 1
        low, high = int(raw.min()), int(raw.max())
        if low < 0 or high > top:
            raise SettingsError(
                f"Frame {number} has counts from {low} to {high}, which is not possible with {self.run.bits} bits: "
                "correct 'bits'."
            )
        turn = self.run.orientation
        full = oriented(raw >= top, turn)
        saturated = int(self._blocks(full).any(axis=(1, 3)).sum())
        if self.exact:
            counts = self._blocks(oriented(raw, turn)).sum(axis=(1, 3), dtype=np.uint64)
            return self._at_least(counts, full).astype(self.dtype), saturated
        light = self.light(frame)
        if self.run.align == "resample":
            light = _resampled(light, self.run.registration, self.side)
            full = _resampled(full.astype(np.float64), self.run.registration, self.side)
        stored = np.rint(self._blocks(light).sum(axis=(1, 3)) * FRACTION) + self.offset
        return np.clip(self._at_least(stored, full), 0, 2**self.bits - 1).astype(self.dtype), saturated

    def _at_least(self, counts: NDArray[Any], full: NDArray[Any]) -> NDArray[Any]:
        """Samples raised to full scale where half of their camera pixels (1 where saturated, else 0) are."""
        if self.full is None:
            return counts
        raised: NDArray[Any] = np.maximum(counts, self.full)
        return np.where(self._blocks(full).mean(axis=(1, 3)) >= 0.5, raised, counts)


def corrections_of(run: CameraRun, folder: Path, stack: FrameStack, bin: int) -> Corrections:
    """How the frames of a run become counts; checks the part, the dark frame and the flat field.

    Raises
    ------
    FileError
        A dark frame or flat field is missing or does not fit.
    SettingsError
        The part does not lie in the frame or is no multiple of ``camera_bin``, or the counts need too many bits.
    """
    b, roi = run.camera_bin, run.roi
    rows, columns = stack.shape
    if roi is not None:
        if roi.y + roi.height > rows or roi.x + roi.width > columns:
            raise SettingsError(
                f"The roi ends at row {roi.y + roi.height} and column {roi.x + roi.width} and the frames have {rows} × "
                f"{columns} pixels: make it smaller."
            )
        rows, columns = roi.height, roi.width
    if rows % b or columns % b:
        raise SettingsError(
            f"{rows} × {columns} camera pixels cannot be added up {b} by {b}: set a roi of {rows // b * b} × "
            f"{columns // b * b} or another camera_bin."
        )
    whole = slice(None) if roi is None else slice(roi.y, roi.y + roi.height)
    part = (whole, slice(None) if roi is None else slice(roi.x, roi.x + roi.width))
    dark: NDArray[np.float64] | float = run.offset
    flat: NDArray[np.float64] | float = 1.0
    if run.dark_frame is not None:
        dark = _mean_frame(folder, run.dark_frame, "dark frame", stack.shape)[part]
    if run.flat_field is not None:
        light = _mean_frame(folder, run.flat_field, "flat field", stack.shape)[part] - dark
        mean = float(light.mean())
        if not mean > 0 or float(light.min()) < _DEAD * mean:
            raise FileError(
                f"The flat field '{run.flat_field}' has pixels with hardly any light: set a roi without them, or take "
                "it with an even slide."
            )
        flat = light / mean
    aligned = run.align == "resample"
    exact = run.dark_frame is None and run.flat_field is None and not aligned and float(run.offset).is_integer()
    side, top = bin / b, b**2 * (2**run.bits - 1)
    full: int | None = top
    if exact:
        gain, offset = run.gain, int(run.offset) * b**2
    else:
        room = max(_PEDESTAL, b * _PEDESTAL * run.read_noise / run.gain, b**2 * run.offset)
        gain, offset = run.gain / FRACTION, math.ceil(room) * FRACTION
        # Above what any pixel gives that is not saturated.
        full = None if run.flat_field else math.ceil((top - b**2 * float(np.min(dark))) * FRACTION) + offset
        top = math.ceil(top * FRACTION / float(np.min(flat))) + offset
    bits = max(run.bits, top.bit_length())
    if bits > 32:
        raise SettingsError(
            f"The sums of {b} by {b} camera pixels need {bits} bits and 32 is the most: use a smaller camera_bin."
        )
    return Corrections(gain, offset, bits, full, run, side, dark, flat, exact)
