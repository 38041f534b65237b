"""Images come back from a file as they went in, with their axes, scale and units."""

import itertools
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_dmu.errors import FileError, SpecimenError
from napari_dmu.files import calibration, ome, read_specimen, tiff, write_image
from napari_dmu.files.ome import fold_axes

UNITS = st.sampled_from(["micrometer", "second", "pixel", "nanometer"])
NAMES = ("t", "z", "c", "plane", "pattern", "position")


@st.composite
def stacks(draw: st.DrawFn) -> dict:
    leading = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    axes = (*leading, "y", "x")
    shape = (*(draw(st.integers(1, 3)) for _ in leading), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    dtype = draw(st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    array = (rng.random(shape) * 100).astype(dtype)
    sizes = st.floats(1e-3, 1e3)
    return {
        "array": array,
        "axes": axes,
        "scale": tuple(draw(sizes) for _ in axes),
        "units": tuple(draw(UNITS) for _ in axes),
        "translate": tuple(draw(st.floats(-1e3, 1e3)) for _ in axes),
    }


@given(stacks(), st.sampled_from([".tif", ".ome.tif", ".ome.tiff", ".TIF"]))
def test_round_trip(stack: dict, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"some thing µ{suffix}"
        write_image(path, **stack)
        back = read_specimen(path)
    np.testing.assert_array_equal(back.data, stack["array"])
    assert back.data.dtype == stack["array"].dtype
    assert (back.axes, back.scale, back.units, back.translate) == tuple(
        stack[key] for key in ("axes", "scale", "units", "translate")
    )
    assert back.name == "some thing µ"
    assert not back.labels
    assert back.notes == ()


def test_every_order_of_axes_can_be_folded() -> None:
    for rank in range(len(NAMES) + 1):
        for leading in itertools.permutations(NAMES, rank):
            shape = (*range(2, 2 + rank), 5, 4)
            letters, folded, members = fold_axes((*leading, "y", "x"), shape)
            assert len(set(letters)) == len(letters) == len(folded)
            assert set(letters) <= set("TZCYX")
            assert np.prod(folded) == np.prod(shape)
            assert tuple(name for group in members for name in group) == leading


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("?", "u1"), ("f2", "f4"), ("i8", "i4"), ("u8", "u4")],
    ids=lambda v: str(v).strip("?") or "bool",
)
def test_types_that_tiff_lacks(tmp_path: Path, dtype: str, stored: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    write_image(tmp_path / "a.tif", array, axes="yx", scale=(1, 1), units=("pixel", "pixel"), labels=dtype != "f2")
    back = read_specimen(tmp_path / "a.tif")
    assert back.data.dtype == stored
    assert back.labels == (dtype != "f2")
    np.testing.assert_array_equal(back.data, array)


@pytest.mark.parametrize(
    ("name", "array", "axes", "match"),
    [
        ("a.png", np.zeros((3, 3)), "yx", "no name of a TIFF"),
        ("a", np.zeros((3, 3)), "yx", "no name of a TIFF"),
        ("a.tif", np.zeros((3, 3), complex), "yx", "complex128"),
        ("a.tif", np.zeros((0, 3)), "yx", "empty"),
        ("a.tif", np.zeros((3, 3)), "xy", "end with y, x"),
        ("a.tif", np.zeros((2, 3, 3)), "yx", "3 axes"),
        ("a.tif", np.full((3, 3), 2**40), "yx", "cannot hold values beyond"),
        ("a.tif", np.full((3, 3), -(2**40)), "yx", "cannot hold values beyond"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, array: np.ndarray, axes: str, match: str) -> None:
    with pytest.raises(FileError, match=match):
        write_image(tmp_path / name, array, axes=axes, scale=(1,) * len(axes), units=("pixel",) * len(axes))
    assert not list(tmp_path.iterdir())


def test_other_programs_see_a_calibrated_hyperstack(tmp_path: Path) -> None:
    write_image(
        tmp_path / "a.tif", np.zeros((3, 2, 8, 9), "u2"), axes="tzyx", scale=(60, 2000, 0.65, 0.5),
        units=("second", "nanometer", "micrometer", "micrometer"),
    )  # fmt: skip
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.series[0].axes == "TZYX"
        xml = tif.ome_metadata
        assert tif.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
    pixels = tifffile.xml2dict(xml)["OME"]["Image"]["Pixels"]
    assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [2.0, 0.65, 0.5]
    assert {pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"µm"}
    assert (pixels["TimeIncrement"], pixels["TimeIncrementUnit"]) == (60.0, "s")


@pytest.mark.parametrize(("limit", "big"), [(4 * 30, False), (4 * 30 - 1, True)])
def test_what_is_too_large_for_a_tiff_becomes_a_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, big: bool
) -> None:
    monkeypatch.setattr(ome, "_BIGTIFF_BYTES", limit)
    image = np.arange(30, dtype="f4").reshape(5, 6)
    write_image(tmp_path / "a.tif", image, axes="yx", scale=(1, 1), units=("pixel", "pixel"))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff == big
    np.testing.assert_array_equal(read_specimen(tmp_path / "a.tif").data, image)


def test_a_stack_of_imagej_without_a_spacing_has_planes_one_unit_apart(tmp_path: Path) -> None:
    for name, more in (("none.tif", {}), ("given.tif", {"spacing": 2.0})):
        tifffile.imwrite(
            tmp_path / name, np.zeros((3, 8, 9), "u2"), imagej=True, resolution=(4, 2),
            metadata={"axes": "ZYX", "unit": "um", **more},
        )  # fmt: skip
        back = read_specimen(tmp_path / name)
        assert back.scale == (more.get("spacing", 1.0), 0.5, 0.25)
        assert back.units == ("micrometer",) * 3


def test_steps_of_lsm_and_metamorph_files() -> None:
    """What tifffile finds in such files, which it cannot write."""
    voxel = {"VoxelSizeX": 2.5e-7, "VoxelSizeY": 5e-7, "VoxelSizeZ": 1e-6, "TimeIntervall": 3.0}
    found = calibration._lsm(voxel)
    assert {axis: unit for axis, (_, unit) in found.items()} == {**dict.fromkeys("xyz", "micrometer"), "t": "second"}
    assert [found[axis][0] for axis in "xyzt"] == pytest.approx([0.25, 0.5, 1.0, 3.0])
    single = {**voxel, "TimeIntervall": 0.0}
    assert "t" not in calibration._lsm(single)
    pixel = {"SpatialCalibration": 1, "XCalibration": 0.25, "YCalibration": 500.0, "CalibrationUnits": "nm"}
    assert calibration._metamorph(pixel)["y"] == (0.5, "micrometer")
    assert calibration._metamorph({**pixel, "SpatialCalibration": 0}) == {}


@pytest.mark.parametrize("axis", "XY")
def test_half_a_calibration_counts_for_both_sides_of_a_pixel(tmp_path: Path, axis: str) -> None:
    half = {"axes": "YX", f"PhysicalSize{axis}": 0.5, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((8, 9), "u1"), metadata=half)
    read = read_specimen(tmp_path / "a.ome.tif")
    assert (read.scale, read.units) == ((0.5, 0.5), ("micrometer", "micrometer"))


def test_oblong_pixels_of_another_program_stay_oblong(tmp_path: Path) -> None:
    sides = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 250.0, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((8, 9), "u1"), metadata=sides)
    assert read_specimen(tmp_path / "a.ome.tif").scale == (0.25, 0.5)


def test_half_a_print_setting_is_no_calibration(tmp_path: Path) -> None:
    # 10000 pixels a cm are 1 µm, 28 pixels a cm are the 72 dpi of a printer.
    for name, resolution in {"half.tif": (28, 10000), "whole.tif": (10000, 10000)}.items():
        tifffile.imwrite(
            tmp_path / name, np.zeros((8, 9), "u1"), resolution=resolution, resolutionunit="CENTIMETER", metadata=None
        )
    assert read_specimen(tmp_path / "half.tif").units == ("pixel", "pixel")
    assert read_specimen(tmp_path / "half.tif").scale == (1.0, 1.0)
    assert read_specimen(tmp_path / "whole.tif").units == ("micrometer", "micrometer")


def test_big_stacks_are_read_plane_by_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LAZY_BYTES", 1000)
    full = np.random.default_rng(0).integers(0, 999, (4, 3, 20, 30)).astype("u2")
    for name, write in {
        "ours.tif": lambda p: write_image(p, full, axes="tcyx", scale=(1,) * 4, units=("pixel",) * 4),
        "imagej.tif": lambda p: tifffile.imwrite(p, full, imagej=True, metadata={"axes": "TCYX"}),
        "plain.tif": lambda p: tifffile.imwrite(p, full.reshape(12, 20, 30), metadata=None),
        "deflate.tif": lambda p: tifffile.imwrite(
            p, full, compression="zlib", photometric="minisblack", metadata={"axes": "TCYX"}
        ),
        "big-endian.tif": lambda p: tifffile.imwrite(
            p, full, byteorder=">", photometric="minisblack", metadata={"axes": "TCYX"}
        ),
    }.items():
        write(tmp_path / name)
        lazy = read_specimen(tmp_path / name).data
        expected = full.reshape(lazy.shape)
        assert lazy.dtype == full.dtype
        assert lazy.chunks[-2:] == ((20,), (30,))
        assert lazy.numblocks == (*lazy.shape[:-2], 1, 1)
        np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), expected)
        np.testing.assert_array_equal(lazy[1:, ..., ::2, 5].compute(), expected[1:, ..., ::2, 5])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy))[-1].compute(), expected[-1])


