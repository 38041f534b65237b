"""Measurements and images as OME-Zarr (NGFF): chunked folders, read lazily.

Written as NGFF 0.5 (Zarr 3), read as 0.4 (Zarr 2) and 0.5. NGFF wants the axes in the order time, channel, space and
at most one time and one channel; as in OME-TIFF, whatever else a stack has is folded into these, and attributes of
ours say how to unfold it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dmu._version import __version__
from napari_dmu.errors import FileError, SpecimenError
from napari_dmu.files.calibration import PIXEL, duration, length
from napari_dmu.files.folders import atomic_folder, check_target
from napari_dmu.files.ome import NAMESPACE, SCHEMA_VERSION, fold_axes, iter_planes

if TYPE_CHECKING:
    from napari_dmu.files.specimen import Specimen

SUFFIX = ".zarr"
NGFF_VERSION = "0.5"
_CHUNK = 1024
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_MARKS = ("zarr.json", ".zgroup", ".zattrs")
_WHAT, _ENTRIES = "OME-Zarr", ("zarr.json", "0")


def is_zarr_name(path: str | os.PathLike[str]) -> bool:
    """Whether a name asks for OME-Zarr."""
    return os.fspath(path).rstrip("/\\").lower().endswith(SUFFIX)


def is_zarr(path: Path) -> bool:
    """Whether `path` is, or is called like, a Zarr folder."""
    return is_zarr_name(path) or (path.is_dir() and any((path / mark).exists() for mark in _MARKS))


def is_zarr_measurement(path: str | os.PathLike[str]) -> bool:
    """Whether a folder seems to be a compressed measurement of napari-dmu; reads its attributes only."""
    try:
        note = json.loads((Path(path) / "zarr.json").read_text(encoding="utf-8"))["attributes"][NAMESPACE]
        return bool(note["kind"] == "measurement")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".ome.zarr", ".zarr"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return name


def _ours(path: Path) -> tuple[str, ...]:
    """What `write_zarr` wrote into a folder. Others may add to it, for instance ``labels`` or smaller levels."""
    import zarr

    try:
        return _ENTRIES if NAMESPACE in zarr.open_group(path, mode="r").attrs else ()
    except Exception:  # whatever is wrong with it, it is not ours
        return ()


def check_zarr_place(path: str | os.PathLike[str]) -> None:
    """Refuse a place that `write_zarr` could not write to, before any work is done for it.

    Raises
    ------
    FileError
    """
    check_target(path, _ours, _WHAT)


def _axis(letter: str, unit: str) -> dict[str, str]:
    known = unit not in (PIXEL, "") and _TYPES[letter] != "channel"
    return {"name": letter, "type": _TYPES[letter]} | ({"unit": unit} if known else {})


def write_zarr(
    path: str | os.PathLike[str],
    array: Any,
    *,
    axes: Sequence[str],
    scale: Sequence[float],
    units: Sequence[str],
    translate: Sequence[float],
    kind: str,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a stack as OME-Zarr (one resolution), plane by plane; the folder appears whole or not at all.

    Parameters
    ----------
    path
        Ends with ``.zarr``; an older one that napari-dmu wrote is replaced, one with anything added to it is
        refused.
    array
        (..., Y, X) numpy or dask; bool is stored as uint8.
    axes, scale, units, translate
        One entry an axis; `axes` ends with ``"y"``, ``"x"``.
    kind
        ``"image"``, ``"labels"`` or ``"measurement"``.
    extra
        Goes into our attributes.

    Raises
    ------
    FileError
        The layout or the type cannot be written, or the disk refused.
    """
    import zarr

    name, shape, rank = Path(path).name, tuple(int(n) for n in array.shape), len(array.shape)
    if any(len(entry) != rank for entry in (axes, scale, units, translate)):
        raise FileError(f"'{name}' has {rank} axes: give a name, scale, unit and translation for each of them.")
    if rank < 2 or tuple(axes[-2:]) != ("y", "x") or len(set(axes)) != rank:
        raise FileError(
            f"'{name}' cannot have the axes {', '.join(axes) or 'none'}: give different names that end in y, x."
        )
    if 0 in shape:
        raise FileError(f"'{name}' cannot be written because it is empty (shape {shape}): give an image.")
    dtype = np.dtype(np.uint8) if np.dtype(array.dtype).kind == "b" else np.dtype(array.dtype).newbyteorder("=")
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise FileError(f"'{name}' cannot hold {array.dtype} values: convert the image to integer or floating point.")
    letters, folded, members = fold_axes(axes, shape)
    order = sorted(range(len(letters)), key=lambda i: "TCZYX".index(letters[i]))
    stored = "".join(letters[i] for i in order).lower()
    # Of a folded axis the steps are those of our attributes alone.
    own = [axes.index(m[0]) if len(m) == 1 else None for m in members] + [rank - 2, rank - 1]
    steps = [1.0 if own[i] is None else float(scale[own[i]]) for i in order]  # type: ignore[index]
    origin = [0.0 if own[i] is None else float(translate[own[i]]) for i in order]  # type: ignore[index]
    unit = ["" if own[i] is None else str(units[own[i]]) for i in order]  # type: ignore[index]
    transforms = [{"type": "scale", "scale": steps}, {"type": "translation", "translation": origin}]
    multiscale = {
        "name": _stem(Path(path)),
        "axes": [_axis(letter, u) for letter, u in zip(stored, unit, strict=True)],
        "datasets": [{"path": "0", "coordinateTransformations": transforms}],
    }
    ome: dict[str, Any] = {"version": NGFF_VERSION, "multiscales": [multiscale]}
    if kind == "labels":
        ome["image-label"] = {}
    note: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "kind": kind, "axes": list(axes), "shape": list(shape)}
    note |= {"scale": [float(v) for v in scale], "translate": [float(v) for v in translate], "units": list(units)}
    note |= {"folded": letters, "version": __version__} | (extra or {})
    with atomic_folder(path, ours=_ours, what=_WHAT) as temporary:
        group = zarr.open_group(temporary, mode="w", zarr_format=3, attributes={"ome": ome, NAMESPACE: note})
        target = group.create_array(
            "0", shape=tuple(folded[i] for i in order), dtype=dtype, dimension_names=list(stored),
            chunks=tuple(min(folded[i], _CHUNK) if letters[i] in "YX" else 1 for i in order),
        )  # fmt: skip
        for index, plane in zip(np.ndindex(*folded[:-2]), iter_planes(array), strict=True):
            target[tuple(index[i] for i in order[:-2])] = plane.astype(dtype, copy=False)


