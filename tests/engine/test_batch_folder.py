"""What may lie together in the folder of a run, and what is known again when folders were moved."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from support import assert_sentence, discs, make_set

from napari_dmu.engine import batch_record
from napari_dmu.engine.batch import BatchOutcome, run_batch
from napari_dmu.engine.batch_plan import BatchJob, plan_run, run_settings
from napari_dmu.engine.progress import CancelToken, Progress
from napari_dmu.errors import Cancelled, SettingsError
from napari_dmu.segmentation.registry import SegmenterInfo
from napari_dmu.zoo.header import read_header
from napari_dmu.zoo.pattern_set import read_set, write_header


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, np.rint(3000 * discs((64, 80), seed=seed)[0]).astype(np.uint16))


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders with images of the same sizes, one of which has the same name in both."""
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path / "sets"))
    for folder in ("out", "sets"):
        (tmp_path / folder).mkdir()
    make_set(tmp_path / "sets" / "discs.dmu.safetensors")
    for seed, name in enumerate(("A/a1.tif", "A/a2.tif", "B/b1.tif", "A2/a1.tif")):
        write(tmp_path / name, seed)
    return tmp_path


def go(
    base: Path, images: str, *, cancel: CancelToken | None = None, progress: Progress | None = None, **changes: Any
) -> list[BatchOutcome]:
    usual = {"output": "out", "set": "discs", "ratio": 4, "family": "raster", "keep": ["labels"]}
    chosen = run_settings({"images": images, **usual, **changes}, "run.yaml")
    return run_batch(plan_run(chosen, base), chosen, device="cpu", cancel=cancel, progress=progress)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_other_images_with_other_settings_are_refused(base: Path) -> None:
    go(base, "A")
    before = contents(base / "out")
    with pytest.raises(SettingsError, match=r"other settings, .*\('a1'") as raised:
        go(base, "B", photons=5)
    assert_sentence(raised.value)
    assert contents(base / "out") == before


def test_the_table_has_all_images_of_the_folder(base: Path) -> None:
    go(base, "A")
    go(base, "B")
    with (base / "out" / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["state"]) for row in rows] == [
        ("b1.tif", "done"),
        ("a1.tif", "was there"),
        ("a2.tif", "was there"),
    ]
    assert all(row["psnr"] and row["count"] for row in rows)


def test_results_of_another_image_of_that_name_are_not_overwritten(base: Path) -> None:
    go(base, "A")
    before = contents(base / "out")
    with pytest.raises(SettingsError, match=r"A.a1\.tif' under the name of '.*A2.a1\.tif'") as raised:
        go(base, "A2")
    assert_sentence(raised.value)
    assert contents(base / "out") == before


@pytest.mark.parametrize("how", ["moved", "copied", "touched"])
def test_an_image_is_known_again_by_its_content(base: Path, how: str) -> None:
    go(base, "A")
    if how == "moved":
        (base / "A").rename(base / "C")
    elif how == "copied":  # with new times, as to another machine
        (base / "C").mkdir()
        for path in (base / "A").iterdir():
            shutil.copyfile(path, base / "C" / path.name)
    else:
        os.utime(base / "A" / "a1.tif", ns=(1, 1))
    folder = "A" if how == "touched" else "C"
    assert [o.state for o in go(base, folder)] == ["was there"] * 2
    write(base / folder / "a1.tif", 9)
    if how != "copied":  # the very image, changed; or a new one in place of one that is gone
        assert [o.state for o in go(base, folder)] == ["done", "was there"]


