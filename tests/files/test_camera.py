"""Frames of a camera come in by the same path as simulated ones, and what is wrong with them is one sentence."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml
from numpy.typing import NDArray
from support import assert_sentence, discs

from napari_dmu.cli.app import main
from napari_dmu.engine import verbs
from napari_dmu.errors import DmuError, FileError, PatternSetError, SettingsError
from napari_dmu.files import read_measurement, read_specimen, write_measurement
from napari_dmu.files.camera import read_camera
from napari_dmu.files.camera_run import CameraRun, is_run, read_run
from napari_dmu.files.frame_stack import FrameStack, open_frames
from napari_dmu.files.frames import FRACTION
from napari_dmu.files.measurement import files_of_measurement
from napari_dmu.microscope.acquisition import Registration
from napari_dmu.microscope.detector import counts_to_signal, saturation_count
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.measurement import Measurement
from napari_dmu.zoo.pattern_set import PatternSet

GAIN, OFFSET, PHOTONS = 1.5, 100, 2000.0
SPECIMEN = discs((64, 96), seed=1)[0]
pytestmark = pytest.mark.usefixtures("installed")


def simulated(instrument: PatternSet, specimen: NDArray[Any] = SPECIMEN) -> Measurement:
    return verbs.simulate(specimen, instrument, photons=PHOTONS, seed=4, device="cpu")


def write_run(folder: Path, stack: Any, /, **settings: Any) -> Path:
    """A YAML file of the sensible settings and those given, with `stack` written as one plain TIFF stack."""
    if stack is not None:
        tifffile.imwrite(folder / "frames.tif", stack, photometric="minisblack")
    run = {
        "frames": "frames.tif", "set": "discs", "ratio": 4, "family": "raster", "gain": 1.0, "offset": OFFSET,
        "photons": PHOTONS, "background": 2.0, "read_noise": 2.0,
    } | settings  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in run.items() if v is not None}), encoding="utf-8")
    return path


def signal(m: Measurement) -> NDArray[np.float64]:
    counts = torch.from_numpy(np.asarray(m.data).astype(np.float64))
    return counts_to_signal(counts, m.info.acquisition).numpy()


def test_simulated_counts_come_back_as_they_went(tmp_path: Path, instrument: PatternSet) -> None:
    m = simulated(instrument)
    path = write_run(tmp_path, m.data, gain=m.info.acquisition.electrons_per_count, set_hash=instrument.hash)
    back = read_measurement(path)  # by its name, like any measurement
    np.testing.assert_array_equal(back.data, m.data)
    assert back.data.dtype == m.data.dtype
    for name in ("photons", "background", "read_noise", "offset", "bits", "electrons_per_count", "bin", "emission"):
        assert getattr(back.info.acquisition, name) == getattr(m.info.acquisition, name), name
    assert (back.info.set_hash, back.info.field, back.info.intensity_range) == (instrument.hash, (64, 96), (0.0, 1.0))
    low, high = m.info.intensity_range
    ours, theirs = (verbs.reconstruct(one, device="cpu") for one in (back, m))
    np.testing.assert_allclose(ours * (high - low) + low, theirs, atol=1e-5)


def test_what_comes_in_can_be_written_as_a_measurement(tmp_path: Path, instrument: PatternSet) -> None:
    run = read_camera(write_run(tmp_path, simulated(instrument).data, pixel_size=0.5))
    assert run.info.scale == (0.5, 0.5)
    assert run.info.units == ("micrometer", "micrometer")
    write_measurement(tmp_path / "m.ome.tif", run)
    assert read_measurement(tmp_path / "m.ome.tif").info == run.info


@pytest.mark.parametrize("order", ["plane", "exposure"])
@pytest.mark.parametrize("single", [True, False])
def test_time_series_in_both_orders_and_one_file_a_frame(
    tmp_path: Path, instrument: PatternSet, order: str, single: bool
) -> None:
    m = simulated(instrument, np.stack([discs((32, 32), seed=s, count=2)[0] for s in range(3)]))
    frames = m.data if order == "plane" else m.data.swapaxes(0, 1)
    frames = frames.reshape(-1, *frames.shape[-2:])
    (tmp_path / "f").mkdir()
    if single:
        for number, frame in enumerate(frames):  # img_10 comes after img_9
            tifffile.imwrite(tmp_path / "f" / f"img_{number}.tif", frame)
    planes = {"axis": "t", "step": 2.5, "order": order}
    path = write_run(tmp_path, None if single else frames, planes=planes, frames="f/*.tif" if single else "frames.tif")
    back = read_camera(path)
    np.testing.assert_array_equal(back.data, m.data)
    assert (back.info.axes, back.info.scale[0], back.info.units[0]) == (("t", "y", "x"), 2.5, "second")


def test_a_frame_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stack that is too large for the memory each look at a frame reads it from the disk."""
    looks: list[int] = []
    look = FrameStack.__getitem__
    monkeypatch.setattr(FrameStack, "__getitem__", lambda stack, number: (looks.append(number), look(stack, number))[1])
    read_camera(write_run(tmp_path, GOOD))
    assert looks == [0, 1, 2, 3]


