"""A folder of images: what is taken, what is written, and that a run goes on where it was stopped."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml
from distributed import LocalCluster
from hypothesis import given
from hypothesis import strategies as st
from support import assert_sentence, discs, make_set

from napari_dmu.cli.run import run
from napari_dmu.engine import batch, cluster
from napari_dmu.engine.batch import BatchOutcome, run_batch
from napari_dmu.engine.batch_plan import BatchJob, RunSettings, image_seed, plan_run, run_settings
from napari_dmu.engine.batch_record import made_from
from napari_dmu.engine.progress import CancelToken
from napari_dmu.engine.verbs import compare, load, reconstruct, segment, simulate
from napari_dmu.errors import Cancelled, DmuError, FileError, PatternSetError, SettingsError
from napari_dmu.files import read_measurement, write_image
from napari_dmu.files.specimen import read_specimen

SETTINGS: dict[str, Any] = {"output": "out", "set": "discs", "ratio": 4, "family": "raster"}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three images in ``in`` and the masks of two of them in ``masks``; a set is installed."""
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path / "sets"))
    for folder in ("in", "masks", "out", "sets"):
        (tmp_path / folder).mkdir()
    make_set(tmp_path / "sets" / "discs.dmu.safetensors")
    for number, name in enumerate(("a.tif", "b.ome.tif", "c.tif")):
        image, labels = discs((64, 80), seed=number + 1)
        tifffile.imwrite(tmp_path / "in" / name, np.rint(3000 * image).astype(np.uint16))
        if name != "c.tif":
            tifffile.imwrite(tmp_path / "masks" / name, labels.astype(np.uint16))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "._a.tif").write_bytes(b"hidden")
    return tmp_path


