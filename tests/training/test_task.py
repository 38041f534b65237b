"""Stage 3, which competes with stage 2, and the direct route; crops as cells are learned from."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support import assert_sentence, discs, quick_recipe

from napari_dmu.errors import Cancelled, SettingsError
from napari_dmu.segmentation.instances import depths
from napari_dmu.training import content, single, task
from napari_dmu.training.augment import cell_crops, dimmed, empty_fields, other_gamma, some_zoom, zoomed
from napari_dmu.training.data import CropSampler, Example
from napari_dmu.training.loop import train
from napari_dmu.training.recipe import HeadStage
from napari_dmu.zoo.pattern_set import PatternSet

CPU = torch.device("cpu")
TASK = {"steps": 12, "batch": 2, "crop": 32, "learning_rate": 1e-3, "pattern_rate": 3.0}


def seed(value: int) -> torch.Generator:
    return torch.Generator().manual_seed(value)


@pytest.fixture(scope="module")
def content_aware(images: Path, tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    """Stages 1 and 2 alone."""
    return train(quick_recipe(), images, tmp_path_factory.mktemp("content") / "a.dmu.safetensors", device=CPU)


def verdict(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """What validation says: first of stage 2, then at every interim check."""
    said = iter(scores)
    monkeypatch.setattr(task, "watched_f1", lambda *arguments: next(said))


def weights(made: PatternSet) -> list[torch.Tensor]:
    assert made.segmenter is not None
    return [*made.decoder.state_dict().values(), *made.segmenter.state_dict().values()]


def same(one: PatternSet, other: PatternSet) -> bool:
    return np.array_equal(one.patterns, other.patterns) and all(
        torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True)
    )


def test_stage_2_is_kept_where_validation_prefers_it(
    images: Path, tmp_path: Path, content_aware: PatternSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict(monkeypatch, 0.9, 0.9, 0.8)
    made = train(quick_recipe(task=TASK), images, tmp_path / "a.dmu.safetensors", device=CPU)
    assert same(made, content_aware)
    chosen = made.header.provenance.chosen
    assert chosen.startswith(content_aware.header.provenance.chosen)
    assert "head alone, F1 0.9000 (task-aware 0.8000)" in chosen
    assert made.header.provenance.steps == 20 + 10 + 12
    assert list(tmp_path.iterdir()) == [tmp_path / "a.dmu.safetensors"]


def test_stage_3_wins_with_its_best_checkpoint(
    images: Path, tmp_path: Path, content_aware: PatternSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict(monkeypatch, 0.5, 0.7, 0.6)
    made = train(quick_recipe(task=TASK), images, tmp_path / "a.dmu.safetensors", device=CPU)
    assert "task step 8, F1 0.7000 (head alone 0.5000)" in made.header.provenance.chosen
    assert not np.array_equal(made.patterns, content_aware.patterns)
    assert set(np.unique(made.patterns)) <= {0, 1}
    assert not any(torch.equal(a, b) for a, b in zip(weights(made), weights(content_aware), strict=True) if a.ndim == 4)


def stop_after(count: int) -> Callable[[], None]:
    left = [count]

    def check() -> None:
        if not left[0]:
            raise Cancelled("Stopped: nothing was changed.")
        left[0] -= 1

    return check


@pytest.mark.parametrize("direct", [False, True])
def test_a_stage_that_was_stopped_goes_on_as_if_nothing_had_happened(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    for module in (task, content, single):
        monkeypatch.setattr(module, "CHECKPOINT_SECONDS", -1.0)
    recipe = quick_recipe(task={**TASK, "direct": direct})
    whole = train(recipe, images, tmp_path / "whole.dmu.safetensors", device=CPU)
    out = tmp_path / "a.dmu.safetensors"
    with pytest.raises(Cancelled):
        train(recipe, images, out, device=CPU, check_cancelled=stop_after(9 + (0 if direct else 30)))
    assert not out.exists()
    seen: list[int] = []
    resumed = train(recipe, images, out, device=CPU, report=lambda done, total, what: seen.append(done))
    assert seen[0] > 9
    np.testing.assert_array_equal(resumed.patterns, whole.patterns)
    for a, b in zip(weights(resumed), weights(whole), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert resumed.header.provenance.chosen == whole.header.provenance.chosen


def test_the_reconstruction_loss_counts_with_its_weight(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for number, weight in enumerate((0.0, 50.0)):
        verdict(monkeypatch, 0.0, 0.1, 0.2)
        recipe = quick_recipe(task={**TASK, "content": weight})
        made.append(train(recipe, images, tmp_path / f"{number}.dmu.safetensors", device=CPU))
    assert made[1].header.scores["discs/val"].psnr > made[0].header.scores["discs/val"].psnr


def test_an_existing_set_goes_on_with_stage_3(images: Path, tmp_path: Path, content_aware: PatternSet) -> None:
    recipe = quick_recipe(task=TASK)
    made = train(recipe, images, tmp_path / "a.dmu.safetensors", device=CPU, start=content_aware, keep_head=True)
    assert made.header.provenance.chosen.startswith(content_aware.header.provenance.chosen + ", ")
    assert made.header.provenance.curve == content_aware.header.provenance.curve
    other = quick_recipe(head={"steps": 10, "crop": 32, "shape": {"widths": [6], "blocks": [1]}}, task=TASK)
    with pytest.raises(SettingsError) as refusal:
        train(other, images, tmp_path / "b.dmu.safetensors", device=CPU, start=content_aware, keep_head=True)
    assert_sentence(refusal.value)


def test_the_direct_route_never_asks_for_an_image(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> torch.Tensor:
        raise AssertionError("the reconstruction loss was asked for")

    monkeypatch.setattr(task, "content_loss", refuse)
    monkeypatch.setattr(content, "content_step", refuse)
    made = train(quick_recipe(task={**TASK, "direct": True}), images, tmp_path / "a.dmu.safetensors", device=CPU)
    assert made.header.provenance.chosen.startswith("direct step")
    assert made.header.provenance.steps == 12
    assert made.header.provenance.curve == []
    assert made.segmenter is not None


def test_stage_3_needs_a_head() -> None:
    with pytest.raises(ValidationError, match="task needs a head"):
        quick_recipe(head=None, task=TASK)


# -- crops -----------------------------------------------------------------------------------------


def test_crops_keep_their_targets_and_empty_fields_have_none() -> None:
    image, labels = discs((64, 64), seed=1, count=9)
    sampler = CropSampler([[Example("discs", image, labels)]], [1.0], device=CPU, with_targets=True)
    plain = {"dimmest": 1.0, "gamma": 1.0, "empty": 0.0, "zoom": 1.0}
    specimen, target = cell_crops(sampler, 8, 32, HeadStage(crop=32, **plain), seed(0))
    generator = seed(0)
    some_zoom(1.0, generator)
    drawn = sampler.draw(8, 32, generator)
    torch.testing.assert_close(specimen, drawn[:, :1])
    torch.testing.assert_close(target[:, 0], (drawn[:, 1] > 0).float())
    assert 0.9 < target[:, 1].max() <= 1
    assert not target[:, 1][target[:, 0] == 0].any()
    made_up, nothing = cell_crops(sampler, 8, 32, HeadStage(crop=32, **{**plain, "empty": 0.999}), seed(0))
    assert not nothing.any()
    assert made_up.shape == specimen.shape
    assert not torch.equal(made_up, specimen)


def test_half_of_the_crops_are_dimmed_down_to_the_factor_and_half_get_another_gamma() -> None:
    even = torch.full((4000, 1, 1, 1), 0.5)
    factors = dimmed(even, 0.1, seed(0)).flatten() / 0.5
    assert factors.min() >= 0.1
    assert factors.min() < 0.12
    assert float((factors == 1).float().mean()) == pytest.approx(0.5, abs=0.05)
    powers = other_gamma(even, 2.0, seed(0)).flatten().log() / math.log(0.5)
    assert 0.49 < float(powers.min()) < 0.55
    assert 1.8 < float(powers.max()) < 2.01
    assert float((powers - 1).abs().lt(1e-6).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_empty_fields_are_uneven_and_within_range() -> None:
    fields = empty_fields(50, 32, seed(0))
    assert fields.shape == (50, 1, 32, 32)
    assert float(fields.min()) >= 0
    assert float(fields.max()) <= 1
    assert fields.std(dim=(1, 2, 3)).min() > 0.005
    assert torch.equal(fields, empty_fields(50, 32, seed(0)))


@pytest.mark.parametrize("zoom", [0.7, 1.0, 1.5])
def test_enlarged_cells_have_the_depths_of_cells_of_that_size(zoom: float) -> None:
    def crop(side: int, radius: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        y, x = np.indices((side, side)) - (side - 1) / 2
        disc = np.hypot(y, x) < radius
        return tuple(torch.from_numpy(p.astype(np.float32))[None, None] for p in (disc, *depths(disc.astype(int))))

    read = round(60 / zoom)
    specimen, depth, deepest = zoomed(*crop(read, 20 / zoom), 60, 60 / read)
    wanted = crop(60, 20.0)
    assert float((specimen - wanted[0]).abs().mean()) < 0.03
    assert float((depth - wanted[1]).abs().max()) < 1.6
    assert float(deepest.max()) == pytest.approx(float(wanted[2].max()), abs=1.5)
    assert torch.equal(depth > 0, deepest > 0)


def test_zooms_stay_within_their_limit() -> None:
    generator = seed(0)
    zooms = np.array([some_zoom(1.6, generator) for _ in range(2000)])
    assert 1 / 1.6 <= zooms.min() < 0.65
    assert 1.55 < zooms.max() <= 1.6
    assert np.mean(zooms == 1) == pytest.approx(0.4, abs=0.04)
