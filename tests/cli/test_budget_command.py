"""``napari-dmu budget``: the card, JSON, warnings, and wrong use in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from support import assert_sentence, make_set

from napari_dmu.cli.app import main
from napari_dmu.engine.verbs import load, simulate
from napari_dmu.microscope.budget import Budget, light_budget
from napari_dmu.microscope.presets import PRESETS, apply_preset

SET = ["budget", "--set", "discs", "--ratio", "4", "--family", "raster"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sets")
    make_set(place / "discs.dmu.safetensors", with_head=False)
    return place


@pytest.fixture(autouse=True)
def _sets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_DMU_SETS", str(folder))
    monkeypatch.setenv("COLUMNS", "200")


def run(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    status = main([*SET, *options])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_card_is_that_of_the_set(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    instrument = load("discs", ratio=4, family="raster")
    lines = out.splitlines()
    assert lines[0].strip() == "×4 discs, raster"
    for (label, value), line in zip(
        light_budget(instrument.acquisition, instrument.patterns).lines(), lines[1:], strict=False
    ):
        assert line.strip().startswith(label.strip())
        assert line.rstrip().endswith(value)


@pytest.mark.parametrize("detector", PRESETS)
def test_json_is_the_budget_of_the_detector(capsys: pytest.CaptureFixture[str], detector: str) -> None:
    status, out, _ = run(capsys, "--json", "--detector", detector, "--photons", "30", "--background", "1")
    assert status == 0
    instrument = load("discs", ratio=4, family="raster")
    light = instrument.acquisition.model_copy(update={"photons": 30.0, "background": 1.0})
    assert Budget.model_validate_json(out) == light_budget(apply_preset(light, detector), instrument.patterns)


def test_options_win_over_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--detector", "scmos", "--read-noise", "7", "--exposure-time", "0.5", "--switching-time", "0.1")
    card = json.loads(run(capsys, "--json", *options)[1])
    assert card["noise"]["read"] == 7
    assert card["acquisition_time"] == pytest.approx(4 * 0.5 + 3 * 0.1)


def test_warnings_are_printed_with_their_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = run(capsys, "--detector", "scmos")[1]
    loud = " ".join(run(capsys, "--detector", "scmos", "--photons", "100000")[1].split())
    assert "saturates the detector" not in quiet
    assert "Warning: Even a mid-grey specimen saturates the detector" in loud
    assert "Lower the light to" in loud


def test_a_coarse_converter_is_warned_about(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "coarse.yaml"
    file.write_text("bits: 7\n", encoding="utf-8")
    assert "are too coarse: rounding" in " ".join(run(capsys, "--acquisition", str(file))[1].split())
    assert "too coarse" not in run(capsys)[1]


def test_settings_of_a_file_are_counted_in_as_simulate_does(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("emission: {kind: born_wolf, pixel_size: 0.5}\nread_noise: 7\nphotons: 30\n", encoding="utf-8")
    assert "undersamples the emission PSF" not in " ".join(run(capsys)[1].split())
    assert "undersamples the emission PSF" in " ".join(run(capsys, "--acquisition", str(file))[1].split())
    options = ("--json", "--detector", "scmos", "--acquisition", str(file), "--photons", "60")
    found = Budget.model_validate_json(run(capsys, *options)[1])
    instrument = load("discs", ratio=4, family="raster")
    same = simulate(
        np.eye(16), instrument, detector="scmos", photons=60, acquisition=yaml.safe_load(file.read_text("utf-8"))
    )
    assert found == light_budget(same.info.acquisition, instrument.patterns)
    file.write_text("bin: 8\n", encoding="utf-8")
    status, out, err = run(capsys, "--acquisition", str(file))
    assert (status, out) == (2, "")
    assert "belongs to the patterns" in err
    assert_sentence(ValueError(err.strip()))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--detector", "film"), "no detector 'film': choose ideal"),
        (("--photons", "0"), "not possible for the photons: choose one above 0"),
        (("--read-noise", "-1"), "not possible for the read noise"),
        (("--exposure-time", "nan"), "not possible for the exposure time"),
        (("--ratio", "5"), "no pattern set ×5 discs, raster"),
    ],
)
def test_wrong_use_is_one_sentence(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], part: str) -> None:
    status, out, err = run(capsys, *options)
    assert (status, out) == (2, "")
    assert part in err
    assert_sentence(ValueError(err.strip()))


def test_help_names_every_detector(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0
    words = " ".join(out.split())
    assert all(name in words for name in PRESETS)
