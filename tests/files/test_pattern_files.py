"""Patterns of the user's own: read as they are, refused or dithered where they are grey, never thresholded."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from support import assert_sentence

from napari_dmu.errors import DmuError, SettingsError
from napari_dmu.files.patterns import natural_key, read_patterns
from napari_dmu.microscope.patterns import make_patterns

BINARY = np.random.default_rng(3).integers(0, 2, (5, 16, 16)).astype(np.uint8)
GREY = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (2, 16, 1))


@pytest.mark.parametrize(
    "values", [BINARY, BINARY * 255, BINARY.astype(bool), BINARY.astype("f4"), BINARY * np.uint16(999)]
)
def test_a_stack_of_two_values_is_read_bit_for_bit(tmp_path: Path, values: NDArray[np.generic]) -> None:
    tifffile.imwrite(tmp_path / "p.tif", values, photometric="minisblack")
    patterns = read_patterns(tmp_path / "p.tif", bin=8)
    assert patterns.dtype == np.uint8
    np.testing.assert_array_equal(patterns, BINARY)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_folder_is_read_in_the_natural_order_of_its_names(tmp_path: Path, suffix: str) -> None:
    for t, pattern in enumerate(np.concatenate([BINARY, BINARY, BINARY])):
        Image.fromarray(pattern > 0).save(tmp_path / f"p{t}.{suffix}")
    np.testing.assert_array_equal(read_patterns(tmp_path), np.concatenate([BINARY] * 3))


def test_hidden_files_are_no_patterns(tmp_path: Path) -> None:
    Image.fromarray(BINARY[0] > 0).save(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"no picture")
    np.testing.assert_array_equal(read_patterns(tmp_path), BINARY[:1])


def test_signs_that_look_like_digits_are_no_numbers() -> None:
    names = ["10²3.tif", "2²3.tif", "10²20.tif", "①.tif", "x²", "٣.tif"]
    ordered = [path.name for path in sorted(map(Path, names), key=natural_key)]
    assert ordered[:4] == ["2²3.tif", "٣.tif", "10²3.tif", "10²20.tif"]


def test_a_list_keeps_its_order_and_all_on_or_off_is_a_pattern(tmp_path: Path) -> None:
    for name, value in (("b", 255), ("a", 0)):
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / f"{name}.png")
    patterns = read_patterns([tmp_path / "b.png", tmp_path / "a.png"])
    np.testing.assert_array_equal(patterns.mean(axis=(1, 2)), [1, 0])


def test_grey_is_refused_and_dithered_on_request(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "g.tif", GREY)
    with pytest.raises(SettingsError, match="grey") as caught:
        read_patterns(tmp_path / "g.tif")
    assert_sentence(caught.value)
    for dither in ("floyd-steinberg", "ordered"):
        patterns = read_patterns(tmp_path / "g.tif", dither=dither)  # type: ignore[arg-type]
        np.testing.assert_array_equal(patterns, read_patterns(tmp_path / "g.tif", dither=dither))  # type: ignore[arg-type]
        assert set(np.unique(patterns)) == {0, 1}
        assert patterns.mean() == pytest.approx(GREY.mean() / 255, abs=0.04)  # error diffused over the border is lost
        thresholded = GREY > 127
        assert np.any(patterns != thresholded)
        # the light follows the grey level across the pattern, not only in the mean
        assert np.all(np.diff(patterns.mean(axis=(0, 1)).reshape(4, 4).mean(axis=1)) > 0.15)


def test_errors_are_diffused_as_by_floyd_and_steinberg(tmp_path: Path) -> None:
    # 3/16 of the error of 125, which stays off, turn the pixel below left of it on; 1/16 leaves that below right off.
    tifffile.imwrite(tmp_path / "g.tif", np.array([[0, 125, 201], [115, 0, 115], [0, 0, 0]], np.uint8))
    patterns = read_patterns(tmp_path / "g.tif", dither="floyd-steinberg")
    np.testing.assert_array_equal(patterns, [[[0, 0, 1], [1, 0, 0], [0, 0, 0]]])


def test_binary_stays_binary_under_dithering(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "p.tif", BINARY * 255)
    np.testing.assert_array_equal(read_patterns(tmp_path / "p.tif", dither="ordered"), BINARY)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (np.zeros((2, 8, 10), np.uint8), {}),
        (np.zeros((2, 10, 10), np.uint8), {"bin": 4}),
        (np.full((2, 8, 8), -1, np.int16), {}),
        (np.array([[[0.0, 3.0], [1.0, 2.0]]], np.float32), {}),
        (np.array([[[0.0, np.nan], [1.0, 1.0]]], np.float32), {}),
        (np.zeros((2, 8, 8), np.uint8), {"dither": "threshold"}),
    ],
)
def test_bad_patterns_are_refused_in_one_sentence(
    tmp_path: Path, values: NDArray[np.generic], options: dict[str, object]
) -> None:
    tifffile.imwrite(tmp_path / "p.tif", values, photometric="minisblack")
    with pytest.raises(DmuError) as caught:
        read_patterns(tmp_path / "p.tif", **options)  # type: ignore[arg-type]
    assert_sentence(caught.value)


def test_missing_empty_mixed_and_coloured_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    Image.fromarray(BINARY[0] * 255).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "b.png")
    colour = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(colour).save(tmp_path / "c.bmp")
    (tmp_path / "d.bmp").write_bytes(b"BM nothing")
    names = ("none.tif", "none.bmp", "empty", "c.bmp", "d.bmp")
    for wrong in (*(tmp_path / name for name in names), [], [tmp_path / "a.png", tmp_path / "b.png"]):
        with pytest.raises(DmuError) as caught:
            read_patterns(wrong)
        assert_sentence(caught.value)


def test_the_recipe_for_custom_patterns_names_the_reader() -> None:
    with pytest.raises(SettingsError, match="read_patterns") as caught:
        make_patterns("custom", exposures=4, period=8, bin=4)
    assert_sentence(caught.value)


@pytest.mark.parametrize("levels", [(255, 100), (100, 128)])
def test_grey_levels_in_files_of_their_own_are_grey(tmp_path: Path, levels: tuple[int, int]) -> None:
    for name, level in zip("ab", levels, strict=True):
        Image.fromarray(BINARY[0] * np.uint8(level)).save(tmp_path / f"{name}.png")
    with pytest.raises(SettingsError, match="grey") as caught:
        read_patterns(tmp_path)
    assert_sentence(caught.value)
    Image.fromarray(BINARY[0] * np.uint8(levels[0])).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_patterns(tmp_path), BINARY[[0, 0]])


def test_an_even_grey_is_neither_on_nor_off(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 128, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(SettingsError, match="grey"):
        read_patterns(tmp_path / "a.png")


def test_floating_files_of_several_levels_are_refused_with_or_without_dithering(tmp_path: Path) -> None:
    for name, level in (("a", 100.0), ("b", 255.0)):
        tifffile.imwrite(tmp_path / f"{name}.tif", BINARY[0] * np.float32(level))
    for dither in (None, "ordered"):
        with pytest.raises(SettingsError) as caught:
            read_patterns(tmp_path, dither=dither)  # type: ignore[arg-type]
        assert_sentence(caught.value)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4"])
def test_grey_without_a_known_white_is_refused_not_dithered_to_darkness(tmp_path: Path, dtype: str) -> None:
    grey = (GREY // 2).astype(dtype)
    tifffile.imwrite(tmp_path / "g.tif", grey, photometric="minisblack")
    with pytest.raises(SettingsError, match="white") as caught:
        read_patterns(tmp_path / "g.tif", dither="ordered")
    assert_sentence(caught.value)
    two = np.where(BINARY, 100, 0).astype(dtype)  # off and on need no white
    tifffile.imwrite(tmp_path / "g.tif", two, photometric="minisblack")
    np.testing.assert_array_equal(read_patterns(tmp_path / "g.tif", dither="ordered"), BINARY)
