"""The split of the structures: no field on both sides, and the recipes hold what the tool prints."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_dmu.training.data import image_names, matching
from napari_dmu.training.recipe import read_recipe
from napari_dmu.training.sources import read_source

PROJECT = Path(__file__).resolve().parents[2]
RECIPE = PROJECT / "recipes" / "structures-x64-plain.yaml"


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("split_structures", PROJECT / "tools" / "split_structures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = _tool()


@pytest.mark.parametrize(
    ("folder", "same", "other"),
    [
        ("transfluor_gfp_bbbc016", ("AS_0_O03f00d2.tif", "AS_0_O03f02d2.tif"), "AS_0_O04f00d2.tif"),
        ("neurons_isl", ("dapi_confocal_y0512_x0512.tif", "nfh_confocal_y0000_x0512.tif"), "tuj1_widefield_y0_x0.tif"),
        ("neurons_synbot", ("in_red_Cx_ACM_13.tif", "in_green_Cx_ACM_13.tif"), "in_red_Cx_ACM_11.tif"),
        (
            "cellpainting_cytodataframe",
            ("NF1_B7_01_1_3_DAPI_001.tif", "NF1_B7_01_2_3_GFP_001.tif"),
            "NF1_B7_01_1_4_DAPI_001.tif",
        ),
        (
            "cellpainting_cytodataframe",
            ("JUMP_r01f01p01_ch2sk1fk1fl1.tif", "JUMP_r01f01p01_ch5sk1fk1fl1.tif"),
            "JUMP_r01f02p01_ch2sk1fk1fl1.tif",
        ),
        ("brain_tissue_cellfinder", ("crop_ch0_14.tif", "crop_ch1_05.tif"), "background_02.tif"),
        (
            "cellprofiler_examples_misc",
            ("ExampleFly_01_POS002_D.tif", "ExampleFly_01_POS002_R.tif"),
            "ExampleFly_01_POS076_F.tif",
        ),
        ("cellprofiler_examples_misc", ("H_D03f00d0.tif", "H_D03f00d2.tif"), "H_D03f01d0.tif"),
        ("cellprofiler_examples_misc", ("W_C16_w2.tif", "W_C16_w3.tif"), "W_C17_w2.tif"),
        (
            "cellprofiler_examples_misc",
            ("V_Channel_1_12_A_12_00.tif", "V_Channel_2_12_A_12_00.tif"),
            "V_Channel_1_01_A_01_00.tif",
        ),
        ("cells_faim_ipa", ("9987_B02_s1_w1_z1.tif", "9987_B02_s1_w3_z1.tif"), "9987_B02_s2_w1_z1.tif"),
        (
            "structures_neubias",
            ("xyc_8bit_cyto_nuclei_ch1.tif", "xyc_8bit_membranes_nuclei_ch0.tif"),
            "xy_8bit_nup.tif",
        ),
        (
            "structures_neubias",
            ("watershed_xyc_16bit_nuclei_tubulin_ch0.tif", "xyc_16bit_nuclei_tubulin_crop_ch1.tif"),
            "xyc_8bit_dapi_tublin_ch0.tif",
        ),
        ("structures_bian", ("BPAE_actin.tif", "BPAE_mito.tif"), "membrane2d.tif"),
        ("structures_bian", ("membrane_timelapse_t0.tif", "membrane_timelapse_t4.tif"), "membrane2d.tif"),
    ],
)
def test_what_shows_one_field_is_one_field(folder: str, same: tuple[str, str], other: str) -> None:
    assert tool.field(folder, same[0]) == tool.field(folder, same[1]) != tool.field(folder, other)


@given(
    sizes=st.lists(st.integers(1, 4), min_size=0, max_size=30),
    seed=st.integers(0, 5),
    folder=st.sampled_from(["cells_faim_ipa", "structures_bian"]),
)
def test_no_field_is_on_both_sides_and_the_seed_decides(sizes: list[int], seed: int, folder: str) -> None:
    ends = {"cells_faim_ipa": "_w{}_z1.tif", "structures_bian": "_ch{}.tif"}[folder]
    names = [f"f{number}{ends.format(k)}" for number, size in enumerate(sizes) for k in range(size)]
    back = tool.held_back(folder, names, seed)
    assert back == tool.held_back(folder, names[::-1], seed)
    fields = {tool.field(folder, n) for n in back}
    assert not fields & {tool.field(folder, n) for n in names if n not in back}
    assert len(fields) == (max(1, round(0.15 * len(sizes))) if len(sizes) >= 3 else 0)


def test_the_seed_changes_the_choice() -> None:
    names = [f"{n}.tif" for n in range(40)]
    assert len({tuple(tool.held_back("any", names, seed)) for seed in range(5)}) == 5


def test_the_recipes_hold_what_the_tool_prints(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["split_structures.py", "--data", str(shared_data), "--seed", "0"])
    tool.main()
    assert capsys.readouterr().out == (PROJECT / "recipes" / "structures-data.yaml").read_text(encoding="utf-8")


def test_every_image_is_on_exactly_one_side(shared_data: Path) -> None:
    recipe = read_recipe(RECIPE)

    def chosen(sources: tuple[object, ...]) -> set[str]:
        return {
            f"{s.folder}/{n}"
            for s in recipe.training + recipe.validation
            if s in sources
            for n in matching(image_names(shared_data / s.folder), s.files, s.skip)
            if s.folder not in tool.ALSO
        }

    assert {s.folder for s in recipe.training} > set(tool.ALSO)
    assert not {s.folder for s in recipe.validation} & set(tool.ALSO)
    training, validation = chosen(recipe.training), chosen(recipe.validation)
    every = {f"structures/{name}" for name in image_names(shared_data / "structures")}
    assert not training & validation
    assert training | validation == every

    def fields(names: set[str]) -> set[tuple[str, str]]:
        parts = [name.split("/") for name in names]
        return {(folder, tool.field(folder, name)) for _root, folder, name in parts}

    assert not fields(training) & fields(validation)
    assert 0.1 < len(fields(validation)) / len(fields(training | validation)) < 0.2


@pytest.mark.slow
def test_every_structure_can_be_read(shared_data: Path) -> None:
    recipe = read_recipe(RECIPE)
    for source in (*recipe.training, *recipe.validation):
        for example in read_source(shared_data, source, masks=False):
            assert example.specimen.min() == 0, example.name
            assert example.specimen.max() == 1, example.name
            # Neither an offset of 2^15 nor steps of 257 leave a field that is all dark or all bright.
            assert 0.002 < np.mean(example.specimen) < 0.9, example.name
