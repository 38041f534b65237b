"""What needs no trained network: bicubic of an ideal plain camera, and a real one with LMMSE or total variation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from common import Domain, Group
from numpy.typing import NDArray
from torch.nn import functional

from napari_dmu.evaluation import frc_resolution, image_quality
from napari_dmu.evaluation.resolution import AGAINST_TRUTH
from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.microscope.detector import counts_to_signal, noisy_signal, sample_counts
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.lifting import Lifting, LiftingStatistics
from napari_dmu.reconstruction.total_variation import total_variation
from napari_dmu.training.data import CropSampler, Example
from napari_dmu.training.sources import read_source

Image = NDArray[np.float32]
# The smallest period of the LMMSE estimate in specimen pixels: what one sample is estimated from reaches at least so
# far to every side.
LEAST_PERIOD = 8
CROP, PIXELS = 128, 1500 * 128**2

torch.set_num_threads(1)  # on small images more threads cost time; and the figures must not depend on the machine


@dataclass(frozen=True)
class Plain:
    """A plain camera with as many samples as a ratio allows: one full exposure with bins of √C pixels."""

    acquisition: Acquisition

    @property
    def microscope(self) -> Microscope:
        """The operator."""
        side = self.acquisition.period
        return Microscope(torch.ones(1, side, side), self.acquisition)

    def signal(self, example: Example, index: int, seed: int) -> torch.Tensor:
        """(1, 1, y, x) with exact noise of (seed, index)."""
        clean = self.microscope.forward(torch.from_numpy(example.specimen)).numpy()
        counts = sample_counts(clean, self.acquisition, seed=seed, index=index)
        return counts_to_signal(torch.from_numpy(counts.astype(np.float32)), self.acquisition)[None]


def plain_camera(ratio: float, like: Acquisition, *, periods: int = 1) -> Plain:
    """The plain camera of a ratio, with the light, the optics and the detector of another acquisition."""
    side = math.isqrt(round(ratio))
    return Plain(like.model_copy(update={"bin": side, "exposures": 1, "period": periods * side}))


def bicubic(example: Example, ratio: float) -> Image:
    """Noise-free, blur-free plain camera, enlarged to the specimen's pixels by bicubic interpolation."""
    side, sharp = math.isqrt(round(ratio)), Psf(kind="none")
    ideal = Acquisition(bin=side, exposures=1, period=side, excitation=sharp, emission=sharp)
    frame = Microscope(torch.ones(1, side, side), ideal).forward(torch.from_numpy(example.specimen)) / side**2
    whole = functional.interpolate(frame[None], scale_factor=side, mode="bicubic", align_corners=False)[0, 0]
    rows, columns = example.specimen.shape
    return whole[:rows, :columns].numpy()


def lmmse(data: Path, domain: Domain, ratio: float, like: Acquisition) -> tuple[Plain, Lifting]:
    """The linear minimum mean square error estimate of a plain camera, from the domain's training images.

    A period of two bins or more lets a pixel be estimated from six by six bins and more around it.
    """
    side = math.isqrt(round(ratio))
    camera = plain_camera(ratio, like, periods=max(2, LEAST_PERIOD // side))
    a = camera.acquisition
    estimate, microscope = Lifting(1, a.bin, a.period), camera.microscope
    statistics, generator = LiftingStatistics(estimate), torch.Generator().manual_seed(0)
    sampler, crop = _crops(data, domain), max(CROP, 4 * a.period)
    for _ in range(math.ceil(PIXELS / (16 * crop**2))):
        specimen = sampler.draw(16, crop, generator)[:, :1]
        signal = noisy_signal(microscope.forward(specimen[:, 0]), a, generator=generator)
        statistics.add(signal / side**2, specimen)
    statistics.solve()
    return camera, estimate


@lru_cache(maxsize=1)
def _crops(data: Path, domain: Domain) -> CropSampler:
    read = [read_source(data, s, masks=False) for s in domain.training]
    return CropSampler(read, [s.weight for s in domain.training], device=torch.device("cpu"))


def quality_figures(image: Image, example: Example, again: Image | None = None) -> dict[str, float]:
    """PSNR, SSIM, MSE, NRMSE, and the resolution against the truth and between two acquisitions (pixels)."""
    found = image_quality(image, example.specimen)
    figures = {"psnr": found.psnr, "ssim": found.ssim, "mse": found.mse, "nrmse": found.nrmse}
    figures["frc_truth"] = frc_resolution(image, example.specimen, threshold=AGAINST_TRUTH)
    if again is not None:
        figures["frc"] = frc_resolution(image, again)
    return figures


def bicubic_figures(group: Group, ratio: float) -> list[dict[str, float]]:
    """One entry an image."""
    return [quality_figures(bicubic(e, ratio), e) for e in group.examples]


@torch.inference_mode()
def lmmse_figures(group: Group, camera: Plain, estimate: Lifting) -> list[dict[str, float]]:
    """One entry an image."""
    figures = []
    for index, example in enumerate(group.examples):
        rows, columns = example.specimen.shape
        one, again = (
            estimate(camera.signal(example, index, seed) / camera.acquisition.bin**2)[0, 0, :rows, :columns].numpy()
            for seed in (0, 1)
        )
        figures.append(quality_figures(one, example, again))
    return figures


def total_variation_figures(group: Group, camera: Plain, every: int) -> list[dict[str, float]]:
    """One entry for every n-th image, with its number."""
    figures = []
    for index, example in list(enumerate(group.examples))[::every]:
        field = (example.specimen.shape[0], example.specimen.shape[1])
        found = total_variation(camera.microscope, camera.signal(example, index, 0)[0], field)
        figures.append({"index": index, **quality_figures(found.image.numpy(), example)})
    return figures
