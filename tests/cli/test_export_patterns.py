"""``napari-dmu export-patterns``: what lies in the folder, and wrong use in one sentence."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from support import assert_sentence, make_set

from napari_dmu.cli.app import main
from napari_dmu.engine.verbs import load
from napari_dmu.files.camera_run import CameraRun
from napari_dmu.files.dmd import read_export
from napari_dmu.files.manifest import read_manifest
from napari_dmu.files.run_template import run_template

COMMAND = ["export-patterns", "--set", "discs", "--ratio", "x4", "--family", "raster"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sets")
    make_set(place / "discs.dmu.safetensors", with_head=False)
    return place


@pytest.fixture(autouse=True)
def _sets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_DMU_SETS", str(folder))


def test_an_export_holds_the_patterns_of_the_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "dmd"
    options = ["--format", "bmp", "--dmd", "DLP7000", "--mirrors-per-pixel", "2", "--packed"]
    assert main([*COMMAND, "-o", str(out), *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "4 exposures of discs ×4, raster: 9 frames for DLP7000, 1024 × 768 mirrors" in captured.out
    assert "27.4 µm" in captured.out
    np.testing.assert_array_equal(read_export(out), load("discs", ratio=4, family="raster").patterns)
    manifest = read_manifest(out)
    assert (manifest.mirrors_per_pixel, len(manifest.packed)) == (2, 1)
    # again: an older export is replaced
    assert main([*COMMAND, "-o", str(out), "--no-orientation", "--dmd", "64x48"]) == 0
    assert {p.name for p in out.iterdir()} == {
        "manifest.json",
        "run.yaml",
        *(e.file for e in read_manifest(out).frames),
    }


def test_a_ratio_that_is_no_whole_number_is_written_as_it_is(tmp_path: Path) -> None:
    assert main([*COMMAND, "-o", str(tmp_path / "dmd"), "--dmd", "64x48"]) == 0
    manifest = read_manifest(tmp_path / "dmd")
    text = run_template(manifest.model_copy(update={"ratio": 16 / 6}))
    assert yaml.safe_load(text)["ratio"] == pytest.approx(16 / 6, abs=1e-5)


def test_the_run_file_names_the_set_and_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "dmd" / "run.yaml"
    again = [*COMMAND, "-o", str(tmp_path / "dmd"), "--dmd", "64x48"]
    assert main(again) == 0
    made = load("discs", ratio=4, family="raster")
    text = run.read_text(encoding="utf-8")
    assert yaml.safe_load(text) == {"set": "discs", "ratio": 4, "family": "raster", "set_hash": made.hash}
    # the other lines make a valid run as soon as they are no comments
    filled = re.sub(r"(?m)^# (?=\w+:)", "", text)
    assert CameraRun.model_validate(yaml.safe_load(filled)).gain == 0.46
    run.write_text(filled, encoding="utf-8")
    assert main(again) == 0
    assert run.read_text(encoding="utf-8") == filled
    assert capsys.readouterr().err == ""
    run.write_text(filled.replace(made.hash, "0" * 64), encoding="utf-8")
    assert main(again) == 0
    assert "is kept, without this set_hash: " in capsys.readouterr().err


def test_the_run_file_holds_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path))
    for name in ("on", "7", "thin: # 2"):
        make_set(tmp_path / "odd.dmu.safetensors", name=name)
        out = ["-o", str(tmp_path / name[:4]), "--dmd", "64x48"]
        assert main(["export-patterns", "--set", name, "--ratio", "4", "--family", "raster", *out]) == 0
        text = (tmp_path / name[:4] / "run.yaml").read_text(encoding="utf-8")
        assert yaml.safe_load(text)["set"] == name


def test_the_run_file_is_the_example_of_the_documentation(tmp_path: Path, project: Path) -> None:
    assert main([*COMMAND, "-o", str(tmp_path / "dmd"), "--dmd", "64x48"]) == 0
    example = (
        (project / "docs" / "instrument.md").read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    )
    entries = [
        set(re.findall(r"(?m)^(?:# )?(\w+):", text))
        for text in (example, (tmp_path / "dmd" / "run.yaml").read_text(encoding="utf-8"))
    ]
    assert entries[0] == entries[1]


@pytest.mark.parametrize(
    "options",
    [["--dmd", "DLP0"], ["--ratio", "7"], ["--family", "nothing"], ["--format", "gif"], ["--mirrors-per-pixel", "0"],
     ["--dmd", "16x16", "--mirrors-per-pixel", "3"]],
)  # fmt: skip
def test_wrong_use_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert main([*COMMAND, "-o", str(tmp_path / "dmd"), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_of_others_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main([*COMMAND, "-o", str(tmp_path), "--dmd", "64x48"]) == 2
    assert_sentence(Exception(capsys.readouterr().err.strip()))
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert main([*COMMAND, "-o", str(tmp_path / "no" / "dmd")]) == 2
    assert_sentence(Exception(capsys.readouterr().err.strip()))
