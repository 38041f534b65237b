"""Illumination patterns of the user's own: TIFF stacks, pictures, folders of them, and exports of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError, SettingsError, SpecimenError

Dither = Literal["floyd-steinberg", "ordered"]
DITHERS: tuple[str, ...] = get_args(Dither)
SUFFIXES = (".tif", ".tiff", ".png", ".bmp")

# Bayer's matrix of order 4: the threshold of each pixel of a 4 × 4 cell, spread as evenly as possible.
# Source: B. E. Bayer, An optimum method for two-level rendition of continuous-tone pictures, ICC 1973.
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts ``frame_2`` before ``frame_10``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]  # ² is a digit, no number


def read_patterns(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    dither: Dither | None = None,
    bin: int | None = None,
) -> NDArray[np.uint8]:
    """Read binary illumination patterns.

    Parameters
    ----------
    path
        A TIFF stack, a PNG or BMP, a list of such files in the order of exposure, a folder of such files (in the
        natural order of their names), or a folder that ``export-patterns`` wrote.
    dither
        What to do with grey patterns: ``"floyd-steinberg"`` (error diffusion, row by row) or ``"ordered"``
        (Bayer, 4 × 4), both deterministic and of the same mean light. Without it they are refused: a threshold
        would change the dose and the code without a word.
    bin
        d (specimen pixels), to check that the period is a multiple of it.

    Returns
    -------
    ndarray
        (T, P, P) uint8, 0 and 1.

    Raises
    ------
    FileError
        A file is missing, damaged or of another kind, or there is none.
    SpecimenError
        A file is in colour.
    SettingsError
        Patterns are grey (and not to be dithered, or in a type without a white of its own: 8 and 16 bit have one,
        floating values go to 1), not square, of different sizes, or do not fit the binning.
    """
    if dither is not None and dither not in DITHERS:
        raise SettingsError(f"There is no dithering {dither!r}: choose {' or '.join(DITHERS)}.")
    if isinstance(path, str | os.PathLike):
        where = Path(path)
        if where.is_dir():
            from napari_dmu.files.dmd import read_export
            from napari_dmu.files.manifest import is_export

            if is_export(where):
                return _fitting(read_export(where), bin)
        files = _files_of(where)
    else:
        files = [Path(one) for one in path]
    if not files:
        raise FileError("No pattern files were given: give at least one TIFF or PNG.")
    parts = [_read(file) for file in files]
    sizes = sorted({part.shape[-2:] for part in parts})
    if len(sizes) > 1:
        these = " and ".join(f"{rows} × {columns}" for rows, columns in sizes[:2])
        raise SettingsError(f"The patterns have different sizes ({these}): give all of them the same period.")
    for part, file in zip(parts, files, strict=True):
        _check_values(part, file.name)
    if not _two_valued(parts):
        for part, file in zip(parts, files, strict=True):
            _check_grey(part, file.name)
        if dither is None:
            raise SettingsError(
                "The patterns are grey, but a mirror is on or off: dither them (floyd-steinberg or ordered) or save "
                "them with two values."
            )
        spread = _floyd_steinberg if dither == "floyd-steinberg" else _ordered
        parts = [np.stack([spread(one / _white(part)) for one in part]) for part in parts]
    values = np.concatenate([part > 0 for part in parts])
    return _fitting(values.astype(np.uint8), bin)


def _files_of(where: Path) -> list[Path]:
    if not where.is_dir():
        return [where]
    shown = (file for file in where.iterdir() if not file.name.startswith("."))  # macOS hides a ._a.tif beside a.tif
    files = sorted((file for file in shown if file.suffix.lower() in SUFFIXES), key=natural_key)
    if not files:
        raise FileError(f"'{where}' holds no TIFF, PNG or BMP files: choose the folder of the patterns.")
    return files


def _read(path: Path) -> NDArray[Any]:
    """(n, rows, columns) of one file, values as stored."""
    from napari_dmu.files.specimen import read_specimen

    if path.suffix.lower() == ".bmp":
        return _read_bmp(path)[None]
    try:
        data = np.asarray(read_specimen(path).data)
    except SpecimenError as error:
        raise FileError(  # three or four patterns may be stored as colours
            f"'{path.name}' holds colours or no image at all: save the patterns with one grey pattern a page."
        ) from error
    return data.reshape(-1, *data.shape[-2:])


def _read_bmp(path: Path) -> NDArray[Any]:
    from PIL import Image

    from napari_dmu.files.pages import reading
    from napari_dmu.files.pictures import refuse_colour

    if not path.is_file():
        raise FileError(f"'{path}' does not exist: check the name and the folder.")
    with reading(path), Image.open(path) as picture:
        picture.load()
        mode, grey = picture.mode, np.asarray(picture.convert("L"))
        colour = mode not in ("1", "L") and not bool((np.asarray(picture.convert("RGB")) == grey[..., None]).all())
    if colour:
        raise refuse_colour(path.name)
    return grey


def _two_valued(parts: Sequence[NDArray[Any]]) -> bool:
    """Whether every file holds nothing but off and on, and on is the same value or white in all of them."""
    if not all(np.isin(part, (0, part.max())).all() for part in parts):
        return False
    grey = {float(part.max()) for part in parts if part.max() not in (0, _white(part))}
    if not grey:
        return True
    # A value of its own may mean on where all files share it and off is there too; on its own it is grey.
    shared = len(grey) == 1 and grey == {float(part.max()) for part in parts if part.any()}
    return shared and any(bool((part == 0).any()) for part in parts)


def _check_values(values: NDArray[Any], name: str) -> None:
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        raise SettingsError(f"'{name}' has negative or undefined values: patterns go from 0 (off) to white (on).")


def _check_grey(values: NDArray[Any], name: str) -> None:
    """Refuse grey values of which nobody knows how bright they are.

    8 and 16 bits are how pictures are stored. A wider or signed type is what a program calculates in, and its largest
    value says nothing about white: patterns from 0 to 255 in int32 would be dithered to darkness.
    """
    if values.max() <= 1 or values.dtype in (np.uint8, np.uint16):
        return
    if values.dtype.kind == "f":
        raise SettingsError(f"'{name}' has floating values up to {values.max():g}: scale the patterns to 0 … 1.")
    raise SettingsError(
        f"'{name}' has grey values of type {values.dtype}, which does not say how large white is: save the patterns "
        "as 8 or 16 bit, or as floating values from 0 to 1."
    )


def _white(values: NDArray[Any]) -> float:
    """The value that means on in a grey file: 1 where nothing is above it, else full scale of the type."""
    return 1.0 if values.max() <= 1 or values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)


def _ordered(grey: NDArray[np.float64]) -> NDArray[np.uint8]:
    rows, columns = grey.shape
    threshold = (np.tile(_BAYER, (-(-rows // 4), -(-columns // 4)))[:rows, :columns] + 0.5) / 16.0
    return (grey > threshold).astype(np.uint8)


def _floyd_steinberg(grey: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Error diffusion from top left. Source: R. W. Floyd, L. Steinberg, Proc. SID 17 (1976) 75-77."""
    rows, columns = grey.shape
    held = np.zeros((rows + 1, columns + 2))
    held[:rows, 1:-1] = grey
    result = np.zeros((rows, columns), dtype=np.uint8)
    for y in range(rows):
        for x in range(columns):
            value = held[y, x + 1]
            on = value >= 0.5
            result[y, x] = on
            error = value - on
            held[y, x + 2] += error * 7 / 16
            held[y + 1, x : x + 3] += error * np.array([3, 5, 1]) / 16
    return result


def _fitting(patterns: NDArray[np.uint8], bin: int | None) -> NDArray[np.uint8]:
    rows, columns = patterns.shape[-2:]
    if rows != columns:
        raise SettingsError(f"The patterns are {rows} × {columns} pixels: save one square period of them.")
    if bin is not None and (bin < 1 or rows % bin):
        raise SettingsError(
            f"The patterns' period ({rows}) is not a multiple of the binning ({bin}): change one of the two."
        )
    return patterns
