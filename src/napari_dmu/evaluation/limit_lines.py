"""The lines of the yardstick (`limits`): each is a way to make a picture of every image, and its score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional

from napari_dmu.errors import SettingsError, SpecimenError
from napari_dmu.evaluation.image_quality import image_quality
from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.microscope.detector import counts_to_signal, sample_counts
from napari_dmu.microscope.forward import Microscope, dose
from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.linear_design import coarse_pixel, designed_on, grey_optimum
from napari_dmu.reconstruction.linear_estimate import LinearEstimate
from napari_dmu.reconstruction.linear_floor import keep_components, keep_frequencies
from napari_dmu.reconstruction.specimen_statistics import Moments, SpecimenStatistics

Image = NDArray[np.float32]
Picture = Callable[[int], Tensor | NDArray[np.floating]]
# At full resolution the linear estimate reads 3 × 3 cells of this side.
_FULL_PERIOD = 8
# Largest block whose principal components are computed pixel by pixel.
_LARGEST_BLOCK = 64


class Line(BaseModel):
    """One line of the yardstick: means over the images.

    Attributes
    ----------
    key, title
        Short name, and what it is.
    psnr, mse
        Mean PSNR (dB) and mean squared error of images scaled to 0 … 1.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    title: str
    psnr: float
    mse: float


class Arm(NamedTuple):
    """A pattern set as the yardstick needs it: patterns (T, P, P), settings, and counts (T, y, x) → image (Y', X')."""

    patterns: Patterns
    acquisition: Acquisition
    decode: Callable[[NDArray[np.unsignedinteger]], NDArray[np.floating]]


class Scene:
    """The images, how they are measured, and the statistics that may be used for each.

    Attributes
    ----------
    source
        Where the statistics come from, in words.
    """

    def __init__(self, images: Sequence[Image], acquisition: Acquisition, training: Sequence[Image], seed: int) -> None:
        if not images:
            raise SpecimenError("There are no images to judge: give at least one.")
        if not training and len(images) < 2:
            raise SpecimenError(
                "One image cannot be judged by its own statistics: give more images, or a folder of others."
            )
        self.side = math.isqrt(round(acquisition.ratio))
        if self.side**2 != acquisition.ratio:
            raise SettingsError(
                f"The ratio ×{acquisition.ratio:g} has no plain camera: choose the square of a whole number."
            )
        self.images = [torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)) for image in images]
        self.acquisition = acquisition
        self.seed = seed
        self.others = [torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)) for image in training]
        self.source = (
            f"{len(training)} training images" if training else f"the other {len(images) - 1} images, one left out"
        )
        self._moments: dict[tuple[int, int], tuple[Moments, list[Moments]]] = {}

    def statistics(self, index: int | None, reach: int, *, pixel: int = 1) -> SpecimenStatistics:
        """Statistics that may be used for image ``index``; of all of them for None."""
        if (reach, pixel) not in self._moments:
            single = [Moments.of(image, reach, pixel=pixel) for image in self.others or self.images]
            total = single[0]
            for one in single[1:]:
                total = total.plus(one)
            self._moments[reach, pixel] = total, [] if self.others else single
        total, single = self._moments[reach, pixel]
        return (total if index is None or not single else total.plus(single[index], -1.0)).statistics()

    def estimate(self, acquisition: Acquisition, index: int | None, *, pixel: int = 1) -> LinearEstimate:
        """The linear estimate with the statistics for image ``index``."""
        reach = LinearEstimate.reach(acquisition, pixel=pixel)
        return LinearEstimate(acquisition, self.statistics(index, reach, pixel=pixel), pixel=pixel)

    def counts(self, acquisition: Acquisition, patterns: Tensor, index: int) -> NDArray[np.unsignedinteger]:
        """Image ``index`` measured with exact noise: (T, y, x) counts."""
        signal = Microscope(patterns, acquisition).forward(self.images[index]).numpy()
        return sample_counts(signal, acquisition, seed=self.seed, index=index)

    @torch.no_grad()
    def linear(self, acquisition: Acquisition, patterns: Tensor, index: int) -> Tensor:
        """The linear estimate of image ``index``."""
        lifting = self.estimate(acquisition, index).lifting(patterns)
        counts = self.counts(acquisition, patterns.float(), index).astype(np.float32)
        signal = counts_to_signal(torch.from_numpy(counts), acquisition)
        return self.cropped(lifting(signal[None] / acquisition.bin**2)[0, 0], index)

    def cropped(self, picture: Tensor, index: int) -> Tensor:
        """The part of a picture in whole cells that is the image."""
        rows, columns = self.images[index].shape
        return picture[:rows, :columns]

    def line(self, key: str, title: str, picture: Picture) -> Line:
        """Score a picture of every image."""
        scores = [
            image_quality(np.asarray(picture(i)), image.numpy(), limits=(0.0, 1.0))
            for i, image in enumerate(self.images)
        ]
        psnr, mse = (float(np.mean([getattr(score, name) for score in scores])) for name in ("psnr", "mse"))
        return Line(key=key, title=title, psnr=psnr, mse=mse)


