"""What may lie together in the folder of a run, and what is known again when folders were moved."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from support import assert_sentence, discs, make_set

from napari_dmu.engine import batch_record
from napari_dmu.engine.batch import BatchOutcome, run_batch
from napari_dmu.engine.batch_plan import plan_run, run_settings
from napari_dmu.engine.progress import CancelToken, Progress
from napari_dmu.errors import Cancelled, SettingsError
from napari_dmu.segmentation.registry import SegmenterInfo
from napari_dmu.zoo.header import read_header
from napari_dmu.zoo.pattern_set import write_header


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