@pytest.mark.parametrize("order", ["plane", "exposure"])
def test_frames_are_held_one_file_at_a_time(
    tmp_path: Path, instrument: PatternSet, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = simulated(instrument, np.stack([SPECIMEN[:32, :32]] * 3))
    frames = m.data if order == "plane" else m.data.swapaxes(0, 1)
    for number, stack in enumerate(frames):  # a file a plane, or a file an exposure
        tifffile.imwrite(tmp_path / f"{number}.tif", stack, photometric="minisblack")
    path = write_run(tmp_path, None, frames="?.tif", planes={"order": order})
    read: list[weakref.ref[Any]] = []
    held: list[int] = []

    def watched(file: Path) -> Any:
        held.append(sum(one() is not None for one in read))
        found = read_specimen(file)
        read.append(weakref.ref(found.data))
        return found

    monkeypatch.setattr("napari_dmu.files.specimen.read_specimen", watched)
    np.testing.assert_array_equal(read_camera(path).data, m.data)
    assert held == [0] * 2 * len(frames)  # once to check them all, once for their counts


def test_hidden_files_are_no_frames(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "0.tif", np.zeros((8, 8), "u2"))
    (tmp_path / "._0.tif").write_bytes(b"no image")
    assert len(open_frames(tmp_path, ["*.tif"])) == 1


def test_a_pattern_stands_for_files_alone_and_a_name_with_its_signs_for_itself(tmp_path: Path) -> None:
    (tmp_path / "0.tif").mkdir()
    for number, name in enumerate(("1.tif", "2[1].tif"), start=1):
        tifffile.imwrite(tmp_path / name, np.full((8, 8), number, "u2"))
    stack = open_frames(tmp_path, ["*.tif"])
    assert [int(stack[number].max()) for number in range(len(stack))] == [1, 2]
    assert open_frames(tmp_path, ["2[1].tif"])[0][0, 0] == 2


def test_a_file_that_changes_while_frames_are_read(tmp_path: Path) -> None:
    for number in range(2):
        tifffile.imwrite(tmp_path / f"{number}.tif", np.zeros((8, 8), "u2"))
    stack = open_frames(tmp_path, ["*.tif"])
    tifffile.imwrite(tmp_path / "1.tif", np.zeros((8, 9), "u2"))
    assert stack[0].shape == (8, 8)
    with pytest.raises(FileError, match="has changed") as caught:
        stack[1]
    assert_sentence(caught.value)


def test_roi_orientation_and_camera_bin(tmp_path: Path, instrument: PatternSet) -> None:
    m = simulated(instrument)
    fine = np.repeat(np.repeat(m.data, 2, -2), 2, -1).astype(np.uint16)
    turned = np.rot90(fine, -1, axes=(1, 2))[:, ::-1]  # undone by: flip vertically, then a quarter turn anticlockwise
    padded = np.pad(turned, ((0, 0), (3, 5), (7, 2)), constant_values=60000)
    roi = {"y": 3, "x": 7, "height": turned.shape[1], "width": turned.shape[2]}
    orientation = {"flip": "vertical", "rotate90": 1}
    back = read_camera(write_run(tmp_path, padded, roi=roi, orientation=orientation, camera_bin=2))
    np.testing.assert_array_equal(back.data, m.data.astype(np.uint32) * 4)
    a = back.info.acquisition
    assert (a.offset, a.bits, a.background, back.data.dtype) == (4 * OFFSET, 18, 8.0, np.uint32)
    assert a.read_noise == pytest.approx((4 * 2.0**2 + 3 / 12) ** 0.5)
    assert back.info.saturated == 0.0
    assert back.info.field == (64, 96)


def test_dark_and_flat_are_taken_out_of_mean_and_kept_out_of_the_variance(
    tmp_path: Path, instrument: PatternSet
) -> None:
    m, rng = simulated(instrument), np.random.default_rng(0)
    shape = m.data.shape[-2:]
    electrons = m.data.astype(float) - OFFSET
    dark, flat = OFFSET + rng.normal(0, 5, shape), 1 + 0.2 * np.sin(np.indices(shape)[1] / 5)
    flat /= flat.mean()
    frames = np.rint(electrons * flat + dark).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "dark.tif", np.stack([dark + 1, dark - 1]).astype("f4"), photometric="minisblack"
    )  # a stack is averaged
    tifffile.imwrite(tmp_path / "flat.tif", (flat * 3000 + dark).astype("f4"))
    plain = read_camera(write_run(tmp_path, frames))
    back = read_camera(write_run(tmp_path, frames, dark_frame="dark.tif", flat_field="flat.tif"))
    truth = electrons / PHOTONS
    wrong, right = (np.abs(signal(one) - truth + 2.0 / PHOTONS).max() for one in (plain, back))
    assert right < 1.0 / PHOTONS  # half a count of rounding, over the flat field
    assert right < wrong / 20
    a = back.info.acquisition
    assert a.electrons_per_count == pytest.approx(1.0 / FRACTION)
    assert a.read_noise == pytest.approx((2.0**2 + (1 - 1 / FRACTION**2) / 12) ** 0.5)
    low, high = m.info.intensity_range
    ours, theirs = (verbs.reconstruct(one, device="cpu") for one in (back, m))
    assert np.abs(ours * (high - low) + low - theirs).max() < 0.01


