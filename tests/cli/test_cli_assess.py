"""``napari-dmu assess``: three maps and a sentence; refusals leave nothing behind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_support import Command

from napari_dmu.files.measurement import read_measurement
from napari_dmu.files.specimen import read_specimen


def test_maps_and_a_sentence(command: Command, measurement: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    run = command("assess", measurement, "-o", out)
    assert run.status == 0, run.err
    assert "of the contrast is imagined; χ² " in run.out.splitlines()[-1]
    assert "the data" in run.out
    imagined, chi = read_specimen(out / "imagined.tif"), read_specimen(out / "chi_square.tif")
    # The shipped set has error bars, and the image is its own.
    assert {path.name for path in out.iterdir()} == {"error_bar.tif", "imagined.tif", "chi_square.tif"}
    bar = read_specimen(out / "error_bar.tif")
    assert (bar.data.shape, bar.scale) == (imagined.data.shape, imagined.scale)
    assert bar.data.min() > 0
    assert "90 % error bar ±" in run.out
    assert "no error bar" not in run.out
    d = read_measurement(measurement).info.acquisition.bin
    bins = tuple(-(-side // d) for side in imagined.data.shape)
    assert chi.data.shape == bins
    assert chi.units == imagined.units
    assert chi.scale == pytest.approx([d * step for step in imagined.scale])
    assert chi.translate == pytest.approx([(d - 1) / 2 * step for step in imagined.scale])
    with tifffile.TiffFile(out / "imagined.tif") as tif:
        assert tif.is_ome


def test_an_image_of_ones_own(command: Command, measurement: Path, tmp_path: Path) -> None:
    image = tmp_path / "r.ome.tif"
    assert command("reconstruct", measurement, "-o", image).status == 0
    first = command("assess", measurement, "-o", tmp_path / "a", "--json")
    second = command("assess", measurement, "-o", tmp_path / "b", "--json", "--reconstruction", image)
    found = [json.loads(run.out) for run in (first, second)]
    assert found[0]["misfit"] == pytest.approx(found[1]["misfit"], rel=1e-3)
    assert found[0]["planes"][0]["imagined_fraction"] == pytest.approx(found[0]["imagined_fraction"])
    assert found[0]["verdict"] in ("fits", "unusual", "misfit")
    wrong = tmp_path / "wrong.tif"
    tifffile.imwrite(wrong, np.ascontiguousarray(tifffile.imread(image)[::-1]))
    third = json.loads(command("assess", measurement, "-o", tmp_path / "c", "--json", "--reconstruction", wrong).out)
    assert third["verdict"] == "misfit"
    assert not third["fits"]
    assert third["sentence"].startswith("Does not fit the data")


def test_an_older_error_bar_does_not_stay(command: Command, measurement: Path, sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    out.mkdir()
    tifffile.imwrite(out / "error_bar.tif", np.zeros((4, 4), np.float32))
    assert command("assess", measurement, "-o", out, "--reconstruction", sample).status == 0
    assert not (out / "error_bar.tif").exists()


def test_refusals(command: Command, measurement: Path, sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    before = set(tmp_path.iterdir())
    assert "does not exist" in command("assess", tmp_path / "none.tif", "-o", out).sentence()
    assert "no napari-dmu measurement" in command("assess", sample, "-o", out).sentence()
    assert "does not exist: make it first" in command("assess", measurement, "-o", tmp_path / "no" / "maps").sentence()
    assert "is a file" in command("assess", measurement, "-o", measurement).sentence()
    assert "--help" in command("assess", measurement).sentence()
    assert "available" in command("assess", measurement, "-o", out, "--device", "cuda:99").sentence()
    stack = sample.with_name("nuclei_z_stack.tif")
    assert "shape" in command("assess", measurement, "-o", out, "--reconstruction", stack).sentence()
    assert set(tmp_path.iterdir()) == before
    out.mkdir()
    inside = Path(shutil.copy(measurement, out / "imagined.tif"))
    assert "the input itself" in command("assess", inside, "-o", out).sentence()
    assert inside.read_bytes() == measurement.read_bytes()


def test_a_colour_image_gets_advice_that_can_be_followed(command: Command, measurement: Path, tmp_path: Path) -> None:
    colour = tmp_path / "colour.tif"
    tifffile.imwrite(colour, np.arange(48, dtype=np.uint8).reshape(4, 4, 3), photometric="rgb")
    run = command("assess", measurement, "-o", tmp_path / "maps", "--reconstruction", colour)
    assert "save it as one grey channel" in run.sentence()  # this command has no --luminance
