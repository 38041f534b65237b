"""The first image of a TIFF file: its values, its axes, its calibration, and what was odd about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError, SpecimenError
from napari_dmu.files.calibration import PIXEL, Steps, steps_of
from napari_dmu.files.ome import read_note
from napari_dmu.files.pages import Convert, PlaneReader, reading
from napari_dmu.files.pictures import ADDED_UP, Colours, grey_of, luminance_of, refuse_colour

# Stacks above this size stay in the file until somebody looks at them.
LAZY_BYTES = 64 * 2**20


def names_of(letters: str) -> tuple[str, ...]:
    """Our names of tifffile's axes: T, Z, C, Y, X keep theirs, all others become ``plane`` (or ``plane0``, ...)."""
    unknown = [letter for letter in letters if letter not in "TZCYX"]
    plain = iter(["plane"] if len(unknown) == 1 else [f"plane{i}" for i in range(len(unknown))])
    return tuple(letter.lower() if letter in "TZCYX" else next(plain) for letter in letters)


def _brightness(page: Any, dtype: np.dtype[Any]) -> tuple[Convert, np.dtype[Any], list[str]]:
    """How stored values become values whose larger ones are brighter; 1-bit becomes 0 and 1."""
    inverted = int(page.photometric) == 0
    if dtype.kind == "b":
        return (lambda a: (~a if inverted else a).astype(np.uint8)), np.dtype(np.uint8), []
    native = dtype.newbyteorder("=")
    if not inverted:
        return (lambda a: a.astype(native, copy=False)), native, []
    if dtype.kind == "u":
        bits = int(page.bitspersample)
        top = native.type(min(2**bits - 1, np.iinfo(native).max))
        note = "The file stores white as 0; its values were inverted, so that bright is signal."
        return (lambda a: (top - a).astype(native, copy=False)), native, [note]
    return (lambda a: a.astype(native, copy=False)), native, ["The file says that white is 0; its values were kept."]


def _colour(page: Any, letters: str, samples: int) -> bool:
    """True for RGB (and its relatives), False for channels stored side by side in each pixel."""
    return "S" in letters and samples >= 3 and int(page.photometric) in (2, 5, 6, 8)


def open_tiff(path: Path, colours: Colours, force_lazy: bool = False) -> tuple[Any, Any, list[str], Any]:
    """(data, letters, notes, (tif, series)) of the first series at full resolution; the file is closed again."""
    import tifffile

    with reading(path) as complaints, tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise FileError(f"'{path.name}' is a TIFF file without an image in it: choose another file.")
        series, joined = _first_series(tif)
        page, letters, shape = series.keyframe, series.axes, tuple(int(n) for n in series.shape)
        if "Y" not in letters or "X" not in letters or 0 in shape:
            raise SpecimenError(
                f"'{path.name}' holds no image with rows and columns (shape {shape}): choose another file."
            )
        if np.dtype(series.dtype).kind not in "uifb":
            raise SpecimenError(f"'{path.name}' holds {series.dtype} values: save their magnitude as TIFF first.")
        notes = _notes(tif, series, path, joined)
        samples = shape[letters.index("S")] if "S" in letters else 1
        colour = _colour(page, letters, samples)
        if colour and colours == "refused":
            raise refuse_colour(path.name)
        convert, dtype, more = _brightness(page, np.dtype(series.dtype))
        notes += more
        if colour and colours == "luminance":
            notes.append(ADDED_UP)
        if colour:
            convert = _without_colours(convert, colours, path.name)
        by_page = letters.endswith("YXS" if colour else "YX") and ("S" not in letters or colour)
        leading = letters[:-3] if colour else letters[:-2]
        planes = int(np.prod(shape[: len(leading)], dtype=np.int64))
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(series.dtype).itemsize
        if (size > LAZY_BYTES or force_lazy) and by_page and planes > 1 and len(series.pages) == planes:
            out = shape[:-1] if colour else shape
            reader = PlaneReader(
                path, tif, series, shape=out, dtype=dtype, convert=convert, reopen=(_reopen, (path, colours))
            )
            data: Any = reader
        else:
            if any(series.pages[i] is None for i in range(len(series.pages))) and series.dataoffset is None:
                raise FileError(f"'{path.name}' lacks some of its planes: get a complete copy.")
            raw = series.asarray(maxworkers=1)
            data, letters = _arrange(raw, letters, page, colour, convert, notes)
        if colour:
            letters = letters.replace("S", "")
        # Fewer planes than the file promises would go unnoticed in a stack.
        if any("invalid page offset" in text or "corrupt" in text for text in complaints):
            raise FileError(
                f"'{path.name}' is cut short or damaged (some of its planes are missing): get a fresh copy."
            )
        if complaints:
            notes.append("Parts of the file could not be understood: check that it is complete.")
            complaints.clear()
        steps, note = steps_of(tif, page), read_note(tif.ome_metadata if tif.is_ome else None)
    if isinstance(data, PlaneReader):
        data.check_end()
    return data, letters, notes, (steps, note)


