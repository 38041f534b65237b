"""How many pixels an error bar covers, and the conformal factor that makes it the nominal share.

Images, not pixels, are what is exchangeable: the pixels of one image err together. What is calibrated is therefore the
mean over images of the share of pixels with |image − truth| ≤ factor · scale (split conformal prediction with groups:
R. Dunn, L. Wasserman, A. Ramdas, J. Am. Stat. Assoc. 118 (2023) 2491). Sources count the same however many images they
have, so that one factor is as fair to each as it can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

# Factors at which coverage is tabulated; steps of a quarter per cent.
FACTORS = np.geomspace(1e-2, 1e2, 4001)
# Rounds of the finite-sample correction; each takes what is left of it to its square.
ROUNDS = 4


def coverage_curve(error: NDArray[np.floating], scale: NDArray[np.floating]) -> Curve:
    """Share of one image's pixels with |error| ≤ factor · scale, at every one of ``FACTORS``.

    ``error`` and ``scale`` have one shape; ``scale`` is positive.
    """
    ratio = np.abs(np.asarray(error, dtype=np.float64)) / scale
    places = np.searchsorted(FACTORS, ratio.ravel())
    counts = np.bincount(places, minlength=FACTORS.size + 1)
    share: Curve = np.cumsum(counts[:-1]) / ratio.size
    return share


def coverage(curve: Curve, factor: float) -> float:
    """Coverage of one image, or mean of several, with a factor."""
    return float(np.interp(factor, FACTORS, curve))


def conformal_factor(sources: Mapping[str, Sequence[Curve]], level: float) -> float:
    """Factor with which a new image of the same kinds is covered to ``level``, on average over images.

    A factor that gives exactly ``level`` on the images at hand gives a little less on others. How much less is seen by
    leaving out each image in turn, and is made up for. The usual correction, (n + 1) / n times the level, assumes
    that a new image may not be covered at all; with tens of images it covers a whole per cent too much.
    """
    return _factor(_listed(sources), level)


def held_back_coverage(sources: Mapping[str, Sequence[Curve]], level: float) -> dict[str, float]:
    """Coverage of every source with factors from other images: one half calibrates, the other is measured, and back.

    Images are dealt to the halves in turn, through all sources, so that a source of one image is measured too. A single
    image in all has nothing to be held back from and measures itself.
    """
    every = _listed(sources)
    factors = [_factor(every[1 - half :: 2] or every, level) for half in (0, 1)]
    covered = [(name, coverage(curve, factors[index % 2])) for index, (name, curve) in enumerate(every)]
    return {name: float(np.mean([share for of, share in covered if of == name])) for name in sources}


def _listed(sources: Mapping[str, Sequence[Curve]]) -> list[tuple[str, Curve]]:
    return [(name, curve) for name, curves in sources.items() for curve in curves]


def _factor(images: Sequence[tuple[str, Curve]], level: float) -> float:
    count = Counter(name for name, _ in images)
    weights = np.array([1.0 / count[name] for name, _ in images])
    weights /= weights.sum()
    table = np.asarray([curve for _, curve in images])
    aim = level
    if len(table) > 1:
        for _ in range(ROUNDS):
            aim = min(aim + level - _left_out(table, weights, aim), 1.0)
    return _factor_of(weights @ table, aim)


def _factor_of(curve: Curve, level: float) -> float:
    """The least tabulated factor whose coverage reaches ``level``, the largest where none does."""
    return float(FACTORS[min(int(np.searchsorted(curve, level)), FACTORS.size - 1)])


def _left_out(table: NDArray[np.float64], weights: NDArray[np.float64], level: float) -> float:
    """Mean coverage of each image with the factor that the others alone give; ``weights`` (n) add up to 1."""
    mean = weights @ table
    others = ((mean - w * curve) / (1 - w) for w, curve in zip(weights, table, strict=True))
    covered = [coverage(curve, _factor_of(rest, level)) for curve, rest in zip(table, others, strict=True)]
    return float(weights @ np.array(covered))
