"""``napari-dmu train``: a set from a recipe, which the other commands then use."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from cli_support import Command
from support import discs, quick_recipe

from napari_dmu.training import content, head_stage, single
from napari_dmu.training.lock import try_lock
from napari_dmu.zoo.pattern_set import read_set

NAME = "discs.dmu.safetensors"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of seconds, and images for it beside it."""
    for number, part in enumerate(("train", "val")):
        for kind in ("images", "masks"):
            (tmp_path / "data" / "discs" / part / kind).mkdir(parents=True)
        for index in range(3):
            image, labels = discs((64, 64), seed=10 * number + index)
            for kind, values in (("images", image * 1000), ("masks", labels)):
                path = tmp_path / "data" / "discs" / part / kind / f"{index}.tif"
                tifffile.imwrite(path, values.astype(np.uint16))
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(quick_recipe().model_dump(mode="json")), encoding="utf-8")
    return path


def test_a_set_is_trained_and_used(
    command: Command, recipe: Path, tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / NAME
    run = command("train", recipe, "--data", tmp_path / "data", "-o", out, "--device", "cpu")
    assert (run.status, run.err) == (0, "")
    trained = read_set(out)
    for words in ("discs/val", f"{trained.header.scores['discs/val'].psnr:.2f}", str(out)):
        assert words in run.out
    assert not list(tmp_path.glob("*.checkpoint*"))
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path))
    assert "discs" in command("sets").out
    m = tmp_path / "m.tif"
    assert command("simulate", sample, "-o", m, "--set", "discs", "--ratio", 8).status == 0
    assert command("reconstruct", m, "-o", tmp_path / "r.tif").status == 0


def test_an_interrupted_training_goes_on(
    command: Command, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("train", recipe, "--data", tmp_path / "data", "-o", tmp_path / NAME, "--device", "cpu")
    real = content.content_step
    steps = []

    def interrupted(*everything: object) -> object:
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return real(*everything)  # type: ignore[arg-type]

    monkeypatch.setattr(content, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(content, "content_step", interrupted)
    run = command(*arguments)
    assert run.status == 130
    assert f"goes on from {NAME}.checkpoint" in run.err
    assert not (tmp_path / NAME).exists()
    assert (tmp_path / f"{NAME}.checkpoint").exists()
    assert (tmp_path / f"{NAME}.lock").exists()  # as long as there is something to guard

    run = command(*arguments)
    assert run.status == 0
    assert f"Going on from {NAME}.checkpoint" in run.err
    assert len(steps) == 5 + quick_recipe().content.steps - 4
    assert read_set(tmp_path / NAME).header.provenance.steps == quick_recipe().content.steps + 10


def test_a_training_that_is_running_is_left_alone(command: Command, recipe: Path, tmp_path: Path) -> None:
    """A second one would write the same checkpoints, and the first to finish would remove what the other writes."""
    out = tmp_path / NAME
    arguments = ("train", recipe, "--data", tmp_path / "data", "-o", out, "--device", "cpu")
    with try_lock(tmp_path / f"{NAME}.lock") as lock:
        assert lock is not None
        assert "is in training already" in command(*arguments).sentence()
    assert not out.exists()
    assert command(*arguments).status == 0
    assert not list(tmp_path.glob("*.lock"))


def test_cells_are_trained_anew_on_a_set_that_is_kept(
    command: Command, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is started from is an input: never written over, and an interruption says from what it will go on."""
    first, out = tmp_path / "first.dmu.safetensors", tmp_path / NAME
    common = (recipe, "--data", tmp_path / "data", "--device", "cpu")
    assert command("train", *common, "-o", first).status == 0
    before = first.read_bytes()
    assert "is one of the inputs" in command("train", *common, "-o", first, "--start", first).sentence()
    assert first.read_bytes() == before

    real, steps = head_stage.head_step, []

    def interrupted(*everything: object) -> object:
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return real(*everything)  # type: ignore[arg-type]

    monkeypatch.setattr(single, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(head_stage, "head_step", interrupted)
    run = command("train", *common, "-o", out, "--start", first)
    assert run.status == 130
    assert f"goes on from {NAME}.checkpoint.head" in run.err
    run = command("train", *common, "-o", out, "--start", first)
    assert run.status == 0
    assert f"Going on from {NAME}.checkpoint.head" in run.err
    assert len(steps) == 5 + 10 - 4
    assert first.read_bytes() == before


def test_wrong_use(command: Command, recipe: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / NAME

    def refuse(name: Path, *, where: Path = data, to: Path = out, device: str = "cpu") -> str:
        return command("train", name, "--data", where, "-o", to, "--device", device).sentence()

    assert ".dmu.safetensors" in refuse(recipe, to=tmp_path / "set.safetensors")
    assert ".dmu.safetensors" in refuse(recipe, to=tmp_path / ".dmu.safetensors")
    assert "does not exist" in refuse(recipe, to=tmp_path / "no" / NAME)
    assert "data folder" in refuse(recipe, where=tmp_path / "nowhere")
    assert "no TIFF images" in refuse(recipe, where=tmp_path)
    assert "cannot be read" in refuse(tmp_path / "none.yaml")
    assert "device" in refuse(recipe, device="abacus")
    recipe.write_text("name: [", encoding="utf-8")
    assert "YAML" in refuse(recipe)
    recipe.write_text(json.dumps({"name": "x"}), encoding="utf-8")
    assert "the acquisition is missing" in refuse(recipe)
    assert not out.exists()
