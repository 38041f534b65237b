"""Small pattern sets and specimens that are made in well under a second, for the tests of several folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.microscope.forward import Microscope, dose
from napari_dmu.microscope.patterns import make_patterns
from napari_dmu.reconstruction.error_bar import ErrorHead
from napari_dmu.reconstruction.lifting import LiftingStatistics
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.reconstruction.shapes import DecoderShape, ErrorShape
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.segmentation.settings import HeadShape
from napari_dmu.training.recipe import Recipe
from napari_dmu.zoo.header import Provenance, SetHeader, Trust
from napari_dmu.zoo.pattern_set import PatternSet, write_set

NO_PSF = Psf(kind="none")
# Brightness of the reconstruction above which the hand-made segmenter sees a cell.
THRESHOLD = 0.4
TRUST = Trust(
    factor=1.5, coverage={"discs/val": 0.9}, tolerance=0.05, chi_square={"discs/val": 2.0}, chi_square_limit=3.0,
    spread_limit=0.5,
)  # fmt: skip


def assert_sentence(error: BaseException) -> None:
    """What a user may be shown: one line that ends like a sentence and says what to do after a colon."""
    message = str(error)
    assert "\n" not in message, message
    assert re.fullmatch(r"\S.{20,}\.", message), message
    assert ":" in message, message


def discs(
    shape: tuple[int, int], *, seed: int = 0, count: int = 6, radius: tuple[float, float] = (5.0, 9.0)
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Soft bright discs that do not touch, on a dim background: specimen 0 … 1 and labels 1 … n."""
    rng = np.random.default_rng(seed)
    image = np.full(shape, 0.05, dtype=np.float32)
    labels = np.zeros(shape, dtype=np.int32)
    y, x = np.indices(shape)
    for _ in range(40 * count):
        if labels.max() == count:
            break
        size = rng.uniform(*radius)
        centre = rng.uniform(size, np.array(shape) - size) if min(shape) > 2 * size else np.array(shape) / 2
        distance = np.hypot(y - centre[0], x - centre[1])
        if labels[distance < size + 4].any():
            continue
        labels[distance < size] = labels.max() + 1
        image[distance < size] = rng.uniform(0.7, 1.0)
    return ndimage.gaussian_filter(image, 0.7), labels


def header(acquisition: Acquisition, decoder: DecoderShape, head: HeadShape | None, **changes: Any) -> SetHeader:
    """A valid header around the shapes given."""
    provenance = Provenance(
        recipe={}, data_fingerprint="made by hand", data_licence="BSD-3-Clause", seed=0, device="cpu",
        versions={}, minutes=0.0, steps=0, chosen="made by hand", curve=[],
    )  # fmt: skip
    content = {
        "name": "discs", "family": "random", "acquisition": acquisition, "decoder": decoder, "head": head,
        "dose_mean": 1.0, "dose_max": 1.0, "provenance": provenance,
    }  # fmt: skip
    return SetHeader.model_validate({**content, **changes})


def randomise(module: torch.nn.Module, seed: int, *, gain: float = 1.0) -> None:
    """Give every weight a random value, also those that start at zero, so that nothing passes for want of effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            fan_in = weight[0].numel() if weight.ndim > 1 else 1
            scale = gain / fan_in**0.5 if weight.ndim > 1 else 0.1
            weight.copy_(scale * torch.randn(weight.shape, generator=generator))


def threshold_head(features: int, stride: int) -> SegmentationHead:
    """A segmenter made by hand: in a cell where the image exceeds ``THRESHOLD``; the distance is the image itself."""
    squares = stride**2
    head = SegmentationHead(features, stride, HeadShape(widths=(squares, squares), blocks=(1, 1)))
    with torch.no_grad():
        for weight in head.parameters():
            weight.zero_()
        for square in range(squares):
            head.enter.weight[square, features + square, 1, 1] = 1.0
            head.leave.weight[square, square, 1, 1] = 20.0
            head.leave.weight[squares + square, square, 1, 1] = 1.0
        head.leave.bias[:squares] = -20.0 * THRESHOLD
    return head


def make_set(
    path: Path,
    *,
    name: str = "discs",
    family: str = "raster",
    bin: int = 4,
    exposures: int = 4,
    period: int = 8,
    photons: float = 2000.0,
    with_head: bool = True,
    with_error_bars: bool = False,
    seed: int = 0,
) -> PatternSet:
    """A ×(d²/T) pattern set that works: raster patterns, lifting solved on discs, a slight refinement, a threshold.

    The error bars are made up, but differ from pixel to pixel.
    """
    acquisition = Acquisition(bin=bin, exposures=exposures, period=period, photons=photons)
    patterns = make_patterns("raster", exposures=exposures, period=period, bin=bin)
    shape = DecoderShape(stride=2, widths=(6, 8), blocks=(1, 1), lifted=2)
    decoder = Decoder(exposures, bin, period, shape)
    randomise(decoder, seed)
    microscope = Microscope(torch.from_numpy(patterns).float(), acquisition)
    statistics = LiftingStatistics(decoder.lifting)
    for index in range(8):
        specimen = torch.from_numpy(discs((96, 96), seed=100 + index)[0])
        signal = microscope.forward(specimen)[None]
        noise = torch.randn(signal.shape, generator=torch.Generator().manual_seed(index)) * (bin * 0.02)
        statistics.add((signal + noise) / decoder.scale, specimen[None, None])
    statistics.solve()
    with torch.no_grad():
        decoder.leave.weight.mul_(0.005)
        decoder.leave.bias.zero_()
    head = threshold_head(shape.widths[0], shape.stride) if with_head else None
    mean, largest = dose(torch.from_numpy(patterns))
    card = header(
        acquisition, shape, head.shape if head else None, name=name, family=family, dose_mean=mean, dose_max=largest
    )
    error_head = None
    if with_error_bars:
        error_head = ErrorHead(shape.widths[0], shape.stride, ErrorShape(widths=(4, 6)))
        randomise(error_head, seed)
        card = card.model_copy(update={"error": error_head.shape, "trust": TRUST})
    return write_set(path, card, patterns, decoder, head, error_head=error_head)


def quick_recipe(**changes: Any) -> Recipe:
    """A recipe that trains in seconds, on the folders ``discs/train`` and ``discs/val``."""
    content: dict[str, Any] = {
        "name": "discs",
        "start": "random",
        "acquisition": {"bin": 4, "exposures": 2, "period": 8},
        "decoder": {"stride": 4, "widths": [8, 8], "blocks": [1, 1], "lifted": 4},
        "content": {"steps": 20, "batch": 2, "crop": 32, "lifting_crops": 64, "pattern_rate": 0.2},
        "head": {"steps": 10, "batch": 2, "crop": 32, "shape": {"widths": [8, 8], "blocks": [1, 1]}},
        "training": [{"folder": "discs/train"}],
        "validation": [{"folder": "discs/val"}],
        "check_every": 8,
        "watched_images": 2,
    }
    return Recipe.model_validate({**content, **changes})
