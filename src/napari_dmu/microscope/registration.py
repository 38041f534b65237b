"""Where the patterns really lie on the specimen, found from a picture of a grid of dots.

The dots repeat with whole periods of the patterns, so the shift is known up to a period, which is all that matters.
Their places are fitted by a similarity (shift, rotation, scale) in least squares; S. Umeyama, IEEE Transactions on
Pattern Analysis and Machine Intelligence 13:376, 1991, which in two dimensions is one complex linear regression.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_dmu.errors import SpecimenError
from napari_dmu.microscope.acquisition import Registration

LEAST_SPACING = 64  # specimen pixels from dot to dot, at least: many dots in a field, told apart by any camera
LEAST_DOTS = 4
FIRST_DOTS = 9  # in the middle of the field, from which the fit grows
FAINT = 0.3  # a dot's contrast over that of the brighter ones, at least
REACH = 0.375  # of the pixels around a dot that it is placed by, over the distance of dots; the dot ends at 0.125
BEYOND = 4.0  # median distances from its place at which a dot is something else

Complex = NDArray[np.complex128]


class Found(NamedTuple):
    """A registration and how sure it is.

    Attributes
    ----------
    registration
        As the patterns lie; the shift is within half a period of 0.
    dots
        How many dots it rests on.
    residual
        Root mean square distance of the dots from where it puts them, specimen pixels.
    largest
        The largest displacement in the field that it stands for, specimen pixels.
    """

    registration: Registration
    dots: int
    residual: float
    largest: float


def dot_spacing(period: int, bin: int) -> int:
    """Specimen pixels from dot to dot: whole periods, and at least four camera pixels where two make a bin."""
    return period * math.ceil(max(LEAST_SPACING, 2 * bin) / period)


def dot_pattern(period: int, bin: int) -> NDArray[np.uint8]:
    """One dot in the middle of a tile of ``dot_spacing``, a square of a quarter of its side: (G, G), 0 and 1."""
    spacing = dot_spacing(period, bin)
    tile = np.zeros((spacing, spacing), dtype=np.uint8)
    inside = slice(spacing // 2 - spacing // 8, spacing // 2 + spacing // 8)
    tile[inside, inside] = 1
    return tile


def find_registration(image: NDArray[np.floating], side: float, *, period: int, bin: int) -> Found:
    """Find the registration from a picture of the dots on an even specimen.

    Parameters
    ----------
    image
        (y, x) light in camera pixels; its upper left corner is where a period should begin.
    side
        Of a camera pixel, specimen pixels.
    period, bin
        P and d of the patterns, specimen pixels.

    Raises
    ------
    SpecimenError
        There are too few dots, or they do not lie on a grid of that spacing.
    """
    spacing = dot_spacing(period, bin)
    dots = (_dots(np.asarray(image, dtype=np.float64), spacing / side) + 0.5) * side
    if len(dots) < LEAST_DOTS:
        raise SpecimenError(
            f"There are {len(dots)} dots in the picture, and {LEAST_DOTS} are the least: show the frame of dots on an "
            "even slide, with more light or a larger field."
        )
    field = np.array(image.shape) * side
    centre = complex(*(field / 2))
    seen: Complex = dots[:, 0] + 1j * dots[:, 1]
    seen = seen[np.argsort(np.abs(seen - centre))]
    turn, move = _grown(seen, spacing)
    distance = _misses(turn * seen + move, spacing)
    seen = seen[distance <= max(BEYOND * float(np.median(distance)), 1e-6)]
    turn, move = _fit(seen, _places(turn * seen + move, spacing))
    residual = float(np.sqrt(np.mean(_misses(turn * seen + move, spacing) ** 2)))
    # Dots twice as far apart lie on the grid as well, and all on one place of it fit each other.
    apart = _neighbour(seen) * abs(turn) / spacing
    if residual > spacing / 16 or not (0.5 < abs(turn) < 2 and 2 / 3 < apart < 4 / 3):
        raise SpecimenError(
            f"The dots do not lie on a grid of {spacing} specimen pixels: check camera_bin, the roi, the magnification "
            "and the angle (a chip on a 45° mount needs turning), and that it is the frame of dots of this pattern set."
        )
    offset = turn * centre + move - centre
    shift = tuple((float(v) + period / 2) % period - period / 2 for v in (offset.real, offset.imag))
    found = Registration(
        shift=(round(shift[0], 3), round(shift[1], 3)),
        rotation=round(math.degrees(float(np.angle(turn))), 4),
        scale=round(abs(turn), 5),
    )
    corner = abs(turn - 1) * abs(centre)  # what rotation and scale add where they add most
    return Found(found, len(seen), residual, math.hypot(*shift) + corner)


def _grown(seen: Complex, spacing: int) -> tuple[complex, complex]:
    """Similarity from where dots are seen, the middle ones first, to their places on the grid.

    It starts from the nine dots in the middle, whose common phase is their shift, and is extrapolated to a few more at
    a time, so that no dot is taken for its neighbour however far rotation and scale carry it.
    """
    few = seen[:FIRST_DOTS]
    turn, move = 1 + 0j, 0j
    for axis, unit in ((few.real, 1), (few.imag, 1j)):
        phase = np.angle(np.exp(2j * np.pi * (axis / spacing - 0.5)).mean())
        move -= unit * float(phase) / (2 * np.pi) * spacing
    count = FIRST_DOTS
    while True:
        part = seen[:count]
        turn, move = _fit(part, _places(turn * part + move, spacing))
        if count >= len(seen):
            return turn, move
        count = math.ceil(1.5 * count)


def _places(points: Complex, spacing: int) -> Complex:
    """The nearest places of the grid."""
    nearest: Complex = (np.floor(points.real / spacing) + 0.5) + 1j * (np.floor(points.imag / spacing) + 0.5)
    return nearest * spacing


def _misses(points: Complex, spacing: int) -> NDArray[np.float64]:
    """How far points lie from the nearest places of the grid."""
    return np.abs(points - _places(points, spacing))


def _neighbour(seen: Complex) -> float:
    """Median distance from a dot to the nearest other one."""
    points = np.column_stack([seen.real, seen.imag])
    apart, _ = cKDTree(points).query(points, k=2)  # the nearest is the dot itself
    return float(np.median(apart[:, 1]))


def _fit(seen: Complex, places: Complex) -> tuple[complex, complex]:
    """(turn, move) with places ≈ turn · seen + move; turn is scale times a rotation."""
    from_seen, from_places = seen - seen.mean(), places - places.mean()
    turn = complex(np.vdot(from_seen, from_places) / np.vdot(from_seen, from_seen).real)
    return turn, complex(places.mean() - turn * seen.mean())


def _dots(image: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Where dots are, (n, 2) indices (fractions), those at the border left out.

    They are found by a threshold and placed by their centroid, without one: a threshold moves the centroid of a dot of
    few camera pixels, and the same way in every dot.
    """
    smooth = ndimage.gaussian_filter(image, distance / 24)
    window = 2 * math.ceil(0.6 * distance) + 1
    low = ndimage.minimum_filter(smooth, window)
    contrast = ndimage.maximum_filter(smooth, window) - low
    bright = contrast > FAINT * np.percentile(contrast, 90)
    marks, count = ndimage.label(bright & (smooth - low > 0.5 * contrast))
    reach = max(2, round(REACH * distance))
    offsets = np.arange(-reach, reach + 1)
    found = []
    for rough in ndimage.center_of_mass(np.ones_like(image), marks, range(1, count + 1)):
        place = np.array(rough)
        for _ in range(2):
            row, column = np.rint(place).astype(int)
            if min(row, column) < reach or row + reach >= image.shape[0] or column + reach >= image.shape[1]:
                break  # not all of it is in the picture
            part = image[row - reach : row + reach + 1, column - reach : column + reach + 1]
            light = part - np.median(np.concatenate([part[0], part[-1], part[1:-1, 0], part[1:-1, -1]]))
            if light.sum() <= 0:
                break  # a speck of noise
            moved = np.array([light.sum(axis=1) @ offsets, light.sum(axis=0) @ offsets]) / light.sum()
            if np.abs(moved).max() > reach:
                break  # light on both sides of darkness: no dot
            place = np.array([row, column]) + moved
        else:
            found.append(place)
    return np.array(found).reshape(-1, 2)
