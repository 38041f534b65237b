"""Recipes: those that come with the project, and what a wrong one says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from pydantic import ValidationError
from support import assert_sentence, quick_recipe

import napari_dmu
from napari_dmu.errors import DmuError, FileError, SettingsError
from napari_dmu.files.kernel import read_kernel
from napari_dmu.microscope.patterns import patterns_from_text, random_patterns, written_patterns
from napari_dmu.training.recipe import Recipe, SettleStage, read_order, read_recipe
from napari_dmu.zoo.header import read_header

SETS = Path(napari_dmu.__file__).parent / "zoo" / "sets"
FOLDER = Path(__file__).resolve().parents[2] / "recipes"
# The others are what recipes include, and the order of the matrix.
RECIPES = sorted(p for p in FOLDER.rglob("*.yaml") if p.name != "matrix.yaml" and not p.stem.endswith("-data"))


def test_there_are_recipes_for_the_shipped_nuclei() -> None:
    assert {16, 64, 256} <= {read_recipe(p).acquisition.ratio for p in RECIPES if p.stem.startswith("nuclei")}


def test_the_matrix_is_complete_and_in_order() -> None:
    ratios = (4, 16, 64, 256, 1024)
    wanted = {f"{name}-x{ratio}-{family}" for name, family in DOMAINS for ratio in ratios}
    order = read_order(FOLDER / "matrix.yaml")
    assert wanted <= {p.stem for p in RECIPES}
    assert wanted <= set(order) <= {p.stem for p in RECIPES}
    assert order.index("nuclei-x64-learned") < order.index("nuclei-x64-random")


DOMAINS = [
    *(("nuclei", family) for family in ("learned", "plain", "hadamard", "random")),
    ("structures", "learned"),
    ("structures", "plain"),
]


@pytest.mark.parametrize("path", [p for p in RECIPES if p.stem.startswith("structures")], ids=lambda p: p.stem)
def test_structures_are_measured_and_decoded_as_nuclei_are(path: Path) -> None:
    mine, theirs = read_recipe(path), read_recipe(path.with_name(path.name.replace("structures", "nuclei")))
    for part in ("family", "start", "acquisition", "noise"):
        assert getattr(mine, part) == getattr(theirs, part), part
    # At ×16 long training on so few images needs the limit and the round of scenes: a decoder without either answered
    # a bright disc with corrections in the thousands.
    sober = path.stem.startswith("structures-x16-")
    assert mine.decoder == replace(theirs.decoder, limited=theirs.decoder.limited or sober)
    assert mine.settle == ((SettleStage(),) if theirs.settle or sober else ())
    assert mine.content == theirs.content.model_copy(update={"steps": mine.content.steps})
    assert mine.head is None


@pytest.mark.parametrize("ratio", [64, 256, 1024])
@pytest.mark.parametrize("family", ["hadamard", "random"])
def test_reference_families_have_the_light_and_the_decoder_of_the_learned_one(ratio: int, family: str) -> None:
    learned, other = (read_recipe(FOLDER / f"nuclei-x{ratio}-{name}.yaml") for name in ("learned", family))
    assert other.family == family
    assert other.decoder == learned.decoder
    for part in ("ratio", "photons", "read_noise", "background"):
        assert getattr(other.acquisition, part) == getattr(learned.acquisition, part), part


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_in_the_project_is_valid_and_says_whose_images_it_uses(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.data_licence
    assert not {s.folder for s in recipe.training} & {s.folder for s in recipe.validation}
    assert recipe.name in path.stem
    assert f"x{recipe.acquisition.ratio:g}" in path.stem


GOOD = yaml.safe_load((FOLDER / "nuclei-x16-learned.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "green"}, "colour"),
        ({"family": "zernike"}, "family"),
        ({"content": {"steps": 0}}, "content.steps"),
        ({"content": {"crop": 100}}, "crop"),
        ({"acquisition": {"bin": 16, "exposures": 4, "period": 24}}, "period"),
        ({"decoder": {"stride": 3}}, "decoder's stride"),
        ({"decoder": {"lifting_stride": 3}}, "decoder's lifting_stride"),
        ({"decoder": {"lifting_stride": 0}}, "decoder's lifting_stride"),
        ({"decoder": {"lifted": 0}}, "decoder's lifted"),
        ({"decoder": {"widths": [8, 8, 8], "blocks": [1, 1]}}, "decoder has 3 widths and 2 blocks"),
        ({"decoder": {"widths": [], "blocks": []}}, "decoder has 0 widths"),
        ({"decoder": {"widths": [8, 0], "blocks": [1, 1]}}, "widths of at least 1"),
        ({"head": {"shape": {"widths": [8, 8], "blocks": [1, 1, 2]}}}, "head's shape has 2 widths and 3 blocks"),
        ({"error_bars": {"shape": {"widths": [8, 8], "blocks": [1, -1]}}}, "error_bars' shape"),
        ({"noise": {"photons": [0, 100]}}, "noise: the photons"),
        ({"noise": {"photons": [100, 10]}}, "smaller number first"),
        ({"noise": {"photons": [10, float("inf")]}}, "finite number"),
        ({"noise": {"read_noise": [-5, -1]}}, "0 or more"),
        ({"error_bars": {"noise": {"read_noise": [5, 1]}}}, r"error_bars\.noise: the read_noise"),
        ({"content": {"learning_rate": float("inf")}}, "finite number"),
        ({"training": None}, "training"),
        ({"training": []}, "training"),
        ({"validation": []}, "validation"),
        ({"seed": -1}, "seed"),
        ({"training": [{"folder": "a", "files": []}]}, "training.0.files"),
        ({"training": [{"folder": "a", "skip": "b.tif"}]}, "training.0.skip"),
        ({"validation": [{"folder": "a", "files": ["1.tif"]}, {"folder": "a", "files": ["2.tif"]}]}, "twice"),
        ({"include": 3}, "include"),
        ({"settle": {"scenes_from": 0.7}}, "scenes_from must be smaller"),
        ({"settle": [{}, {"steps": 0}]}, r"settle\.1\.steps"),
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


SMALL = {"steps": 2, "batch": 1, "crop": 8}


def test_crops_are_large_enough_for_the_structural_similarity_that_a_stage_asks_for() -> None:
    for changes in ({"content": SMALL}, {"task": SMALL}):
        with pytest.raises(ValidationError, match=r"crop \(8\) must be at least 11"):
            quick_recipe(**changes)
    for changes in ({"content": {**SMALL, "ssim": 0}, "task": SMALL}, {"task": {**SMALL, "content": 0}}):
        quick_recipe(**changes)
    quick_recipe(content=SMALL, task={**SMALL, "direct": True})


@pytest.mark.parametrize("path", sorted(SETS.glob("*.dmu.safetensors")), ids=lambda p: p.name.split(".")[0])
def test_the_recipes_that_shipped_sets_were_made_with_are_valid(path: Path) -> None:
    Recipe.model_validate(read_header(path).provenance.recipe)


@pytest.mark.parametrize("content", [b"a: [1, 2", b"\xff\xfe\x00\x01", b"a: b: c", b"a: 2026-02-30"])
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


def test_a_measured_psf_is_read_from_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    rows, columns = np.indices((21, 21)) - 10
    spot = np.rint(1000 * np.exp(-(rows**2 + columns**2) / 8)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "shared" / "bead.tif", spot)
    measured = {**GOOD["acquisition"], "emission": {"kind": "measured", "kernel": "bead.tif"}}
    (tmp_path / "shared" / "optics.yaml").write_text(yaml.safe_dump({"acquisition": measured}), encoding="utf-8")
    own = {key: value for key, value in GOOD.items() if key != "acquisition"}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**own, "include": "shared/optics.yaml"}), encoding="utf-8")
    assert read_recipe(path).acquisition.emission == read_kernel(tmp_path / "shared" / "bead.tif")


def _custom(tmp_path: Path, mine: np.ndarray, **changes: object) -> Path:
    """A recipe for patterns in a file beside it."""
    tifffile.imwrite(tmp_path / "mine.tif", 255 * mine, photometric="minisblack")
    shape = {"bin": 8, "exposures": 4, "period": 16}
    content = {**GOOD, "family": "custom", "patterns": "mine.tif", "acquisition": {**GOOD["acquisition"], **shape}}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in {**content, **changes}.items() if v is not None}))
    return path


def test_patterns_of_the_users_own_are_read_and_kept_in_the_recipe(tmp_path: Path) -> None:
    mine = random_patterns(4, 16, seed=3)
    recipe = read_recipe(_custom(tmp_path, mine))
    np.testing.assert_array_equal(patterns_from_text(recipe.patterns or ()), mine)
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe  # out of the model card
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, pattern in enumerate(mine):
        Image.fromarray(255 * pattern).save(folder / f"frame_{index}.png")
    assert read_recipe(_custom(tmp_path, mine, patterns="frames")).patterns == recipe.patterns
    odd = random_patterns(2, 9, seed=1)
    np.testing.assert_array_equal(patterns_from_text(written_patterns(odd)), odd)


@pytest.mark.parametrize(
    ("patterns", "changes", "words"),
    [
        (random_patterns(3, 16), {}, "3 patterns with a period of 16, not 4"),
        (random_patterns(4, 8), {}, "period of 8, not 4 patterns with a period of 16"),
        (random_patterns(4, 16), {"patterns": "none.tif"}, "none.tif"),
        (random_patterns(4, 16), {"patterns": ["mine.tif"]}, "name the file"),
        (random_patterns(4, 16), {"patterns": []}, "name the file"),
        (random_patterns(4, 16), {"patterns": None}, "goes with family: custom"),
        (random_patterns(4, 16), {"family": "learned"}, "goes with family: custom"),
        (np.linspace(0, 1, 4 * 256, dtype=np.float32).reshape(4, 16, 16) / 255, {}, "grey"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(
    tmp_path: Path, patterns: np.ndarray, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(DmuError, match=words) as refusal:
        read_recipe(_custom(tmp_path, patterns, **changes))
    assert_sentence(refusal.value)


def test_a_recipe_without_patterns_is_written_as_before() -> None:
    """The digest of what is written says whose a checkpoint is."""
    assert "patterns" not in Recipe.model_validate(GOOD).model_dump(mode="json")


def test_what_is_included_holds_where_the_recipe_has_nothing_of_its_own(tmp_path: Path) -> None:
    data = {key: GOOD[key] for key in ("training", "validation", "data_licence")}
    (tmp_path / "cells-data.yaml").write_text(yaml.safe_dump({**data, "seed": 5}), encoding="utf-8")
    own = {key: value for key, value in GOOD.items() if key not in data}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**own, "include": "cells-data.yaml", "seed": 7}), encoding="utf-8")
    recipe, whole = read_recipe(path), Recipe.model_validate(GOOD)
    assert recipe == whole.model_copy(update={"seed": 7})
    assert "include" not in recipe.model_dump(mode="json")  # the model card has the lists themselves

    (tmp_path / "deep").mkdir()
    deep = tmp_path / "deep" / "recipe.yaml"
    deep.write_text(yaml.safe_dump({**own, "include": "../cells-data.yaml", "seed": 7}), encoding="utf-8")
    assert read_recipe(deep) == recipe

    (tmp_path / "cells-data.yaml").write_text("- a list", encoding="utf-8")
    with pytest.raises(SettingsError, match="includes") as refusal:
        read_recipe(path)
    assert_sentence(refusal.value)
    (tmp_path / "cells-data.yaml").unlink()
    with pytest.raises(FileError, match="cells-data"):
        read_recipe(path)


@pytest.mark.parametrize("content", ["order: a", "order: [a, a]", "order: [1]", "[a]", "{}", ""])
def test_an_order_that_is_no_list_of_names_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "matrix.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="order") as refusal:
        read_order(path)
    assert_sentence(refusal.value)
