"""The error head: positive, at full resolution, small; its loss has the quantile as its minimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import randomise

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.reconstruction.error_bar import DARK, FLOOR, START, ErrorHead, interval_loss, relative_spread
from napari_dmu.reconstruction.inference import decode
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.reconstruction.shapes import DecoderShape, ErrorShape


def seeded(value: int) -> torch.Generator:
    return torch.Generator().manual_seed(value)


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    stride=st.sampled_from([1, 2, 4]),
    brightness=st.sampled_from([0.0, 1.0, 1e4]),
    gain=st.sampled_from([1.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_the_scale_is_positive_and_finite_whatever_comes(
    rows: int, columns: int, stride: int, brightness: float, gain: float, seed: int
) -> None:
    head = ErrorHead(3, stride, ErrorShape(widths=(4, 6)))
    randomise(head, seed, gain=gain)
    image = brightness * torch.randn(2, 1, rows * stride, columns * stride, generator=seeded(seed))
    features = brightness * torch.randn(2, 3, rows, columns, generator=seeded(seed + 1))
    scale = head(image, features, torch.tensor([0.1, 0.9]).reshape(2, 1, 1, 1))
    assert scale.shape == image.shape
    assert torch.isfinite(scale).all()
    assert (scale >= FLOOR).all()


@pytest.mark.parametrize(("features", "stride"), [(16, 2), (32, 4), (64, 4), (64, 8), (128, 8)])
def test_the_head_is_small(features: int, stride: int) -> None:
    head = ErrorHead(features, stride, ErrorShape())
    assert sum(weight.numel() for weight in head.parameters()) < 60_000


def test_an_untrained_head_starts_with_a_plausible_error() -> None:
    scale = ErrorHead(3, 2, ErrorShape())(torch.rand(1, 1, 8, 8), torch.rand(1, 3, 4, 4), torch.zeros(1, 1, 1, 1))
    torch.testing.assert_close(scale, torch.full_like(scale, START + FLOOR))


@pytest.mark.parametrize("what", ["image", "features", "noise"])
def test_the_head_reads_everything_that_it_is_given(what: str) -> None:
    head = ErrorHead(3, 2, ErrorShape(widths=(4, 6)))
    randomise(head, 0)
    given_ = {"image": torch.rand(1, 1, 8, 8), "features": torch.rand(1, 3, 4, 4), "noise": torch.zeros(1, 1, 1, 1)}
    changed = {**given_, what: given_[what] + 0.5}
    assert (head(**changed) - head(**given_)).abs().max() > 1e-4


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_loss_is_least_at_the_quantile(level: float) -> None:
    error = 0.05 * torch.randn(1, 1, 200, 200, generator=seeded(0), dtype=torch.float64)
    right = float(torch.quantile(error.abs().flatten(), level))
    candidates = right * np.geomspace(0.5, 2.0, 41)
    losses = [float(interval_loss(torch.full_like(error, c), error, level)) for c in candidates]
    assert candidates[int(np.argmin(losses))] == pytest.approx(right, rel=0.05)


def test_the_spread_is_relative_to_the_mean_and_finite_in_the_dark() -> None:
    error = np.full((4, 6), 0.02, dtype=np.float32)
    assert relative_spread(error, np.full((4, 6), 0.4, dtype=np.float32)) == pytest.approx(0.05)
    assert relative_spread(error, np.zeros((4, 6), dtype=np.float32)) == pytest.approx(0.02 / DARK)


def test_decode_fills_the_scale_where_a_head_is_given_and_multiplies_it() -> None:
    acquisition = Acquisition(bin=4, period=8, exposures=2)
    shape = DecoderShape(stride=2, widths=(4, 6), blocks=(1, 1), lifted=2)
    decoder, head = Decoder(2, 4, 8, shape), ErrorHead(4, 2, ErrorShape(widths=(4, 6)))
    randomise(decoder, 0)
    randomise(head, 1)
    counts = torch.randint(100, 4000, (2, 2, 4, 6), generator=seeded(2)).float()
    assert decode(decoder, counts, acquisition).scale is None
    once = decode(decoder, counts, acquisition, error_head=head).scale
    twice = decode(decoder, counts, acquisition, error_head=head, factor=2.0).scale
    assert once is not None
    assert twice is not None
    assert once.shape == (2, 1, 16, 24)
    torch.testing.assert_close(twice, 2 * once)
    # The head hears of the light of this very measurement.
    dim = acquisition.model_copy(update={"photons": 20.0})
    darker = decode(decoder, (counts - 100) / 50 + 100, dim, error_head=head).scale
    assert darker is not None
    assert (darker - once).abs().max() > 1e-5
