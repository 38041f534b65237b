"""What the arguments of a verb stand for: settings of the acquisition, geometry of the specimen."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.checking import checked_replacement
from napari_dmu.microscope.presets import apply_preset


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are not None."""
    return {name: value for name, value in settings.items() if value is not None}


def settings_of(own: Acquisition, detector: str | None, light: Mapping[str, Any], acquisition: Any) -> Acquisition:
    """The set's acquisition with another detector and other settings, and with the gain in use written down, so
    that the counts keep their meaning whatever chose it."""
    if acquisition is not None and not isinstance(acquisition, Mapping):
        raise SettingsError(f"The acquisition is {acquisition!r}: give settings by their names in a dictionary.")
    changes = {**(acquisition or {}), **given(light)}
    fixed = sorted({"bin", "exposures", "period"} & set(changes))
    if fixed:
        raise SettingsError(f"The {fixed[0]} belongs to the patterns: choose another pattern set to change it.")
    settings = own if detector is None else apply_preset(own, detector)
    settings = checked_replacement(settings, changes)
    return checked_replacement(settings, {"gain": settings.electrons_per_count})


def geometry_of(
    ndim: int,
    axes: Sequence[str] | None,
    scale: Sequence[float] | None,
    translate: Sequence[float] | None,
    units: Sequence[str] | None,
) -> dict[str, Any]:
    """One entry an axis, with plain pixels for what is not given."""
    names = (*(f"axis {i}" for i in range(ndim - 2)), "y", "x")
    geometry: dict[str, Any] = {
        "axes": _entries("axes", str, axes, names),
        "scale": _entries("scale", float, scale, (1.0,) * ndim),
        "translate": _entries("translate", float, translate, (0.0,) * ndim),
        "units": _entries("units", str, units, ("pixel",) * ndim),
    }
    for key, value in geometry.items():
        if len(value) != ndim:
            raise SettingsError(f"The {key} has {len(value)} entries, the specimen {ndim} axes: give one an axis.")
    names = geometry["axes"] = (*geometry["axes"][:-2], *(name.lower() for name in geometry["axes"][-2:]))
    if names[-2:] != ("y", "x") or len({*names, "pattern"}) != ndim + 1:
        raise SettingsError(
            f"The axes are {', '.join(names)}: move rows and columns to the end, call them y and x, and give each of "
            "the others a name of its own other than pattern."
        )
    if not all(math.isfinite(v) for v in (*geometry["scale"], *geometry["translate"])) or 0 in geometry["scale"]:
        raise SettingsError("The scale or translation is not finite, or the scale is 0: give sizes in the units.")
    return geometry


def _entries(
    what: str, kind: Callable[[Any], Any], given: Sequence[Any] | None, default: tuple[Any, ...]
) -> tuple[Any, ...]:
    try:
        return default if given is None else tuple(kind(value) for value in given)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"The {what} is {given!r}: give one entry an axis.") from error


def seed_of(seed: Any) -> int:
    """The seed as a whole number from 0 on."""
    try:
        whole = operator.index(seed)
    except TypeError:
        whole = -1
    if whole < 0:
        raise SettingsError(f"The seed is {seed}: choose 0 or a positive whole number.")
    return whole


def range_of(values: Any) -> tuple[float, float]:
    """Two specimen values, the lower one first."""
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and low < high < math.inf):
        raise SettingsError(f"The intensity range is {values!r}: give two numbers, the lower one first.")
    return low, high
