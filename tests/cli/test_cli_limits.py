"""``napari-dmu limits``: the table, JSON, and wrong use in one sentence."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cli_support import Command
from support import discs, make_set

from napari_dmu.errors import SpecimenError
from napari_dmu.evaluation.limits import Limits
from napari_dmu.microscope.acquisition import Acquisition


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("limits")
    make_set(place / "discs.dmu.safetensors", period=4, with_head=False)
    for index in range(3):
        image = (discs((48, 56), seed=index)[0] * 4000).astype(np.uint16)
        tifffile.imwrite(place / f"{index}.tif", image)
    return place


@pytest.fixture(autouse=True)
def _sets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_DMU_SETS", str(folder))


def test_table_and_numbers(command: Command, folder: Path) -> None:
    images = sorted(folder.glob("*.tif"))
    run = command("limits", *images, "--ratio", "4", "--set", "discs", "--family", "raster")
    assert (run.status, run.err) == (0, "")
    for part in ("mean image", "Karhunen", "this set", "full resolution", "Linear efficiency", "Headroom", "not known"):
        assert part in run.out
    assert "3 images" in run.out.splitlines()[0]
    assert run.out.rstrip().splitlines()[-1].startswith("The set must not be called close to the limit")


def test_what_the_reader_says_of_a_file_is_passed_on(command: Command, folder: Path, tmp_path: Path) -> None:
    inverted = tmp_path / "inverted.tif"
    tifffile.imwrite(inverted, tifffile.imread(folder / "0.tif"), photometric="miniswhite")
    run = command("limits", inverted, folder / "1.tif", folder / "2.tif", "--ratio", "4", "--exposures", "1", "--json")
    assert run.status == 0, run.err
    assert run.err.startswith("Note: inverted.tif: The file stores white as 0")
    json.loads(run.out)


def test_json_with_training_images_and_no_set(command: Command, folder: Path) -> None:
    options = ("--ratio", "4", "--exposures", "1", "--photons", "50", "--read-noise", "3", "--train", folder, "--json")
    run = command("limits", folder / "0.tif", *options)
    assert run.status == 0, run.err
    found = Limits.model_validate(json.loads(run.out))
    assert (found.exposures, found.bin, found.photons, found.read_noise) == (1, 2, 50, 3)
    assert found.statistics == "3 training images"
    assert found.linear_efficiency is None


def test_a_ratio_whose_bin_is_odd(command: Command, folder: Path) -> None:
    run = command("limits", *sorted(folder.glob("*.tif")), "--ratio", "81", "--exposures", "1", "--json")
    assert run.status == 0, run.err
    assert json.loads(run.out)["bin"] == 9


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the yardstick is asked for, which is then not drawn up."""
    seen: dict[str, Any] = {}

    def yardstick(images: list[np.ndarray], acquisition: Acquisition, **rest: Any) -> None:
        seen.update(rest, images=images, acquisition=acquisition)
        raise SpecimenError("Seen: that is enough.")

    monkeypatch.setattr("napari_dmu.evaluation.limits.limits", yardstick)
    return seen


def test_without_a_set_there_are_four_exposures(command: Command, folder: Path, asked: dict[str, Any]) -> None:
    command("limits", folder / "0.tif", "--ratio", "64")
    a = asked["acquisition"]
    assert (a.exposures, a.bin, a.period) == (4, 16, 16)
    assert (asked["ours"], asked["plain"], asked["training"], asked["seed"]) == (None, None, [], 0)


def test_all_lines_have_the_light_that_is_asked_for(
    command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    monkeypatch.setenv("NAPARI_DMU_SETS", os.pathsep.join((str(folder), str(tmp_path))))
    make_set(tmp_path / "plain.dmu.safetensors", family="plain", period=4, with_head=False)
    light = ("--photons", "50", "--read-noise", "3", "--background", "7")
    further = ("--seed", "5", "--doubling-gain", "0.2", "--seed-spread", "0.1", "--train", folder)
    command("limits", folder / "0.tif", "--ratio", "4", "--set", "discs", "--family", "raster", *light, *further)
    for a in (asked["acquisition"], asked["ours"].acquisition, asked["plain"].acquisition):
        assert (a.photons, a.read_noise, a.background) == (50, 3, 7)
    assert (asked["seed"], asked["doubling_gain"], asked["seed_spread"]) == (5, 0.2, 0.1)
    assert len(asked["training"]) == 3


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--ratio", "4"), "One image cannot be judged"),
        (("--ratio", "7"), "no whole bin"),
        (("--ratio", "0"), "no whole bin"),
        (("--ratio", "2", "--exposures", "5000"), "not possible for the exposures"),
        (("--ratio", "4", "--set", "discs", "--family", "raster", "--exposures", "9"), "leave --exposures out"),
        (("--ratio", "4", "--set", "nothing"), "no pattern set"),
        (("--ratio", "4", "--train", "/nowhere"), "no TIFF images"),
        (("--ratio", "4", "--photons", "-1"), "not possible for the photons"),
    ],
)
def test_wrong_use_is_one_sentence(command: Command, folder: Path, options: tuple[str, ...], part: str) -> None:
    assert part in command("limits", folder / "0.tif", *options).sentence()


def test_hidden_files_are_no_images(command: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "._0.tif").write_bytes(b"no image")
    run = command("limits", folder / "0.tif", "--ratio", "4", "--train", tmp_path)
    assert "no TIFF images" in run.sentence()
