"""Camera frames corrected and added up to detector pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError, SettingsError
from napari_dmu.files.camera_run import CONTAINER
from napari_dmu.files.frame_stack import FrameStack, mean_frame

if TYPE_CHECKING:
    from napari_dmu.files.camera_run import CameraRun, Orientation
    from napari_dmu.microscope.acquisition import Registration

# Corrected counts are stored in such fractions of a camera count: rounding them again then adds 1/256 of its variance.
FRACTION = 16
# Read noises of room below zero, and counts at least.
_PEDESTAL = 10.0
# A pixel of the flat field below this part of its mean sees too little light to be corrected.
_DEAD = 0.05


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

    @property
    def top(self) -> int:
        """Full scale of a camera pixel."""
        return int(2**self.run.bits - 1)

    def checked(self, frame: NDArray[Any], number: int) -> NDArray[Any]:
        """The same; refused where it has counts that its bit depth cannot have.

        Raises
        ------
        SettingsError
        """
        raw = self.cropped(frame)
        low, high = int(raw.min()), int(raw.max())
        if low < 0 or high > self.top:
            raise SettingsError(
                f"Frame {number} has counts from {low} to {high}, which is not possible with {self.run.bits} bits: "
                f"{_bits_advice(raw, self.run.bits)}."
            )
        return raw

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
            See `checked`.
        """
        raw, turn = self.checked(frame, number), self.run.orientation
        full = oriented(raw >= self.top, turn)
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


def _bits_advice(raw: NDArray[Any], bits: int) -> str:
    """What to do where counts do not fit into the bits."""
    if bits < CONTAINER and spare_bits(int(np.bitwise_or.reduce(raw, axis=None))) >= CONTAINER - bits:
        return f"the camera stores its {bits} bits left-aligned, so write 'left_aligned: true'"
    return "correct 'bits'"


def spare_bits(counts: int) -> int:
    """Lower bits that are 0 in all counts, given what these are together, bit by bit ("or")."""
    return (counts & -counts).bit_length() - 1 if counts > 0 else 0


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
        dark = mean_frame(folder, run.dark_frame, "dark frame", stack.shape, run.step)[part]
    if run.flat_field is not None:
        light = mean_frame(folder, run.flat_field, "flat field", stack.shape, run.step)[part] - dark
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
