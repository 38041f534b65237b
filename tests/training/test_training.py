"""A training of seconds: it learns, it can be stopped and goes on, and it gives the same set each time."""

from __future__ import annotations

import ast
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from support import assert_sentence, quick_recipe

import napari_dmu
from napari_dmu.errors import Cancelled, FileError
from napari_dmu.microscope.patterns import random_patterns, written_patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.training import content, single
from napari_dmu.training.checkpoint import load_checkpoint, save_checkpoint
from napari_dmu.training.data import CropSampler, read_examples
from napari_dmu.training.loop import train
from napari_dmu.training.recipe import HeadStage, Recipe
from napari_dmu.training.recorded import RecordedDecoder
from napari_dmu.training.stages import BinaryPatterns, Draw, content_step, fit_lifting, head_step
from napari_dmu.zoo.pattern_set import PatternSet, read_set

CPU = torch.device("cpu")


def seed(value: int) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def assert_equal(one: PatternSet, other: PatternSet, tolerance: float = 0.0) -> None:
    np.testing.assert_array_equal(one.patterns, other.patterns)
    assert one.segmenter is not None
    assert other.segmenter is not None
    for a, b in ((one.decoder, other.decoder), (one.segmenter, other.segmenter)):
        for (name, weight), (_, same) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
            torch.testing.assert_close(weight, same, rtol=tolerance, atol=tolerance, msg=name)


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    """An uninterrupted training of the quick recipe."""
    return train(quick_recipe(), images, tmp_path_factory.mktemp("whole") / "discs.dmu.safetensors", device=CPU)


def test_thirty_steps_reduce_the_loss(images: Path, recipe: Recipe) -> None:
    torch.manual_seed(0)
    a, stage = recipe.acquisition, recipe.content
    patterns = BinaryPatterns(random_patterns(a.exposures, a.period, seed=1))
    decoder = Decoder(a.exposures, a.bin, a.period, recipe.decoder)
    passes = RecordedDecoder(decoder)
    sampler = CropSampler([read_examples(images / "discs" / "train", masks=False)], [1.0], device=CPU)

    def loss() -> float:
        with torch.no_grad():
            draws = [
                content_step(patterns, passes, sampler, Draw(a, recipe.noise, seed(90 + i)), stage) for i in range(8)
            ]
            return float(torch.stack(draws).mean())

    before = loss()
    network = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    mirrors = torch.optim.Adam(patterns.parameters(), lr=0.2)
    draw = Draw(a, recipe.noise, seed(0))
    for _ in range(30):
        network.zero_grad()
        mirrors.zero_grad()
        content_step(patterns, passes, sampler, draw, stage).backward()
        network.step()
        mirrors.step()
    assert loss() < 0.75 * before
    assert set(np.unique(patterns.binary())) == {0, 1}


def test_the_closed_form_is_a_better_start_than_chance(images: Path, recipe: Recipe) -> None:
    torch.manual_seed(0)
    a, stage = recipe.acquisition, recipe.content
    patterns = BinaryPatterns(random_patterns(a.exposures, a.period, seed=1))
    decoder = Decoder(a.exposures, a.bin, a.period, recipe.decoder)
    passes = RecordedDecoder(decoder)
    sampler = CropSampler([read_examples(images / "discs" / "train", masks=False)], [1.0], device=CPU)
    with torch.no_grad():
        chance = content_step(patterns, passes, sampler, Draw(a, recipe.noise, seed(5)), stage)
        fit_lifting(decoder, patterns(), sampler, Draw(a, recipe.noise, seed(6)), stage)
        solved = content_step(patterns, passes, sampler, Draw(a, recipe.noise, seed(5)), stage)
    assert solved < 0.5 * chance


def test_the_head_learns_and_leaves_the_decoder_alone(images: Path, recipe: Recipe, trained: PatternSet) -> None:
    torch.manual_seed(0)
    stage = recipe.head
    assert isinstance(stage, HeadStage)
    examples = read_examples(images / "discs" / "train", masks=True)
    sampler = CropSampler([examples], [1.0], device=CPU, with_targets=True)
    head = SegmentationHead(recipe.decoder.widths[0], recipe.decoder.stride, stage.shape)
    optimiser = torch.optim.AdamW(head.parameters(), lr=5e-3)
    weights = {k: v.clone() for k, v in trained.decoder.state_dict().items()}
    microscope, draw = trained.microscope(), Draw(recipe.acquisition, recipe.noise, seed(0))
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = head_step(microscope, trained.decoder, head, sampler, draw, stage)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    assert all(torch.equal(v, weights[k]) for k, v in trained.decoder.state_dict().items())


