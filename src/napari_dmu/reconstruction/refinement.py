"""Refinement: a U-shaped residual network that corrects the lifted image."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_dmu.reconstruction.lifting import Lifting
from napari_dmu.reconstruction.shapes import DecoderShape

# Densities that the network reads as they are, well beyond the 0 … 1 of specimens. Where a full converter has clipped
# multiplexed samples they contradict each other, and the lifted image is far outside.
READABLE = (-2.0, 6.0)


def limit(x: Tensor) -> Tensor:
    """Features (N, C, Y, X), all but unchanged where they are small, of a root mean square below 1 everywhere.

    x / √(1 + mean over channels of x²): a root mean square normalisation (B. Zhang, R. Sennrich, arXiv:1910.07467)
    that fades out where there is little to normalise, so that the intensity is not forgotten.
    """
    return functional.rms_norm(x.movedim(1, -1), (x.shape[1],), eps=1.0).movedim(-1, 1)


class ResidualBlock(nn.Module):
    """x + conv(GELU(conv(x))), 3×3, no normalisation over the image: works for any batch and any intensity.

    Blocks one after the other can amplify what they were not trained on (a chequerboard, a saturated field) a
    thousandfold. With ``limited`` what a block adds is bounded, so the output grows no faster than the input.
    """

    def __init__(self, channels: int, *, limited: bool = False) -> None:
        super().__init__()
        self.limited = limited
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, Y, X) → the same shape."""
        change: Tensor = self.second(functional.gelu(self.first(limit(x) if self.limited else x)))
        return x + change


class UShape(nn.Module):
    """Encoder and decoder with skip connections; each level halves the grid.

    Input and output are (N, widths[0], Y, X) for any Y and X.
    """

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], *, limited: bool = False) -> None:
        super().__init__()
        self.limited = limited
        pairs = list(itertools.pairwise(widths))
        self.enter = nn.ModuleList(self._blocks(w, b) for w, b in zip(widths[:-1], blocks[:-1], strict=True))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.middle = self._blocks(widths[-1], blocks[-1])
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairs)
        self.leave = nn.ModuleList(self._blocks(w, b) for w, b in zip(widths[:-1], blocks[:-1], strict=True))

    def _blocks(self, channels: int, count: int) -> nn.Sequential:
        return nn.Sequential(*(ResidualBlock(channels, limited=self.limited) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, Y, X) → the same shape; the grid is extended to whole steps and cropped again."""
        rows, columns = x.shape[-2:]
        step = 2 ** len(self.down)
        x = functional.pad(x, (0, -columns % step, 0, -rows % step), mode="replicate")
        skips: list[Tensor] = []
        for enter, down in zip(self.enter, self.down, strict=True):
            x = enter(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for level in reversed(range(len(self.up))):
            x = functional.pixel_shuffle(self.up[level](x), 2) + skips[level]
            x = self.leave[level](x)
        return x[..., :rows, :columns]


class Decoder(nn.Module):
    """Lifting and refinement: from the T samples of every bin to the image.

    The network works on a grid of ``stride`` specimen pixels. It reads the lifted image, features lifted from the
    samples by a second map of its own (which knows the place within the pattern period, so that multiplexed
    samples are sorted where they belong), and the noise level, and adds its correction to the lifted image.

    Parameters
    ----------
    exposures, bin, period
        T, d, P of the pattern set.
    shape
        Hyper-parameters.
    """

    def __init__(self, exposures: int, bin: int, period: int, shape: DecoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.scale = float(bin**2)
        self.lifting = Lifting(exposures, bin, period, stride=shape.lifting_stride)
        self.features = Lifting(exposures, bin, period, channels=shape.lifted, stride=shape.stride)
        self.enter = nn.Conv2d(shape.stride**2 + shape.lifted + 1, shape.widths[0], 3, padding=1)
        self.body = UShape(shape.widths, shape.blocks, limited=shape.limited)
        self.leave = nn.Conv2d(shape.widths[0], shape.stride**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def lift(self, signal: Tensor) -> Tensor:
        """The lifted image alone: signal (N, T, y, x), 0 … d² → (N, 1, Y, X) in whole period cells."""
        lifted: Tensor = self.lifting(signal / self.scale)
        if self.shape.lifting_stride == 1:
            return lifted
        return functional.interpolate(lifted, scale_factor=self.shape.lifting_stride, mode="bilinear")

    def forward(self, signal: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct.

        Parameters
        ----------
        signal
            (N, T, y, x), linear signal from the detector, 0 … d² with noise.
        noise
            (N, 1, 1, 1), relative noise level, see ``noise_level``.

        Returns
        -------
        image
            (N, 1, Y, X), fluorescence density; Y and X are whole period cells, to be cropped to the field.
        lifted
            (N, 1, Y, X), the lifting alone.
        features
            (N, widths[0], Y/stride, X/stride), what the segmentation head reads.
        """
        lifted = self.lift(signal)
        grid = functional.pixel_unshuffle(lifted.clamp(*READABLE), self.shape.stride)
        level = noise.expand(-1, 1, *grid.shape[-2:]).to(grid)
        inputs = torch.cat([grid, self.features(signal / self.scale), level], dim=1)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        features = self.body(self.enter(inputs))
        image = lifted + functional.pixel_shuffle(self.leave(features), self.shape.stride)
        return image, lifted, features


def noise_level(photons: Tensor, read_noise: Tensor, background: float, bin: int) -> Tensor:
    """Relative noise of a half-lit bin, as a number of order one: log10 of its standard deviation over its signal.

    Shapes of ``photons`` (k) and ``read_noise`` (electrons) are kept, typically (N, 1, 1, 1).
    """
    light = photons * (0.5 * bin**2)
    relative = (light + background + read_noise**2).sqrt() / light
    return relative.log10() / 4 + 0.5