def test_noise_below_the_dark_level_is_not_cut_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = np.rint(rng.normal(OFFSET, 10, (4, 32, 32))).astype(np.uint16)
    tifffile.imwrite(tmp_path / "dark.tif", np.full((32, 32), OFFSET, "f4"))
    back = read_camera(write_run(tmp_path, frames, dark_frame="dark.tif", background=0.0, read_noise=10.0, offset=0))
    electrons = (back.data.astype(float) - back.info.acquisition.offset) * back.info.acquisition.electrons_per_count
    np.testing.assert_allclose(electrons, frames.astype(float) - OFFSET, atol=1 / FRACTION)


@pytest.mark.parametrize("bin_", [1, 2])
def test_dark_current_is_subtracted_once(tmp_path: Path, bin_: int) -> None:
    frames = np.full((4, 8 * bin_, 8 * bin_), 500, np.uint16)
    tifffile.imwrite(tmp_path / "dark.tif", np.full((8 * bin_, 8 * bin_), 200, np.uint16))
    common: dict[str, Any] = {"dark_current": 1000.0, "exposure_time": 0.1, "background": 0.0, "camera_bin": bin_}
    by_model = read_camera(write_run(tmp_path, frames, **common))
    by_frame = read_camera(write_run(tmp_path, frames, dark_frame="dark.tif", **common))
    np.testing.assert_allclose(signal(by_model), bin_**2 * 300 / PHOTONS, rtol=1e-9)
    np.testing.assert_allclose(signal(by_frame), bin_**2 * 300 / PHOTONS, rtol=1e-9)
    assert by_model.info.acquisition.dark_electrons == pytest.approx(bin_**2 * 100)
    assert by_frame.info.acquisition.read_noise == pytest.approx(bin_ * (4 + 100) ** 0.5, rel=1e-3)


