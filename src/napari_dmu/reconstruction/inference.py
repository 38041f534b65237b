"""From counts to image: the one path by which every door decodes a measurement."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import counts_to_signal
from napari_dmu.reconstruction.refinement import Decoder, noise_level


class Decoded(NamedTuple):
    """What a decoder makes of one batch; whole period cells, not yet cropped to the field.

    Attributes
    ----------
    image, lifted
        (N, 1, Y, X), fluorescence density; ``lifted`` is the linear estimate alone.
    features
        (N, C, Y/stride, X/stride).
    """

    image: Tensor
    lifted: Tensor
    features: Tensor


@torch.inference_mode()
def decode(decoder: Decoder, counts: Tensor, acquisition: Acquisition) -> Decoded:
    """Decode counts (N, T, y, x) taken with ``acquisition``; see ``Decoded``."""
    weights = decoder.lifting.linear.weight
    signal = counts_to_signal(counts.to(device=weights.device, dtype=weights.dtype), acquisition)
    level = noise_level(
        weights.new_tensor(acquisition.photons * acquisition.quantum_efficiency),
        weights.new_tensor(acquisition.read_noise),
        acquisition.background,
        acquisition.bin,
    )
    return Decoded(*decoder(signal, level.reshape(1, 1, 1, 1).expand(signal.shape[0], 1, 1, 1)))
