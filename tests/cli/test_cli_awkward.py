"""Every awkward file either is measured or is refused in one sentence."""

from pathlib import Path

import pytest
from cli_support import Command

from napari_dmu.files import read_measurement

# What becomes of each file: axes and field of a measurement (and a word of the note on stderr), or words of the
# sentence that refuses it.
CROP = (312, 421)
MEASURED: dict[str, tuple[str, tuple[int, int], str]] = {
    "big_2175x2882_uint16_tuj1.tif": ("yx", (2175, 2882), ""),
    "bigendian_uint16.tif": ("yx", CROP, ""),
    "bigtiff_uint16.tif": ("yx", CROP, ""),
    "bilevel_1bit.tif": ("yx", CROP, ""),
    "constant_zero_uint16.tif": ("yx", (128, 96), ""),
    "deflate_uint16_nf1_actin.tif": ("yx", (904, 1224), ""),
    "empty_field_no_nuclei_bbbc039.tif": ("yx", (520, 696), ""),
    "float32_negative_nup.tif": ("yx", (512, 512), ""),
    "float32_negative_tiny_h2b.tif": ("yx", (42, 60), ""),
    "float32_predictor3.tif": ("yx", CROP, ""),
    "float64_0_1.tif": ("yx", CROP, ""),
    "imagej_2ch_hot_pixel.tif": ("cyx", (354, 475), "--channel"),
    "imagej_3ch_dna_mt_actin.tif": ("cyx", (350, 350), "--channel"),
    "imagej_TZCYX.tif": ("tzcyx", (96, 96), "--channel"),
    "int16_negative.tif": ("yx", CROP, ""),
    "interleaved_3ch_YXC_no_photometric_rgb.tif": ("cyx", (512, 512), "--channel"),
    "jpeg_q80.jpg": ("yx", CROP, ""),
    "jpeg_tiff_uint8.tif": ("yx", CROP, ""),
    "metamorph_uic_12in16_bbbc039.tif": ("yx", (520, 696), ""),
    "miniswhite_uint8.tif": ("yx", CROP, "inverted"),
    "multipage_different_sizes.tif": ("yx", CROP, "2 images"),
    "narrow_312x1.tif": ("yx", (312, 1), ""),
    "nearly_constant_camera_bg.tif": ("yx", (512, 512), ""),
    "näme with spaces (1) µ.TIF": ("yx", CROP, ""),
    "ome_3ch_CYX.ome.tif": ("cyx", (512, 512), "--channel"),
    "ome_timeseries_T7_int8_synthetic.ome.tif": ("tyx", (167, 439), ""),
    "packbits_uint8_human_nuclei.tif": ("yx", (512, 512), ""),
    "phenix_lzw_uint16_jump.tiff": ("yx", (1080, 1080), ""),
    "pyramid_tiled_2ch.ome.tif": ("cyx", (1024, 1408), "--channel"),
    "saturated_uint8.tif": ("yx", (64, 64), ""),
    "scanr_offset32768_olddeflate.tif": ("yx", (1024, 1344), ""),
    "tiled_lzw_predictor_uint16.tif": ("yx", CROP, ""),
    "tiny_21x21_nucleus.tif": ("yx", (21, 21), ""),
    "tiny_7x5.tif": ("yx", (7, 5), ""),
    "two_values_uint16.tif": ("yx", (500, 500), ""),
    "uint32.tif": ("yx", CROP, ""),
    "zstd_uint16.tif": ("yx", CROP, ""),
}
REFUSED: dict[str, str] = {
    "float32_all_nan.tif": "NaN or infinite: replace them",
    "float32_nan_inf.tif": "602 pixels that are NaN or infinite: replace them",
    "not_a_tiff.tif": "a PNG picture with another name",
    "png_rgba_dsb2018.png": "red, green and blue are equal",
    "rgb16_imagej_hela.tif": "--luminance",
    "rgb8_drosophila_frame0.tif": "--luminance",
    "rgb8_imagej_cells.tif": "--luminance",
    "truncated.tif": "cut short",
    "zeiss_multiple_images.czi": "a Zeiss CZI file",
    "zero_bytes.tif": "0 bytes",
}


@pytest.mark.parametrize("name", sorted([*MEASURED, *REFUSED]))
def test_awkward_file(command: Command, shared_data: Path, tmp_path: Path, name: str) -> None:
    path, out = shared_data / "awkward" / name, tmp_path / "m.ome.tif"
    if not path.exists():
        pytest.skip("kept apart")
    run = command("simulate", path, "-o", out, "--set", "nuclei", "--ratio", 64)
    if name in REFUSED:
        assert REFUSED[name] in run.sentence()
        assert list(tmp_path.iterdir()) == []
        return
    axes, field, note = MEASURED[name]
    assert run.status == 0, run.err
    assert note in run.err
    assert bool(run.err) == bool(note)
    measured = read_measurement(out)
    assert measured.info.axes == tuple(axes)
    assert measured.info.field == field
    assert measured.data.shape[-2:] == measured.info.acquisition.bins(field)


@pytest.mark.parametrize("name", ["tiny_7x5.tif", "narrow_312x1.tif", "constant_zero_uint16.tif", "bilevel_1bit.tif"])
def test_what_was_measured_is_reconstructed_and_segmented(
    command: Command, shared_data: Path, tmp_path: Path, name: str
) -> None:
    m, out = tmp_path / "m.tif", tmp_path / "out.tif"
    specimen = shared_data / "awkward" / name
    assert command("simulate", specimen, "-o", m).status == 0
    for verb in ("reconstruct", "segment"):
        run = command(verb, m, "-o", out)
        assert run.status == 0, run.err
    assert command("reconstruct", m, "-o", out).status == 0
    assert command("compare", out, specimen).status == 0


def test_the_table_knows_every_file(shared_data: Path) -> None:
    there = {path.name for path in (shared_data / "awkward").iterdir()} - {"index.csv"}
    assert there <= {*MEASURED, *REFUSED}
    assert not MEASURED.keys() & REFUSED.keys()