def test_saturated_camera_pixels_are_told(tmp_path: Path) -> None:
    frames = np.full((4, 16, 16), 500, np.uint16)
    frames[0, 0, :3] = 4095
    back = read_camera(write_run(tmp_path, frames, bits=12, camera_bin=2))
    assert back.info.saturated == pytest.approx(2 / (4 * 64))
    assert back.info.saturation_note.endswith("a shorter exposure may help.")


@pytest.mark.parametrize("bin_", [1, 2, 3])
@pytest.mark.parametrize("dark", [False, True])
def test_samples_of_saturated_camera_pixels_count_as_saturated(tmp_path: Path, bin_: int, dark: bool) -> None:
    side = 16 * bin_
    frames = np.full((4, side, side), 500, np.uint16)
    frames[0, :bin_, : 3 * bin_] = 4095  # three samples as a whole
    frames[1, 0, 0] = 4095  # a hot pixel
    frames[2, :bin_, :bin_] = 4094  # nearly
    tifffile.imwrite(tmp_path / "dark.tif", np.full((side, side), OFFSET, np.uint16))
    back = read_camera(write_run(tmp_path, frames, bits=12, camera_bin=bin_, dark_frame="dark.tif" if dark else None))
    counts = np.asarray(back.data)
    full = counts >= saturation_count(back.info.acquisition)
    expected = np.zeros_like(full)
    expected[0, 0, :3] = True
    expected[1, 0, 0] = bin_ == 1
    np.testing.assert_array_equal(full, expected)
    assert (counts[full] == counts.max()).all()


def test_what_a_flat_field_raises_has_room(tmp_path: Path) -> None:
    frames = np.full((4, 16, 16), 3600, np.uint16)
    flat = np.full((16, 16), 1000, np.uint16)
    flat[:8] = 200  # a third of the mean
    tifffile.imwrite(tmp_path / "flat.tif", flat + OFFSET)
    back = read_camera(write_run(tmp_path, frames, bits=12, flat_field="flat.tif", background=0.0))
    electrons = np.repeat([3500 * 600 / 200, 3500 * 600 / 1000], 8)[:, None]
    np.testing.assert_allclose(signal(back), np.broadcast_to(electrons, (4, 16, 16)) / PHOTONS, rtol=1e-4)


@pytest.mark.parametrize(("dimmest", "refused"), [(0.04, True), (0.06, False)])
def test_a_pixel_of_the_flat_field_needs_a_twentieth_of_its_light(
    tmp_path: Path, dimmest: float, refused: bool
) -> None:
    flat = np.full((16, 16), OFFSET + 1000.0, np.float32)
    flat[3, 4] = OFFSET + 1000.0 * dimmest
    tifffile.imwrite(tmp_path / "flat.tif", flat)
    path = write_run(tmp_path, GOOD, flat_field="flat.tif")
    if not refused:
        assert read_camera(path).info.field == (64, 64)
        return
    with pytest.raises(FileError, match="hardly any light") as caught:
        read_camera(path)
    assert_sentence(caught.value)


@pytest.mark.parametrize("dark", [False, True])
def test_a_sample_is_saturated_from_half_of_its_camera_pixels_on(tmp_path: Path, dark: bool) -> None:
    frames = np.full((4, 16, 16), 500, np.uint16)
    frames[0, 0, :2] = 4095  # two of four
    frames[1, 2:4, 3] = 4095
    frames[2, 5, 5] = 4095  # one of four
    tifffile.imwrite(tmp_path / "dark.tif", np.full((16, 16), OFFSET, np.uint16))
    back = read_camera(write_run(tmp_path, frames, bits=12, camera_bin=2, dark_frame="dark.tif" if dark else None))
    full = np.asarray(back.data) >= saturation_count(back.info.acquisition)
    assert [tuple(place) for place in np.argwhere(full)] == [(0, 0, 0), (1, 1, 1)]


def test_what_a_flat_field_raises_is_not_taken_for_saturated(tmp_path: Path) -> None:
    frames = np.full((4, 16, 16), 3600, np.uint16)
    flat = np.full((16, 16), 1000, np.uint16)
    flat[:8] = 500
    tifffile.imwrite(tmp_path / "flat.tif", flat + OFFSET)
    back = read_camera(write_run(tmp_path, frames, bits=12, flat_field="flat.tif"))
    assert back.info.saturated == 0.0
    assert (np.asarray(back.data) < saturation_count(back.info.acquisition)).all()


