"""What the commands make of a camera run: its files are inputs, and what is wrong with its frames is said."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from cli_support import Command


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Settings that name a stack by a pattern, a dark frame and a flat field."""
    (tmp_path / "frames").mkdir()
    for name in ("frames/error_bar.tif", "frames/2.tif", "imagined.tif", "flat.tif"):
        tifffile.imwrite(tmp_path / name, np.full((8, 8), 7, "u2"))
    settings = {
        "frames": "frames/*.tif", "dark_frame": "imagined.tif", "flat_field": "flat.tif", "set": "nuclei", "ratio": 64,
        "gain": 1.0, "offset": 100, "photons": 500, "read_noise": 2.0,
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return tmp_path / "run.yaml"


@pytest.mark.parametrize("name", ["frames/error_bar.tif", "frames/2.tif", "imagined.tif", "flat.tif"])
@pytest.mark.parametrize("verb", ["reconstruct", "segment"])
def test_camera_frames_are_not_written_over(command: Command, run: Path, verb: str, name: str) -> None:
    before = (run.parent / name).read_bytes()
    assert "one of the inputs" in command(verb, run, "-o", run.parent / name).sentence()
    assert (run.parent / name).read_bytes() == before


@pytest.mark.parametrize("folder", ["frames", "."])
def test_maps_are_not_written_over_camera_frames(command: Command, run: Path, folder: str) -> None:
    assert "one of the inputs" in command("assess", run, "-o", run.parent / folder).sentence()


@pytest.mark.parametrize("verb", ["reconstruct", "segment", "assess"])
def test_saturated_frames_are_told(command: Command, run: Path, verb: str) -> None:
    frames = np.random.default_rng(0).integers(200, 900, (16, 4, 4)).astype("u2")
    frames[:, 0, 0] = 65535
    tifffile.imwrite(run.parent / "stack.tif", frames, photometric="minisblack")
    settings = yaml.safe_load(run.read_text(encoding="utf-8")) | {"frames": "stack.tif"}
    del settings["dark_frame"], settings["flat_field"]
    run.write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = command(verb, run, "-o", run.parent / ("maps" if verb == "assess" else "out.tif"))
    assert done.status == 0, done.err
    assert "6.2\u202f% of the samples are saturated: a shorter exposure may help." in done.err
