"""A measured point spread function out of an image file, made ready for the specimen's pixels."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError
from napari_dmu.files.calibration import MICROMETER
from napari_dmu.files.specimen import Specimen, read_grey
from napari_dmu.microscope.acquisition import Psf

# The kernel ends where it holds this part of the light.
ENERGY = 0.999
RADIUS_MOST = 64
# At the end of a kernel that had to be cut, relative to its peak.
_RIM = 0.05
# A second spot at least this bright, relative to the peak, is a second bead.
_RIVAL = 1 / 3
# Noise is cut off at this many standard deviations.
_FLOOR = 3.0
# A spot whose peak is not so many times the noise would come out far too narrow.
_CLEAR = 10.0
# Patches of fewer pixels that stand alone are noise.
_SPECKLE = 5

Image = NDArray[np.float64]


def read_kernel(
    path: str | os.PathLike[str], *, pixel_size: float | None = None, kernel_pixel_size: float | None = None
) -> Psf:
    """Read a measured point spread function, for instance the image of a sub-resolution bead.

    What is done to the image, in this order: the *background*, the median of the outermost pixels, is subtracted.
    Whatever is then negative or within three standard deviations of the noise (estimated from the same pixels) becomes
    zero, since noise that is merely clipped at zero would add up to a halo; so do patches of less than five pixels
    that stand alone. The light is put on pixels of the
    specimen's size with the *centroid* at the centre of the middle one, in one step that conserves the light of every
    area exactly (a cubic spline through its cumulative sum, so values are taken as integrals over pixels; where the
    spline undershoots, zero). The kernel is cut to the smallest odd square that holds 99.9 % of the light, at most
    129 × 129, and scaled to unit sum. The size of the bead is not taken out. A peak of a hundred times the noise gives
    the kernel to some 10 % of its peak, one of a thousand times to 3 %; below ten times the file is refused.

    Parameters
    ----------
    path
        TIFF or OME-TIFF with one two-dimensional grey image of one spot; rows and columns as in the specimen's image.
    pixel_size
        Of the specimen (µm); ``None`` takes the file's pixels as the specimen's.
    kernel_pixel_size
        Of the file (µm), in place of what the file says.

    Returns
    -------
    Psf
        Of kind ``"measured"``.

    Raises
    ------
    FileError, SpecimenError
        The file cannot be read, is in colour, says no pixel size where one is needed, or holds no point spread
        function.
    """
    specimen = read_grey(Path(path))
    name = os.path.basename(os.fspath(path))
    image = _plane(specimen, name)
    steps = _steps(specimen, pixel_size, kernel_pixel_size, name)
    spot = _spot(image, name)
    kernel = _cut(_centred(spot, steps), name)
    rows = tuple(tuple(float(value) for value in row) for row in kernel)
    if pixel_size is None:
        return Psf(kind="measured", kernel=rows)
    return Psf(kind="measured", kernel=rows, pixel_size=pixel_size)


def with_kernels(acquisition: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings of an acquisition with the kernels in place of the files that hold them.

    ``emission: {kind: measured, kernel: bead.tif}`` takes the file's pixels as the specimen's; with ``pixel_size``
    (µm, of the specimen), and ``kernel_pixel_size`` where the file does not say its own, it is put on the specimen's.

    Parameters
    ----------
    acquisition
        As it stands in a settings file.
    folder
        What the paths are relative to.

    Raises
    ------
    FileError, SpecimenError
        See `read_kernel`.
    """
    return {
        name: _with_kernel(entry, folder) if name in ("excitation", "emission") else entry
        for name, entry in acquisition.items()
    }


def _with_kernel(entry: Any, folder: Path) -> Any:
    """One of the paths' settings; what names no file is left to the check of the settings."""
    if not isinstance(entry, Mapping) or entry.get("kind", "measured") != "measured":
        return entry
    if not isinstance(entry.get("kernel"), str):
        return entry
    sizes = {key: entry.get(key) for key in ("pixel_size", "kernel_pixel_size")}
    for key, size in sizes.items():
        if size is not None and (isinstance(size, bool) or not isinstance(size, int | float)):
            raise FileError(f"The {key} of '{entry['kernel']}' is {size!r}: give a number of micrometres.")
    read = read_kernel(folder / entry["kernel"], **sizes)
    others = {key: value for key, value in entry.items() if key not in ("kind", "kernel", *sizes)}
    return {**others, **read.model_dump(include={"kind", "kernel", "pixel_size"}, exclude_unset=True)}


def _plane(specimen: Specimen, name: str) -> Image:
    data: Any = specimen.data
    shape = tuple(int(n) for n in data.shape)
    if math.prod(shape[:-2]) != 1:
        raise FileError(
            f"'{name}' is a stack of shape {' × '.join(map(str, shape))}, not one image: save the plane that is in "
            "focus on its own."
        )
    if min(shape[-2:]) < 3:
        raise FileError(
            f"'{name}' is only {shape[-2]} × {shape[-1]} pixels: a point spread function needs at least 3 × 3."
        )
    image = np.asarray(data, dtype=np.float64).reshape(shape[-2:])
    if not np.isfinite(image).all():
        raise FileError(f"'{name}' holds values that are not finite (NaN or infinite): save it without them.")
    if image.min() == image.max():
        raise FileError(f"'{name}' has the same value everywhere: choose the image of a single bead.")
    return image