def test_a_file_that_was_touched_is_read_once_to_know_it(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the run, for the image itself, and for its new record: big files take long."""
    go(base, "A/a1.tif")
    shutil.copyfile(base / "A" / "a1.tif", base / "B" / "a1.tif")
    opened: list[Path] = []
    usual = Path.open

    def watched(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        opened.extend([path] * (mode == "rb" and path.parent == base / "B"))
        return usual(path, mode, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", watched)
        assert [o.state for o in go(base, "B/a1.tif")] == ["was there"]
    assert len(opened) == 1
    write(base / "B" / "a1.tif", 8)  # the same size, another time and content
    (base / "A" / "a1.tif").unlink()
    assert [o.state for o in go(base, "B/a1.tif")] == ["done"]


def test_who_stops_does_not_wait_for_the_other_images(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a folder that was moved are read to be known again."""
    go(base, "A")
    (base / "A").rename(base / "C")
    token, seen = CancelToken(), []
    usual = batch_record._fingerprint
    monkeypatch.setattr(batch_record, "_fingerprint", lambda path, *now: (seen.append(path.name), usual(path, *now))[1])
    with pytest.raises(Cancelled):
        go(base, "C", cancel=token, progress=lambda *_: token.cancel())
    assert seen == ["a1.tif"]
    with (base / "out" / "scores.csv").open(encoding="utf-8") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["a1.tif", "a2.tif"]


def test_an_image_with_another_mask_is_done_anew(base: Path) -> None:
    (base / "masks").mkdir()
    for state, number in (("done", 1), ("was there", 1), ("done", 2)):
        tifffile.imwrite(base / "masks" / "a1.tif", np.full((64, 80), number, np.uint8))
        assert [o.state for o in go(base, "A/a1.tif", truth="masks")] == [state]


def test_an_image_whose_mask_came_or_went_is_done_anew(base: Path) -> None:
    (base / "masks").mkdir()
    mask = base / "masks" / "a1.tif"
    for there in (False, True, False):
        if there:
            tifffile.imwrite(mask, np.ones((64, 80), np.uint8))
        else:
            mask.unlink(missing_ok=True)
        assert [o.state for o in go(base, "A/a1.tif", truth="masks", keep=[])] == ["done"]


def test_what_is_said_of_an_image_and_its_mask_is_kept(base: Path) -> None:
    (base / "masks").mkdir()
    labels = discs((64, 80), seed=0)[1].astype(np.uint16)
    tifffile.imwrite(base / "masks" / "a1.tif", 65535 - labels, photometric="miniswhite")
    (first,), (again,) = (go(base, "A/a1.tif", truth="masks") for _ in range(2))
    assert (first.state, again.state) == ("done", "was there")
    assert any("stores white as 0" in note for note in first.notes)
    assert again.notes == first.notes


def test_a_figure_that_is_infinite_is_blank_in_the_table_and_null_in_the_record(base: Path) -> None:
    tifffile.imwrite(base / "A" / "flat.tif", np.full((64, 80), 7, np.uint16))
    (outcome,) = go(base, "A/flat.tif")
    assert outcome.state == "done", outcome.error
    assert outcome.figures["nrmse"] is None
    assert "Infinity" not in (base / "out" / "flat.run.json").read_text()
    with (base / "out" / "scores.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["nrmse"] == ""
    assert row["ssim"] != ""


def test_results_that_were_moved_are_known_again(base: Path) -> None:
    go(base, "A/a1.tif")
    (base / "out").rename(base / "moved")
    assert [o.state for o in go(base, "A/a1.tif", output="moved")] == ["was there"]


@pytest.mark.parametrize("what", ["its size", "its place"])
def test_an_image_with_the_time_of_another_is_done_anew(base: Path, what: str) -> None:
    """Copies and archives keep the time of change."""
    image = base / "A" / "a1.tif"
    go(base, "A/a1.tif")
    time = image.stat().st_mtime_ns
    if what == "its size":
        tifffile.imwrite(image, np.rint(3000 * discs((64, 90), seed=5)[0]).astype(np.uint16))
    else:
        image.unlink()
        image = base / "C" / "a1.tif"
        write(image, 5)
    os.utime(image, ns=(time, time))
    assert [o.state for o in go(base, f"{image.parent.name}/a1.tif")] == ["done"]


def test_files_of_an_ome_zarr_are_told_by_their_names_and_the_newest_of_them(base: Path) -> None:
    job = BatchJob("a", base / "a.zarr", None, base / "out", "a.zarr")
    job.image.mkdir()
    for number, name in enumerate("01"):
        (job.image / name).write_bytes(bytes([number]))
        os.utime(job.image / name, ns=(0, 10**9 * (number + 1)))
    (before,) = batch_record.files_now(job)
    assert (before.size, before.changed) == (2, 2 * 10**9)
    (job.image / "1").rename(job.image / "2")
    batch_record._fingerprint.cache_clear()  # as in another process
    (after,) = batch_record.files_now(job)
    assert after.sha256 != before.sha256


@pytest.mark.parametrize("text", ["[]", "3", "{", ""])
def test_a_damaged_record_is_made_anew(base: Path, text: str) -> None:
    job = plan_run(run_settings({"images": "A/a1.tif", "output": "out"}, "run.yaml"), base)[0]
    job.result(".run.json").write_text(text)
    batch_record.refuse_mixing([job], "any")
    assert batch_record.record_of_unchanged(job) is None


@pytest.mark.parametrize("network", ["decoder", "head"])
def test_the_networks_of_a_set_decide_its_results(base: Path, network: str) -> None:
    chosen = run_settings({"images": "A", "output": "out"}, "run.yaml")
    instrument = read_set(base / "sets" / "discs.dmu.safetensors")
    other = replace(getattr(instrument.header, network), blocks=(7, 7))
    changed = replace(instrument, header=instrument.header.model_copy(update={network: other}))
    assert batch_record.made_from(chosen, changed) != batch_record.made_from(chosen, instrument)


@pytest.mark.parametrize("what", ["acquisition", "instances", "version", "segmenter"])
def test_what_else_decides_the_results_is_compared(base: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    path, origin = base / "sets" / "discs.dmu.safetensors", {"version": "1"}
    monkeypatch.setattr(
        batch_record, "available_segmenters", lambda: [SegmenterInfo("theirs", f"theirs {origin['version']}")]
    )
    monkeypatch.setattr("napari_dmu.engine.cells.load_segmenter", lambda name: lambda image: np.zeros(image.shape, int))
    go(base, "A/a1.tif", segmenter="theirs")
    assert [o.state for o in go(base, "A/a1.tif", segmenter="theirs")] == ["was there"]
    header = read_header(path)
    if what in ("acquisition", "instances"):
        part = getattr(header, what)
        field = {"photons": 9.0} if what == "acquisition" else {"foreground": 0.9}
        write_header(path, path, header.model_copy(update={what: part.model_copy(update=field)}))
    elif what == "version":
        monkeypatch.setattr(batch_record, "__version__", "99")
    else:
        origin["version"] = "2"
    with pytest.raises(SettingsError, match="another pattern set, segmenter or napari-dmu") as raised:
        go(base, "A/a1.tif", segmenter="theirs")
    assert_sentence(raised.value)


def test_what_a_set_says_of_its_training_is_not_compared(base: Path) -> None:
    path = base / "sets" / "discs.dmu.safetensors"
    go(base, "A/a1.tif")
    header = read_header(path)
    write_header(path, path, header.model_copy(update={"dose_mean": header.dose_mean + 1}))
    assert [o.state for o in go(base, "A/a1.tif")] == ["was there"]


def test_records_of_an_older_napari_dmu_are_refused(base: Path) -> None:
    (base / "out" / "a1.run.json").write_text(json.dumps({"made_from": "0" * 64, "image": [], "figures": {}}))
    with pytest.raises(SettingsError, match="other settings"):
        go(base, "B")
