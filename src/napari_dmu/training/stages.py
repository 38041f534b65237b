"""The trainable parts and the stages that train them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from napari_dmu.microscope.acquisition import Acquisition, Registration
from napari_dmu.microscope.detector import noisy_signal
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.inference import level_of
from napari_dmu.reconstruction.lifting import LiftingStatistics
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.reconstruction.shapes import whole_step
from napari_dmu.segmentation.head import SegmentationHead, head_loss
from napari_dmu.training.augment import cell_crops, ended_anywhere, image_crops, with_scenes
from napari_dmu.training.data import CropSampler, jitter
from napari_dmu.training.losses import content_loss
from napari_dmu.training.precision import autocast
from napari_dmu.training.recipe import ContentStage, HeadStage, NoiseSpread
from napari_dmu.training.recorded import RecordedDecoder


class BinaryPatterns(nn.Module):
    """Patterns from real logits: forward 0/1, gradient of a sigmoid (straight-through).

    What is trained is what a DMD shows, so there is no binarisation gap
    (Y. Bengio et al., arXiv:1308.3432).
    """

    def __init__(self, start: Patterns) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.from_numpy(start).float() * 2 - 1)

    def forward(self) -> Tensor:
        """(T, P, P), exactly 0 or 1."""
        soft = torch.sigmoid(2.0 * self.logits)
        # The bracket is exactly 0; summed from left to right a mirror would be on by 1 ± 6e-8.
        return (self.logits > 0).to(soft) + (soft - soft.detach())

    @torch.no_grad()
    def binary(self) -> Patterns:
        """The patterns as they are shipped: (T, P, P) uint8."""
        return (self.logits > 0).to("cpu", torch.uint8).numpy()


class Average:
    """Exponential moving average of a module's weights; what is validated and shipped."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's present weights; young averages forget faster."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)


class SpikeGuard:
    """Clips gradients and leaves out the rare step whose gradient is far beyond the usual.

    One such step (a crop of nothing but saturated debris, say) can undo thousands.
    """

    def __init__(self, *, limit: float = 1.0, factor: float = 8.0) -> None:
        self.limit = limit
        self.factor = factor
        self.usual: float | None = None

    def allows(self, parameters: Iterable[Tensor]) -> bool:
        """Clip the gradients in place; False where the step should be left out."""
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.limit))
        if not math.isfinite(norm):
            return False
        if self.usual is None:
            self.usual = norm
        usual = self.usual
        # What is left out still moves the usual value a little, so that a lasting change is followed.
        self.usual = 0.98 * usual + 0.02 * min(norm, self.factor * usual)
        return norm <= self.factor * usual


def one_cycle(step: int, steps: int, *, warm_up: float = 0.1) -> float:
    """Factor on the learning rate: linear rise over ``warm_up`` of the steps, then a cosine to zero."""
    rise = max(1.0, warm_up * steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))


class Draw:
    """Draws noisy examples: the crops, their noise levels and their signals."""

    def __init__(self, acquisition: Acquisition, spread: NoiseSpread, generator: torch.Generator) -> None:
        self.acquisition = acquisition
        self.spread = spread
        self.generator = generator

    def levels(self, count: int, device: torch.device, *, nominal: bool = False) -> tuple[Tensor, Tensor]:
        """Peak photons and read noise per example, (N, 1, 1, 1) each."""
        draws = torch.rand(3, count, 1, 1, 1, generator=self.generator).to(device)
        low, high = (math.log(v) for v in self.spread.photons)
        own = torch.full_like(draws[0], self.acquisition.photons)
        quiet = torch.full_like(draws[0], self.acquisition.read_noise)
        if nominal:
            return own, quiet
        photons = torch.exp(low + (high - low) * draws[1])
        read = self.spread.read_noise[0] + (self.spread.read_noise[1] - self.spread.read_noise[0]) * draws[2]
        usual = draws[0] >= self.spread.share
        return torch.where(usual, own, photons), torch.where(usual, quiet, read)

    def microscope(self, patterns: Tensor) -> Microscope:
        """The microscope of one step: the acquisition's own, or with slightly other optics and shifted patterns.

        What the decoder is not told it learns to bear.
        """
        draws = torch.rand(5, generator=self.generator).tolist()
        if draws[0] >= self.spread.share:
            return Microscope(patterns, self.acquisition)
        excitation, emission = (
            psf.model_copy(update={"sigma": psf.sigma * (1 + self.spread.psf * (2 * draw - 1))})
            for psf, draw in zip((self.acquisition.excitation, self.acquisition.emission), draws[1:3], strict=True)
        )
        shift = (self.spread.shift * (2 * draws[3] - 1), self.spread.shift * (2 * draws[4] - 1))
        changed = {"excitation": excitation, "emission": emission, "registration": Registration(shift=shift)}
        return Microscope(patterns, self.acquisition.model_copy(update=changed))

    def signal(self, specimen: Tensor, microscope: Microscope, *, nominal: bool = False) -> tuple[Tensor, Tensor]:
        """Noisy signal (N, T, y, x) of specimen (N, 1, Y, X) and its noise level (N, 1, 1, 1)."""
        photons, read = self.levels(specimen.shape[0], specimen.device, nominal=nominal)
        clean = microscope.forward(specimen[:, 0])
        # The noise generator may have to live on the device; a seed drawn from ours keeps one stream of chance.
        noise_seed = int(torch.randint(0, 2**62, (1,), generator=self.generator))
        generator = torch.Generator(device=specimen.device).manual_seed(noise_seed)
        signal = noisy_signal(clean, self.acquisition, generator=generator, photons=photons, read_noise=read)
        return signal, level_of(self.acquisition, photons, read)