def all_lines(
    scene: Scene,
    *,
    ours: Arm | None,
    plain: Arm | None,
    steps: int,
    progress: Callable[[int, int, str], None] | None = None,
) -> Iterator[Line]:
    """Every line, from the mean image up to the full-resolution exposure."""
    count = 9 + (2 if ours else 0) + (1 if plain else 0)

    def searching() -> None:
        if progress is not None:
            progress(0, count, "Searching patterns")

    designs = _designs(scene, ours, steps, searching)
    jobs = [*_references(scene), *designs, *_decoders(ours, plain, scene), *_ceilings(scene, ours)]
    for number, (key, title, picture) in enumerate(jobs):
        if progress is not None:
            progress(number, count, title)
        yield scene.line(key, title, picture)


def _references(scene: Scene) -> Iterator[tuple[str, str, Picture]]:
    a, side = scene.acquisition, scene.side
    yield "mean", "mean image", lambda i: torch.full_like(scene.images[i], scene.statistics(i, 1).mean)
    yield "bicubic", "ideal plain camera (no noise, no blur), bicubic", lambda i: plain_picture(scene.images[i], side)
    # The same reach as ours where the bins divide our period.
    period = a.period if a.period % side == 0 else side
    camera = a.model_copy(update={"bin": side, "exposures": 1, "period": period})
    uniform = torch.ones(1, period, period, dtype=torch.float64)
    yield "plain_lmmse", "plain camera, linear estimate", lambda i: scene.linear(camera, uniform, i)
    pixel = max(1, a.bin // _LARGEST_BLOCK)
    block = scene.statistics(None, a.bin // pixel, pixel=pixel)
    yield (
        "block_floor",
        "Karhunen–Loève floor of one bin (no noise)",
        lambda i: keep_components(scene.images[i], block, a.bin, a.exposures, pixel=pixel),
    )
    wide = scene.statistics(None, LinearEstimate.reach(a))
    samples = a.exposures * (a.period // a.bin) ** 2
    yield (
        "reach_floor",
        "linear floor at any reach (no noise)",
        lambda i: keep_frequencies(scene.images[i], wide, a.period, samples),
    )


def _designs(
    scene: Scene, ours: Arm | None, steps: int, between: Callable[[], None]
) -> Iterator[tuple[str, str, Picture]]:
    a = scene.acquisition
    estimate = scene.estimate(a, None, pixel=coarse_pixel(a))
    own = [ours.patterns] if ours else []
    binary = designed_on(estimate, also=own, steps=steps, between=between).patterns
    grey, _ = grey_optimum(estimate, binary, steps=steps)
    on = torch.from_numpy(binary).double()
    yield "grey", "best grey patterns for a linear decoder", lambda i: scene.linear(a, grey, i)
    yield "binary", "best binary patterns for a linear decoder", lambda i: scene.linear(a, on, i)
    if ours:
        shown = torch.from_numpy(ours.patterns).double()
        yield "own_lmmse", "this set's patterns, linear estimate", lambda i: scene.linear(a, shown, i)


def _decoders(ours: Arm | None, plain: Arm | None, scene: Scene) -> Iterator[tuple[str, str, Picture]]:
    for key, title, arm in (
        ("plain_set", "plain set, the same decoder", plain),
        ("ours", "this set", ours),
    ):
        if arm is not None:
            yield key, title, _decoded(arm, scene)


def _decoded(arm: Arm, scene: Scene) -> Picture:
    patterns = torch.from_numpy(arm.patterns).float()

    def picture(index: int) -> Tensor:
        counts = scene.counts(arm.acquisition, patterns, index)
        return scene.cropped(torch.from_numpy(np.asarray(arm.decode(counts), dtype=np.float32)), index)

    return picture


def _ceilings(scene: Scene, ours: Arm | None) -> Iterator[tuple[str, str, Picture]]:
    a = scene.acquisition
    light = a.photons * (dose(torch.from_numpy(ours.patterns))[0] if ours else 1.0)
    full = a.model_copy(update={"bin": 1, "exposures": 1, "period": _FULL_PERIOD, "photons": light, "contrast": None})
    ideal = {"read_noise": 0.0, "background": 0.0, "dark_current": 0.0, "emission": Psf(kind="none")}
    quiet = full.model_copy(update=ideal)
    on = torch.ones(1, _FULL_PERIOD, _FULL_PERIOD, dtype=torch.float64)
    yield "full", "full resolution, the same light and camera, linear estimate", lambda i: scene.linear(full, on, i)
    yield (
        "shot_noise",
        "full resolution, the same light, shot noise alone (no blur), linear estimate",
        lambda i: scene.linear(quiet, on, i),
    )


def plain_picture(image: Tensor, side: int) -> Tensor:
    """Plain camera with bins of ``side`` pixels, no noise and no blur, enlarged by bicubic interpolation: (Y, X)."""
    sharp = Psf(kind="none")
    ideal = Acquisition(bin=side, exposures=1, period=side, excitation=sharp, emission=sharp)
    frame = Microscope(torch.ones(1, side, side), ideal).forward(image) / side**2
    whole = functional.interpolate(frame[None], scale_factor=side, mode="bicubic", align_corners=False)[0, 0]
    return whole[: image.shape[0], : image.shape[1]]