def rows_of(path: Path) -> list[dict[str, str]]:
    """A CSV file, a mapping a row."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def settings(**changes: Any) -> RunSettings:
    return run_settings({"images": "in", **SETTINGS, **changes}, "run.yaml")


def go(base: Path, chosen: RunSettings, **options: Any) -> list[BatchOutcome]:
    return run_batch(plan_run(chosen, base), chosen, device="cpu", **options)


@pytest.mark.parametrize("method", ["learned", "lmmse"])
def test_every_image_is_taken_and_results_are_those_of_the_verbs(base: Path, method: Any) -> None:
    outcomes = go(base, settings(truth="masks", photons=500, seed=3, method=method))
    assert [(o.job.name, o.state) for o in outcomes] == [("a", "done"), ("b", "done"), ("c", "done")]
    image = tifffile.imread(base / "in" / "a.tif")
    instrument = load("discs", ratio=4, family="raster")
    measured = read_measurement(base / "out" / "a.dmu.ome.tif")
    expected = simulate(image, instrument, photons=500, seed=measured.info.seed, device="cpu")
    np.testing.assert_array_equal(np.asarray(measured.data), expected.data)
    np.testing.assert_allclose(
        np.asarray(read_specimen(base / "out" / "a.reconstruction.ome.tif").data),
        reconstruct(expected, method=method, device="cpu"),
    )
    labels = read_specimen(base / "out" / "a.labels.ome.tif")
    assert labels.labels
    np.testing.assert_array_equal(np.asarray(labels.data), segment(expected, device="cpu"))
    rows = rows_of(base / "out" / "scores.csv")
    assert [row["image"] for row in rows] == ["a.tif", "b.ome.tif", "c.tif"]
    assert float(rows[0]["psnr"]) == pytest.approx(outcomes[0].figures["psnr"], rel=1e-6)
    assert rows[0]["count"] == str(np.asarray(labels.data).max())
    assert float(rows[0]["truth_count"]) == len(np.unique(tifffile.imread(base / "masks" / "a.tif"))) - 1
    assert rows[2]["f1"] == rows[2]["truth_count"] == ""  # no mask, so its cells are counted and not scored
    assert rows[2]["count"]
    cells = rows_of(base / "out" / "a.cells.csv")
    assert len(cells) == int(rows[0]["count"])


def test_instrument_and_range_are_those_of_the_verbs(base: Path) -> None:
    acquisition = {"contrast": 200, "full_well": None}
    chosen = settings(images="in/a.tif", detector="scmos", acquisition=acquisition, intensity_range=[0, 9000])
    (outcome,) = go(base, chosen)
    image, instrument = tifffile.imread(base / "in" / "a.tif"), load("discs", ratio=4, family="raster")
    options = {"detector": "scmos", "acquisition": acquisition, "intensity_range": (0, 9000)}
    measured = read_measurement(base / "out" / "a.dmu.ome.tif")
    expected = simulate(image, instrument, device="cpu", seed=measured.info.seed, **options)
    assert measured.info.acquisition == expected.info.acquisition
    np.testing.assert_array_equal(np.asarray(measured.data), expected.data)
    made = reconstruct(expected, device="cpu")
    assert outcome.figures["psnr"] == pytest.approx(compare(made, image, intensity_range=(0, 9000)).psnr, abs=1e-3)
    for other in ({"detector": None}, {"acquisition": None}, {"intensity_range": None}):
        with pytest.raises(SettingsError, match="other settings"):
            go(base, RunSettings.model_validate({**chosen.model_dump(), **other}))


def test_everything_is_done_on_the_device_that_is_named(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []

    def resolved(name: str) -> torch.device:
        named.append(name)
        return torch.device("cpu")

    for module in ("verbs", "cells"):
        monkeypatch.setattr(f"napari_dmu.engine.{module}.resolve_device", resolved)
    chosen = settings(images="in/a.tif", method="lmmse", keep=[])
    run_batch(plan_run(chosen, base), chosen, device="cuda:3")
    assert named == ["cuda:3"] * 3  # measured, segmented, reconstructed


def test_every_image_has_noise_of_its_own(base: Path) -> None:
    for name in ("b.ome.tif", "c.tif"):
        (base / "in" / name).write_bytes((base / "in" / "a.tif").read_bytes())  # a still scene
    chosen = settings(keep=["measurement"])
    go(base, chosen)
    found = [read_measurement(base / "out" / f"{name}.dmu.ome.tif") for name in "abc"]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (np.asarray(found[one].data) != np.asarray(found[other].data)).mean() > 0.5
    for name, measured in zip("abc", found, strict=True):
        assert measured.info.seed == image_seed(chosen.seed, name)
        record = json.loads((base / "out" / f"{name}.run.json").read_text(encoding="utf-8"))
        assert record["seed"] == measured.info.seed


@given(seed=st.integers(0, 2**70), name=st.text())
def test_the_seed_of_an_image_is_one_that_every_door_takes(seed: int, name: str) -> None:
    assert 0 <= image_seed(seed, name) < 2**31
    assert image_seed(seed, name) != image_seed(seed + 1, name)


def test_the_seed_of_an_image_stays_what_it_is() -> None:
    assert (image_seed(0, "a"), image_seed(3, "well_A1")) == (1332580963, 1320323851)


def test_flips_are_those_of_the_verb(base: Path) -> None:
    make_set(base / "sets" / "one.dmu.safetensors", name="one", exposures=1, bin=2)
    go(base, settings(images="in/a.tif", set="one", flips=True))
    measured = read_measurement(base / "out" / "a.dmu.ome.tif")
    found = np.asarray(read_specimen(base / "out" / "a.reconstruction.ome.tif").data)
    np.testing.assert_allclose(found, reconstruct(measured, flips=True, device="cpu"))
    assert not np.allclose(found, reconstruct(measured, device="cpu"))


def test_entries_that_came_later_leave_older_folders_as_they_are() -> None:
    """What a record was made from is what is written of the settings."""
    written = settings(photons=5).model_dump(mode="json")
    assert not {"detector", "acquisition", "intensity_range", "flips"} & set(written)
    assert "flips" in settings(flips=True).model_dump(mode="json")


def test_only_what_is_wanted_is_kept(base: Path) -> None:
    go(base, settings(keep=["labels"], images="in/a.tif"))
    assert {p.name for p in (base / "out").iterdir()} == {"a.labels.ome.tif", "a.run.json", "scores.csv"}
    (base / "bare").mkdir()
    go(base, settings(segmenter=None, images="in/b*", output="bare", keep=["reconstruction", "labels", "table"]))
    assert {p.name for p in (base / "bare").iterdir()} == {"b.reconstruction.ome.tif", "b.run.json", "scores.csv"}


def test_a_run_goes_on_where_it_was_stopped(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, token, taken, real = settings(), CancelToken(), [], batch.take

    def stopped(job: BatchJob, *rest: Any, **options: Any) -> Any:
        taken.append(job.name)
        if job.name == "b":
            token.cancel()
        return real(job, *rest, **options)

    monkeypatch.setattr(batch, "take", stopped)
    with pytest.raises(Cancelled):
        go(base, chosen, cancel=token)
    assert taken == ["a", "b"]
    assert not list((base / "out").glob("b.*"))  # not half of it
    assert len(rows_of(base / "out" / "scores.csv")) == 1
    before = (base / "out" / "a.reconstruction.ome.tif").stat().st_mtime_ns
    outcomes = go(base, chosen)
    assert [o.state for o in outcomes] == ["was there", "done", "done"]
    assert taken == ["a", "b", "b", "c"]
    assert outcomes[0].figures["psnr"] > 10
    assert (base / "out" / "a.reconstruction.ome.tif").stat().st_mtime_ns == before
    # An image that has changed is taken anew, and so is one whose record was damaged.
    tifffile.imwrite(base / "in" / "a.tif", np.rint(2000 * discs((64, 80), seed=9)[0]).astype(np.uint16))
    (base / "out" / "c.run.json").write_text("{")
    assert [o.state for o in go(base, chosen)] == ["done", "was there", "done"]


def test_an_image_that_changes_while_it_is_taken_is_taken_anew(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(images="in/a.tif", segmenter=None, method="lmmse", keep=[])

    def changed(image: np.ndarray, *rest: Any, **options: Any) -> Any:
        tifffile.imwrite(base / "in" / "a.tif", np.rint(2000 * discs((64, 96), seed=9)[0]).astype(np.uint16))
        return simulate(image, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr("napari_dmu.engine.verbs.simulate", changed)
        assert [o.state for o in go(base, chosen)] == ["done"]
    assert [o.state for o in go(base, chosen)] == ["done"]
    assert [o.state for o in go(base, chosen)] == ["was there"]


def test_a_run_that_is_stopped_keeps_the_scores_it_did_not_get_to(base: Path) -> None:
    chosen, token = settings(keep=[]), CancelToken()
    go(base, chosen)
    (base / "in" / "c.tif").rename(base / "in" / "d.tif")  # not done, so it has no row; what was, stays
    with pytest.raises(Cancelled):
        go(base, chosen, cancel=token, progress=lambda *_: token.cancel())
    rows = rows_of(base / "out" / "scores.csv")
    assert [(row["image"], row["state"]) for row in rows] == [
        ("a.tif", "was there"),
        ("b.ome.tif", "was there"),
        ("c.tif", "was there"),
    ]
    assert all(row["psnr"] for row in rows)


def test_results_of_other_settings_are_not_mixed_in(base: Path) -> None:
    go(base, settings(images="in/a.tif"))
    go(base, settings(images="in"))  # the same settings for more images
    made = (base / "out" / "a.run.json").read_bytes()
    with pytest.raises(SettingsError, match="other settings") as raised:
        go(base, settings(seed=1))
    assert_sentence(str(raised.value))
    assert (base / "out" / "a.run.json").read_bytes() == made


def test_one_bad_image_does_not_cost_the_others(base: Path) -> None:
    (base / "in" / "b.ome.tif").write_bytes(b"II*\0rubbish")
    outcomes = go(base, settings())
    assert [o.state for o in outcomes] == ["done", "failed", "done"]
    assert_sentence(outcomes[1].error)
    assert not list((base / "out").glob("b.*"))
    states = [row["state"] for row in rows_of(base / "out" / "scores.csv")]
    assert states == ["done", "failed", "done"]


@pytest.mark.parametrize("name", ["b.ome.tif", "b.ome.zarr"])
def test_an_image_that_lies_nowhere_does_not_cost_the_others(base: Path, name: str) -> None:
    (base / "in" / "b.ome.tif").unlink()
    place: dict[str, Any] = {"axes": ("y", "x"), "scale": (1, 1), "units": ("pixel",) * 2, "translate": (0, math.inf)}
    write_image(base / "in" / name, discs((64, 80), seed=2)[0], **place)
    outcomes = go(base, settings(keep=[]))
    assert [o.state for o in outcomes] == ["done", "failed", "done"]
    assert_sentence(outcomes[1].error)


def test_an_image_that_is_gone_does_not_cost_the_others(base: Path) -> None:
    chosen = settings(keep=[])
    jobs = plan_run(chosen, base)
    run_batch(jobs, chosen, device="cpu")
    (base / "in" / "b.ome.tif").unlink()
    outcomes = run_batch(jobs, chosen, device="cpu")
    assert [o.state for o in outcomes] == ["was there", "failed", "was there"]
    assert_sentence(outcomes[1].error)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), "\udcff", MemoryError()])
def test_what_the_system_refuses_does_not_cost_the_others(
    base: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    real = batch.take

    def refused(job: BatchJob, *rest: Any, **options: Any) -> Any:
        if job.name == "b":
            raise error if isinstance(error, Exception) else UnicodeEncodeError("utf-8", error, 0, 1, "no text")
        return real(job, *rest, **options)

    monkeypatch.setattr(batch, "take", refused)
    outcomes = go(base, settings(keep=[]))
    assert [o.state for o in outcomes] == ["done", "failed", "done"]
    assert_sentence(outcomes[1].error)


def test_a_segmenter_that_fails_on_an_image_does_not_cost_the_others(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def theirs(image: np.ndarray) -> np.ndarray:
        seen.append(image)
        if len(seen) == 2:
            raise ValueError("no foreground")
        return np.zeros(image.shape, int)

    monkeypatch.setattr("napari_dmu.engine.cells.load_segmenter", lambda name: theirs)
    outcomes = go(base, settings(segmenter="theirs", keep=[]))
    assert [o.state for o in outcomes] == ["done", "failed", "done"]
    assert "'theirs'" in outcomes[1].error
    assert_sentence(outcomes[1].error)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text_gets_its_row(base: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (base / "in" / "b.ome.tif").rename(base / "in" / os.fsdecode(b"b\xff.tif"))
    (base / "run.yaml").write_text(yaml.safe_dump(settings(keep=[]).model_dump(mode="json")), encoding="utf-8")
    run(base / "run.yaml", device="cpu")
    assert [row["image"] for row in rows_of(base / "out" / "scores.csv")] == ["a.tif", "b?.tif", "c.tif"]
    assert "b?" in capfd.readouterr().out


def test_measurements_and_colour_images_are_told_from_specimens(base: Path) -> None:
    go(base, settings(images="in/a.tif"))
    (base / "out" / "a.dmu.ome.tif").rename(base / "in" / "m.tif")
    tifffile.imwrite(base / "in" / "rgb.tif", np.zeros((32, 32, 3), np.uint8) + 9, photometric="rgb")
    outcomes = {o.job.name: o for o in go(base, settings(images=str(base / "in" / "[mr]*.tif"), output="masks"))}
    assert {o.state for o in outcomes.values()} == {"failed"}
    assert "is a measurement" in outcomes["m"].error
    assert "luminance: true" in outcomes["rgb"].error
    for outcome in outcomes.values():
        assert_sentence(outcome.error)


def test_a_mask_may_be_grey_in_a_file_for_colours(base: Path) -> None:
    for name, channels in (("a.tif", (1, 1, 1)), ("b.ome.tif", (1, 0, 0))):
        mask = tifffile.imread(base / "masks" / name).astype(np.uint8)
        (base / "masks" / name).unlink()
        tifffile.imwrite(
            base / "masks" / f"{name[0]}.tif", np.stack([n * mask for n in channels], -1), photometric="rgb"
        )
    outcomes = go(base, settings(truth="masks", keep=[], luminance=True))
    assert [o.state for o in outcomes] == ["done", "failed", "done"]
    assert outcomes[0].figures["truth_count"] == discs((64, 80), seed=1)[1].max()
    assert_sentence(outcomes[1].error)
    assert "save it as one grey channel" in outcomes[1].error


def test_results_among_the_images_are_no_images(base: Path) -> None:
    go(base, settings(output="in"))
    assert [o.state for o in go(base, settings(output="in"))] == ["was there"] * 3


def test_images_called_like_results_are_images_in_another_folder(base: Path) -> None:
    for name in ("d.labels.ome.tif", "e.reconstruction.ome.tif", "f.dmu.ome.tif"):
        (base / "in" / name).touch()
    assert [job.name for job in plan_run(settings(), base)] == ["a", "b", "c", "d.labels", "e.reconstruction", "f.dmu"]
    assert [job.name for job in plan_run(settings(output="in"), base)] == ["a", "b", "c"]


@pytest.mark.parametrize("output", ["../in/.", "link", "absolute"])
def test_results_are_told_however_their_folder_is_spelt(base: Path, output: str) -> None:
    if output == "link":
        (base / "in" / "link").symlink_to(base / "in", target_is_directory=True)
    chosen = settings(images=["."], output=str(base / "in") if output == "absolute" else output, keep=["measurement"])
    jobs = plan_run(chosen, base / "in")
    run_batch(jobs, chosen, device="cpu")
    assert plan_run(chosen, base / "in") == jobs


def test_a_stack_counts_its_cells_over_planes(base: Path) -> None:
    planes = np.stack([np.rint(3000 * discs((64, 80), seed=s)[0]).astype(np.uint16) for s in (1, 2)])
    tifffile.imwrite(base / "in" / "a.tif", planes, imagej=True, metadata={"axes": "TYX"})
    (outcome,) = go(base, settings(images="in/a.tif"))
    found = np.asarray(read_specimen(base / "out" / "a.labels.ome.tif").data)
    assert outcome.figures["count"] == sum(int(plane.max()) for plane in found) > 2
    record = json.loads((base / "out" / "a.run.json").read_text(encoding="utf-8"))
    assert record["figures"]["count"] == outcome.figures["count"]


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"images": "nowhere"}, FileError, "no images"),
        ({"images": ["in", "masks"]}, SettingsError, "Two images are called"),
        ({"truth": "nowhere"}, FileError, "folder of masks"),
        ({"ratio": 5}, PatternSetError, "no pattern set ×5"),
        ({"ratio": "many"}, SettingsError, "for the ratio: "),
        ({"photons": -1}, SettingsError, "photons"),
        ({"seed": -1}, SettingsError, "seed"),
        ({"segmenter": "magic"}, SettingsError, "magic"),
        ({"method": "magic"}, SettingsError, "for the method: "),
        ({"keep": ["everything"]}, SettingsError, "for the keep: "),
        ({"images": []}, SettingsError, "for the images: "),
        ({"images": "in/a\0.tif"}, SettingsError, "NUL"),
        ({"images": ["in", "\0"]}, SettingsError, "NUL"),
        ({"output": "o\0t"}, SettingsError, "NUL"),
        ({"truth": "\0"}, SettingsError, "NUL"),
        ({"unknown": 1}, SettingsError, "no setting 'unknown'"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(
    base: Path, changes: dict[str, Any], kind: type[DmuError], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised:
        go(base, settings(**changes))
    assert_sentence(str(raised.value))
    assert not list((base / "out").iterdir())


@given(names=st.lists(st.sampled_from(["a", "b b", "ö", "c.d"]), min_size=1, max_size=4, unique=True))
def test_images_come_in_the_order_of_their_names(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    base = tmp_path_factory.mktemp("names")
    for name in names:
        (base / f"{name}.tif").touch()
    jobs = plan_run(settings(images="*.tif"), base)
    assert [job.name for job in jobs] == sorted(names)
    assert all(job.folder == base / "out" for job in jobs)


@pytest.fixture
def scheduler() -> Iterator[str]:
    """A cluster of two workers in this process."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_makes_what_one_machine_makes(base: Path, scheduler: str) -> None:
    (base / "in" / "b.ome.tif").write_bytes(b"II*\0rubbish")
    there = go(base, settings(truth="masks"), scheduler=scheduler)
    assert [(o.job.name, o.state) for o in there] == [("a", "done"), ("b", "failed"), ("c", "done")]
    assert_sentence(there[1].error)
    (base / "here").mkdir()
    here = go(base, settings(truth="masks", output="here"))
    for name in ("a", "c"):
        for ending in (".dmu.ome.tif", ".reconstruction.ome.tif", ".labels.ome.tif"):
            one, other = (tifffile.imread(base / folder / f"{name}{ending}") for folder in ("out", "here"))
            np.testing.assert_array_equal(one, other)
    assert [o.figures for o in there] == [o.figures for o in here]
    assert (base / "out" / "scores.csv").read_bytes() == (base / "here" / "scores.csv").read_bytes()
    assert [o.state for o in go(base, settings(truth="masks"), scheduler=scheduler)] == [
        "was there",
        "failed",
        "was there",
    ]


