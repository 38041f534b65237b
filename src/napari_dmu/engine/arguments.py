"""What the arguments of a verb stand for: settings of the acquisition, geometry of the specimen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.checking import checked_update
from napari_dmu.microscope.presets import apply_preset


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are not None."""
    return {name: value for name, value in settings.items() if value is not None}


def settings_of(own: Acquisition, detector: str | None, changes: Mapping[str, Any]) -> Acquisition:
    """The set's acquisition with another detector and other settings, and with the gain in use written down, so
    that the counts keep their meaning whatever chose it."""
    fixed = sorted({"bin", "exposures", "period"} & set(changes))
    if fixed:
        raise SettingsError(f"The {fixed[0]} belongs to the patterns: choose another pattern set to change it.")
    settings = own if detector is None else apply_preset(own, detector)
    settings = checked_update(settings, changes)
    return checked_update(settings, {"gain": settings.electrons_per_count})


def geometry_of(
    ndim: int,
    axes: Sequence[str] | None,
    scale: Sequence[float] | None,
    translate: Sequence[float] | None,
    units: Sequence[str] | None,
) -> dict[str, Any]:
    """One entry an axis, with plain pixels for what is not given."""
    names = tuple(axes) if axes is not None else (*(f"axis {i}" for i in range(ndim - 2)), "y", "x")
    geometry: dict[str, Any] = {
        "axes": names,
        "scale": tuple(float(v) for v in scale) if scale is not None else (1.0,) * ndim,
        "translate": tuple(float(v) for v in translate) if translate is not None else (0.0,) * ndim,
        "units": tuple(str(v) for v in units) if units is not None else ("pixel",) * ndim,
    }
    for key, value in geometry.items():
        if len(value) != ndim:
            raise SettingsError(f"The {key} has {len(value)} entries, the specimen {ndim} axes: give one an axis.")
    return geometry
