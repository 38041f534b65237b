"""From frames of the dots to the line in the YAML file, and from there to an aligned measurement."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml
from numpy.typing import NDArray
from scipy.ndimage import rotate
from support import assert_sentence, discs

from napari_dmu.cli.app import main
from napari_dmu.cli.register import where_they_lie
from napari_dmu.errors import DmuError, FileError, PatternSetError, SettingsError, SpecimenError
from napari_dmu.files.camera import read_camera
from napari_dmu.files.registration import measure_registration
from napari_dmu.microscope.acquisition import Registration
from napari_dmu.microscope.detector import counts_to_signal
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.registration import Found, dot_pattern, find_registration
from napari_dmu.zoo.pattern_set import PatternSet

SIDE, FIELD, PHOTONS, OFFSET = 2, 320, 2000.0, 100
TRUE = Registration(shift=(1.5, -2.25), rotation=0.3, scale=1.002)
ORIENTATION = {"flip": "horizontal", "rotate90": 1}
pytestmark = pytest.mark.usefixtures("installed")


def on_camera(
    instrument: PatternSet, patterns: NDArray[np.uint8], specimen: NDArray[Any], where: Registration = TRUE
) -> NDArray[np.uint16]:
    """Frames (T, y, x) of a camera that sees displaced patterns, turned, with a frame around them."""
    acquisition = instrument.acquisition.model_copy(
        update={"bin": SIDE, "period": patterns.shape[-1], "exposures": len(patterns), "registration": where}
    )
    light = Microscope(torch.from_numpy(patterns).double(), acquisition).forward(torch.from_numpy(specimen).double())
    frames = np.rint(light.numpy() * PHOTONS / SIDE**2 + OFFSET).astype(np.uint16)
    turned = np.rot90(frames, -1, axes=(1, 2))[..., ::-1]  # undone by ORIENTATION
    return np.pad(turned, ((0, 0), (6, 2), (4, 8)), constant_values=OFFSET)


@pytest.fixture
def run(tmp_path: Path, instrument: PatternSet) -> Path:
    """A YAML file without a registration, beside it ``dots.tif`` and the frames of a specimen."""
    dots = on_camera(instrument, dot_pattern(8, 4)[None], np.ones((FIELD, FIELD)))
    tifffile.imwrite(tmp_path / "dots.tif", dots[0])
    aligned = on_camera(instrument, dot_pattern(8, 4)[None], np.ones((FIELD, FIELD)), Registration())
    tifffile.imwrite(tmp_path / "aligned.tif", aligned[0])
    cells = discs((FIELD, FIELD), seed=3, count=60)[0]
    frames = on_camera(instrument, instrument.patterns, cells)
    tifffile.imwrite(tmp_path / "frames.tif", frames, photometric="minisblack")
    return write(tmp_path)


def write(folder: Path, **changes: Any) -> Path:
    settings = {
        "frames": "frames.tif", "set": "discs", "ratio": 4, "family": "raster", "gain": 1.0, "offset": OFFSET,
        "photons": PHOTONS / SIDE**2, "background": 0.0, "read_noise": 2.0, "camera_bin": 2,
        "roi": {"y": 6, "x": 4, "height": FIELD // SIDE, "width": FIELD // SIDE}, "orientation": ORIENTATION,
    } | changes  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in settings.items() if v is not None}), encoding="utf-8")
    return path


def test_the_line_that_is_printed_aligns_the_measurement(
    run: Path, tmp_path: Path, instrument: PatternSet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(run), str(tmp_path / "dots.tif")]) == 0
    line, told, words, advice = capsys.readouterr().out.strip().splitlines()
    found = Registration.model_validate(yaml.safe_load(line)["registration"])
    np.testing.assert_allclose(found.shift, TRUE.shift, atol=0.05)
    assert found.rotation == pytest.approx(TRUE.rotation, abs=0.02)
    assert found.scale == pytest.approx(TRUE.scale, abs=2e-4)
    assert "dots" in told
    assert re.search(r"too far up and 2\.\d+ too far right, turned by 0\.\d+° clockwise\.$", words)
    assert "run.yaml" in advice

    # Under aligned patterns the camera would see the specimen moved by the registration.
    def aligned(changes: dict[str, Any]) -> NDArray[np.float64]:
        m = read_camera(write(tmp_path, align="resample", **changes))
        return counts_to_signal(torch.from_numpy(np.asarray(m.data).astype(np.float64)), m.info.acquisition).numpy()

    ours, right, left_alone = (
        aligned({"registration": r.model_dump(mode="json")}) for r in (found, TRUE, Registration())
    )
    error, usual = (float(np.sqrt(np.mean((one - right) ** 2))) for one in (ours, left_alone))
    assert error < usual / 20


def test_the_words_say_where_the_dots_are_seen() -> None:
    """Dots moved and turned on the camera; the registration says from where their light comes, the opposite."""
    dots = np.tile(dot_pattern(8, 4).astype(float), (8, 8))
    down = np.roll(dots, (3, -2), (0, 1))
    found = find_registration(down, 1.0, period=8, bin=4).registration
    np.testing.assert_allclose(found.shift, (-3.0, 2.0), atol=0.05)
    assert where_they_lie(Registration(shift=(-3.0, 2.0))).endswith(
        "3 specimen pixels too far down and 2 too far left."
    )
    turned = rotate(dots, 2.0, reshape=False, order=1)  # anticlockwise, as it is seen
    assert find_registration(turned, 1.0, period=8, bin=4).registration.rotation == pytest.approx(-2.0, abs=0.1)
    assert where_they_lie(Registration(rotation=-2.0)).endswith(", turned by 2° anticlockwise.")


def test_a_registration_that_is_no_longer_true_is_told(
    run: Path, tmp_path: Path, instrument: PatternSet, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, registration={"shift": [3.0, 2.0]})
    assert main(["register", str(run), str(tmp_path / "dots.tif")]) == 0
    assert "in place of the one that is there" in capsys.readouterr().out
    (tmp_path / "dots[1].tif").write_bytes((tmp_path / "aligned.tif").read_bytes())  # a name that looks like a pattern
    assert main(["register", str(run), str(tmp_path / "dots[1].tif")]) == 0
    assert "take the registration out of run.yaml" in capsys.readouterr().out
    write(tmp_path)
    assert main(["register", str(run), str(tmp_path / "aligned.tif")]) == 0
    assert capsys.readouterr().out.rstrip().endswith("That is small enough to be left alone.")


@pytest.mark.parametrize(
    ("largest", "had", "advice"),
    [
        (0.26, False, "Write the first line into run.yaml, with 'align: resample' for the learned decoder."),
        (0.24, False, "That is small enough to be left alone."),
        (0.24, True, "That is small enough to be left alone: take the registration out of run.yaml."),
    ],
)
def test_a_quarter_of_a_pixel_can_be_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], largest: float, had: bool,
    advice: str,
) -> None:  # fmt: skip
    found = Found(Registration(shift=(largest, 0.0)), 40, 0.1, largest)
    monkeypatch.setattr("napari_dmu.files.registration.measure_registration", lambda run, frames: found)
    path = write(tmp_path, registration={"shift": [3.0, 2.0]} if had else None)
    assert main(["register", str(path), str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == advice


def test_several_frames_are_averaged_and_json_is_printed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    frame = tifffile.imread(tmp_path / "dots.tif")
    noisy = [np.rint(np.clip(frame + rng.normal(0, 150, frame.shape), 0, None)).astype(np.uint16) for _ in range(8)]
    tifffile.imwrite(tmp_path / "many.tif", np.stack(noisy[:6]), photometric="minisblack")
    for name, one in zip(("a.tif", "b.tif"), noisy[6:], strict=True):
        tifffile.imwrite(tmp_path / name, one)
    one, all_of_them = (
        measure_registration(run, [tmp_path / name for name in names])
        for names in (["a.tif"], ["many.tif", "a.tif", "b.tif"])
    )
    assert all_of_them.residual < 0.6 * one.residual
    assert main(["register", str(run), str(tmp_path / "many.tif"), "--json"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert set(found) == {"registration", "dots", "residual", "largest_displacement"}
    np.testing.assert_allclose(found["registration"]["shift"], TRUE.shift, atol=0.2)


def test_a_flat_field_is_divided_out(run: Path, tmp_path: Path) -> None:
    frame = tifffile.imread(tmp_path / "dots.tif").astype(float) - OFFSET
    flat = np.exp(-3 * np.linspace(0, 1, frame.shape[1]))[None] * np.ones_like(frame)  # 20 times darker on the right
    tifffile.imwrite(tmp_path / "slanted.tif", np.rint(frame * flat + OFFSET).astype(np.uint16))
    tifffile.imwrite(tmp_path / "flat.tif", (5000 * flat + OFFSET).astype("f4"))
    found = measure_registration(write(tmp_path, flat_field="flat.tif"), [tmp_path / "slanted.tif"])
    np.testing.assert_allclose(found.registration.shift, TRUE.shift, atol=0.1)


def test_only_pixels_at_full_scale_in_the_part_that_is_used_count_as_saturated(run: Path, tmp_path: Path) -> None:
    frame = tifffile.imread(tmp_path / "dots.tif")
    frame[0, 0], frame[50, 50] = 4095, 4094  # beside the part, and nearly
    tifffile.imwrite(tmp_path / "near.tif", frame)
    found = measure_registration(write(tmp_path, bits=12), [tmp_path / "near.tif"])
    np.testing.assert_allclose(found.registration.shift, TRUE.shift, atol=0.1)
    frame[50, 50] = 4095
    tifffile.imwrite(tmp_path / "full.tif", frame)
    with pytest.raises(SettingsError, match="saturated in 1 pixels"):
        measure_registration(run, [tmp_path / "full.tif"])


def test_left_aligned_dots_lie_where_the_others_do(run: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "left.tif", tifffile.imread(tmp_path / "dots.tif") << 4)
    found = measure_registration(write(tmp_path, bits=12, left_aligned=True), [tmp_path / "left.tif"])
    assert found == measure_registration(write(tmp_path), [tmp_path / "dots.tif"])


@pytest.mark.parametrize(
    ("changes", "frame", "kind", "words"),
    [
        ({"camera_bin": 1}, "dots.tif", SettingsError, "camera_bin of 2"),
        ({"set": "other"}, "dots.tif", PatternSetError, "other"),
        ({"roi": {"y": 100, "x": 4, "height": 160, "width": 160}}, "dots.tif", SettingsError, "roi ends"),
        ({}, "none.tif", FileError, "none.tif"),
        ({}, "dark.tif", SpecimenError, "dots"),
        ({"bits": 10}, "dots.tif", SettingsError, "not possible with 10 bits: correct 'bits'"),
        ({"bits": 12}, "left.tif", SettingsError, "write 'left_aligned: true'"),
    ],
    ids=["bins of one pixel", "no such set", "part outside", "no such file", "dark", "too few bits", "left-aligned"],
)
def test_what_cannot_be_measured_is_one_sentence(
    run: Path, tmp_path: Path, changes: dict[str, Any], frame: str, kind: type[DmuError], words: str
) -> None:
    tifffile.imwrite(tmp_path / "dark.tif", np.full(tifffile.imread(tmp_path / "dots.tif").shape, OFFSET, np.uint16))
    tifffile.imwrite(tmp_path / "left.tif", tifffile.imread(tmp_path / "dots.tif") << 4)
    with pytest.raises(kind, match=words) as refusal:
        measure_registration(write(tmp_path, **changes), [tmp_path / frame])
    assert_sentence(refusal.value)
