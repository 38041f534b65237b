"""Wrong use and bad input: exit status 2, one sentence that says what to do, and nothing left behind."""

import os
import shutil
from pathlib import Path

import pytest
from cli_support import Command

from napari_dmu.files import read_measurement, write_measurement
from napari_dmu.microscope.measurement import Measurement


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--photons", "0"], "photons"),
        (["--photons", "-5"], "photons"),
        (["--photons", "nan"], "photons"),
        (["--photons", "inf"], "photons"),
        (["--photons", "many"], "--photons"),
        (["--read-noise", "nan"], "read noise"),
        (["--read-noise", "-1"], "read noise"),
        (["--background", "-1"], "background"),
        (["--seed", "-1"], "seed"),
        (["--seed", "1.5"], "--seed"),
        (["--ratio", "63"], "×64 nuclei, learned"),
        (["--ratio", "nan"], "×64 nuclei, learned"),
        (["--ratio", "much"], "--ratio"),
        (["--set", "potatoes"], "×64 nuclei, learned"),
        (["--family", "grandmother"], "×64 nuclei, learned"),
        (["--device", "tpu"], "auto, cpu"),
        (["--device", "cuda:99"], "not available"),
        (["--device", ""], "device"),
        (["--no-such-option"], "--help"),
        (["another.tif"], "--help"),
    ],
)
def test_wrong_settings(command: Command, sample: Path, tmp_path: Path, options: list[str], says: str) -> None:
    run = command("simulate", sample, "-o", tmp_path / "m.tif", *options)
    assert says in run.sentence()
    assert list(tmp_path.iterdir()) == []


def test_a_ratio_may_be_written_with_its_sign(command: Command, sample: Path, tmp_path: Path) -> None:
    for ratio in ("64", "x64", "×64", "64.0"):
        assert command("simulate", sample, "-o", tmp_path / "m.tif", "--ratio", ratio).status == 0


@pytest.mark.parametrize("verb", ["simulate", "reconstruct", "segment"])
def test_input_and_output_are_checked(command: Command, sample: Path, tmp_path: Path, verb: str) -> None:
    out = tmp_path / "out.tif"
    assert "does not exist" in command(verb, tmp_path / "none.tif", "-o", out).sentence()
    assert "folder" in command(verb, tmp_path, "-o", out).sentence()
    assert "does not exist: make it first" in command(verb, sample, "-o", tmp_path / "no" / "out.tif").sentence()
    assert "is a folder" in command(verb, sample, "-o", _folder(tmp_path / "out.d.tif")).sentence()
    assert ".ome.tif" in command(verb, sample, "-o", tmp_path / "out.png").sentence()
    copy = Path(shutil.copy(sample, tmp_path / "copy.tif"))
    assert "the input itself" in command(verb, copy, "-o", tmp_path / ".." / tmp_path.name / "copy.tif").sentence()
    assert copy.read_bytes() == sample.read_bytes()
    assert "--help" in command(verb, sample).sentence()
    assert "--help" in command(verb).sentence()


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def test_a_folder_that_cannot_be_written_to(command: Command, sample: Path, tmp_path: Path) -> None:
    closed = Path("/proc/self") if Path("/proc/self").is_dir() else _folder(tmp_path / "closed")
    if closed.parent == tmp_path:
        closed.chmod(0o555)
        if os.access(closed, os.W_OK):
            pytest.skip("every folder can be written to here")
    assert "can be written" in command("simulate", sample, "-o", closed / "m.tif").sentence()
    assert "can" in command("demo", "--headless", "-o", closed / "demo").sentence()


def test_what_is_no_measurement(command: Command, sample: Path, measurement: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    assert "no napari-dmu measurement" in command("reconstruct", sample, "-o", out).sentence()
    content = measurement.read_bytes()
    for name, bad in (("half.tif", content[: len(content) // 2]), ("empty.tif", b""), ("text.tif", b"hello" * 99)):
        (tmp_path / name).write_bytes(bad)
        for verb in ("reconstruct", "segment"):
            assert name in command(verb, tmp_path / name, "-o", out).sentence()
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(content.replace(b"set_hash", b"set_hush"))
    assert "damaged measurement" in command("reconstruct", damaged, "-o", out).sentence()
    assert not out.exists()


def test_a_measurement_of_a_set_that_is_not_installed(command: Command, measurement: Path, tmp_path: Path) -> None:
    measured = read_measurement(measurement)
    info = measured.info.model_copy(update={"set_hash": "0" * 64, "set_name": "elsewhere"})
    other = tmp_path / "other.tif"
    write_measurement(other, Measurement(measured.data, info))
    for verb in ("reconstruct", "segment"):
        sentence = command(verb, other, "-o", tmp_path / "out.tif").sentence()
        assert "×64 elsewhere, learned" in sentence
        assert "napari-dmu add-set" in sentence


def test_reconstruct_knows_its_methods(command: Command, measurement: Path, tmp_path: Path) -> None:
    sentence = command("reconstruct", measurement, "-o", tmp_path / "r.tif", "--method", "magic").sentence()
    assert "learned" in sentence
    assert "lmmse" in sentence
    assert "Value error" not in sentence
    assert "device" in command("reconstruct", measurement, "-o", tmp_path / "r.tif", "--device", "abacus").sentence()


def test_compare_refuses_what_does_not_fit(command: Command, sample: Path) -> None:
    stack = sample.with_name("nuclei_z_stack.tif")
    assert "shapes differ" in command("compare", sample, stack).sentence()
    assert "does not exist" in command("compare", sample, "none.tif").sentence()
    assert "--truth-labels" in command("compare", sample, sample, "--labels", sample).sentence()
    assert "--help" in command("compare", sample).sentence()


def test_unknown_command(command: Command) -> None:
    assert "--help" in command("dance").sentence()


@pytest.mark.parametrize("words", [("simulate", "{}", "-o", "x.ome.tif"), ("compare", "{}", "{}"), ("limits", "{}")])
def test_a_measurement_is_no_specimen(
    command: Command, measurement: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    run = command(*(measurement if word == "{}" else word.replace("x.", f"{tmp_path}/x.") for word in words),
                  *(("--ratio", "64") if words[0] == "limits" else ()))  # fmt: skip
    assert run.status == 2
    assert "is a measurement" in run.err
    assert not (tmp_path / "x.ome.tif").exists()
