"""OME-Zarr plates and images of several channels in a run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from support import assert_sentence, discs, make_set

from napari_dmu.engine.batch import BatchOutcome, run_batch
from napari_dmu.engine.batch_plan import plan_run, run_settings
from napari_dmu.errors import FileError, SettingsError
from napari_dmu.files import read_measurement, write_image
from napari_dmu.files.plate import plate_fields
from napari_dmu.files.specimen import read_specimen

AXES = {"axes": ("c", "y", "x"), "scale": (1, 0.5, 0.5), "units": ("pixel", "micrometer", "micrometer")}


def cells(seed: int, *, mask: bool = False) -> np.ndarray:
    """One field of a plate: (1, Y, X) labels, or (2, Y, X) of which the second channel has the cells."""
    image, labels = discs((64, 80), seed=seed)
    if mask:
        return labels[None].astype(np.uint16)
    return np.rint(3000 * np.stack([image[::-1] ** 2, image])).astype(np.uint16)


def write_plate(path: Path, wells: dict[str, int], *, version: str = "0.5", mask: bool = False) -> None:
    """A plate with the fields 0 … n − 1 in each of the ``wells``."""
    several = {"plate": {"wells": [{"path": well} for well in wells]}}
    attributes: dict[str, Any] = {"ome": {"version": "0.5", **several}} if version == "0.5" else several
    number = 3 if version == "0.5" else 2
    zarr.open_group(path, mode="w", zarr_format=number, attributes=attributes)
    for place, (well, count) in enumerate(wells.items()):
        entry: dict[str, Any] = {"well": {"images": [{"path": str(i)} for i in range(count)]}}
        own = {"ome": entry} if version == "0.5" else entry
        zarr.open_group(path / well, mode="w", zarr_format=number, attributes=own)
        for i in range(count):
            write_image(path / well / f"{i}.zarr", cells(10 * place + i, mask=mask), labels=mask, **AXES)
            (path / well / f"{i}.zarr").rename(path / well / str(i))


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path / "sets"))
    (tmp_path / "sets").mkdir()
    make_set(tmp_path / "sets" / "discs.dmu.safetensors")
    return tmp_path


def go(base: Path, **settings: Any) -> list[BatchOutcome]:
    usual = {"images": "screen.ome.zarr", "output": "out", "set": "discs", "ratio": 4, "family": "raster"}
    chosen = run_settings({**usual, **settings}, "run.yaml")
    jobs = plan_run(chosen, base)
    (base / "out").mkdir(exist_ok=True)
    return run_batch(jobs, chosen, device="cpu")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_every_field_of_a_plate_is_taken_in_its_order(base: Path, version: str) -> None:
    write_plate(base / "screen.ome.zarr", {"B/2": 2, "A/10": 1}, version=version)
    outcomes = go(base, channel=1)
    assert [(o.job.name, o.state) for o in outcomes] == [
        ("screen_B2_0", "done"), ("screen_B2_1", "done"), ("screen_A10_0", "done"),
    ]  # fmt: skip
    with (base / "out" / "scores.csv").open(encoding="utf-8") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [
            f"screen.ome.zarr/{place}" for place in ("B/2/0", "B/2/1", "A/10/0")
        ]
    measured = read_measurement(base / "out" / "screen_B2_1.dmu.ome.tif")
    assert measured.info.axes == ("y", "x")
    assert measured.info.scale == (0.5, 0.5)
    assert [o.state for o in go(base, channel=1)] == ["was there"] * 3


@pytest.mark.parametrize("which", ["images", "masks"])
def test_changed_pixels_of_an_ome_zarr_are_seen(base: Path, which: str) -> None:
    for folder, mask in (("images", False), ("masks", True)):
        (base / folder).mkdir()
        write_image(base / folder / "a.ome.zarr", cells(1, mask=mask), labels=mask, **AXES)
    chosen = {"images": "images", "truth": "masks", "channel": 0, "segmenter": None}
    assert [o.state for o in go(base, **chosen)] == ["done"]
    assert [o.state for o in go(base, **chosen)] == ["was there"]
    array = zarr.open_array(base / which / "a.ome.zarr" / "0", mode="r+")
    array[0] = array[0][::-1]
    assert [o.state for o in go(base, **chosen)] == ["done"]


def test_names_are_short_where_wells_have_one_field(base: Path) -> None:
    write_plate(base / "p.zarr", {"A/1": 1, "A/2": 1})
    assert plate_fields(base / "p.zarr") == {"A1": base / "p.zarr/A/1/0", "A2": base / "p.zarr/A/2/0"}
    assert plate_fields(base / "p.zarr/A/1/0") is None


def test_masks_are_a_plate_or_files(base: Path) -> None:
    write_plate(base / "screen.ome.zarr", {"A/1": 1, "A/2": 1})
    write_plate(base / "masks" / "screen.ome.zarr", {"A/1": 1}, mask=True)
    tifffile.imwrite(base / "masks" / "screen_A2.tif", cells(10, mask=True)[0])
    outcomes = go(base, channel=1, truth="masks")
    assert [o.state for o in outcomes] == ["done", "done"]
    for outcome, seed in zip(outcomes, (0, 10), strict=True):
        assert outcome.figures["truth_count"] == cells(seed, mask=True).max()
        assert outcome.figures["f1"] is not None
        assert outcome.figures["f1"] > 0.8


def test_of_a_mask_with_channels_that_of_the_image_counts(base: Path) -> None:
    write_plate(base / "screen.ome.zarr", {"A/1": 1})
    (base / "masks").mkdir()
    mask = cells(0, mask=True)
    write_image(base / "masks" / "screen_A1.tif", np.concatenate([0 * mask, mask]), labels=True, **AXES)
    (outcome,) = go(base, channel=1, truth="masks", keep=[])
    assert outcome.figures["truth_count"] == mask.max()


def test_an_only_channel_stays_in_image_and_mask_where_none_is_chosen(base: Path) -> None:
    for folder, mask in (("images", False), ("masks", True)):
        (base / folder).mkdir()
        write_image(base / folder / "a.ome.zarr", cells(1, mask=mask)[-1:], labels=mask, **AXES)
    (outcome,) = go(base, images="images", truth="masks", keep=[])
    assert outcome.state == "done", outcome.error
    assert outcome.figures["truth_count"] == cells(1, mask=True)[-1].max()


def test_without_a_channel_all_are_measured_and_what_they_share_is_said(base: Path) -> None:
    write_plate(base / "screen.ome.zarr", {"A/1": 1})
    (outcome,) = go(base)
    assert any("2 channels" in note and "choose one with channel." in note for note in outcome.notes)
    assert read_specimen(base / "out" / "screen_A1.reconstruction.ome.tif").data.shape == (2, 64, 80)


def test_a_channel_that_is_not_there_is_a_sentence(base: Path) -> None:
    write_plate(base / "screen.ome.zarr", {"A/1": 1})
    (outcome,) = go(base, channel=2)
    assert outcome.state == "failed"
    assert "has 2 channels, from 0 to 1" in outcome.error
    assert_sentence(ValueError(outcome.error))


def test_an_image_without_channels_is_taken_as_it_is(base: Path) -> None:
    tifffile.imwrite(base / "a.tif", cells(0)[1])
    assert [o.state for o in go(base, images="a.tif", channel=3)] == ["done"]


@pytest.mark.parametrize("damage", ["wells", "well", "none"])
def test_a_damaged_plate_is_a_sentence(base: Path, damage: str) -> None:
    path = base / "screen.ome.zarr"
    wells = {"wells": [{"path": "A/1"}] if damage == "well" else [{"row": 3}] if damage == "wells" else []}
    zarr.open_group(path, mode="w", attributes={"ome": {"plate": wells}})
    with pytest.raises(FileError) as raised:
        go(base)
    assert_sentence(raised.value)


def test_a_field_and_a_file_of_one_name_are_refused(base: Path) -> None:
    write_plate(base / "screen.ome.zarr", {"A/1": 1})
    tifffile.imwrite(base / "screen_A1.tif", cells(0)[1])
    with pytest.raises(SettingsError, match="'screen_A1'"):
        go(base, images=["screen.ome.zarr", "screen_A1.tif"])