def _without_colours(bright: Convert, colours: Colours, name: str) -> Convert:
    return lambda a: grey_of(bright(a), name) if colours == "equal" else luminance_of(bright(a))


def _reopen(path: Path, colours: Colours) -> Any:
    return open_tiff(path, colours, force_lazy=True)[0]


def _arrange(
    raw: NDArray[Any], letters: str, page: Any, colour: bool, convert: Convert, notes: list[str]
) -> tuple[NDArray[Any], str]:
    """The array with its rows and columns last and its samples gone or turned into channels."""
    if "S" in letters:
        raw = np.moveaxis(raw, letters.index("S"), -1)
        letters = letters.replace("S", "")
        if not colour:
            alpha = [int(v) in (1, 2) for v in page.extrasamples]
            if alpha and alpha[-1]:
                raw = raw[..., :-1]
                notes.append("The transparency (alpha) of the file was left out.")
            at = letters.index("Y") if "C" not in letters else 0
            raw = np.moveaxis(raw, -1, at)
            letters = letters[:at] + ("C" if "C" not in letters else "Q") + letters[at:]
            if raw.shape[at] == 1:
                raw, letters = np.squeeze(raw, at), letters[:at] + letters[at + 1 :]
    order = [i for i, letter in enumerate(letters) if letter not in "YX"] + [letters.index("Y"), letters.index("X")]
    if order != list(range(len(letters))):
        tail = [raw.ndim - 1] if raw.ndim > len(letters) else []
        raw, letters = raw.transpose(order + tail), "".join(letters[i] for i in order)
    return np.ascontiguousarray(convert(raw)), letters


def _first_series(tif: Any) -> tuple[Any, bool]:
    """The first series at full resolution, and whether it was joined of several.

    A program that writes a stack with one call a frame (``TiffWriter.write`` in a loop) makes a series of each page.
    Such pages are joined, where they are alike in everything.
    """
    import tifffile

    first, every = tif.series[0], tif.series
    alike = all(
        one.kind == "shaped" and len(one.pages) == len(one.levels) == 1 and one.axes == first.axes
        and one.shape == first.shape and one.keyframe.hash == first.keyframe.hash
        for one in every
    )  # fmt: skip
    if len(every) == 1 or not alike:
        return first.levels[0], False
    pages, shape = [one.pages[0] for one in every], (len(every), *first.shape)
    return tifffile.TiffPageSeries(pages, shape=shape, dtype=first.dtype, axes="I" + first.axes, parent=tif), True


def _notes(tif: Any, series: Any, path: Path, joined: bool) -> list[str]:
    notes = []
    if joined:
        notes.append(f"'{path.name}' holds {len(tif.series)} images of one size and type, which were read as a stack.")
    elif len(tif.series) > 1:
        same = len({(one.shape, one.dtype) for one in tif.series}) == 1
        notes.append(
            f"'{path.name}' holds {len(tif.series)} {'separate images' if same else 'images of different size or type'}"
            f": only the first ({' × '.join(str(n) for n in series.shape)}) is used."
        )
    if int(series.keyframe.photometric) == 3:
        notes.append("The file has a colour table; its values are used as they are stored.")
    return notes


def calibrate(axes: Sequence[str], steps: Steps) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Scale and unit of every axis; 1 pixel where the file says nothing."""
    found = [steps.get(axis, (1.0, PIXEL)) for axis in axes]
    return tuple(float(step) for step, _ in found), tuple(unit for _, unit in found)