def _open(path: Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The group of an image, its multiscale and all its attributes."""
    import zarr

    if not path.exists():
        raise FileError(f"'{path}' does not exist: check the name and the folder.")
    try:
        group = zarr.open_group(path, mode="r")
        attributes = dict(group.attrs)
        ome: Any = attributes.get("ome", attributes)
        if "bioformats2raw.layout" in ome and "multiscales" not in ome:  # one folder an image: take the first
            group = zarr.open_group(path / "0", mode="r")
            attributes = dict(group.attrs)
            ome = attributes.get("ome", attributes)
    except Exception as error:  # zarr and its codecs have many kinds
        raise FileError(f"'{path.name}' is no Zarr group, or it is damaged: choose an OME-Zarr image.") from error
    if "plate" in ome:
        raise FileError(f"'{path.name}' is a plate: choose one of its fields, for instance A/1/0 in it.")
    multiscales = ome.get("multiscales")
    if not isinstance(multiscales, list) or not multiscales or not isinstance(multiscales[0], dict):
        raise FileError(f"'{path.name}' holds no OME-Zarr image: choose a folder with multiscales in it.")
    return group, multiscales[0], attributes


class _Chunks:
    """A Zarr array whose damaged chunks are a sentence."""

    def __init__(self, name: str, source: Any) -> None:
        self.name, self.source = name, source
        self.shape, self.dtype, self.ndim = source.shape, source.dtype, source.ndim

    def __getitem__(self, key: Any) -> Any:
        try:
            return np.asarray(self.source[key])
        except Exception as error:  # each codec has its own kinds
            raise FileError(
                f"'{self.name}' is damaged or was removed ({type(error).__name__}): get a fresh copy."
            ) from error


def _geometry(multiscale: dict[str, Any], rank: int) -> tuple[list[str], list[float], list[float], list[str]]:
    """Names, scale, translation and units of the stored axes of level 0."""
    raw = multiscale.get("axes") or list("tczyx"[-rank:])
    names = [str(axis["name"] if isinstance(axis, dict) else axis).lower() for axis in raw]
    units = [str(axis.get("unit", "")) if isinstance(axis, dict) else "" for axis in raw]
    scale, translate = [1.0] * rank, [0.0] * rank
    levels = (multiscale["datasets"][0].get("coordinateTransformations"), multiscale.get("coordinateTransformations"))
    for transform in (one for level in levels for one in level or ()):
        if transform["type"] == "scale":
            factor = [float(v) for v in transform["scale"]]
            scale, translate = ([a * b for a, b in zip(v, factor, strict=True)] for v in (scale, translate))
        elif transform["type"] == "translation":
            translate = [a + float(b) for a, b in zip(translate, transform["translation"], strict=True)]
    for i, unit in enumerate(units):
        known = length(1.0, unit) or duration(1.0, unit)
        factor_of, units[i] = known or (1.0, PIXEL)
        scale[i], translate[i] = scale[i] * factor_of, translate[i] * factor_of
    if not len(names) == len(scale) == rank or len(set(names)) != rank:
        raise ValueError("axes")
    _check_steps(scale, translate)
    return names, scale, translate, units


def _check_steps(scale: Sequence[float], translate: Sequence[float]) -> None:
    """Refuse what no image can be placed by."""
    if not all(math.isfinite(v) for v in (*scale, *translate)) or 0 in scale:
        raise ValueError("scale or translation")


def read_zarr(path: str | os.PathLike[str]) -> tuple[Specimen, dict[str, Any] | None]:
    """Read level 0 of an OME-Zarr image, lazily, and our attributes where there are any.

    Returns
    -------
    Specimen, dict or None
        The data are dask, in the chunks of the file.

    Raises
    ------
    FileError
        It is missing, damaged, a plate, or no OME-Zarr image.
    SpecimenError
        It holds what is no image.
    """
    import dask.array as da

    from napari_dmu.files.specimen import Specimen

    where = Path(path)
    group, multiscale, attributes = _open(where)
    try:
        source = group[str(multiscale["datasets"][0]["path"])]
        shape = tuple(int(n) for n in source.shape)
        names, scale, translate, units = _geometry(multiscale, len(shape))
    except Exception as error:
        raise FileError(f"'{where.name}' has damaged OME-Zarr metadata: get a fresh copy.") from error
    if not {"y", "x"} <= set(names) or 0 in shape or np.dtype(source.dtype).kind not in "uifb":
        raise SpecimenError(f"'{where.name}' holds no image with rows and columns: choose another one.")
    meta = np.empty((0,) * len(shape), source.dtype)
    data = da.from_array(_Chunks(where.name, source), chunks=source.chunks, asarray=False, meta=meta)
    order = [i for i, name in enumerate(names) if name not in ("y", "x")] + [names.index("y"), names.index("x")]
    data = data.transpose(order)
    names, units = [names[i] for i in order], [units[i] for i in order]
    scale, translate = [scale[i] for i in order], [translate[i] for i in order]
    note = attributes.get(NAMESPACE)
    if not isinstance(note, dict):
        return Specimen(data, tuple(names), tuple(scale), tuple(translate), tuple(units), _stem(where)), None
    try:
        wanted = [str(letter).lower() for letter in note["folded"]]
        unfolded = data.transpose([names.index(letter) for letter in wanted])
        full = tuple(int(n) for n in note["shape"])
        if full[-2:] != unfolded.shape[-2:] or math.prod(full) != math.prod(unfolded.shape):
            raise ValueError("shape")
        read = Specimen(
            unfolded.reshape(full),
            tuple(str(a) for a in note["axes"]),
            tuple(float(v) for v in note["scale"]),
            tuple(float(v) for v in note["translate"]),
            tuple(str(u) for u in note["units"]),
            _stem(where),
            note.get("kind") == "labels",
        )
        if not len(full) == len(read.axes) == len(read.scale) == len(read.translate) == len(read.units):
            raise ValueError("rank")
        _check_steps(read.scale, read.translate)
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"'{where.name}' was changed after it was written: get the original.") from error
    return read, note
