"""Weights as stored: which in 8 bits, how far off, and that storing them again changes nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.reconstruction.shapes import DecoderShape
from napari_dmu.zoo.weights import LEAST, LEVELS, SCALE, packed, unpacked


def _weights(seed: int = 0, channels: int = 16, size: float = 1.0) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {
        "body.weight": size * torch.randn(channels, 16, 3, 3, generator=draws),
        "body.bias": torch.randn(channels, generator=draws),
        "lifting.linear.weight": torch.randn(64, 36, 1, 1, generator=draws),
        "small.weight": torch.randn(2, 2, 3, 3, generator=draws),
    }


@given(st.integers(0, 100), st.floats(1e-6, 1e3))
def test_a_weight_is_off_by_half_a_level_of_its_channel_at_most(seed: int, size: float) -> None:
    weights = _weights(seed, size=size)
    back = unpacked(packed(weights))
    assert back.keys() == weights.keys()
    level = weights["body.weight"].abs().amax(dim=(1, 2, 3), keepdim=True) / LEVELS
    assert bool(((back["body.weight"] - weights["body.weight"]).abs() <= 0.501 * level).all())
    assert float((back["body.weight"] - weights["body.weight"]).abs().max()) > 0
    for name in ("body.bias", "lifting.linear.weight", "small.weight"):
        assert torch.equal(back[name], weights[name].half().float())


@given(st.integers(0, 100))
def test_storing_again_changes_nothing(seed: int) -> None:
    once = packed(_weights(seed))
    again = packed(unpacked(once))
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_a_dead_channel_stays_zero() -> None:
    weights = _weights()
    weights["body.weight"][3] = 0
    assert not unpacked(packed(weights))["body.weight"][3].any()


def test_only_large_convolutions_of_the_refinement_have_a_scale() -> None:
    decoder = Decoder(1, 4, 8, DecoderShape(stride=4, widths=(32, 48), blocks=(1, 1), lifted=8))
    stored = packed(decoder.state_dict())
    scaled = {name.removesuffix(SCALE) for name in stored if name.endswith(SCALE)}
    assert scaled
    for name, weight in decoder.state_dict().items():
        large = weight.ndim == 4 and weight.numel() >= LEAST
        assert (name in scaled) == (large and not name.startswith(("lifting", "features"))), name
        assert stored[name].dtype == (torch.int8 if name in scaled else torch.float16), name


def test_files_from_before_are_read_as_they_are() -> None:
    old = {name: weight.half() for name, weight in _weights().items()}
    back = unpacked(old)
    assert all(torch.equal(back[name], old[name].float()) for name in old)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    weights = _weights()
    weights["body.weight"][0, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="finite"):
        packed(weights)
