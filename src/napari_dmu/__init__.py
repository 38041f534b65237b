"""Compressive fluorescence imaging with patterned illumination: simulate, reconstruct, segment, compare.

The public verbs are resolved on first use, so that importing the package loads neither torch nor Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_dmu._version import __version__

if TYPE_CHECKING:
    from napari_dmu.engine.verbs import assess, compare, load, reconstruct, segment, simulate
    from napari_dmu.microscope.measurement import Measurement
    from napari_dmu.zoo.pattern_set import PatternSet

_HOMES = {
    "load": "napari_dmu.engine.verbs",
    "simulate": "napari_dmu.engine.verbs",
    "reconstruct": "napari_dmu.engine.verbs",
    "assess": "napari_dmu.engine.verbs",
    "segment": "napari_dmu.engine.verbs",
    "compare": "napari_dmu.engine.verbs",
    "Measurement": "napari_dmu.microscope.measurement",
    "PatternSet": "napari_dmu.zoo.pattern_set",
}

__all__ = [
    "Measurement",
    "PatternSet",
    "__version__",
    "assess",
    "compare",
    "load",
    "reconstruct",
    "segment",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'napari_dmu' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
