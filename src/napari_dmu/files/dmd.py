"""Illumination patterns as frames for a digital micromirror device (DMD), and back."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError, SettingsError
from napari_dmu.files.chips import Chip, chip_of
from napari_dmu.files.folders import atomic_folder
from napari_dmu.files.manifest import MANIFEST, RUN, FrameEntry, Manifest, PackedEntry, files_of_export, read_manifest
from napari_dmu.files.run_template import run_template
from napari_dmu.microscope.patterns import check_binary
from napari_dmu.microscope.registration import dot_pattern, dot_spacing

if TYPE_CHECKING:
    from PIL.Image import Image

    from napari_dmu.zoo.pattern_set import PatternSet

FrameFormat = Literal["png", "bmp", "tiff"]
FORMATS: tuple[str, ...] = get_args(FrameFormat)
Frame = NDArray[np.bool_]

# Bit planes of a 24-bit frame in the order in which a controller shows them. Source: TI DLPC350 Programmer's Guide
# (DLPU010), table "Pattern Number Mapping", and LightCrafter 4500 User's Guide (DLPU011).
PLANES: tuple[str, ...] = tuple(f"{colour}{bit}" for colour in "GRB" for bit in range(8))
_CHANNEL = {"R": 0, "G": 1, "B": 2}


def tiled(pattern: NDArray[np.uint8], chip: Chip, mirrors_per_pixel: int = 1) -> Frame:
    """One pattern (P, P) over the whole chip, (rows, columns) bool; a tile begins at the chip's centre mirror."""
    period = pattern.shape[-1]
    rows = (np.arange(chip.rows) - chip.rows // 2) // (mirrors_per_pixel * chip.row_factor) % period
    columns = (np.arange(chip.columns) - chip.columns // 2) // mirrors_per_pixel % period
    frame: Frame = pattern[np.ix_(rows, columns)] > 0
    return frame


def orientation_frame(chip: Chip) -> Frame:
    """An upright F in the middle, and 1, 2, 3, 4 squares in the corners, clockwise from top left: (rows, columns)."""
    rows, columns = chip.rows // chip.row_factor, chip.columns
    frame = np.zeros((rows, columns), dtype=np.bool_)
    unit = max(1, min(rows, columns) // 20)
    top, left = rows // 2 - 4 * unit, columns // 2 - 2 * unit
    frame[top : top + 8 * unit, left : left + unit] = True
    frame[top : top + unit, left : left + 5 * unit] = True
    frame[top + 3 * unit : top + 4 * unit, left : left + 4 * unit] = True
    for count, (down, right) in enumerate(((0, 0), (0, 1), (1, 1), (1, 0)), start=1):
        row = slice(rows - unit, rows) if down else slice(0, unit)
        for k in range(count):
            start = columns - (2 * k + 1) * unit if right else 2 * k * unit
            frame[row, max(start, 0) : max(start, 0) + unit] = True
    tall = np.repeat(frame, chip.row_factor, axis=0)
    return np.pad(tall, ((0, chip.rows - tall.shape[0]), (0, 0)))


def pack_planes(frames: Sequence[Frame]) -> NDArray[np.uint8]:
    """Up to 24 frames (rows, columns) as one RGB image (rows, columns, 3): frame k is bit plane ``PLANES[k]``."""
    if not 1 <= len(frames) <= len(PLANES):
        raise SettingsError(f"A 24-bit frame holds 1 to {len(PLANES)} binary frames, not {len(frames)}.")
    rgb = np.zeros((*frames[0].shape, 3), dtype=np.uint8)
    for frame, plane in zip(frames, PLANES, strict=False):
        rgb[..., _CHANNEL[plane[0]]] |= frame.astype(np.uint8) << int(plane[1])
    return rgb


def unpack_planes(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The inverse of `pack_planes`: (24, rows, columns), 0 and 1."""
    planes = [(rgb[..., _CHANNEL[plane[0]]] >> int(plane[1])) & 1 for plane in PLANES]
    return np.stack(planes).astype(np.uint8)


def _picture(pixels: NDArray[np.generic]) -> Image:
    from PIL import Image

    return Image.fromarray(np.asarray(pixels))


def _save(folder: Path, name: str, pixels: NDArray[np.generic], format: str) -> tuple[str, str]:
    """Write one frame, 1-bit where it is bool; its file name and sha256."""
    file = f"{name}.{ {'tiff': 'tif'}.get(format, format) }"
    _picture(pixels).save(folder / file, format=format.upper())
    return file, hashlib.sha256((folder / file).read_bytes()).hexdigest()


def export_patterns(
    instrument: PatternSet,
    folder: str | os.PathLike[str],
    *,
    format: str = "png",
    dmd: str = "1920x1080",
    mirrors_per_pixel: int = 1,
    packed: bool = False,
    orientation: bool = True,
) -> Manifest:
    """Write the patterns of a set as 1-bit frames at a DMD's resolution; the folder appears whole or not at all.

    Parameters
    ----------
    instrument
        The pattern set.
    folder
        To write; an older export is replaced but for its ``run.yaml``, a folder with anything else in it is refused.
    format
        ``"png"``, ``"bmp"`` or ``"tiff"``.
    dmd
        Columns × rows (``"1920x1080"``) or a chip (``"DLP6500"``); see ``CHIPS``. On a chip with diamond mirrors
        a pattern pixel is twice as many rows as columns, which is a square on it.
    mirrors_per_pixel
        Columns of mirrors in one pattern pixel.
    packed
        Also write 24-bit RGB frames with 24 binary planes each, in the order of ``PLANES``.
    orientation
        Also write frames for adjustment: one that shows which way is up, one with all mirrors on, one with all off,
        and one of dots from which the registration is found (``files.registration``).

    Returns
    -------
    Manifest
        As written to ``manifest.json``.

    Raises
    ------
    SettingsError
        The chip, the format or the magnification is not possible.
    FileError
        The folder cannot be written, or holds other files.
    """
    if format not in FORMATS:
        raise SettingsError(f"There is no frame format {format!r}: choose {', '.join(FORMATS)}.")
    chip, patterns, acquisition = chip_of(dmd), check_binary(instrument.patterns), instrument.acquisition
    period = acquisition.period
    if mirrors_per_pixel < 1:
        raise SettingsError(f"A pattern pixel cannot be {mirrors_per_pixel} mirrors wide: choose 1 or more.")
    mirrors = (mirrors_per_pixel * chip.row_factor, mirrors_per_pixel)
    tile = (period * mirrors[0], period * mirrors[1])
    if tile[0] > chip.rows or tile[1] > chip.columns:
        raise SettingsError(
            f"One period of the patterns needs {tile[1]} × {tile[0]} mirrors and the DMD has {chip.columns} × "
            f"{chip.rows}: use fewer mirrors per pixel or a larger chip."
        )
    frames = {f"pattern_{t:03d}": tiled(pattern, chip, mirrors_per_pixel) for t, pattern in enumerate(patterns)}
    roles: dict[str, str] = dict.fromkeys(frames, "exposure")
    if orientation:
        lit = np.ones((chip.rows, chip.columns), dtype=np.bool_)
        dots = tiled(dot_pattern(period, acquisition.bin), chip, mirrors_per_pixel)
        adjusting = {"all_on": lit, "all_off": ~lit, "orientation": orientation_frame(chip), "dots": dots}
        frames |= adjusting
        roles |= {name: name for name in adjusting}
    centre = (chip.rows // 2, chip.columns // 2)
    with atomic_folder(folder, ours=files_of_export, what="export") as temporary:
        entries, packs, names = [], [], list(frames)
        for index, (name, frame) in enumerate(frames.items()):
            file, digest = _save(temporary, name, frame, format)
            exposure = index if roles[name] == "exposure" else None
            entries.append(
                FrameEntry.model_validate(
                    {"file": file, "role": roles[name], "exposure": exposure, "sha256": digest}
                    | {"on_fraction": float(frame.mean())}
                )
            )
        for start in range(0, len(names) if packed else 0, len(PLANES)):
            part = names[start : start + len(PLANES)]
            rgb = pack_planes([frames[name] for name in part])
            file, digest = _save(temporary, f"packed_{start // len(PLANES):03d}", rgb, format)
            planes = tuple(entry.file for entry in entries[start : start + len(part)])
            packs.append(PackedEntry(file=file, sha256=digest, planes=planes))
        manifest = Manifest(
            set_name=instrument.name, family=instrument.family, ratio=instrument.ratio, set_hash=instrument.hash,
            exposures=acquisition.exposures, period=period, bin=acquisition.bin,
            chip=chip.name, columns=chip.columns, rows=chip.rows, pitch=chip.pitch, diamond=chip.diamond,
            chip_source=chip.source or "size as given", mirrors_per_pixel=mirrors_per_pixel, mirrors=mirrors,
            pixel_pitch=None if chip.column_pitch is None else round(chip.column_pitch * mirrors_per_pixel, 4),
            tile_origin=(centre[0] % tile[0], centre[1] % tile[1]), tile_centre=centre,
            dot_spacing=dot_spacing(period, acquisition.bin) if orientation else None,
            frames=tuple(entries), packed=tuple(packs), packed_planes=PLANES if packed else (),
        )  # fmt: skip
        (temporary / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if (Path(folder) / RUN).exists():  # somebody may have filled it in
            shutil.copy2(Path(folder) / RUN, temporary / RUN)
        else:
            (temporary / RUN).write_text(run_template(manifest), encoding="utf-8")
    return manifest


def _one_of_each(size: int, centre: int, mirrors: int, period: int) -> NDArray[np.intp]:
    """A row (or column) of mirrors for each of the pattern's rows; the tile at the border may be cut."""
    return np.unique((np.arange(size) - centre) // mirrors % period, return_index=True)[1]


def read_export(folder: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """The patterns (T, P, P) of an export, read back from its frames and checked against its manifest.

    Raises
    ------
    FileError
        A file is missing or is not the one that was written.
    """
    from PIL import Image
    from PIL.Image import Dither

    manifest = read_manifest(folder)
    rows = _one_of_each(manifest.rows, manifest.tile_centre[0], manifest.mirrors[0], manifest.period)
    columns = _one_of_each(manifest.columns, manifest.tile_centre[1], manifest.mirrors[1], manifest.period)
    patterns = []
    for entry in (e for e in manifest.frames if e.role == "exposure"):
        path = Path(folder) / Path(entry.file).name
        try:
            if hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
                raise FileError(f"'{path.name}' was changed after it was exported: export the patterns again.")
            with Image.open(path) as picture:
                frame = np.asarray(picture.convert("1", dither=Dither.NONE))
        except OSError as error:
            raise FileError(f"'{path.name}' of the export cannot be read: export the patterns again.") from error
        patterns.append(frame[np.ix_(rows, columns)])
    return np.stack(patterns).astype(np.uint8)
