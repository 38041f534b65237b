"""From counts to image: the one path by which every door decodes a measurement."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import counts_to_signal
from napari_dmu.reconstruction.error_bar import ErrorHead
from napari_dmu.reconstruction.refinement import Decoder, noise_level


class Decoded(NamedTuple):
    """What a decoder makes of one batch; whole period cells, not yet cropped to the field.

    Attributes
    ----------
    image, lifted
        (N, 1, Y, X), fluorescence density; ``lifted`` is the linear estimate alone.
    features
        (N, C, Y/stride, X/stride).
    scale
        (N, 1, Y, X), half width of the error bar in fluorescence density, or None without an error head.
    """

    image: Tensor
    lifted: Tensor
    features: Tensor
    scale: Tensor | None = None


def equivalent_camera(acquisition: Acquisition) -> tuple[float, float]:
    """(photons, read noise) of a camera without excess noise, dark current or loss and with the same noise.

    With the electrons over F², the shot noise of the result is that of a camera again.
    """
    excess = acquisition.excess_noise
    read = math.sqrt(acquisition.dark_electrons / excess + (acquisition.read_noise / excess) ** 2)
    return acquisition.photons * acquisition.quantum_efficiency / excess, read


def noise_of(acquisition: Acquisition) -> float:
    """Relative noise level with which a decoder is told of an acquisition, see ``refinement.noise_level``."""
    light, read = (torch.tensor(value, dtype=torch.float64) for value in equivalent_camera(acquisition))
    return float(noise_level(light, read, acquisition.background, acquisition.bin))


@torch.inference_mode()
def decode(
    decoder: Decoder,
    counts: Tensor,
    acquisition: Acquisition,
    *,
    error_head: ErrorHead | None = None,
    factor: float = 1.0,
) -> Decoded:
    """Decode counts (N, T, y, x) taken with ``acquisition``; see ``Decoded``.

    ``factor`` is the conformal factor of the error head (``Trust.factor``); its scale alone is not calibrated.
    """
    weights = decoder.lifting.linear.weight
    signal = counts_to_signal(counts.to(device=weights.device, dtype=weights.dtype), acquisition)
    levels = weights.new_full((signal.shape[0], 1, 1, 1), noise_of(acquisition))
    image, lifted, features = decoder(signal, levels)
    scale = None if error_head is None else factor * error_head(image, features, levels)
    return Decoded(image, lifted, features, scale)
