"""Recipes: those that come with the project, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support import assert_sentence

from napari_dmu.errors import FileError, SettingsError
from napari_dmu.training.recipe import read_recipe

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
RECIPES = sorted(FOLDER.rglob("*.yaml"))


def test_there_are_recipes_for_the_shipped_nuclei() -> None:
    assert {16, 64, 256} <= {read_recipe(p).acquisition.ratio for p in RECIPES if p.stem.startswith("nuclei")}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_in_the_project_is_valid_and_says_whose_images_it_uses(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.data_licence
    assert not {s.folder for s in recipe.training} & {s.folder for s in recipe.validation}
    assert recipe.name in path.stem
    assert f"x{recipe.acquisition.ratio:g}" in path.stem


GOOD = yaml.safe_load(RECIPES[0].read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "green"}, "colour"),
        ({"family": "zernike"}, "family"),
        ({"content": {"steps": 0}}, "content.steps"),
        ({"content": {"crop": 100}}, "crop"),
        ({"acquisition": {"bin": 16, "exposures": 4, "period": 24}}, "period"),
        ({"decoder": {"stride": 3}}, "stride"),
        ({"training": None}, "training"),
        ({"seed": -1}, "seed"),
        ({"validation": [{"folder": "somewhere", "masks": False}]}, "masks"),
    ],
)
def test_a_wrong_recipe_is_refused_with_a_sentence_that_names_the_entry(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}), encoding="utf-8")
    with pytest.raises(SettingsError, match=words) as refusal:
        read_recipe(path)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("content", [b"a: [1, 2", b"\xff\xfe\x00\x01", b"a: b: c"])
def test_what_is_no_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(FileError) as refusal:
        read_recipe(path)
    assert_sentence(refusal.value)


@pytest.mark.parametrize("content", ["", "just words", "- 1\n- 2\n"])
def test_yaml_that_is_no_recipe_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError):
        read_recipe(path)


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError) as refusal:
        read_recipe(tmp_path / "none.yaml")
    assert_sentence(refusal.value)
