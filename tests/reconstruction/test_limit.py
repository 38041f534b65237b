"""The limit within residual blocks: transparent for small features, and what it is there for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_dmu.reconstruction.refinement import Decoder, UShape, limit
from napari_dmu.reconstruction.shapes import DecoderShape


def _features(seed: int, size: float) -> torch.Tensor:
    return size * torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 50), st.floats(1e-6, 1e4))
def test_features_keep_their_direction_and_stay_below_one(seed: int, size: float) -> None:
    before = _features(seed, size)
    after = limit(before)
    assert float(after.square().mean(dim=1).max()) < 1.0 + 1e-6
    cosine = torch.nn.functional.cosine_similarity(before, after, dim=1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_small_features_pass() -> None:
    small = _features(0, 1e-3)
    torch.testing.assert_close(limit(small), small, rtol=1e-4, atol=0)


def _grown(limited: bool, size: float) -> float:
    """Largest output of strong residual blocks for an input of a given size."""
    torch.manual_seed(0)
    body = UShape((8, 12, 16), (2, 2, 2), limited=limited)
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.mul_(4)
        return float(body(_features(1, size)).abs().max())


def test_the_output_grows_no_faster_than_the_input() -> None:
    assert _grown(limited=False, size=1.0) > 1e4  # without a limit, blocks multiply
    usual = _grown(limited=True, size=1.0)
    assert _grown(limited=True, size=1000.0) < 1000 * usual
    assert usual < _grown(limited=False, size=1.0) / 50


@pytest.mark.parametrize("limited", [False, True])
def test_the_shape_of_a_decoder_decides(limited: bool) -> None:
    decoder = Decoder(1, 4, 8, DecoderShape(stride=2, widths=(4, 6), blocks=(1, 1), lifted=2, limited=limited))
    assert decoder.body.limited is limited
    assert {block.limited for level in decoder.body.enter for block in level} == {limited}
