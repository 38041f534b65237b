"""Images of specimens: read with their axes, scale and units, and written so that others can read them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError, SpecimenError
from napari_dmu.files.calibration import PIXEL
from napari_dmu.files.ome import write_stack
from napari_dmu.files.pages import PlaneReader, reading
from napari_dmu.files.pictures import ADDED_UP, Colours, is_picture, luminance_of, read_picture
from napari_dmu.files.tiff import calibrate, names_of, open_tiff
from napari_dmu.files.zarr_measurement import is_zarr, is_zarr_name, read_zarr, write_zarr

_MAGIC_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHERS = (
    (b"ZISRAWFILE", "a Zeiss CZI file"),
    (b"\x70\0\0\0", "a Leica LIF file"),
    (b"\xda\xce\xbe\x0a", "a Nikon ND2 file"),
    (b"\x89HDF", "an HDF5 file (Imaris or ilastik)"),
    (b"\x89PNG", "a PNG picture with another name"),
    (b"\xff\xd8\xff", "a JPEG picture with another name"),
    (b"PK\x03\x04", "a ZIP archive"),
)


@dataclass(frozen=True)
class Specimen:
    """An image as it comes out of a file.

    Attributes
    ----------
    data
        (..., Y, X) numpy, or dask: one plane a chunk, and of OME-Zarr in the chunks of the file.
    axes
        Lower-case names, one an axis: ``"t"``, ``"z"``, ``"c"``, ``"plane"``, ..., ending with ``"y"``, ``"x"``.
    scale, translate
        Step and origin of each axis in its unit.
    units
        ``"micrometer"``, ``"second"``, ``"pixel"``, or any other name that pint knows.
    name
        Of the file, without its extension.
    labels
        True where the file says that it holds instance labels.
    notes
        Sentences on what was left out or changed in reading.
    """

    data: Any
    axes: tuple[str, ...]
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str, ...]
    name: str
    labels: bool = False
    notes: tuple[str, ...] = ()

    @property
    def placed(self) -> dict[str, Any]:
        """Where it lies, as ``simulate`` and `write_image` want to be told."""
        return {"axes": self.axes, "scale": self.scale, "translate": self.translate, "units": self.units}


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".ome.tiff", ".ome.tif"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return path.stem


def _fits(note: dict[str, Any] | None, shape: Sequence[int]) -> bool:
    """True where our comment speaks of the pixels that are in the file, not of those before an edit."""
    if note is None:
        return False
    try:
        true, rank = [int(n) for n in note["shape"]], len(note["axes"])
        per_axis = all(len(note[key]) == rank for key in ("shape", "scale", "translate", "units"))
    except (KeyError, TypeError, ValueError):
        return False
    same_size = int(np.prod(true, dtype=np.int64)) == int(np.prod(list(shape), dtype=np.int64))
    return per_axis and same_size and true[-2:] == [int(n) for n in shape[-2:]]


def _read_tiff(path: Path, colours: Colours) -> tuple[Specimen, dict[str, Any] | None]:
    data, letters, notes, (steps, note) = open_tiff(path, colours)
    if _fits(note, data.shape):
        said = cast(dict[str, Any], note)
        shape = tuple(int(n) for n in said["shape"])
        axes = tuple(str(a) for a in said["axes"])
        scale, translate = (tuple(float(v) for v in said[key]) for key in ("scale", "translate"))
        units = tuple(str(u) for u in said["units"])
        if isinstance(data, PlaneReader):
            data.shape = shape
        else:
            data = data.reshape(shape)
    else:
        axes = names_of(letters)
        scale, units = calibrate(axes, steps)
        translate = (0.0,) * len(axes)
        said = {}
    if isinstance(data, PlaneReader):
        data = data.as_dask()
    labels = said.get("kind") == "labels"
    return Specimen(data, axes, scale, translate, units, _stem(path), labels, tuple(notes)), note


def _check_path(path: Path) -> bytes:
    """The first bytes of a file that is there and has any."""
    if not path.exists():
        raise FileError(f"'{path}' does not exist: check the name and the folder.")
    if path.is_dir():
        raise FileError(f"'{path}' is a folder, not an image: choose a TIFF file in it.")
    with reading(path), path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise FileError(f"'{path.name}' is empty (0 bytes): get a fresh copy.")
    return head


def read_with_note(
    path: str | os.PathLike[str], *, colours: Colours = "refused"
) -> tuple[Specimen, dict[str, Any] | None]:
    """A specimen and our JSON comment in its file, where there is one; see `read_specimen`."""
    where = Path(path)
    if is_zarr(where):
        return read_zarr(where)
    head = _check_path(where)
    if head.startswith(_MAGIC_TIFF):
        return _read_tiff(where, colours)
    if is_picture(where, head):
        data, notes = read_picture(where, colours=colours)
        return Specimen(data, ("y", "x"), (1.0, 1.0), (0.0, 0.0), (PIXEL, PIXEL), where.stem, False, notes), None
    what = next((kind for magic, kind in _OTHERS if head.startswith(magic)), "no TIFF file")
    raise FileError(f"'{where.name}' is {what} and cannot be read: save it as TIFF or OME-TIFF, for instance in Fiji.")


def read_specimen(path: str | os.PathLike[str], *, luminance: bool = False) -> Specimen:
    """Read an image with its axes, scale and units.

    Parameters
    ----------
    path
        TIFF, ImageJ TIFF, OME-TIFF or OME-Zarr (of a pyramid its full resolution), or a grey PNG or JPEG.
    luminance
        Turn colour images into luminance (Rec. 601 weights) where they would be refused otherwise. OME-Zarr does not
        say what is in colour: there it adds up three channels, and refuses any other number of several.

    Returns
    -------
    Specimen
        Values, type and bit depth unchanged, except that MINISWHITE is inverted and 1-bit becomes 0 and 1. Stacks
        above 64 MB, and all of OME-Zarr, are dask arrays that read what is asked for.

    Raises
    ------
    FileError
        The file is missing, damaged or of another kind.
    SpecimenError
        The file is in colour, or holds what is no image.
    """
    specimen, _ = read_with_note(path, colours="luminance" if luminance else "refused")
    return _added_up(specimen) if luminance and is_zarr(Path(path)) else specimen


def read_image(path: Path, *, luminance: bool, option: str) -> Specimen:
    """As `read_specimen`, for a door whose users know ``luminance=True`` as ``option``; a measurement is refused.

    Raises
    ------
    FileError, SpecimenError
    """
    try:
        return _no_measurement(read_specimen(path, luminance=luminance), path)
    except SpecimenError as error:
        raise SpecimenError(str(error).replace("luminance=True", option)) from error


def read_grey(path: Path) -> Specimen:
    """An image whose values are more than brightness, a mask for instance; one in colour is taken where it is grey.

    Raises
    ------
    FileError, SpecimenError
        As `read_specimen`; red, green and blue differ, or it is a measurement.
    """
    return _no_measurement(read_with_note(path, colours="equal")[0], path)


def read_mask(path: Path, channel: int | None) -> Specimen:
    """A mask, as `read_grey` takes it, for an image of which one channel was taken: that channel, or its only one."""
    mask = read_grey(path)
    if channel is None:
        return mask
    alone = "c" in mask.axes and mask.data.shape[mask.axes.index("c")] == 1
    return one_channel(mask, 0 if alone else channel)


def _no_measurement(image: Specimen, path: Path) -> Specimen:
    if "pattern" in image.axes:
        raise SpecimenError(f"'{path.name}' is a measurement: give the image itself, or its reconstruction.")
    return image


def one_channel(specimen: Specimen, number: int) -> Specimen:
    """One channel, counted from 0, of a specimen that has any; one without is left as it is.

    Raises
    ------
    SpecimenError
        It has fewer channels.
    """
    if "c" not in specimen.axes:
        return specimen
    place = specimen.axes.index("c")
    count = int(specimen.data.shape[place])
    if number >= count:
        raise SpecimenError(f"'{specimen.name}' has {count} channels, from 0 to {count - 1}: there is no {number}.")

    def left(entries: Sequence[Any]) -> tuple[Any, ...]:
        return (*entries[:place], *entries[place + 1 :])

    return replace(
        specimen,
        data=specimen.data[(slice(None),) * place + (number,)],
        axes=left(specimen.axes),
        scale=left(specimen.scale),
        translate=left(specimen.translate),
        units=left(specimen.units),
    )


def shared_range(specimen: Specimen, option: str) -> tuple[str, ...]:
    """What to say of an image whose channels are not taken one by one, with the option that would."""
    count = int(specimen.data.shape[specimen.axes.index("c")]) if "c" in specimen.axes else 1
    if count == 1:
        return ()
    return (
        f"The {count} channels of the image share one intensity range, so that dim ones get a fraction of the light "
        f"and score too high: choose one with {option}.",
    )


def _bright(*colours: NDArray[Any]) -> NDArray[Any]:
    """Luminance of a chunk, plane by plane: all of a deep one at once takes several times its memory."""
    found = np.empty_like(colours[0])
    for index in np.ndindex(*found.shape[:-2]):
        found[index] = luminance_of(np.stack([colour[index] for colour in colours], axis=-1))
    return found


def _added_up(specimen: Specimen) -> Specimen:
    """Red, green and blue of an OME-Zarr as luminance, lazily; an image without several channels as it is."""
    channels = int(specimen.data.shape[specimen.axes.index("c")]) if "c" in specimen.axes else 1
    if channels == 1 or "pattern" in specimen.axes:
        return specimen
    if channels != 3:
        raise SpecimenError(
            f"'{specimen.name}' has {channels} channels, not red, green and blue: leave luminance=True out, or save "
            "one channel."
        )
    import dask.array as da

    colours = [one_channel(specimen, number) for number in range(3)]
    data = da.map_blocks(_bright, *(colour.data for colour in colours), dtype=specimen.data.dtype)
    return replace(colours[0], data=data, notes=(*specimen.notes, ADDED_UP))


def write_image(
    path: str | os.PathLike[str],
    array: Any,
    *,
    axes: Sequence[str],
    scale: Sequence[float],
    units: Sequence[str],
    translate: Sequence[float] | None = None,
    labels: bool = False,
    uuid: str | None = None,
) -> None:
    """Write an image as an OME-TIFF (or OME-Zarr) that `read_specimen`, Fiji and napari read back; whole or not at all.

    Parameters
    ----------
    path
        Ends with ``.ome.tif``, ``.ome.tiff``, ``.tif`` or ``.tiff``, or with ``.ome.zarr`` or ``.zarr``.
    array
        (..., Y, X), numpy or dask (written plane by plane). bool is stored as uint8, float16 as float32 and
        64-bit integers as 32-bit ones where the values fit.
    axes, scale, units, translate
        One entry an axis; `axes` ends with ``"y"``, ``"x"``.
    labels
        Say in the file that these are instance labels.
    uuid
        ``"urn:uuid:…"`` of a TIFF file, where the same call must give the same bytes; random otherwise.

    Raises
    ------
    FileError
        The name, the type or the layout cannot be written, or the disk refused.
    """
    image = array if hasattr(array, "shape") and hasattr(array, "dtype") else np.asarray(array)
    if labels and np.dtype(image.dtype).kind not in "uib":
        raise FileError(f"'{Path(path).name}' cannot hold labels of type {image.dtype}: give integers.")
    origin = (0.0,) * len(image.shape) if translate is None else tuple(translate)
    kind = "labels" if labels else "image"
    if is_zarr_name(path):
        write_zarr(path, image, axes=axes, scale=scale, units=units, translate=origin, kind=kind)
        return
    write_stack(path, image, axes=axes, scale=scale, units=units, translate=origin, kind=kind, uuid=uuid)


def write_like(path: str | os.PathLike[str], array: Any, specimen: Specimen, *, labels: bool = False) -> None:
    """Write an image (..., Y, X) with axes, scale and units of the specimen that it belongs to; see `write_image`."""
    write_image(path, array, labels=labels, **specimen.placed)
