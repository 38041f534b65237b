"""Single simulated nuclei, how they are drawn, and how a field of them is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.uint16]
Field = NDArray[np.float64]

_TILE = 97  # side of the texture that each nucleus carries with it


@dataclass(frozen=True)
class Nucleus:
    """One nucleus; positions and semi-axes in pixels, `level` in counts."""

    y: float
    x: float
    long: float
    short: float
    angle: float
    level: float
    lobes: tuple[float, ...]
    texture: Field
    label: int = 0

    @property
    def reach(self) -> float:
        """No part of it is farther from the centre, pixels."""
        return 1.35 * self.long + 2.0


def texture_of(rng: np.random.Generator, contrast: float = 1.0) -> Field:
    """Chromatin: fine grain on coarse clouds, with one to three dark nucleoli; about 1 on average."""
    noise = rng.standard_normal((2, _TILE, _TILE))
    fine, coarse = ndimage.gaussian_filter(noise[0], 1.0), ndimage.gaussian_filter(noise[1], 3.2)
    tile: Field = 1.0 + contrast * (0.12 * fine / fine.std() + 0.07 * coarse / coarse.std())
    rows, columns = np.mgrid[:_TILE, :_TILE] - _TILE // 2
    for _ in range(int(rng.integers(0, 4))):
        y, x = rng.normal(0.0, 4.5, 2)
        width, depth = rng.uniform(1.3, 2.4), rng.uniform(0.1, 0.38)
        tile -= contrast * depth * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
    return np.clip(tile, 0.15, None)


def _new_nucleus(rng: np.random.Generator, y: float, x: float, diameter: float) -> Nucleus:
    size = 0.5 * diameter * float(np.exp(rng.normal(0.0, 0.17)))
    stretch = float(np.exp(abs(rng.normal(0.27, 0.16))))
    level = 540.0 * float(np.exp(rng.normal(0.0, 0.27)))
    texture, contrast = texture_of(rng), rng.random()
    if contrast < 0.03:  # condensed chromatin: small and very bright
        size, level, texture = 0.6 * size, level * rng.uniform(1.6, 2.8), texture_of(rng, 0.6)
    # Amplitude and phase of the second to fifth harmonic of the outline.
    lobes = [value for k in range(2, 6) for value in (rng.normal(0.0, 0.36 / k**2), rng.uniform(0.0, 2 * np.pi))]
    angle = float(rng.uniform(0.0, np.pi))
    return Nucleus(y, x, size * stretch**0.8, size / stretch**0.8, angle, level, tuple(lobes), texture)


def _window(nucleus: Nucleus, shape: tuple[int, int]) -> tuple[slice, slice] | None:
    spans = []
    for centre, side in ((nucleus.y, shape[0]), (nucleus.x, shape[1])):
        low, high = int(max(0, centre - nucleus.reach)), int(min(side, centre + nucleus.reach + 1))
        if low >= high:
            return None
        spans.append(slice(low, high))
    return spans[0], spans[1]


def _depth_inside(nucleus: Nucleus, window: tuple[slice, slice]) -> tuple[Field, Field]:
    """(depth, density) of a nucleus in a window; depth is 1 in its centre, 0 on its outline, below it outside."""
    rows, columns = np.mgrid[window]
    dy, dx = rows - nucleus.y, columns - nucleus.x
    cos, sin = np.cos(nucleus.angle), np.sin(nucleus.angle)
    along, across = cos * dx + sin * dy, cos * dy - sin * dx
    radius = np.hypot(along / nucleus.long, across / nucleus.short)
    theta = np.arctan2(across / nucleus.short, along / nucleus.long)
    outline = np.ones_like(theta)
    for order, (size, phase) in enumerate(zip(nucleus.lobes[::2], nucleus.lobes[1::2], strict=True), start=2):
        outline += size * np.cos(order * theta + phase)
    depth = 1.0 - radius / outline
    grain = ndimage.map_coordinates(nucleus.texture, [across + _TILE // 2, along + _TILE // 2], order=1, mode="mirror")
    # A flat body that thins out towards its rim, as a flattened ellipsoid does in projection.
    body = np.sqrt(np.clip(1.0 - (1.0 - np.clip(depth, 0.0, 1.0)) ** 3, 0.0, None))
    return depth, nucleus.level * grain * body


def render(nuclei: Sequence[Nucleus], shape: tuple[int, int]) -> tuple[Field, Image]:
    """Density in counts and labels of a set of nuclei; where two meet, the one that is deeper inside has the pixel."""
    density, labels, best = np.zeros(shape), np.zeros(shape, np.uint16), np.zeros(shape)
    for nucleus in nuclei:
        window = _window(nucleus, shape)
        if window is None:
            continue
        depth, light = _depth_inside(nucleus, window)
        wins = depth > best[window]
        density[window] = np.maximum(density[window], np.where(depth > 0, light, 0.0))
        best[window] = np.where(wins, depth, best[window])
        labels[window] = np.where(wins, nucleus.label, labels[window])
    return density, labels


def scatter(
    rng: np.random.Generator, shape: tuple[int, int], count: int, diameter: float, touching: float
) -> list[Nucleus]:
    """Place nuclei that touch now and then but hardly overlap; stops when the field is full."""
    taken, placed = np.zeros(shape, bool), list[Nucleus]()
    for _ in range(40 * count):
        if len(placed) == count:
            break
        y, x = float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1]))
        beside = bool(placed) and rng.random() < touching
        trial = _new_nucleus(rng, y, x, diameter)
        if beside:
            other = placed[int(rng.integers(len(placed)))]
            way, gap = rng.uniform(0, 2 * np.pi), 0.98 * (other.short + trial.short) + rng.uniform(0.0, 5.0)
            trial = replace(trial, y=other.y + gap * np.sin(way), x=other.x + gap * np.cos(way))
        window = _window(trial, shape)
        if window is None:
            continue
        depth, _ = _depth_inside(trial, window)
        inside = depth > 0
        if inside.sum() < 30 or (taken[window] & inside).sum() > 0.05 * inside.sum():
            continue
        # A pixel or two around each one are kept free unless it was meant to touch.
        if not beside and (ndimage.binary_dilation(taken[window], iterations=2) & inside).any():
            continue
        taken[window] |= inside
        placed.append(replace(trial, label=len(placed) + 1))
    return placed
