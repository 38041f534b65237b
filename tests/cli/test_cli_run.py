"""``napari-dmu run``: a folder of images from one YAML file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_support import Command

from napari_dmu.files import read_measurement
from napari_dmu.files.kernel import read_kernel
from napari_dmu.files.samples import sample_folder

CONFIG = """\
images: [{sample}, extra]
truth: {masks}
output: results
ratio: 64
keep: [labels]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped sample and an empty folder beside it; its mask has another name."""
    (tmp_path / "extra").mkdir()
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "nuclei_2d.tif").write_bytes((sample_folder() / "nuclei_2d_labels.tif").read_bytes())
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG.format(sample=sample_folder() / "nuclei_2d.tif", masks=masks), encoding="utf-8")
    return path


def test_a_folder_is_run_and_run_again(command: Command, config: Path) -> None:
    first = command("run", config)
    assert first.status == 0, first
    assert "nuclei_2d" in first.out
    assert "done" in first.out
    results = config.parent / "results"
    assert {p.name for p in results.iterdir()} == {"nuclei_2d.labels.ome.tif", "nuclei_2d.run.json", "scores.csv"}
    again = command("run", config)
    assert again.status == 0
    assert "was there" in again.out
    assert again.err == ""


def test_the_ratio_may_have_its_sign_as_on_the_command_line(command: Command, config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    assert command("run", config).status == 0
    for ratio in ("x64", "×64", "X64.0"):
        config.write_text(text.replace("ratio: 64", f"ratio: {ratio}"), encoding="utf-8")
        assert "was there" in command("run", config).out  # the same settings


def test_an_output_that_is_a_file_is_said_to_be_one(command: Command, config: Path) -> None:
    (config.parent / "results").write_text("", encoding="utf-8")
    assert "results' is a file and no folder" in command("run", config).sentence()


def test_a_measured_psf_lies_beside_the_settings(command: Command, config: Path) -> None:
    rows, columns = np.indices((21, 21)) - 10
    spot = np.rint(1000 * np.exp(-(rows**2 + columns**2) / 8)).astype(np.uint16)
    tifffile.imwrite(config.parent / "bead.tif", spot)
    text = config.read_text(encoding="utf-8").replace("labels", "measurement").replace("truth:", "# truth:")
    config.write_text(text + "segmenter: null\nacquisition: {emission: {kind: measured, kernel: bead.tif}}\n")
    assert command("run", config).status == 0
    measured = read_measurement(config.parent / "results" / "nuclei_2d.dmu.ome.tif")
    assert measured.info.acquisition.emission == read_kernel(config.parent / "bead.tif")


def test_simulate_repeats_the_measurement_of_an_image(command: Command, config: Path, sample: Path) -> None:
    text = config.read_text(encoding="utf-8").replace("labels", "measurement").replace("truth:", "# truth:")
    config.write_text(text + "segmenter: null\nseed: 5\n", encoding="utf-8")
    assert command("run", config).status == 0
    first, again = config.parent / "results" / "nuclei_2d.dmu.ome.tif", config.parent / "again.tif"
    seed = read_measurement(first).info.seed
    assert command("simulate", sample, "-o", again, "--seed", seed).status == 0
    assert read_measurement(again).info == read_measurement(first).info
    np.testing.assert_array_equal(tifffile.imread(again), tifffile.imread(first))


def test_what_the_reader_says_of_files_is_passed_on(command: Command, config: Path, sample: Path) -> None:
    image = tifffile.imread(sample).astype(np.uint8)
    for name in ("x", "y", "z"):
        (config.parent / "extra" / f"{name}.tif").write_bytes(sample.read_bytes())
    for name in ("x", "y"):
        tifffile.imwrite(config.parent / "extra" / f"{name}.tif", 255 - image, photometric="miniswhite")
    text = config.read_text(encoding="utf-8").replace("truth:", "# truth:")
    config.write_text(text + "segmenter: null\nphotons: 50000\ndetector: emccd\n", encoding="utf-8")
    first = command("run", config)
    assert first.status == 0, first
    assert "Note: x.tif and 1 more: The file stores white as 0" in first.err
    assert "are saturated" in first.err  # as simulate says
    record = json.loads((config.parent / "results" / "x.run.json").read_text(encoding="utf-8"))
    assert record["notes"][0].startswith("The file stores white as 0")
    assert command("run", config).err == first.err


def test_what_is_true_of_several_images_is_said_once(command: Command, config: Path, sample: Path) -> None:
    image = tifffile.imread(sample).astype(np.uint8)[:64, :64]
    for name in ("x", "y"):
        channels = {"photometric": "minisblack", "metadata": {"axes": "CYX"}}
        tifffile.imwrite(config.parent / "extra" / f"{name}.ome.tif", np.stack([image, image]), **channels)
        mask = np.stack([image > 20] * 2).astype(np.uint8)
        tifffile.imwrite(config.parent / "masks" / f"{name}.tif", 255 - mask, photometric="miniswhite")
    config.write_text(config.read_text(encoding="utf-8").replace(f"{sample}, ", ""), encoding="utf-8")
    run = command("run", config)
    assert run.status == 0, run
    assert run.err.count("Note: x.ome.tif and 1 more: The 2 channels of the image share one intensity range") == 1
    assert run.err.count("Note: x.ome.tif and 1 more: Mask: The file stores white as 0") == 1
    assert "y.ome.tif" not in run.err


def test_what_failed_is_noted_and_the_status_says_so(command: Command, config: Path) -> None:
    (config.parent / "extra" / "broken.tif").write_bytes(b"II*\0")
    run = command("run", config)
    assert run.status == 2
    assert "done" in run.out
    lines = run.err.splitlines()
    assert lines[0].startswith("Note: 1 image of 2 have no mask")
    assert lines[1].startswith("Note: broken.tif: ")
    assert lines[-1].startswith("1 of 2 images failed")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images: [", "not valid YAML"),
        ("seed: 2026-02-30", "not valid YAML"),
        ("- 1", "no named settings"),
        ("images: a.tif\noutput: out\nraito: 4", "raito"),
    ],
)
def test_a_bad_settings_file_is_refused_with_a_sentence(
    command: Command, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    assert words in command("run", tmp_path / "run.yaml").sentence()
    assert [p.name for p in tmp_path.iterdir()] == ["run.yaml"]