def test_impossible_settings_end_a_run_on_a_cluster_too(base: Path, scheduler: str) -> None:
    with pytest.raises(SettingsError, match="photons"):
        go(base, settings(photons=-1), scheduler=scheduler)


def test_a_mask_of_the_very_name_goes_first(base: Path) -> None:
    tifffile.imwrite(base / "masks" / "b.tif", np.zeros((64, 80), np.uint16))
    assert [job.truth and job.truth.name for job in plan_run(settings(truth="masks"), base)] == [
        "a.tif",
        "b.ome.tif",
        None,
    ]


def test_what_is_no_image_is_no_mask(base: Path) -> None:
    for name in ("a.txt", "a.zip", "c.xml", "c.csv"):
        (base / "masks" / name).write_text("notes on the mask")
    (base / "masks" / "a.tif").rename(base / "masks" / "a.ome.tif")
    assert [job.truth and job.truth.name for job in plan_run(settings(truth="masks"), base)] == [
        "a.ome.tif",
        "b.ome.tif",
        None,
    ]


def test_two_masks_for_one_image_are_refused(base: Path) -> None:
    for name in ("b.png", "c.png", "c.ome.tif"):
        tifffile.imwrite(base / "masks" / name, np.zeros((64, 80), np.uint16))
    with pytest.raises(SettingsError, match=r"'c\.tif' has two masks, 'c\.ome\.tif' and 'c\.png'") as raised:
        plan_run(settings(truth="masks"), base)
    assert_sentence(raised.value)
    assert plan_run(settings(truth="masks", images="in/b*"), base)[0].truth == base / "masks" / "b.ome.tif"


