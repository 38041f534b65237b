"""``napari-dmu export-patterns``: what lies in the folder, and wrong use in one sentence."""

from pathlib import Path

import numpy as np
import pytest
from support import assert_sentence, make_set

from napari_dmu.cli.app import main
from napari_dmu.engine.verbs import load
from napari_dmu.files.dmd import read_export
from napari_dmu.files.manifest import read_manifest

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
    assert {p.name for p in out.iterdir()} == {"manifest.json", *(e.file for e in read_manifest(out).frames)}


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
