"""Segmenters by name: the pattern set's own, and every function image → labels that a package offers.

A package offers one in its ``pyproject.toml``::

    [project.entry-points."napari_dmu.segmenters"]
    my-cells = "my_package.cells:find"

``find`` takes one plane (Y, X) float32 and gives whole numbers (Y, X), 0 = background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import DmuError, SettingsError, SpecimenError

GROUP = "napari_dmu.segmenters"
# The built-in one: it reads the measurement itself, not a reconstruction of it.
PATTERN_SET = "pattern set"
# What our own members need beyond the base: module, and how to get it.
_NEEDS = {"napari_dmu.segmentation.cellpose:cellpose": ("cellpose", "pip install 'napari-dmu[cellpose]'")}

Segmenter: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.integer[Any]]]


@dataclass(frozen=True)
class SegmenterInfo:
    """A segmenter that can be chosen.

    Attributes
    ----------
    name
        What it is chosen by.
    origin
        Package and version that it comes from; empty where unknown.
    lacks
        How to get what it still needs; empty where it can be used.
    """

    name: str
    origin: str
    lacks: str = ""


def available_segmenters() -> list[SegmenterInfo]:
    """The pattern set's own, then those of installed packages by name; none of them is imported for it."""
    listed = [SegmenterInfo(PATTERN_SET, "the segmenter trained with the patterns")]
    return [*listed, *(SegmenterInfo(name, _origin(one), _lacks(one)) for name, one in sorted(_members().items()))]


def load_segmenter(name: str) -> Segmenter:
    """The function of that name.

    Raises
    ------
    SettingsError
        There is none, or what it is made of cannot be imported or called.
    """
    members = _members()
    if name not in members:
        names = ", ".join([PATTERN_SET, *sorted(members)])
        raise SettingsError(f"There is no segmenter '{name}': choose one of {names}.")
    entry = members[name]
    if lacks := _lacks(entry):
        raise SettingsError(f"The segmenter '{name}' needs what is not installed here: run {lacks}.")
    try:
        function: Segmenter = entry.load()
    except Exception as error:  # whatever another package's import may raise
        raise SettingsError(
            f"The segmenter '{name}' of {_origin(entry) or entry.value} cannot be loaded ({_brief(error)}): "
            "repair or remove that package, or choose another segmenter."
        ) from error
    if not callable(function):
        raise SettingsError(
            f"The segmenter '{name}' of {_origin(entry) or entry.value} is no function: "
            "its entry point must name one that takes an image and gives labels."
        )
    return function


def run_segmenter(name: str, segmenter: Segmenter, image: NDArray[np.float32]) -> NDArray[np.int32]:
    """Put a segmenter on one plane and check what it gives.

    Parameters
    ----------
    name, segmenter
        From ``load_segmenter``, or any function of yours with a name for the errors.
    image
        (Y, X) float32; the segmenter gets a copy.

    Returns
    -------
    ndarray
        (Y, X) int32, 0 = background, cells 1 … n in the order of their ids.

    Raises
    ------
    SpecimenError
        It failed, or gave anything but whole numbers >= 0 of the image's shape.
    """
    plane = np.array(image, dtype=np.float32, order="C")
    try:
        labels = np.asarray(segmenter(plane))
    except (DmuError, MemoryError):
        raise
    except Exception as error:  # whatever somebody else's function may raise
        raise SpecimenError(
            f"The segmenter '{name}' failed ({_brief(error)}): report it to its makers, or choose another segmenter."
        ) from error
    if labels.shape != image.shape:
        raise SpecimenError(
            f"The segmenter '{name}' gave labels of shape {labels.shape} for an image of {image.shape}: "
            "it must give one number a pixel."
        )
    if labels.dtype.kind not in "iu":
        raise SpecimenError(
            f"The segmenter '{name}' gave values of type {labels.dtype}: "
            "it must give whole numbers, one per cell and 0 for the background."
        )
    if labels.size and labels.min() < 0:
        raise SpecimenError(f"The segmenter '{name}' gave numbers below 0: it must number its cells from 1 on.")
    return _renumbered(labels)


def _renumbered(labels: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Ids 1 … n without gaps; 0 stays 0."""
    ids, numbers = np.unique(labels, return_inverse=True)
    first = 0 if ids.size and ids[0] == 0 else 1
    return np.asarray(numbers.reshape(labels.shape) + first, dtype=np.int32)


def _members() -> dict[str, EntryPoint]:
    """Entry points by name; of two of one name the first, and the built-in one's name is taken."""
    members: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name != PATTERN_SET:
            members.setdefault(entry.name, entry)
    return members


def _origin(entry: EntryPoint) -> str:
    return "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def _lacks(entry: EntryPoint) -> str:
    module, remedy = _NEEDS.get(entry.value, ("", ""))
    return remedy if module and find_spec(module) is None else ""


def _brief(error: BaseException) -> str:
    """Kind and first line of an error, short enough for a sentence."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:150]}".rstrip(": .")
