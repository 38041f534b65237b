"""Pixel size, plane spacing and frame interval, out of the many places where TIFF files hide them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

PIXEL = "pixel"
MICROMETER = "micrometer"
SECOND = "second"

# Lengths are µm and times are s in this package, whatever the file says.
_MICROMETERS = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometre", "\\u00b5m"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("pm", "picometer"), 1e-6),
    **dict.fromkeys(("å", "angstrom"), 1e-4),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond"), 1e-3),
    **dict.fromkeys(("µs", "μs", "us", "microsecond"), 1e-6),
    **dict.fromkeys(("ns", "nanosecond"), 1e-9),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
# A resolution tag that says finer than 5 nm or coarser than 20 µm is a print setting (72 to 1200 dpi).
_PLAUSIBLE = (0.005, 20.0)

Steps = dict[str, tuple[float, str]]


def _positive(value: object) -> float | None:
    """`value` as a usable step, or None."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _step(value: object, unit: object, known: Mapping[str, float], name: str) -> tuple[float, str] | None:
    number, factor = _positive(value), known.get(str(unit).strip().lower())
    return None if number is None or factor is None else (number * factor, name)


def length(value: object, unit: object) -> tuple[float, str] | None:
    """A length with its unit as the file writes it, in micrometer; None where it means nothing."""
    return _step(value, unit, _MICROMETERS, MICROMETER)


def duration(value: object, unit: object) -> tuple[float, str] | None:
    """A time with its unit as the file writes it, in second; None where it means nothing."""
    return _step(value, unit, _SECONDS, SECOND)


def _for_both(steps: Steps) -> Steps:
    """With the pixel size of x or y for both where a program wrote only one of them: pixels are square."""
    one = steps.get("x", steps.get("y"))
    return steps if one is None else {"x": one, "y": one, **steps}


def _ome(xml: str) -> Steps:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return {}
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return {}
    steps = {
        axis: length(pixels.get(f"PhysicalSize{axis.upper()}"), pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm"))
        for axis in "xyz"
    }
    steps["t"] = duration(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    return _for_both({axis: step for axis, step in steps.items() if step is not None})


def _pixels_per_unit(page: Any, axis: str) -> float | None:
    tag = page.tags.get(f"{axis.upper()}Resolution")
    if tag is None:
        return None
    try:
        above, below = tag.value
        return _positive(above / below)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _imagej(meta: Mapping[str, Any], page: Any) -> Steps:
    unit, steps = meta.get("unit", ""), {}
    for axis in "xy":
        per_unit = _pixels_per_unit(page, axis)
        own = meta.get(f"{axis}unit", unit)
        steps[axis] = None if per_unit is None else length(1.0 / per_unit, own)
    if steps["x"] is not None or steps["y"] is not None:
        # ImageJ leaves the spacing out when it is 1.
        steps["z"] = length(meta.get("spacing", 1.0), meta.get("zunit", unit))
    steps["t"] = duration(meta.get("finterval"), meta.get("tunit", "s"))
    return {axis: step for axis, step in steps.items() if step is not None}


def _metamorph(meta: Mapping[str, Any]) -> Steps:
    if not meta.get("SpatialCalibration"):
        return {}
    unit = meta.get("CalibrationUnits", "")
    steps = {axis: length(meta.get(f"{axis.upper()}Calibration"), unit) for axis in "xy"}
    return {axis: step for axis, step in steps.items() if step is not None}


def _lsm(meta: Mapping[str, Any]) -> Steps:
    steps = {axis: length(meta.get(f"VoxelSize{axis.upper()}"), "m") for axis in "xyz"}
    steps["t"] = duration(meta.get("TimeIntervall"), "s")
    return {axis: step for axis, step in steps.items() if step is not None}


def _tags(page: Any) -> Steps:
    tag = page.tags.get("ResolutionUnit")
    unit = {2: 25400.0, 3: 10000.0}.get(int(tag.value) if tag is not None else 2)
    steps: Steps = {}
    for axis in "xy":
        per_unit = _pixels_per_unit(page, axis)
        if unit is None or per_unit is None:
            continue
        size = unit / per_unit
        if _PLAUSIBLE[0] <= size <= _PLAUSIBLE[1]:
            steps[axis] = (size, MICROMETER)
    return steps if len(steps) == 2 else {}  # where one is a print setting, the other is no better


def steps_of(tif: Any, page: Any) -> Steps:
    """Step and unit of the axes that a TIFF file calibrates.

    Parameters
    ----------
    tif
        An open `tifffile.TiffFile`.
    page
        The first page of the series that is read.

    Returns
    -------
    dict
        Axis name (``"x"``, ``"y"``, ``"z"``, ``"t"``) to (step, unit), lengths in micrometer, times in second.
        Axes that are not in it have no calibration.
    """
    if tif.is_ome and tif.ome_metadata:
        return _ome(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata is not None:
        return _imagej(tif.imagej_metadata, page)
    if tif.is_stk and tif.stk_metadata:
        return _metamorph(tif.stk_metadata)
    if tif.is_lsm and tif.lsm_metadata:
        return _lsm(tif.lsm_metadata)
    return _tags(page)