def test_the_set_reads_back_with_its_card(trained: PatternSet, images: Path) -> None:
    assert trained.patterns.shape == (2, 8, 8)
    assert set(np.unique(trained.patterns)) <= {0, 1}
    card = trained.header.provenance
    assert card.recipe["name"] == "discs"
    assert card.seed == 0
    assert card.steps == 30
    assert len(card.data_fingerprint) == 64
    assert card.versions["torch"] == torch.__version__
    assert [step for step, _ in card.curve] == [8, 16, 20]
    assert card.chosen.startswith("content step")
    best = max(card.curve, key=lambda point: point[1])
    assert card.chosen == f"content step {best[0]}"
    scores = trained.header.scores["discs/val"]
    assert scores.images == 3
    assert scores.ap50 is not None
    assert trained.header.dose_mean == pytest.approx(trained.patterns.sum(0).mean())
    assert trained.header.dose_max == trained.patterns.sum(0).max()
    # Better than an image that is the right constant everywhere, by far.
    constant = np.mean([-10 * np.log10(e.specimen.var()) for e in read_examples(images / "discs/val", masks=False)])
    assert scores.psnr > constant + 3


def test_mirrors_move_where_the_loss_tells_them_and_stay_binary(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a reward for light in one half of the period and for darkness in the other, the set must show just that."""
    wanted = torch.zeros(2, 8, 8)
    wanted[:, :, 4:] = 1

    def steered(patterns: BinaryPatterns, *others: Any) -> torch.Tensor:
        shown = patterns()
        assert set(shown.unique().tolist()) <= {0.0, 1.0}
        # The image's own wishes are kept from the mirrors: Adam makes full steps of the slightest gradient, so that
        # one that is right already could stand on the wrong side when the time for moving is over.
        still = BinaryPatterns(patterns.binary()).requires_grad_(False)
        return content_step(still, *others) + 500 * (shown - wanted).square().mean()

    monkeypatch.setattr(content, "content_step", steered)
    recipe = quick_recipe(check_every=1000, head=None)
    recipe = recipe.model_copy(update={"content": recipe.content.model_copy(update={"pattern_rate": 0.5})})
    made = train(recipe, images, tmp_path / "a.dmu.safetensors", device=CPU)
    assert made.patterns.dtype == np.uint8
    np.testing.assert_array_equal(made.patterns, wanted.numpy())


@pytest.mark.parametrize("changes", [{"pattern_rate": 0.0}, {"patterns_until": 0.0}])
def test_patterns_that_are_told_to_stay_do(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, float]
) -> None:
    monkeypatch.setattr(content, "content_step", lambda p, *o: content_step(p, *o) + 50 * p().mean())
    recipe = quick_recipe(check_every=1000, head=None)
    recipe = recipe.model_copy(update={"content": recipe.content.model_copy(update=changes)})
    made = train(recipe, images, tmp_path / "a.dmu.safetensors", device=CPU)
    np.testing.assert_array_equal(made.patterns, random_patterns(2, 8, seed=0))


def test_the_same_seed_gives_the_same_set_and_another_one_another(
    images: Path, tmp_path: Path, recipe: Recipe, trained: PatternSet
) -> None:
    torch.manual_seed(12345)  # what the program did before must not matter
    state = torch.random.get_rng_state()
    again = train(recipe, images, tmp_path / "again.dmu.safetensors", device=CPU)
    assert torch.equal(state, torch.random.get_rng_state())
    assert_equal(again, trained)
    assert again.hash == trained.hash
    other = train(recipe.model_copy(update={"seed": 1}), images, tmp_path / "other.dmu.safetensors", device=CPU)
    assert other.hash != trained.hash


def stop_after(count: int) -> Callable[[], None]:
    left = [count]

    def check() -> None:
        if not left[0]:
            raise Cancelled("Stopped: nothing was changed.")
        left[0] -= 1

    return check


@pytest.mark.parametrize("steps", [1, 7, 14, 20, 25])
def test_a_training_that_was_stopped_goes_on_as_if_nothing_had_happened(
    images: Path, tmp_path: Path, recipe: Recipe, trained: PatternSet, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    for module in (content, single):
        monkeypatch.setattr(module, "CHECKPOINT_SECONDS", -1.0)  # at every step
    out = tmp_path / "discs.dmu.safetensors"
    with pytest.raises(Cancelled):
        train(recipe, images, out, device=CPU, check_cancelled=stop_after(steps))
    assert not out.exists()
    left = list(tmp_path.iterdir())
    assert left
    assert all(_is_safetensors(path) for path in left)
    done: list[int] = []
    resumed = train(recipe, images, out, device=CPU, report=lambda step, total, what: done.append(step))
    assert done[0] > steps  # it did not begin anew
    assert_equal(resumed, trained, 1e-6)
    assert resumed.header.provenance.curve == trained.header.provenance.curve
    assert list(tmp_path.iterdir()) == [out]  # no checkpoint is left behind


@pytest.mark.parametrize("steps", [7, 25])
@pytest.mark.parametrize("changed", ["recipe", "images", "validation"])
def test_checkpoints_are_for_their_own_recipe_and_images_alone(
    images: Path, tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, changed: str, steps: int
) -> None:
    for module in (content, single):
        monkeypatch.setattr(module, "CHECKPOINT_SECONDS", -1.0)
    data, out = tmp_path / "data", tmp_path / "sets" / "discs.dmu.safetensors"
    shutil.copytree(images, data)
    out.parent.mkdir()
    with pytest.raises(Cancelled):
        train(recipe, data, out, device=CPU, check_cancelled=stop_after(steps))
    left = {path: path.read_bytes() for path in out.parent.iterdir()}
    if changed == "recipe":
        recipe = recipe.model_copy(update={"seed": 1})
    else:
        source = recipe.training[0] if changed == "images" else recipe.validation[0]
        path = sorted((data / source.folder / "images").iterdir())[0]
        tifffile.imwrite(path, tifffile.imread(path)[::-1])
    with pytest.raises(FileError) as refusal:
        train(recipe, data, out, device=CPU)
    assert_sentence(refusal.value)
    assert {path: path.read_bytes() for path in out.parent.iterdir()} == left


def _is_safetensors(path: Path) -> bool:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return isinstance(json.loads(data[8 : 8 + length]), dict)


def test_progress_rises_to_the_end(images: Path, tmp_path: Path, recipe: Recipe) -> None:
    seen: list[tuple[int, int, str]] = []
    train(recipe, images, tmp_path / "a.dmu.safetensors", device=CPU, report=lambda *a: seen.append(a))
    done = [s[0] for s in seen]
    assert done == sorted(done)
    assert {s[1] for s in seen} == {30}
    assert done[-1] == 30


def test_families_that_do_not_learn_keep_their_patterns_and_a_set_needs_no_head(
    images: Path, tmp_path: Path, recipe: Recipe
) -> None:
    fixed = recipe.model_copy(update={"family": "hadamard", "head": None})
    made = train(fixed, images, tmp_path / "h.dmu.safetensors", device=CPU)
    assert made.segmenter is None
    assert made.patterns[0].min() == 1
    assert made.header.scores["discs/val"].ap50 is None
    assert read_set(tmp_path / "h.dmu.safetensors").hash == made.hash


def test_patterns_of_the_users_own_stay_as_they_are(images: Path, tmp_path: Path, recipe: Recipe) -> None:
    mine = random_patterns(2, 8, seed=9)
    changes = {"family": "custom", "patterns": written_patterns(mine), "head": None}
    made = train(recipe.model_copy(update=changes), images, tmp_path / "c.dmu.safetensors", device=CPU)
    assert made.family == "custom"
    np.testing.assert_array_equal(made.patterns, mine)
    assert Recipe.model_validate(made.header.provenance.recipe).patterns == written_patterns(mine)


def test_a_checkpoint_of_another_training_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, {"part": torch.nn.Linear(2, 3)}, {"step": 1})
    assert load_checkpoint(path, {"part": torch.nn.Linear(2, 3)}) == {"step": 1}
    with pytest.raises(FileError) as refusal:
        load_checkpoint(path, {"part": torch.nn.Linear(5, 3)})
    assert_sentence(refusal.value)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileError):
        load_checkpoint(path, {"part": torch.nn.Linear(2, 3)})


def test_missing_images_are_refused_before_anything_is_written(tmp_path: Path, recipe: Recipe) -> None:
    with pytest.raises(FileError) as refusal:
        train(recipe, tmp_path, tmp_path / "a.dmu.safetensors", device=CPU)
    assert_sentence(refusal.value)
    assert not list(tmp_path.iterdir())


def test_no_module_of_the_package_reads_or_writes_pickles() -> None:
    for path in Path(napari_dmu.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not {"pickle", "dill", "joblib"} & {alias.name for alias in node.names}, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}, path
