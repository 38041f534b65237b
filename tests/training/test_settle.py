"""The end of stage 1: scenes for a while, patterns as they are, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import quick_recipe

from napari_dmu.errors import Cancelled
from napari_dmu.training import settle, single
from napari_dmu.training.loop import train
from napari_dmu.training.recipe import Recipe, SettleStage
from napari_dmu.training.stages import content_step
from napari_dmu.zoo.pattern_set import PatternSet

CPU = torch.device("cpu")


def settling(**changes: Any) -> Recipe:
    """Stage 1 and two rounds, of six and four steps; the second with ``changes``."""
    rounds = SettleStage(steps=6, scenes=0.25), SettleStage(steps=4, scenes=0.25, share=0.0)
    return quick_recipe(head=None, settle=[rounds[0], rounds[1].model_copy(update=changes)])


def weights(made: PatternSet) -> torch.Tensor:
    return torch.cat([w.flatten() for w in made.decoder.parameters()])


@pytest.fixture(scope="module")
def settled(images: Path, tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    """An uninterrupted training that settles."""
    return train(settling(), images, tmp_path_factory.mktemp("whole") / "discs.dmu.safetensors", device=CPU)


def test_the_decoder_moves_and_the_patterns_stay(images: Path, tmp_path: Path, settled: PatternSet) -> None:
    before = train(quick_recipe(head=None), images, tmp_path / "before.dmu.safetensors", device=CPU)
    np.testing.assert_array_equal(before.patterns, settled.patterns)
    assert 0 < float((weights(before) - weights(settled)).abs().max()) < 0.1
    assert settled.header.provenance.steps == before.header.provenance.steps + 10


def test_scenes_are_shown_when_the_recipe_says(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def noted(*inputs: Any) -> torch.Tensor:
        shares.append(inputs[-1].scenes)
        return content_step(*inputs)

    monkeypatch.setattr(settle, "content_step", noted)
    train(settling(scenes_from=0.25, scenes_until=0.75), images, tmp_path / "a.dmu.safetensors", device=CPU)
    assert shares == [0.25] * 4 + [0.0] * 2 + [0.0] + [0.25] * 2 + [0.0]


def test_a_round_may_stray_less_from_its_own_light(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    def noted(*inputs: Any) -> torch.Tensor:
        shares.append(inputs[-2].spread.share)
        return content_step(*inputs)

    monkeypatch.setattr(settle, "content_step", noted)
    recipe = settling(share=0.125)
    train(recipe, images, tmp_path / "a.dmu.safetensors", device=CPU)
    assert shares == [recipe.noise.share] * 6 + [0.125] * 4


def test_one_round_needs_no_list_and_none_is_none() -> None:
    alone, listed = (quick_recipe(settle=entry) for entry in ({"steps": 3}, [{"steps": 3}]))
    assert alone == listed
    assert alone.settle == (SettleStage(steps=3),)
    assert quick_recipe(settle=None).settle == quick_recipe().settle == ()


@pytest.mark.parametrize("steps", [20, 23, 26, 29])
def test_it_goes_on_where_it_was_stopped(
    images: Path, tmp_path: Path, settled: PatternSet, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(single, "CHECKPOINT_SECONDS", -1.0)  # at every step
    left = [steps]

    def check() -> None:
        if not left[0]:
            raise Cancelled("Stopped: nothing was changed.")
        left[0] -= 1

    out = tmp_path / "discs.dmu.safetensors"
    with pytest.raises(Cancelled):
        train(settling(), images, out, device=CPU, check_cancelled=check)
    done: list[int] = []
    resumed = train(settling(), images, out, device=CPU, report=lambda step, total, what: done.append(step))
    assert done[0] > 20  # of which 20 are stage 1
    assert done == sorted(done)
    assert done[-1] == 30
    torch.testing.assert_close(weights(resumed), weights(settled), rtol=0, atol=1e-6)
    assert list(tmp_path.iterdir()) == [out]
