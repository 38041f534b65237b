"""``napari-dmu train`` with several recipes, and its data packs."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from cli_support import Command
from support import discs, quick_recipe

from napari_dmu.training import content
from napari_dmu.zoo.pattern_set import read_set


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with images in ``data`` and two recipes of seconds in ``recipes``."""
    for number, part in enumerate(("train", "val")):
        folder = tmp_path / "data" / "discs" / part
        folder.mkdir(parents=True)
        for index in range(2):
            image, _labels = discs((48, 48), seed=10 * number + index)
            tifffile.imwrite(folder / f"{index}.tif", (image * 1000).astype(np.uint16))
    (tmp_path / "recipes").mkdir()
    for name in ("one", "two"):
        recipe = quick_recipe(name=name, head=None, content={"steps": 4, "batch": 2, "crop": 32, "lifting_crops": 16})
        content = recipe.model_dump(mode="json")
        (tmp_path / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return tmp_path


def test_one_command_packs_and_one_trains_all(command: Command, project: Path) -> None:
    pack, sets = project / "p.safetensors", project / "sets"
    run = command("train", project / "recipes", "--data", project / "data", "--pack", pack)
    assert (run.status, run.err) == (0, "")
    assert "4 images" in run.out
    assert "MiB" in run.out
    arguments = ("train", project / "recipes", "--data", pack, "-o", sets, "--device", "cpu")
    run = command(*arguments)
    assert run.status == 0
    assert "[1/2] one" in run.err
    assert "[2/2] two" in run.err
    scores = read_set(sets / "two.dmu.safetensors").header.scores["discs/val"]
    assert f"{scores.psnr:.2f}" in run.out
    assert run.out.count("trained") == 2
    run = command(*arguments)
    assert (run.status, run.err) == (0, "")
    assert run.out.count("was there") == 2


def test_a_dry_run_is_short_and_is_not_taken_for_the_real_one(command: Command, project: Path) -> None:
    arguments = ("train", project / "recipes", "--data", project / "data", "-o", project / "sets", "--device", "cpu")
    assert command(*arguments, "--steps-scale", 0.25).status == 0
    assert read_set(project / "sets" / "one.dmu.safetensors").header.provenance.steps == 1
    run = command(*arguments)
    assert run.status == 0
    assert "another version of their recipe" in run.err


def test_ctrl_c_leaves_checkpoints(command: Command, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, steps = content.content_step, []

    def interrupted(*everything: object) -> object:
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return real(*everything)  # type: ignore[arg-type]

    monkeypatch.setattr(content, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(content, "content_step", interrupted)
    arguments = ("train", project / "recipes", "--data", project / "data", "-o", project / "sets", "--device", "cpu")
    run = command(*arguments)
    assert run.status == 130
    assert run.err.splitlines()[-1].startswith("Stopped: the same command goes on")
    assert (project / "sets" / "two.dmu.safetensors.checkpoint").exists()
    run = command(*arguments)
    assert run.status == 0
    assert len(steps) == 6 + 4 - 1
    assert "was there" in run.out


def test_a_failed_recipe_is_named_and_the_others_are_trained(command: Command, project: Path) -> None:
    broken = quick_recipe(name="one", head=None, training=[{"folder": "discs/none"}]).model_dump(mode="json")
    (project / "recipes" / "one.yaml").write_text(yaml.safe_dump(broken), encoding="utf-8")
    run = command("train", project / "recipes", "--data", project / "data", "-o", project / "sets", "--device", "cpu")
    assert run.status == 2
    assert "1 of 2 recipes failed" in run.err
    assert "discs/none" in run.err
    assert (project / "sets" / "two.dmu.safetensors").exists()


def test_wrong_use(command: Command, project: Path) -> None:
    recipes, data = project / "recipes", project / "data"

    def refuse(*arguments: object) -> str:
        return command("train", *arguments, "--data", data).sentence()

    assert "-o" in refuse(recipes)
    assert "looks like a file" in refuse(recipes, "-o", project / "a.dmu.safetensors")
    assert "--start" in refuse(recipes, "-o", project / "sets", "--start", project / "a.dmu.safetensors")
    assert "no recipes" in refuse(data, "-o", project / "sets")
    assert ".safetensors" in refuse(recipes, "--pack", project / "pack.zip")
    (recipes / "two.yaml").write_text("name: two", encoding="utf-8")
    assert "'two.yaml' cannot be used because the acquisition is missing" in refuse(recipes, "-o", project / "sets")
    assert not (project / "sets").exists()