@torch.no_grad()
def fit_lifting(decoder: Decoder, patterns: Tensor, sampler: CropSampler, draw: Draw, stage: ContentStage) -> None:
    """Closed-form lifting for the patterns as they are, from crops with nominal noise."""
    statistics = LiftingStatistics(decoder.lifting)
    microscope = Microscope(patterns, draw.acquisition)
    for _ in range(math.ceil(stage.lifting_crops / 16)):
        specimen = sampler.draw(16, stage.crop, draw.generator)[:, :1]
        signal, _level = draw.signal(specimen, microscope, nominal=True)
        statistics.add(signal / decoder.scale, specimen)
    statistics.solve()


def content_step(
    patterns: BinaryPatterns, decoder: RecordedDecoder, sampler: CropSampler, draw: Draw, stage: ContentStage
) -> Tensor:
    """One draw of stage 1: the loss, with gradients to patterns and decoder."""
    specimen = jitter(image_crops(sampler, stage.batch, stage.crop, stage.zoom, draw.generator), draw.generator)
    specimen = with_scenes(specimen, stage.scenes, draw.generator)
    specimen = ended_anywhere(specimen, whole_step(draw.acquisition.period, decoder.shape), draw.generator)
    signal, level = draw.signal(specimen, draw.microscope(patterns()))
    image, lifted = (within(made, specimen) for made in decoder(signal, level))
    return content_loss(image, lifted, specimen, ssim=stage.ssim, lifting=stage.lifting, rms=stage.rms)


def head_step(
    microscope: Microscope,
    decoder: Decoder,
    head: SegmentationHead,
    sampler: CropSampler,
    draw: Draw,
    stage: HeadStage,
) -> Tensor:
    """One draw of stage 2: the loss, with gradients to the head alone."""
    specimen, target = cells_to_learn(draw, decoder, head, sampler, stage.batch, stage.crop, stage)
    with torch.no_grad():
        # Outside of autocast: in half precision the signal's rounding would be above its noise.
        signal, level = draw.signal(specimen, microscope)
        with autocast(specimen.device):
            image, _lifted, features = decoder(signal, level)
    with autocast(specimen.device):
        prediction = head(image, features)
    return head_loss(within(prediction, target), target)


def cells_to_learn(
    draw: Draw, decoder: Decoder, head: SegmentationHead, sampler: CropSampler, batch: int, side: int, stage: HeadStage
) -> tuple[Tensor, Tensor]:
    """Crops and targets as ``cell_crops`` draws them, ended anywhere as fields do."""
    crops = torch.cat(cell_crops(sampler, batch, side, stage, draw.generator), dim=1)
    step = whole_step(draw.acquisition.period, decoder.shape, levels=len(head.shape.widths))
    crops = ended_anywhere(crops, step, draw.generator)
    return crops[:, :1], crops[:, 1:]


def within(image: Tensor, field: Tensor) -> Tensor:
    """What a network made of whole periods, cut to the rows and columns of ``field``, in full precision."""
    return image[..., : field.shape[-2], : field.shape[-1]].float()
