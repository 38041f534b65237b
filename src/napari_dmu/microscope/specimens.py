"""Simulated specimens with known truth: nuclei in 2D, in time and in depth, and filaments.

They stand in for real fields where real images may not be shipped: irregular ellipsoidal nuclei with chromatin texture
and nucleoli, touching neighbours, a wide spread of brightness, blur, uneven background, and the offset and noise of a
12-bit camera. All of it follows from the seed. Sizes are pixels, intensities counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.nuclei import Field, Image, Nucleus, render, scatter, texture_of

OFFSET = 120.0
FULL_SCALE = 4095


def _uneven(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """A smooth illumination, about 1, brighter towards a point near the middle."""
    rows, columns = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    y, x = rng.uniform(-0.35, 0.35, 2)
    return np.asarray(1.08 - rng.uniform(0.12, 0.22) * ((rows - y) ** 2 + (columns - x) ** 2))


def _camera(
    light: Field, rng: np.random.Generator, uneven: Field, *, blur: float, background: float, offset: float = OFFSET
) -> Image:
    """Blur, stray light, uneven background, offset and noise of a 12-bit camera.

    The noise is Gaussian with the variance of shot and read noise: unlike Poisson samples it uses the same random
    numbers whatever the image, so that a difference in the last digit stays one.
    """
    sharp = ndimage.gaussian_filter(light, blur)
    stray = 0.05 * ndimage.gaussian_filter(light, 12.0) + 0.05 * ndimage.gaussian_filter(light, 45.0)
    expected = uneven * (0.95 * sharp + stray + background)
    noise = rng.standard_normal(light.shape) * np.sqrt(16.0 + 1.6 * np.clip(expected, 0.0, None))
    counts: Field = np.clip(np.rint(expected + noise + offset), 0, FULL_SCALE)
    return counts.astype(np.uint16)


def _check(shape: Sequence[int], rank: int, diameter: float = 30.0) -> None:
    if len(shape) != rank or min(shape) < 1:
        raise SettingsError(f"A simulated specimen of this kind needs {rank} positive sides, not {tuple(shape)}.")
    if not 8.0 <= diameter <= 60.0:
        raise SettingsError(
            f"Simulated nuclei are 8 to 60 pixels wide, not {diameter:g}: choose a diameter in between."
        )


def simulated_nuclei(
    shape: tuple[int, int] = (512, 696),
    *,
    count: int | None = None,
    density: float = 3.2e-4,
    diameter: float = 29.5,
    touching: float = 0.3,
    seed: int = 0,
    offset: float = OFFSET,
) -> tuple[Image, Image]:
    """One field of stained nuclei.

    Parameters
    ----------
    shape
        (Y, X) in pixels.
    count
        How many nuclei; fewer where the field is full. By default `density` times the area.
    density
        Nuclei per pixel.
    diameter
        Typical width in pixels.
    touching
        Fraction that is placed beside another one.
    seed
        Same seed, same image.
    offset
        Of the camera, counts.

    Returns
    -------
    image, labels
        (Y, X) uint16 counts of 0 … 4095, and uint16 instance labels from 1.
    """
    _check(shape, 2, diameter)
    layout, noise = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    wanted = round(density * shape[0] * shape[1]) if count is None else count
    light, labels = render(scatter(layout, shape, wanted, diameter, touching), shape)
    return _camera(light, noise, _uneven(layout, shape), blur=0.9, background=24.0, offset=offset), labels


def _halves(parent: Nucleus, rng: np.random.Generator, labels: tuple[int, int]) -> list[Nucleus]:
    """Two daughters, smaller and brighter, on both sides of the parent's short axis."""
    size, step = 0.72 * np.sqrt(parent.long * parent.short), 0.62 * parent.long
    born = []
    for sign, label in zip((-1.0, 1.0), labels, strict=True):
        y, x = parent.y + sign * step * np.sin(parent.angle), parent.x + sign * step * np.cos(parent.angle)
        fresh = replace(parent, y=y, x=x, long=size, short=0.86 * size, angle=parent.angle + np.pi / 2)
        born.append(replace(fresh, level=1.35 * parent.level, texture=texture_of(rng), label=label))
    return born


def simulated_time_series(
    shape: tuple[int, int, int] = (8, 256, 256),
    *,
    count: int = 22,
    diameter: float = 29.5,
    divisions: int = 2,
    bleaching: float = 0.03,
    seed: int = 0,
) -> tuple[Image, Image]:
    """Nuclei that drift, turn, bleach and divide.

    Parameters
    ----------
    shape
        (T, Y, X).
    count, diameter, seed
        As in `simulated_nuclei`.
    divisions
        How many nuclei divide; the parent's label ends and two new ones begin.
    bleaching
        Fraction of the light lost from frame to frame.

    Returns
    -------
    image, labels
        (T, Y, X) uint16; a nucleus keeps its label in all frames.
    """
    _check(shape, 3, diameter)
    frames, field = shape[0], (shape[1], shape[2])
    layout, motion, noise = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    nuclei = scatter(layout, field, count, diameter, 0.15)
    uneven, drift = _uneven(layout, field), {n.label: motion.normal(0.0, 0.8, 3) for n in nuclei}
    when = {
        int(label): int(frame)
        for label, frame in zip(
            motion.permutation([n.label for n in nuclei])[:divisions],
            motion.integers(1, max(2, frames), divisions),
            strict=False,
        )
    }
    latest, images, truths = len(nuclei), [], []
    for frame in range(frames):
        if frame:
            moved = list[Nucleus]()
            for nucleus in nuclei:
                dy, dx, turn = drift[nucleus.label] + motion.normal(0.0, 0.35, 3)
                now = replace(nucleus, y=nucleus.y + dy, x=nucleus.x + dx, angle=nucleus.angle + 0.03 * turn)
                if when.get(nucleus.label) == frame:
                    pair = _halves(now, motion, (latest + 1, latest + 2))
                    way = np.array([np.sin(now.angle), np.cos(now.angle), 0.0])
                    drift |= {latest + 1: -0.9 * way, latest + 2: 0.9 * way}
                    latest += 2
                    moved += pair
                else:
                    moved.append(now)
            nuclei = moved
        light, truth = render(nuclei, field)
        dimmed = light * (1.0 - bleaching) ** frame
        images.append(_camera(dimmed, noise, uneven, blur=0.9, background=24.0))
        truths.append(truth)
    return np.stack(images), np.stack(truths)