def _steps(
    specimen: Specimen, pixel_size: float | None, kernel_pixel_size: float | None, name: str
) -> tuple[float, float]:
    """Specimen's pixel in pixels of the file, (y, x)."""
    for what, size in (("specimen", pixel_size), ("kernel", kernel_pixel_size)):
        if size is not None and not 0 < size < math.inf:
            raise FileError(f"The pixel size of the {what} is {size:g}: give a positive number of micrometres.")
    if pixel_size is None:
        return 1.0, 1.0
    if kernel_pixel_size is not None:
        return pixel_size / kernel_pixel_size, pixel_size / kernel_pixel_size
    if specimen.units[-2:] != (MICROMETER, MICROMETER):
        raise FileError(f"'{name}' does not say how large its pixels are: give the kernel's pixel size in micrometres.")
    return pixel_size / specimen.scale[-2], pixel_size / specimen.scale[-1]


def _spot(image: Image, name: str) -> Image:
    """The light of the one spot in the image, without background and noise; refused where there is no such spot."""
    from scipy import ndimage

    rim = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    background = float(np.median(rim))
    # 1.4826 turns the median absolute deviation of Gaussian noise into its standard deviation.
    noise = 1.4826 * float(np.median(np.abs(rim - background)))
    above = image - background
    if above.max() <= _CLEAR * noise or above.sum() <= 0:
        raise FileError(
            f"'{name}' has no spot that is clearly brighter than its border: choose the image of a bead on a dark "
            "ground, or average several."
        )
    # A little smoothing, lest noise or a hot pixel split the spot.
    smooth = ndimage.gaussian_filter(above, 1.0, mode="nearest")
    spots, count = ndimage.label(smooth > _RIVAL * smooth.max(), structure=np.ones((3, 3), dtype=int))
    if count > 1:
        raise FileError(f"'{name}' shows {count} bright spots: crop it to a single bead.")
    if spots[0].any() or spots[-1].any() or spots[:, 0].any() or spots[:, -1].any():
        raise FileError(f"'{name}' cuts the spot off at its border: crop it with the bead in the middle.")
    # Of a thousand pixels of noise one or two are above the floor, each on its own; far out they pull the centroid.
    bright = above > max(_FLOOR * noise, 0.0)
    patches, _ = ndimage.label(bright, structure=np.ones((3, 3), dtype=int))
    sizes = np.bincount(patches.ravel())
    keep = sizes >= _SPECKLE
    keep[patches[spots > 0]] = True
    kept = bright & keep[patches]
    return np.where(kept, above, 0.0)


def _rebinned(values: Image, edges: Image) -> Image:
    """Integrals of the rows (axis 0), given as integrals over unit steps, between new ``edges``."""
    from scipy.interpolate import make_interp_spline

    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    spline = make_interp_spline(np.arange(len(sums), dtype=np.float64), sums, k=min(3, len(sums) - 1))
    # Outside the image there is no light.
    result: Image = np.diff(spline(np.clip(edges, 0.0, len(values))), axis=0)
    return result


def _centred(spot: Image, steps: tuple[float, float]) -> Image:
    """The spot on pixels of ``steps`` pixels, centroid in the middle: square, odd."""
    light = spot.sum()
    centres = [
        float((spot.sum(axis=1 - axis) * (np.arange(n) + 0.5)).sum() / light) for axis, n in enumerate(spot.shape)
    ]
    reaches = [max(c, n - c) / step for c, n, step in zip(centres, spot.shape, steps, strict=True)]
    radius = max(0, math.ceil(max(reaches) - 0.5))
    for axis, (centre, step) in enumerate(zip(centres, steps, strict=True)):
        edges = centre + step * (np.arange(2 * radius + 2) - radius - 0.5)
        spot = np.moveaxis(_rebinned(np.moveaxis(spot, axis, 0), edges), 0, axis)
    return np.maximum(spot, 0.0)


def _cut(kernel: Image, name: str) -> Image:
    """The smallest centred odd square that holds `ENERGY`, unit sum."""
    middle = len(kernel) // 2
    row = np.abs(np.arange(len(kernel)) - middle)
    ring = np.maximum(row[:, None], row[None, :])
    held = np.cumsum(np.bincount(ring.ravel(), weights=kernel.ravel())) / kernel.sum()
    radius = int(np.argmax(held >= ENERGY))
    if radius > RADIUS_MOST:
        radius = RADIUS_MOST
        end = float(kernel[ring == radius].max() / kernel.max())
        if end >= _RIM:
            side = 2 * RADIUS_MOST + 1
            raise FileError(
                f"'{name}' is still at {end:.0%} of its peak at the rim of {side} × {side} specimen pixels: crop it, "
                "or check both pixel sizes."
            )
    inner = kernel[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
    scaled: Image = inner / inner.sum()
    return scaled