def test_a_saturated_sample_moves_with_its_light(tmp_path: Path) -> None:
    frames = np.full((4, 64, 64), 500, np.uint16)
    frames[:, 32:36, 32:36] = 4095
    settings: dict[str, Any] = {"registration": {"shift": [0.0, 8.0]}, "camera_bin": 2, "bits": 12}
    back = read_camera(write_run(tmp_path, frames, align="resample", **settings))
    full = np.asarray(back.data) >= saturation_count(back.info.acquisition)
    assert full.sum() == 4 * 4
    assert full[0, 16:18].sum() == 4
    assert not full[0, 16:18, 16:18].all()


def test_left_aligned_counts_are_those_of_the_camera(tmp_path: Path, instrument: PatternSet) -> None:
    frames = np.random.default_rng(0).integers(100, 1500, (4, 16, 16)).astype(np.uint16)
    frames[0, 0, 0] = 4095
    for name, plain in (("dark", np.full((16, 16), OFFSET, "u2")), ("flat", np.full((16, 16), 1000, "u2"))):
        tifffile.imwrite(tmp_path / f"{name}.tif", plain << 4)
        tifffile.imwrite(tmp_path / f"{name}0.tif", plain)
    settings: dict[str, Any] = {"bits": 12, "photons": 200.0}
    for corrected in (False, True):
        files = {"dark_frame": "dark.tif", "flat_field": "flat.tif"} if corrected else {}
        left = read_camera(write_run(tmp_path, frames << 4, left_aligned=True, **settings, **files))
        files = {"dark_frame": "dark0.tif", "flat_field": "flat0.tif"} if corrected else {}
        right = read_camera(write_run(tmp_path, frames, **settings, **files))
        np.testing.assert_array_equal(left.data, right.data)
        assert left.info == right.info
        assert left.info.saturated == pytest.approx(1 / frames.size)
        assert left.info.notes == ()


def test_counts_beside_the_part_that_is_used_do_not_tell_their_alignment(tmp_path: Path) -> None:
    frames = np.full((4, 18, 18), 500 << 4, np.uint16)
    frames[:, 0] = 1  # a row of numbers, as some cameras write there
    roi = {"y": 2, "x": 2, "height": 16, "width": 16}
    (note,) = read_camera(write_run(tmp_path, frames, roi=roi)).info.notes
    assert "'left_aligned: true'" in note


def test_more_bits_than_the_files_have_room_for_are_not_shifted(tmp_path: Path) -> None:
    path = write_run(tmp_path, np.full((4, 16, 16), 500, np.uint16), bits=18, left_aligned=True)
    np.testing.assert_array_equal(read_camera(path).data, 500)


@pytest.mark.parametrize(("shift", "bits"), [(4, 12), (2, 14), (0, 0)])
def test_counts_that_seem_left_aligned_are_told(tmp_path: Path, shift: int, bits: int) -> None:
    frames = np.random.default_rng(0).integers(100, 900, (4, 16, 16)).astype(np.uint16) << shift
    info = read_camera(write_run(tmp_path, frames)).info
    assert any(f"'bits: {bits}' and 'left_aligned: true'." in note for note in info.notes) == (shift > 0)
    write_measurement(tmp_path / "m.ome.tif", read_camera(tmp_path / "run.yaml"))
    assert read_measurement(tmp_path / "m.ome.tif").info.notes == info.notes


def test_photons_are_estimated_from_the_brightest_bins(tmp_path: Path, instrument: PatternSet) -> None:
    # an even specimen with a dark border: inside, bins are filled with density 1
    specimen = np.pad(np.ones((48, 48), np.float32), 24)
    m = simulated(instrument, specimen)
    back = read_camera(write_run(tmp_path, m.data, photons="auto", gain=m.info.acquisition.electrons_per_count))
    assert back.info.acquisition.photons == pytest.approx(PHOTONS, rel=0.1)
    assert verbs.reconstruct(back, device="cpu")[40:56, 40:56].mean() == pytest.approx(1.0, abs=0.15)


