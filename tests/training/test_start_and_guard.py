"""Stage 2 alone on an existing set, and the guard against the rare gradient that undoes thousands of steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support import assert_sentence, quick_recipe

from napari_dmu.errors import SettingsError
from napari_dmu.training.loop import train
from napari_dmu.training.stages import SpikeGuard

CPU = torch.device("cpu")


def test_a_training_from_a_set_keeps_patterns_and_decoder_and_renews_the_head(images: Path, tmp_path: Path) -> None:
    first = train(quick_recipe(), images, tmp_path / "first.dmu.safetensors", device=CPU)
    again = train(quick_recipe(seed=7), images, tmp_path / "again.dmu.safetensors", device=CPU, start=first)
    np.testing.assert_array_equal(first.patterns, again.patterns)
    for name, weight in first.decoder.state_dict().items():
        torch.testing.assert_close(again.decoder.state_dict()[name], weight, rtol=0, atol=0)
    assert first.segmenter is not None
    assert again.segmenter is not None
    assert not torch.equal(first.segmenter.leave.weight, again.segmenter.leave.weight)
    assert again.header.provenance.curve == first.header.provenance.curve


def test_a_set_that_does_not_fit_the_recipe_is_refused(images: Path, tmp_path: Path) -> None:
    first = train(quick_recipe(), images, tmp_path / "first.dmu.safetensors", device=CPU)
    for other in (
        quick_recipe(acquisition={"bin": 8, "exposures": 2, "period": 8}),
        quick_recipe(head=None),
    ):
        with pytest.raises(SettingsError) as caught:
            train(other, images, tmp_path / "other.dmu.safetensors", device=CPU, start=first)
        assert_sentence(caught.value)
    assert not (tmp_path / "other.dmu.safetensors").exists()


def weight_with_gradient(norm: float) -> torch.nn.Parameter:
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.tensor([norm])
    return weight


def test_the_guard_lets_the_usual_pass_and_stops_the_outlier() -> None:
    guard = SpikeGuard()
    assert all(guard.allows([weight_with_gradient(0.1)]) for _ in range(20))
    assert not guard.allows([weight_with_gradient(5.0)])
    assert not guard.allows([weight_with_gradient(float("nan"))])
    assert guard.allows([weight_with_gradient(0.12)])


def test_the_guard_follows_a_lasting_change_and_clips() -> None:
    guard = SpikeGuard()
    guard.allows([weight_with_gradient(0.01)])
    refused = sum(not guard.allows([weight_with_gradient(0.5)]) for _ in range(200))
    assert 0 < refused < 60
    weight = weight_with_gradient(3.0)
    guard.allows([weight])
    assert weight.grad is not None
    assert float(weight.grad) == pytest.approx(1.0, abs=1e-4)
