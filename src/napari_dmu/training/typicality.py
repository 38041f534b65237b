"""What a decoder's features look like for its training images, in every light and with the optics that it bears."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dmu.evaluation.typicality import LEAST_SIDE, learn_typical
from napari_dmu.training.data import CropSampler, jitter
from napari_dmu.training.recipe import NoiseSpread
from napari_dmu.training.stages import Draw
from napari_dmu.zoo.header import Typical
from napari_dmu.zoo.pattern_set import PatternSet

# Crops of the training images that stand for all of them; decoded so many at once, of one size and with one optics.
CROPS = 320
BATCH = 4
# Their sides, specimen pixels: a small field has another mean than a large one.
SIDES = (LEAST_SIDE, 3 * LEAST_SIDE)


@torch.inference_mode()
def measure_typical(
    instrument: PatternSet,
    sampler: CropSampler,
    spread: NoiseSpread,
    *,
    seed: int = 0,
    crops: int = CROPS,
    check_cancelled: Callable[[], None] = lambda: None,
) -> Typical:
    """Decode crops of training images and learn what is typical; the limits are for held-back images to give.

    Parameters
    ----------
    instrument
        The set, on the sampler's device.
    sampler
        Of the images that the decoder was trained on.
    spread
        Light, read noise, optics and shifts that the decoder was trained to bear.
    seed
        Of crops and noise.
    crops
        How many, rounded up to whole batches.
    check_cancelled
        Called before every batch; may raise.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = Draw(instrument.acquisition, spread, generator)
    patterns = torch.from_numpy(instrument.patterns).to(device=sampler.device, dtype=torch.float32)
    features: list[NDArray[np.float64]] = []
    levels: list[NDArray[np.float64]] = []
    for _ in range(math.ceil(crops / BATCH)):
        check_cancelled()
        specimen = jitter(sampler.draw(BATCH, _some_side(instrument, generator), generator)[:, :1], generator)
        signal, level = draw.signal(specimen, draw.microscope(patterns))
        found = instrument.decoder(signal, level)[2]
        features.append(found.float().mean(dim=(2, 3)).cpu().numpy().astype(np.float64))
        levels.append(level.flatten().cpu().numpy().astype(np.float64))
    return learn_typical(np.concatenate(features), np.concatenate(levels))


def _some_side(instrument: PatternSet, generator: torch.Generator) -> int:
    """Side of whole periods, evenly in its logarithm."""
    low, high = (math.log(side) for side in SIDES)
    period = instrument.acquisition.period
    return max(1, round(math.exp(low + (high - low) * torch.rand(1, generator=generator).item()) / period)) * period