def test_photons_are_estimated_without_background_and_dark_current(tmp_path: Path, instrument: PatternSet) -> None:
    settings: dict[str, Any] = {"quantum_efficiency": 0.5, "dark_current": 20000.0, "exposure_time": 0.2}
    light = 2000.0 * 16 / 4 + 3000.0  # photons in a quarter of the bin, which the raster lights, and background
    frames = np.full((4, 32, 32), 0.5 * light + 4000.0 + OFFSET, np.uint16)
    back = read_camera(write_run(tmp_path, frames, photons="auto", background=3000.0, **settings))
    assert back.info.acquisition.photons == pytest.approx(2000.0)


def test_photons_are_those_of_the_brightest_thousandth(tmp_path: Path, instrument: PatternSet) -> None:
    frames = np.full((4, 32, 32), 2 + OFFSET, np.uint16)
    frames[:, 4, 4:8] = 8000 + 2 + OFFSET  # four of 1024 bins
    frames[:, 20, 20] = 16000 + 2 + OFFSET  # and one that is brighter: an artefact
    back = read_camera(write_run(tmp_path, frames, photons="auto"))
    assert back.info.acquisition.photons == pytest.approx(2000.0)


def test_an_offset_between_two_counts_is_subtracted_as_it_is(tmp_path: Path) -> None:
    back = read_camera(write_run(tmp_path, np.full((4, 8, 8), 500, np.uint16), offset=100.5, background=0.0))
    np.testing.assert_allclose(signal(back), 399.5 / PHOTONS, rtol=1e-9)


def test_photons_come_from_a_frame_under_all_mirrors(tmp_path: Path, instrument: PatternSet) -> None:
    """Cells smaller than a bin fill camera pixels, so this is right where the brightest bins are not."""
    side, qe, k = 2, 0.8, 50.0
    frame = np.full((32, 32), OFFSET + 3.0)
    frame[4:8, 5] += k * side**2 * qe
    tifffile.imwrite(tmp_path / "all_on.tif", np.rint(frame).astype(np.uint16))
    settings: dict[str, Any] = {
        "photons": "auto", "all_on": "all_on.tif", "camera_bin": 2, "quantum_efficiency": qe, "dark_current": 30.0,
        "background": 0.0,
    }  # fmt: skip
    frames = np.full((4, 32, 32), OFFSET + 20, np.uint16)
    path = write_run(tmp_path, frames, **settings)
    assert read_camera(path).info.acquisition.photons == pytest.approx(k)
    assert tmp_path / "all_on.tif" in files_of_measurement(path)


def test_photons_under_all_mirrors_are_those_of_the_light_in_the_part_that_is_used(
    tmp_path: Path, instrument: PatternSet
) -> None:
    """Without background and dark counts, and though a pixel in it and all beside it are saturated."""
    side, qe, k, background, dark = 2, 0.5, 50.0, 40.0, 30
    frame = np.full((72, 72), 65535, np.uint16)
    frame[4:-4, 4:-4] = OFFSET + dark
    frame[14:22, 15:17] += np.uint16((k * side**2 + background) * qe)
    frame[30, 30] = 65535
    tifffile.imwrite(tmp_path / "all_on.tif", frame)
    tifffile.imwrite(tmp_path / "dark.tif", np.full(frame.shape, OFFSET + dark, np.uint16))
    settings: dict[str, Any] = {
        "photons": "auto", "all_on": "all_on.tif", "camera_bin": 2, "quantum_efficiency": qe, "background": background,
        "dark_current": dark / 0.1, "roi": {"y": 4, "x": 4, "height": 64, "width": 64},
    }  # fmt: skip
    frames = np.full((4, 72, 72), OFFSET + dark + 30, np.uint16)
    for files in ({}, {"dark_frame": "dark.tif"}):
        back = read_camera(write_run(tmp_path, frames, **settings, **files))
        assert back.info.acquisition.photons == pytest.approx(k)


def test_a_frame_under_all_mirrors_that_says_nothing_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "all_on.tif", np.full((16, 16), 65535, np.uint16))
    for photons, words in (("auto", "is saturated where"), (500.0, "write 'photons: auto'")):
        with pytest.raises(SettingsError, match=words) as caught:
            read_camera(write_run(tmp_path, GOOD, photons=photons, all_on="all_on.tif"))
        assert_sentence(caught.value)


