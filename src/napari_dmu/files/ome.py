"""Stacks of any axes as an OME-TIFF which other programs open as a normal stack.

OME knows the axes T, Z and C beside Y and X. Whatever else a stack has (exposures, positions) is folded into one of
these, in the order of the data, and a JSON comment of ours says how to unfold it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError
from napari_dmu.files.atomic import atomic_path
from napari_dmu.files.calibration import duration, length
from napari_dmu.files.planes import HeldPlanes

NAMESPACE = "napari-dmu"
SCHEMA_VERSION = 1
SUFFIXES = (".tif", ".tiff")

# A classic TIFF ends at 4 GiB; compression may enlarge noise a little, so the step to BigTIFF is taken before.
_BIGTIFF_BYTES = 2**32 - 2**27
_STORED_AS = {"bool": "uint8", "float16": "float32", "int64": "int32", "uint64": "uint32"}
# What no XML may hold and a file name may: control characters, and bytes that are no UTF-8 (half surrogates in Python).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KNOWN = {"t": "T", "z": "Z", "c": "C"}


def fold_axes(axes: Sequence[str], shape: Sequence[int]) -> tuple[str, tuple[int, ...], tuple[tuple[str, ...], ...]]:
    """Fold any leading axes into at most one T, one Z and one C, in the order of the data.

    Parameters
    ----------
    axes, shape
        Names and sizes; the last two axes are ``"y"`` and ``"x"``.

    Returns
    -------
    letters, folded, members
        OME letters (for instance ``"TCYX"``), the folded shape, and which axes each letter stands for.
    """
    groups: list[tuple[str, list[int]]] = []  # a letter, "" where it is still open, and its axes
    for index, name in enumerate(axes[:-2]):
        letter = _KNOWN.get(name, "")
        if letter and all(letter != used for used, _ in groups):
            groups.append((letter, [index]))
        elif groups and groups[-1][0] in ("", "C"):
            groups[-1][1].append(index)
        else:
            groups.append(("", [index]))
    merged: list[tuple[str, list[int]]] = []
    for letter, members in groups:  # unknown axes right before the channels join them
        if letter == "C" and merged and merged[-1][0] == "":
            merged[-1] = ("C", merged[-1][1] + members)
        else:
            merged.append((letter, members))
    free = [letter for letter in "CTZ" if all(letter != used for used, _ in merged)]
    final: list[tuple[str, list[int]]] = []
    for letter, members in merged:
        if letter or free:
            final.append((letter or free.pop(0), members))
        elif final:
            final[-1][1].extend(members)
        else:  # nothing before it and no letter left: the next group takes it in
            final.append(("", members))
    if len(final) > 1 and final[0][0] == "":
        final[:2] = [(final[1][0], final[0][1] + final[1][1])]
    letters = "".join(letter for letter, _ in final) + "YX"
    sizes = [int(np.prod([shape[i] for i in members], dtype=np.int64)) for _, members in final]
    names = tuple(tuple(axes[i] for i in members) for _, members in final)
    return letters, (*sizes, int(shape[-2]), int(shape[-1])), names


def iter_planes(array: Any) -> Iterator[NDArray[Any]]:
    """The (Y, X) planes of an array in C order; of a dask array each chunk is computed once where memory allows."""
    if hasattr(array, "blocks") and hasattr(array, "chunks"):
        array = HeldPlanes(array, any_chunk=True, scheduler="threads")
    for index in np.ndindex(tuple(array.shape[:-2])):
        yield np.asarray(array[index])


def _cast(plane: NDArray[Any], dtype: np.dtype[Any], what: str) -> NDArray[Any]:
    """A plane in the type that is stored, or an error where its values do not fit."""
    if plane.dtype.kind in "iu" and plane.dtype.itemsize > dtype.itemsize and plane.size:
        limits = np.iinfo(dtype)
        if int(plane.min()) < limits.min or int(plane.max()) > limits.max:
            raise FileError(f"'{what}' cannot hold values beyond {limits.max}: convert the image to float32 first.")
    return np.ascontiguousarray(plane, dtype=dtype)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Refuse a name that is not one of a TIFF file."""
    if not os.fspath(path).lower().endswith(SUFFIXES):
        raise FileError(
            f"'{os.fspath(path)}' is no name of a TIFF file or an OME-Zarr: end it with .ome.tif, .tif or .ome.zarr."
        )