def test_a_plane_of_a_big_file_needs_no_more_than_that_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.tif"
    tifffile.imwrite(path, shape=(40, 1024, 1024), dtype="u2", compression="zlib", metadata={"axes": "ZYX"},
                     data=(np.full((1024, 1024), i, "u2") for i in range(40)))  # fmt: skip
    read: list[int] = []
    original = tifffile.TiffPage.asarray
    monkeypatch.setattr(
        tifffile.TiffPage, "asarray", lambda page, **k: (read.append(page.index), original(page, **k))[1]
    )
    stack = read_specimen(path)
    assert stack.data.shape == (40, 1024, 1024)
    assert not read
    assert (stack.data[7].compute() == 7).all()
    assert len(read) == 1


@pytest.mark.parametrize("limit", [1000, 10**9])
@pytest.mark.parametrize("how", [{"imagej": True}, {}, {"ome": True}, {"compression": "zlib"}], ids=str)
def test_a_stack_that_was_cut_gives_no_fewer_planes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict, limit: int
) -> None:
    monkeypatch.setattr(tiff, "LAZY_BYTES", limit)
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 65535, (6, 40, 40)).astype("u2")
    tifffile.imwrite(path, noise, metadata={"axes": "ZYX"}, **how)
    whole = path.read_bytes()
    for part in (0.95, 0.6, 0.3):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(FileError, match=r"cut short|damaged|lacks"):
            read_specimen(path)


