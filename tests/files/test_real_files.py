"""Every awkward file either works or is refused in one sentence; real stacks keep their shape and axes."""

import csv
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from napari_dmu.errors import DmuError, FileError, SpecimenError
from napari_dmu.files import read_specimen


class Works(NamedTuple):
    axes: str
    shape: tuple[int, ...]
    dtype: str
    pixel: float | None = None  # µm, None where the file is not calibrated
    note: str = ""


class Refused(NamedTuple):
    kind: type[DmuError]
    says: str
    luminance: str = ""  # the type it has when read with luminance=True


CROP = (312, 421)
AWKWARD: dict[str, Works | Refused] = {
    "rgb8_drosophila_frame0.tif": Refused(SpecimenError, "luminance=True", "uint8"),
    "ome_timeseries_T7_int8_synthetic.ome.tif": Works("tyx", (7, 167, 439), "int8"),
    "metamorph_uic_12in16_bbbc039.tif": Works("yx", (520, 696), "uint16", 0.645),
    "empty_field_no_nuclei_bbbc039.tif": Works("yx", (520, 696), "uint16"),
    "phenix_lzw_uint16_jump.tiff": Works("yx", (1080, 1080), "uint16", 6.4504),
    "deflate_uint16_nf1_actin.tif": Works("yx", (904, 1224), "uint16"),
    "packbits_uint8_human_nuclei.tif": Works("yx", (512, 512), "uint8"),
    "scanr_offset32768_olddeflate.tif": Works("yx", (1024, 1344), "uint16"),
    "rgb8_imagej_cells.tif": Refused(SpecimenError, "luminance=True", "uint8"),
    "rgb16_imagej_hela.tif": Refused(SpecimenError, "luminance=True", "uint16"),
    "imagej_2ch_hot_pixel.tif": Works("cyx", (2, 354, 475), "uint16"),
    "float32_negative_nup.tif": Works("yx", (512, 512), "float32", 0.26358),
    "float32_negative_tiny_h2b.tif": Works("yx", (42, 60), "float32"),
    "two_values_uint16.tif": Works("yx", (500, 500), "uint16"),
    "nearly_constant_camera_bg.tif": Works("yx", (512, 512), "uint16"),
    "tiny_21x21_nucleus.tif": Works("yx", (21, 21), "uint8", 1.3),
    "zeiss_multiple_images.czi": Refused(FileError, "Zeiss CZI"),
    "imagej_3ch_dna_mt_actin.tif": Works("cyx", (3, 350, 350), "uint16", 0.13249),
    "png_rgba_dsb2018.png": Refused(SpecimenError, "red, green and blue are equal.*luminance=True", "uint8"),
    "big_2175x2882_uint16_tuj1.tif": Works("yx", (2175, 2882), "uint16"),
    "pyramid_tiled_2ch.ome.tif": Works("cyx", (2, 1024, 1408), "uint16", 0.5),
    "ome_3ch_CYX.ome.tif": Works("cyx", (3, 512, 512), "uint16"),
    "interleaved_3ch_YXC_no_photometric_rgb.tif": Works("cyx", (3, 512, 512), "uint16"),
    "bigtiff_uint16.tif": Works("yx", CROP, "uint16"),
    "bigendian_uint16.tif": Works("yx", CROP, "uint16"),
    "tiled_lzw_predictor_uint16.tif": Works("yx", CROP, "uint16"),
    "jpeg_tiff_uint8.tif": Works("yx", CROP, "uint8"),
    "zstd_uint16.tif": Works("yx", CROP, "uint16"),
    "float32_predictor3.tif": Works("yx", CROP, "float32"),
    "float32_nan_inf.tif": Works("yx", CROP, "float32"),  # refused later, where a specimen is measured
    "float32_all_nan.tif": Works("yx", (64, 80), "float32"),
    "float64_0_1.tif": Works("yx", CROP, "float64"),
    "int16_negative.tif": Works("yx", CROP, "int16"),
    "uint32.tif": Works("yx", CROP, "uint32"),
    "miniswhite_uint8.tif": Works("yx", CROP, "uint8", None, "inverted"),
    "bilevel_1bit.tif": Works("yx", CROP, "uint8"),
    "narrow_312x1.tif": Works("yx", (312, 1), "uint16"),
    "tiny_7x5.tif": Works("yx", (7, 5), "uint16"),
    "constant_zero_uint16.tif": Works("yx", (128, 96), "uint16"),
    "saturated_uint8.tif": Works("yx", (64, 64), "uint8"),
    "multipage_different_sizes.tif": Works("yx", CROP, "uint16", None, "2 images"),
    "imagej_TZCYX.tif": Works("tzcyx", (2, 4, 2, 96, 96), "uint16"),
    "truncated.tif": Refused(FileError, "cut short"),
    "zero_bytes.tif": Refused(FileError, "0 bytes"),
    "not_a_tiff.tif": Refused(FileError, "PNG picture with another name"),
    "jpeg_q80.jpg": Works("yx", CROP, "uint8"),
    "näme with spaces (1) µ.TIF": Works("yx", CROP, "uint16"),
}
# Calibration of these is known only where the file is there to look at.
ANY_SCALE = {
    "ome_timeseries_T7_int8_synthetic.ome.tif", "float32_negative_tiny_h2b.tif", "two_values_uint16.tif",
    "imagej_TZCYX.tif",
    "deflate_uint16_nf1_actin.tif", "empty_field_no_nuclei_bbbc039.tif", "scanr_offset32768_olddeflate.tif",
    "nearly_constant_camera_bg.tif",
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_file(shared_data: Path, name: str) -> None:
    path, expected = shared_data / "awkward" / name, AWKWARD[name]
    if not path.exists():
        pytest.skip("kept apart")
    if isinstance(expected, Refused):
        with pytest.raises(expected.kind, match=expected.says) as caught:
            read_specimen(path)
        assert re.fullmatch(r"'[^\n]+' [^\n]+[^.]\.", str(caught.value))
        if expected.luminance:
            grey = read_specimen(path, luminance=True)
            assert (grey.axes, grey.data.dtype) == (("y", "x"), expected.luminance)
        return
    image = read_specimen(path)
    assert image.axes == tuple(expected.axes)
    assert image.data.shape == expected.shape
    assert image.data.dtype == expected.dtype
    assert image.data.dtype.isnative
    assert len(image.scale) == len(image.units) == len(image.translate) == len(image.axes)
    if name not in ANY_SCALE:
        assert image.scale[-2:] == pytest.approx([expected.pixel or 1.0] * 2, rel=1e-3)
        assert image.units[-2:] == (("micrometer" if expected.pixel else "pixel"),) * 2
    assert expected.note in " ".join(image.notes)
    assert bool(image.notes) == bool(expected.note)


def test_the_table_knows_every_awkward_file(shared_data: Path) -> None:
    there = {path.name for path in (shared_data / "awkward").iterdir()} - {"index.csv"}
    assert there <= set(AWKWARD)


def test_values_are_those_of_the_index(shared_data: Path) -> None:
    with (shared_data / "awkward" / "index.csv").open(encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    for name, expected in AWKWARD.items():
        path = shared_data / "awkward" / name
        if not path.exists() or isinstance(expected, Refused):
            continue
        low, high = float(rows[name]["min"]), float(rows[name]["max"])
        if name.startswith("miniswhite"):
            low, high = 255 - high, 255 - low
        data = read_specimen(path).data
        assert (np.min(data), np.max(data)) == pytest.approx((low, high), nan_ok=True) or "nan" in name


def test_stacks_have_the_shape_and_axes_of_the_index(shared_data: Path) -> None:
    with (shared_data / "stacks" / "index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (shared_data / "stacks" / row["file"]).exists()]
    assert rows
    for row in rows:
        image = read_specimen(shared_data / "stacks" / row["file"])
        assert image.data.shape == tuple(int(n) for n in row["shape"].split("x"))
        assert image.data.dtype == row["dtype"]
        expected = tuple(letter.lower() if letter in "TZCYX" else "plane" for letter in row["axes"])
        assert image.axes == expected, row["file"]


def test_a_calibrated_z_stack(shared_data: Path) -> None:
    path = shared_data / "stacks" / "xyz_8bit__mitotic_plate_calibrated.tif"
    if not path.exists():
        pytest.skip("kept apart")
    image = read_specimen(path)
    assert image.scale == pytest.approx((3.0, 0.0851965, 0.0851965), rel=1e-4)
    assert image.units == ("micrometer",) * 3