def _physical(axes: Sequence[str], scale: Sequence[float], units: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, size, unit in zip(axes, scale, units, strict=True):
        if name in ("x", "y", "z") and (step := length(size, unit)) is not None:
            found[f"PhysicalSize{name.upper()}"], found[f"PhysicalSize{name.upper()}Unit"] = step[0], "µm"
        elif name == "t" and (step := duration(size, unit)) is not None:
            found["TimeIncrement"], found["TimeIncrementUnit"] = step[0], "s"
    return found


def write_stack(
    path: str | os.PathLike[str],
    array: Any,
    *,
    axes: Sequence[str],
    scale: Sequence[float],
    units: Sequence[str],
    translate: Sequence[float],
    kind: str,
    extra: dict[str, Any] | None = None,
    uuid: str | None = None,
) -> None:
    """Write a stack as a zlib-compressed OME-TIFF, plane by plane and atomically.

    Parameters
    ----------
    path
        Ends with ``.tif`` or ``.tiff``.
    array
        (..., Y, X) numpy or dask.
    axes, scale, units, translate
        One entry an axis.
    kind
        ``"image"``, ``"labels"`` or ``"measurement"``.
    extra
        Goes into our JSON comment.
    uuid
        Of the file, where the same call must give the same bytes; random otherwise.

    Raises
    ------
    FileError
        The name, the type or the layout cannot be written, or the disk refused.
    """
    import tifffile

    check_suffix(path)
    name = os.path.basename(os.fspath(path))
    shape, rank = tuple(int(n) for n in array.shape), len(array.shape)
    if any(len(entry) != rank for entry in (axes, scale, units, translate)):
        raise FileError(f"'{name}' needs one axis name, scale, unit and translation for each of its {rank} axes.")
    if rank < 2 or tuple(axes[-2:]) != ("y", "x") or len(set(axes)) != rank:
        raise FileError(f"'{name}' needs different axis names that end with y, x, not {', '.join(axes) or 'none'}.")
    if 0 in shape:
        raise FileError(f"'{name}' cannot be written because the image is empty (shape {shape}).")
    stored = np.dtype(_STORED_AS.get(array.dtype.name, array.dtype.name)).newbyteorder("<")
    if stored.kind not in "uif" or stored.itemsize > 8:
        raise FileError(f"'{name}' cannot hold {array.dtype} values: convert the image to integer or floating point.")
    letters, folded, members = fold_axes(axes, shape)
    note = {"schema_version": SCHEMA_VERSION, "kind": kind, "axes": list(axes), "shape": list(shape)}
    note |= {"scale": [float(v) for v in scale], "translate": [float(v) for v in translate], "units": list(units)}
    text = json.dumps(note | (extra or {}), ensure_ascii=True, sort_keys=True)
    metadata: dict[str, Any] = {
        "axes": letters,
        "Name": _NOT_XML.sub("\ufffd", name),
        "Creator": "napari-dmu",
        "CommentAnnotation": {"Namespace": NAMESPACE, "Value": text},
        **_physical(
            [m[0] if len(m) == 1 else "" for m in members] + ["y", "x"],
            [scale[axes.index(m[0])] for m in members] + list(scale[-2:]),
            [units[axes.index(m[0])] for m in members] + list(units[-2:]),
        ),
    }
    if uuid is not None:
        metadata["UUID"] = uuid
    planes = (_cast(plane, stored, name) for plane in iter_planes(array))
    big = int(np.prod(shape, dtype=np.int64)) * stored.itemsize > _BIGTIFF_BYTES
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, ome=True, bigtiff=big, byteorder="<") as tif:
        tif.write(
            planes, shape=folded, dtype=stored, photometric="minisblack", compression="zlib",
            software="napari-dmu", metadata=metadata,
        )  # fmt: skip


def read_note(xml: str | None) -> dict[str, Any] | None:
    """Our JSON comment out of OME-XML; None where there is none, or none that can be understood."""
    if not xml or NAMESPACE not in xml:
        return None
    try:
        root = ElementTree.fromstring(xml)
        for element in root.iter():
            if element.tag.endswith("}CommentAnnotation") and element.get("Namespace") == NAMESPACE:
                note = json.loads("".join(element.itertext()).strip())
                return note if isinstance(note, dict) else None
    except (ElementTree.ParseError, json.JSONDecodeError):
        return None
    return None
