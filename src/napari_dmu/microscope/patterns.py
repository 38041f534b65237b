"""Illumination pattern families (docs/model.md); every pattern is binary, (T, P, P) uint8."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard as natural_hadamard

from napari_dmu.errors import SettingsError

Patterns = NDArray[np.uint8]


def plain_patterns(exposures: int, period: int) -> Patterns:
    """Everything on: (T, P, P) ones. With T = 1 and d = √C this is the plain camera."""
    return np.ones((exposures, period, period), dtype=np.uint8)


def random_patterns(exposures: int, period: int, *, seed: int = 0, fill: float = 0.5) -> Patterns:
    """Seeded Bernoulli patterns with a fraction ``fill`` of the mirrors on: (T, P, P)."""
    if not 0.0 < fill <= 1.0:
        raise SettingsError(f"The fill factor is {fill:g}: choose a value above 0 and up to 1.")
    draws = np.random.Generator(np.random.Philox(seed)).random((exposures, period, period))
    return (draws < fill).astype(np.uint8)


def walsh_matrix(order: int) -> NDArray[np.int8]:
    """Walsh functions in sequency order (number of sign changes 0, 1, 2, …): (order, order) of ±1.

    ``order`` is a power of two. Source: N. Ahmed, K. R. Rao, Orthogonal Transforms for Digital Signal
    Processing, Springer 1975, ch. 6.
    """
    if order < 1 or order & (order - 1):
        raise SettingsError(f"Walsh patterns need a power of two as period, not {order}: choose 8, 16, 32 or 64.")
    rows = natural_hadamard(order).astype(np.int8)
    changes = np.count_nonzero(np.diff(rows, axis=1), axis=1)
    ordered: NDArray[np.int8] = rows[np.argsort(changes, kind="stable")]
    return ordered


def hadamard_patterns(exposures: int, period: int) -> Patterns:
    """Two-dimensional Walsh patterns, lowest sequency first, as 0/1: (T, P, P).

    The first one is the uniform pattern. The larger of the two sequencies counts, then their sum, so that T = n²
    patterns resolve n × n blocks of the period, in both directions alike.
    """
    walsh = walsh_matrix(period)
    if exposures > period**2:
        raise SettingsError(
            f"A period of {period} has {period**2} Walsh patterns, not {exposures}: use fewer exposures."
        )
    # Only the low sequencies can be among the first T: a square of side 2·√T holds them all.
    side = min(period, 2 * math.ceil(math.sqrt(exposures)))
    order = sorted(((i, j) for i in range(side) for j in range(side)), key=lambda s: (max(s), sum(s), s))
    chosen = [np.outer(walsh[i], walsh[j]) for i, j in order[:exposures]]
    return (np.stack(chosen) > 0).astype(np.uint8)


def raster_patterns(exposures: int, period: int, *, bin: int) -> Patterns:
    """Block scan: exposure t lights the t-th sub-block of every bin: (T, P, P).

    T must be a square whose root divides d. The samples are those of a plain camera with bin d/√T.
    """
    side = math.isqrt(exposures)
    if side**2 != exposures or bin % side or period % bin:
        raise SettingsError(
            f"A raster of {exposures} exposures does not divide a bin of {bin} pixels: use 1, 4 or 16 exposures."
        )
    block = bin // side
    patterns = np.zeros((exposures, bin, bin), dtype=np.uint8)
    for t in range(exposures):
        row, column = divmod(t, side)
        patterns[t, row * block : (row + 1) * block, column * block : (column + 1) * block] = 1
    return np.tile(patterns, (1, period // bin, period // bin))


def make_patterns(family: str, *, exposures: int, period: int, bin: int, seed: int = 0) -> Patterns:
    """Patterns of one of the families that need no file: (T, P, P) uint8, binary."""
    if family == "plain":
        return plain_patterns(exposures, period)
    if family == "random":
        return random_patterns(exposures, period, seed=seed)
    if family == "hadamard":
        return hadamard_patterns(exposures, period)
    if family == "raster":
        return raster_patterns(exposures, period, bin=bin)
    if family == "custom":
        raise SettingsError("Custom patterns come from files: read them with napari_dmu.files.patterns.read_patterns.")
    raise SettingsError(
        f"There is no recipe for {family!r} patterns: choose plain, random, hadamard or raster, "
        "or load a pattern set for learned ones."
    )


def written_patterns(patterns: Patterns) -> tuple[str, ...]:
    """Patterns (T, P, P) as text, for settings that hold them: of each its rows, eight mirrors to two hexadecimal
    digits."""
    return tuple(" ".join(row.tobytes().hex() for row in rows) for rows in np.packbits(patterns, axis=-1))


def patterns_from_text(texts: Sequence[str]) -> Patterns:
    """The patterns (T, P, P) that `written_patterns` wrote."""
    rows = [[np.frombuffer(bytes.fromhex(row), dtype=np.uint8) for row in text.split()] for text in texts]
    return np.unpackbits(np.array(rows, dtype=np.uint8), axis=-1, count=len(rows[0]))


def check_binary(patterns: NDArray[np.generic]) -> Patterns:
    """The patterns as uint8 0/1, or an error where a value is neither: grey patterns are never thresholded."""
    values = np.asarray(patterns)
    if values.ndim != 3 or values.shape[-1] != values.shape[-2]:
        raise SettingsError(f"Patterns must have shape (T, P, P), not {values.shape}: stack square tiles.")
    top = values.max(initial=0)
    if not np.isin(values, (0, top)).all():
        raise SettingsError("The patterns are grey, but a DMD mirror is on or off: dither them to two values first.")
    return (values > 0).astype(np.uint8)