def test_a_big_file_that_was_cut_or_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LAZY_BYTES", 1000)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((6, 40, 40), "u2"), imagej=True, metadata={"axes": "ZYX"})
    lazy = read_specimen(path).data
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(FileError, match="has changed"):
        lazy.compute(scheduler="synchronous")
    with pytest.raises(FileError, match=r"cut short|damaged"):
        read_specimen(path)


@pytest.mark.parametrize("cut", [9, 60, 300, 2000, 5000])
def test_half_a_file_is_a_sentence(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 65535, (3, 40, 40)).astype("u2")
    write_image(path, noise, axes="zyx", scale=(1,) * 3, units=("pixel",) * 3)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FileError, match=r"^'a\.tif' [^\n]*\.$"):
        read_specimen(path)


def test_colour_and_alpha(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (4, 12, 10, 3)).astype("u1")
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb", metadata={"axes": "TYXS"})
    with pytest.raises(SpecimenError, match="luminance=True"):
        read_specimen(tmp_path / "rgb.tif")
    grey = read_specimen(tmp_path / "rgb.tif", luminance=True)
    assert grey.axes == ("t", "y", "x")
    np.testing.assert_array_equal(grey.data, np.rint(rgb @ np.array([0.299, 0.587, 0.114])).astype("u1"))
    tifffile.imwrite(tmp_path / "a.tif", rgb[0, ..., :2], photometric="minisblack", extrasamples=["unassalpha"])
    alpha = read_specimen(tmp_path / "a.tif")
    np.testing.assert_array_equal(alpha.data, rgb[0, ..., 0])
    assert "alpha" in alpha.notes[0]