def test_a_cluster_is_left_when_asked_to(base: Path, scheduler: str) -> None:
    token = CancelToken()
    with pytest.raises(Cancelled):
        go(base, settings(), scheduler=scheduler, cancel=token, progress=lambda *_: token.cancel())
    assert len(rows_of(base / "out" / "scores.csv")) >= 1


def test_a_worker_with_another_set_is_told_from_one_with_the_same(base: Path) -> None:
    (job, *_) = plan_run(settings(), base)
    batch._installed.cache_clear()
    outcome = batch.on_worker(job, settings(), "0" * 64, "cpu")
    assert outcome.state == "failed"
    assert_sentence(outcome.error)


@pytest.mark.parametrize("first", ["the worker", "the user"])
def test_a_worker_sees_a_set_that_was_replaced(base: Path, first: str) -> None:
    """Whoever has the new set first; the one who is behind replaces it, and no worker is started anew."""
    path, (job, *_) = base / "sets" / "discs.dmu.safetensors", plan_run(settings(), base)
    old = made_from(settings(), load("discs", ratio=4, family="raster"))
    assert batch.on_worker(job, settings(), old, "cpu").state == "done"
    job.result(".run.json").unlink()
    before = path.read_bytes()
    new = made_from(settings(), make_set(path, seed=1))
    if first == "the user":
        after = path.read_bytes()
        path.write_bytes(before)
        assert batch.on_worker(job, settings(), new, "cpu").state == "failed"
        path.write_bytes(after)
    assert batch.on_worker(job, settings(), new, "cpu").state == "done"


def test_no_scheduler_is_said_in_a_sentence(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    with pytest.raises(SettingsError, match="No dask scheduler") as raised:
        go(base, settings(), scheduler="tcp://127.0.0.1:9")
    assert_sentence(str(raised.value))


@pytest.mark.parametrize("address", ["", "foo", "tcp://foo", "bar://foo:1", "tcp://127.0.0.1:port"])
def test_what_is_no_address_is_refused_before_a_client_is_made(
    base: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr("distributed.Client", None)
    with pytest.raises(SettingsError, match="is no address of a dask scheduler") as raised:
        go(base, settings(), scheduler=address)
    assert_sentence(raised.value)


def test_the_page_tells_of_every_entry(project: Path) -> None:
    text = (project / "docs" / "folders.md").read_text(encoding="utf-8")
    assert all(f"`{entry}`" in text for entry in RunSettings.model_fields)
    example = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
    assert run_settings(example, "run.yaml").ratio == 64
