"""From the pattern on the DMD to the light on the specimen: leakage, excitation PSF, registration (docs/model.md)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.microscope.acquisition import Acquisition, Registration
from napari_dmu.microscope.optics import convolve_periodic, psf_kernel


def excited(patterns: Tensor, acquisition: Acquisition) -> Tensor:
    """One period of the illumination: patterns (T, P, P), 0 … 1 → light (T, P, P).

    A mirror that is off still sends 1/contrast of the light of one that is on.
    """
    if acquisition.contrast is not None:
        leak = 1.0 / acquisition.contrast
        patterns = leak + (1.0 - leak) * patterns
    return convolve_periodic(patterns, psf_kernel(acquisition.excitation, dtype=patterns.dtype))


def is_aligned(registration: Registration) -> bool:
    """Whether the patterns lie exactly where they should."""
    return registration == Registration()


def registration_tensor(registration: Registration, like: Tensor) -> Tensor:
    """(shift y, shift x, rotation in radians, scale) as a tensor (4,) of the type and device of ``like``."""
    values = (*registration.shift, math.radians(registration.rotation), registration.scale)
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def displaced(
    illumination: Tensor, parameters: Tensor, rows: int, columns: int, *, origin: int, field: tuple[int, int]
) -> Tensor:
    """Periodic illumination under a registration error, over an area of the specimen.

    Parameters
    ----------
    illumination
        (T, P, P), one period.
    parameters
        (4,): shift y, shift x (specimen pixels), rotation (radians), scale; may require a gradient.
    rows, columns
        Size of the area.
    origin
        The area begins ``origin`` pixels before the field on both axes.
    field
        (Y, X) of the field; rotation and scale are about its centre.

    Returns
    -------
    Tensor
        (T, rows, columns), bicubic interpolation of the period.
    """
    period = illumination.shape[-1]
    centre_y, centre_x = (field[0] - 1) / 2, (field[1] - 1) / 2
    y = torch.arange(rows, device=illumination.device)[:, None].to(illumination.dtype) - origin - centre_y
    x = torch.arange(columns, device=illumination.device)[None, :].to(illumination.dtype) - origin - centre_x
    shift_y, shift_x, angle, scale = parameters.unbind()
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    at_y = (cosine * y - sine * x + centre_y + shift_y).remainder(period)
    at_x = (sine * y + cosine * x + centre_x + shift_x).remainder(period)
    # Bicubic interpolation reaches two pixels; the period is wrapped that far so that it has no seam.
    places = torch.arange(-2, period + 2, device=illumination.device) % period
    wrapped = illumination[None, :, places][..., places]
    side = period + 4
    grid = torch.stack([(at_x + 2) * 2 / (side - 1) - 1, (at_y + 2) * 2 / (side - 1) - 1], dim=-1)
    sampled: Tensor = functional.grid_sample(wrapped, grid[None], mode="bicubic", align_corners=True)
    return sampled[0]