def simulated_z_stack(
    shape: tuple[int, int, int] = (9, 256, 256),
    *,
    count: int = 22,
    diameter: float = 30.0,
    defocus: float = 1.3,
    seed: int = 0,
) -> tuple[Image, Image]:
    """Nuclei at different depths, each plane with the blurred light of the others.

    Parameters
    ----------
    shape
        (Z, Y, X).
    count, diameter, seed
        As in `simulated_nuclei`.
    defocus
        Blur that each plane of distance adds, pixels.

    Returns
    -------
    image, labels
        (Z, Y, X) uint16; the labels are those of the sharp sections.
    """
    _check(shape, 3, diameter)
    planes, field = shape[0], (shape[1], shape[2])
    layout, depths, noise = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    nuclei = scatter(layout, field, count, diameter, 0.25)
    uneven = _uneven(layout, field)
    middle = depths.normal((planes - 1) / 2, max(0.6, planes / 8), len(nuclei))
    half = depths.uniform(1.6, 3.2, len(nuclei)) * max(1.0, planes / 9)
    sections, truths = [], []
    for z in range(planes):
        cut = []
        for nucleus, centre, height in zip(nuclei, middle, half, strict=True):
            width = 1.0 - ((z - centre) / height) ** 2
            if width > 0.05:
                side = float(np.sqrt(width))
                cut.append(replace(nucleus, long=nucleus.long * side, short=nucleus.short * side))
        light, truth = render(cut, field)
        sections.append(light)
        truths.append(truth)
    images = []
    for z in range(planes):
        light = np.zeros(field)
        for other, section in enumerate(sections):
            away = abs(z - other)
            light += ndimage.gaussian_filter(section, 0.3 + defocus * away) / (1.0 + 0.9 * away**1.5)
        images.append(_camera(0.8 * light, noise, uneven, blur=0.9, background=24.0))
    return np.stack(images), np.stack(truths)


def simulated_filaments(
    shape: tuple[int, int] = (512, 512),
    *,
    cells: int = 4,
    count: int = 130,
    stiffness: float = 140.0,
    seed: int = 0,
) -> tuple[Image, Image]:
    """Filaments that grow out of a few centres and bend, as microtubules do.

    Parameters
    ----------
    shape
        (Y, X) in pixels.
    cells
        How many centres they grow from.
    count
        How many filaments.
    stiffness
        Length over which a filament keeps its direction, pixels.
    seed
        Same seed, same image.

    Returns
    -------
    image, labels
        (Y, X) uint16; each filament has its own label, the later one where two cross.
    """
    _check(shape, 2)
    layout, noise = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    light, labels = np.zeros(shape), np.zeros(shape, np.uint16)
    centres, step = layout.uniform(0.12, 0.88, (max(1, cells), 2)) * shape, 0.25
    for number in range(1, count + 1):
        centre = centres[int(layout.integers(len(centres)))] + layout.normal(0.0, 6.0, 2)
        length = layout.uniform(0.15, 0.55) * max(shape)
        points = int(length / step)
        bend = ndimage.gaussian_filter1d(layout.standard_normal(points), 40.0, mode="nearest")
        turns = np.cumsum(bend / (bend.std() + 1e-12)) * step / stiffness
        heading = layout.uniform(0, 2 * np.pi) + turns
        y, x = centre[0] + step * np.cumsum(np.sin(heading)), centre[1] + step * np.cumsum(np.cos(heading))
        bright = 330.0 * float(np.exp(layout.normal(0.0, 0.35)))
        beads = np.clip(1.0 + 0.3 * ndimage.gaussian_filter1d(layout.standard_normal(points), 6.0) * 4.0, 0.3, None)
        rows, columns = np.floor(y).astype(int), np.floor(x).astype(int)
        for down in (0, 1):
            for right in (0, 1):
                weight = np.abs(1 - down - (y - rows)) * np.abs(1 - right - (x - columns))
                r, c = rows + down, columns + right
                there = (r >= 0) & (c >= 0) & (r < shape[0]) & (c < shape[1])
                np.add.at(light, (r[there], c[there]), (bright * step * beads * weight)[there] * 2.6)
                near = there & (weight > 0.25)
                labels[r[near], c[near]] = number
    return _camera(light, noise, _uneven(layout, shape), blur=1.05, background=30.0), labels
