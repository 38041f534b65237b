"""From counts to image: the one path by which every door decodes a measurement."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import counts_to_signal
from napari_dmu.microscope.precision import full_precision
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


class EquivalentCamera(NamedTuple):
    """A camera without excess noise, dark current or loss: photons and background detected, read noise (electrons)."""

    photons: Tensor
    read_noise: Tensor
    background: float


def equivalent_camera(
    acquisition: Acquisition, photons: Tensor | None = None, read_noise: Tensor | None = None
) -> EquivalentCamera:
    """The simplest camera with the noise of an acquisition, or of one with other photons and read noise.

    With the electrons over F², the shot noise of the result is that of a camera again. ``photons`` and ``read_noise``
    may have any shape; where not given they are the acquisition's, in float64.
    """
    light, read = (
        torch.tensor(own, dtype=torch.float64) if given is None else given
        for own, given in ((acquisition.photons, photons), (acquisition.read_noise, read_noise))
    )
    excess = acquisition.excess_noise
    detected = acquisition.quantum_efficiency / excess
    noise = (acquisition.dark_electrons / excess + (read / excess) ** 2).sqrt()
    return EquivalentCamera(light * detected, noise, acquisition.background * detected)


def level_of(acquisition: Acquisition, photons: Tensor | None = None, read_noise: Tensor | None = None) -> Tensor:
    """Relative noise level with which a decoder is told of an acquisition, see ``refinement.noise_level``.

    The same in training and afterwards. For the arguments see ``equivalent_camera``; their shape is kept.
    """
    return noise_level(*equivalent_camera(acquisition, photons, read_noise), acquisition.bin)


def noise_of(acquisition: Acquisition) -> float:
    """``level_of`` an acquisition as a number."""
    return float(level_of(acquisition))


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
    with full_precision(weights.device):  # so that every device gives the same image
        image, lifted, features = decoder(signal, levels)
        scale = None if error_head is None else factor * error_head(image, features, levels)
    return Decoded(image, lifted, features, scale)