def test_frames_are_moved_onto_the_patterns(tmp_path: Path, instrument: PatternSet) -> None:
    """A specimen under displaced patterns, seen finely and resampled, is the moved specimen under aligned ones."""
    specimen = torch.from_numpy(discs((64, 64), seed=2, count=3)[0]).double()
    patterns = torch.from_numpy(instrument.patterns).double()
    shift, d, b = (4.0, -2.0), 4, 2
    seen = instrument.acquisition.model_copy(update={"bin": d // b, "registration": Registration(shift=shift)})
    fine = Microscope(patterns, seen).forward(specimen).numpy()
    moved = torch.roll(specimen, (int(shift[0]), int(shift[1])), (0, 1))
    truth = Microscope(patterns, instrument.acquisition).forward(moved).numpy()
    frames = np.rint(fine * PHOTONS + OFFSET).astype(np.uint16)
    settings: dict[str, Any] = {"registration": {"shift": list(shift)}, "camera_bin": b, "background": 0.0}
    aligned = read_camera(write_run(tmp_path, frames, align="resample", **settings))
    kept = read_camera(write_run(tmp_path, frames, **settings))
    inside = (slice(None), slice(3, -3), slice(3, -3))
    assert np.abs(signal(aligned) - truth)[inside].max() < 3e-3
    assert np.abs(signal(kept) - truth)[inside].max() > 0.3
    assert aligned.info.acquisition.registration == Registration()
    assert kept.info.acquisition.registration == Registration(shift=shift)


def test_rotation_and_scale_are_undone_about_the_centre(tmp_path: Path) -> None:
    """The density at r appears at g(r) = scale·R·(r − centre) + centre + shift."""
    y, x = np.indices((128, 128))
    spot = 1000 * np.exp(-((y - 80.0) ** 2 + (x - 90.0) ** 2) / (2 * 4.0**2))
    frames = np.rint(np.repeat(spot[None], 4, 0) + OFFSET).astype(np.uint16)
    registration = {"shift": [6.0, -4.0], "rotation": 30.0, "scale": 1.1}
    back = read_camera(
        write_run(tmp_path, frames, camera_bin=2, align="resample", registration=registration, background=0.0)
    )
    found = signal(back)[0]
    rows, columns = np.indices(found.shape)
    got = np.array([(rows * found).sum(), (columns * found).sum()]) / found.sum() * 2 + 0.5  # in camera pixels
    angle, centre = np.radians(30.0), 63.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # a camera pixel is d / camera_bin = 2 specimen pixels wide
    expected = 1.1 * turn @ (np.array([80.0, 90.0]) - centre) + centre + np.array([6.0, -4.0]) / 2
    np.testing.assert_allclose(got, expected, atol=0.1)


GOOD = np.full((4, 16, 16), 500, np.uint16)
ODD = GOOD // 16 * 16 + (np.arange(16) == 3).astype(np.uint16)  # a column of them


@pytest.mark.parametrize(
    ("frames", "settings", "kind", "words"),
    [
        (GOOD, {"gian": 2}, SettingsError, "'gain'"),
        (GOOD, {"roi": {"y": 0, "x": 0, "hight": 8, "width": 8}}, SettingsError, "height"),
        (GOOD, {"gain": None}, SettingsError, "gain is missing"),
        (GOOD, {"gain": -1}, SettingsError, "gain"),
        (GOOD, {"photons": "many"}, SettingsError, "auto"),
        (GOOD, {"frames": []}, SettingsError, "frames"),
        (GOOD, {"schema_version": 9}, SettingsError, "schema version"),
        (GOOD[:3], {}, FileError, "3 frames"),
        (np.concatenate([GOOD, GOOD]), {}, FileError, "planes"),
        (np.concatenate([GOOD, GOOD[:1]]), {"planes": {}}, FileError, "5 frames"),
        (GOOD.astype("f4"), {}, FileError, "counts"),
        (GOOD.astype("i2") * -1, {}, SettingsError, "bits"),
        (GOOD, {"bits": 8}, SettingsError, "8 bits: correct 'bits'"),
        (GOOD * 16, {"bits": 12}, SettingsError, "12 bits left-aligned, so write 'left_aligned: true'"),
        (GOOD + 1, {"bits": 12, "left_aligned": True}, SettingsError, "no multiples of 16"),
        (ODD, {"bits": 12, "left_aligned": True}, SettingsError, "no multiples of 16"),
        (GOOD, {"frames": ["frames.tif", "other.tif"]}, FileError, "one size"),
        (GOOD, {"frames": "nothing_*.tif"}, FileError, "nothing_"),
        (GOOD, {"frames": "nothing**.tif"}, FileError, r"nothing\*\*"),  # no pattern in some versions of Python
        (GOOD, {"frames": "nothing.tif"}, FileError, "does not exist"),
        (GOOD, {"dark_frame": "nothing.tif"}, FileError, "does not exist"),
        (GOOD, {"dark_frame": "other.tif"}, FileError, "dark frame"),
        (GOOD, {"dark_frame": "nan.tif"}, FileError, "dark frame 'nan.tif' has pixels that are NaN"),
        (GOOD, {"flat_field": "frames.tif", "offset": 500}, FileError, "flat field"),
        (GOOD, {"roi": {"y": 10, "x": 0, "height": 8, "width": 8}}, SettingsError, "row 18"),
        (GOOD, {"camera_bin": 3}, SettingsError, "15 × 15"),
        (GOOD, {"align": "resample"}, SettingsError, "camera_bin"),
        (GOOD, {"bits": 32, "camera_bin": 4}, SettingsError, "36 bits"),
        (GOOD, {"ratio": 5}, PatternSetError, "×5"),
        (GOOD, {"ratio": "x5"}, PatternSetError, "×5"),
        (GOOD, {"set_hash": "0" * 64}, PatternSetError, "set_hash"),
        (np.full((4, 16, 16), 90, np.uint16), {"photons": "auto"}, SettingsError, "photons"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    tmp_path: Path, frames: NDArray[Any], settings: dict[str, Any], kind: type[DmuError], words: str
) -> None:
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((4, 8, 8), np.uint16), photometric="minisblack")
    tifffile.imwrite(tmp_path / "nan.tif", np.where(np.eye(16), np.nan, 100).astype("f4"))
    with pytest.raises(kind, match=words) as caught:
        read_camera(write_run(tmp_path, frames, **settings))
    assert_sentence(caught.value)


def test_frames_stored_as_colours_are_refused_with_a_way_out(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "frames.tif", GOOD, photometric="rgb", planarconfig="separate")
    with pytest.raises(FileError, match="one frame a page") as caught:
        read_camera(write_run(tmp_path, None))
    assert_sentence(caught.value)


@pytest.mark.parametrize(
    "text", ["frames: [a", "just words", "", "- a\n- b", "a: !!python/object:os.system {}", "a: 2026-02-30"]
)
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.yml").write_text(text)
    assert not is_run(tmp_path / "run.yml")
    with pytest.raises(FileError) as caught:
        read_measurement(tmp_path / "run.yml")
    assert_sentence(caught.value)
    with pytest.raises(FileError) as caught:
        read_measurement(tmp_path / "none.yaml")
    assert_sentence(caught.value)


def test_the_example_of_the_documentation_is_a_valid_run(tmp_path: Path, project: Path) -> None:
    text = (project / "docs" / "instrument.md").read_text(encoding="utf-8")
    (tmp_path / "run.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    run = read_run(tmp_path / "run.yaml")
    assert (run.set, run.camera_bin, run.planes is not None) == ("nuclei", 4, True)
    assert all(f"`{key}`" in text or f"\n{key}:" in text for key in CameraRun.model_fields if key != "schema_version")


def test_the_command_takes_a_run_in_place_of_a_measurement(tmp_path: Path, instrument: PatternSet) -> None:
    run = write_run(tmp_path, simulated(instrument).data)
    assert main(["reconstruct", str(run), "-o", str(tmp_path / "image.tif"), "--device", "cpu"]) == 0
    assert read_specimen(tmp_path / "image.tif").data.shape == (64, 96)