def test_pages_of_different_size_give_the_first_and_a_note(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(np.ones((9, 8), "u2"), metadata=None)
        tif.write(np.ones((4, 4), "u1"), metadata=None)
    image = read_specimen(tmp_path / "a.tif")
    assert image.data.shape == (9, 8)
    assert "2 images" in image.notes[0]


@pytest.mark.parametrize(("dtype", "bits", "top"), [("u1", None, 255), ("u2", None, 65535), ("u2", 12, 4095)])
def test_white_is_zero_is_inverted(tmp_path: Path, dtype: str, bits: int | None, top: int) -> None:
    array = np.arange(20).reshape(4, 5).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite", bitspersample=bits)
    np.testing.assert_array_equal(read_specimen(tmp_path / "a.tif").data, top - array)


def test_unknown_axes_are_planes_not_time(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3, 8, 8), "u1"), photometric="minisblack")
    assert read_specimen(tmp_path / "a.tif").axes == ("plane0", "plane1", "y", "x")


@pytest.mark.parametrize(("rows", "columns"), [(8, 7), (4, 16)])  # another size, and as many pixels in another shape
def test_our_comment_does_not_outlive_an_edit(tmp_path: Path, rows: int, columns: int) -> None:
    write_image(
        tmp_path / "a.tif", np.zeros((2, 8, 8), "u1"), axes=("pattern", "y", "x"), scale=(1, 5, 5), units=("pixel",) * 3
    )
    xml = tifffile.tiffcomment(tmp_path / "a.tif")
    xml = xml.replace('SizeX="8" SizeY="8" SizeC="2"', f'SizeX="{columns}" SizeY="{rows}" SizeC="2"')
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((2, rows, columns), "u1"), description=xml.encode(), metadata=None)
    back = read_specimen(tmp_path / "b.tif")
    assert (back.data.shape, back.axes) == ((2, rows, columns), ("c", "y", "x"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the disk refuses such names")
@pytest.mark.parametrize("name", ["a\x01b.tif", "a\tb\n.tif", "a\ufffe.tif", "a\udc80b.tif", "😀.tif"], ids=ascii)
def test_any_name_that_the_disk_takes(tmp_path: Path, name: str) -> None:
    image = np.arange(24, dtype="u1").reshape(2, 3, 4)
    write_image(tmp_path / name, image, axes="zyx", scale=(3, 0.5, 0.5), units=("micrometer",) * 3)
    back = read_specimen(tmp_path / name)
    assert (back.axes, back.scale, back.notes) == (("z", "y", "x"), (3.0, 0.5, 0.5), ())
    np.testing.assert_array_equal(back.data, image)


def test_missing_folder_and_16_bit_png(tmp_path: Path) -> None:
    from PIL import Image

    with pytest.raises(FileError, match="does not exist"):
        read_specimen(tmp_path / "none.tif")
    with pytest.raises(FileError, match="is a folder"):
        read_specimen(tmp_path)
    array = np.arange(0, 60000, 1000, dtype="u2").reshape(6, 10)
    Image.fromarray(array).save(tmp_path / "a.png")
    back = read_specimen(tmp_path / "a.png").data
    assert back.dtype == "u2"
    np.testing.assert_array_equal(back, array)
