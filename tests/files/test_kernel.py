"""Measured point spread functions: recovered from a file, or refused in one sentence."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf
from support import assert_sentence

from napari_dmu.errors import DmuError, FileError
from napari_dmu.files import write_image
from napari_dmu.files.kernel import _rebinned, read_kernel, with_kernels
from napari_dmu.microscope.acquisition import Psf
from napari_dmu.microscope.pupil import born_wolf_integrals, born_wolf_kernel

# An asymmetric spot: a bright Gaussian with a dimmer one to its lower right. (y, x, σ, weight), µm.
SPOTS = ((0.0, 0.0, 0.25, 1.0), (0.35, 0.5, 0.35, 0.4))


def spot(pixel: float, side: int, centre: tuple[float, float] = (0.0, 0.0), spots: tuple = SPOTS) -> np.ndarray:
    """Integrals of the spots over the pixels of a grid; their common centroid lies ``centre`` (µm) off its middle."""
    edges = (np.arange(side + 1) - side / 2) * pixel
    light = sum(s[3] for s in spots)
    middle = [sum(s[axis] * s[3] for s in spots) / light for axis in (0, 1)]
    image = np.zeros((side, side))
    for y, x, sigma, weight in spots:
        rows, columns = (
            np.diff(0.5 * erf((edges - (place - m + c)) / (math.sqrt(2) * sigma)))
            for place, m, c in zip((y, x), middle, centre, strict=True)
        )
        image += weight / light * np.outer(rows, columns)
    return image


def kernel_of(path: Path, **sizes: float) -> np.ndarray:
    psf = read_kernel(path, **sizes)
    assert psf.kind == "measured"
    kernel = np.array(psf.kernel)
    assert kernel.shape == (len(kernel), len(kernel))
    assert len(kernel) % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-9)
    assert kernel.min() >= 0
    return kernel


def centroid(kernel: np.ndarray) -> tuple[float, float]:
    line = np.arange(len(kernel)) - len(kernel) // 2
    return float((kernel.sum(1) * line).sum()), float((kernel.sum(0) * line).sum())


@pytest.mark.parametrize("specimen_pixel", [0.06, 0.1, 0.13, 0.325, 0.65])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.137, -0.229), (-0.45, 0.31)])
def test_shift_offset_and_pixel_size_are_undone(
    tmp_path: Path, specimen_pixel: float, shift: tuple[float, float]
) -> None:
    path = tmp_path / "psf.tif"
    image = 500.0 + 4e5 * spot(0.1, 49, shift)
    write_image(path, image.astype(np.float32), axes="yx", scale=(0.1, 0.1), units=("micrometer",) * 2)
    kernel = kernel_of(path, pixel_size=specimen_pixel)
    expected = spot(specimen_pixel, len(kernel))
    assert np.abs(kernel - expected).max() < 0.01 * expected.max()
    assert np.abs(centroid(kernel)).max() < 0.02
    assert read_kernel(path, pixel_size=specimen_pixel).pixel_size == specimen_pixel


def test_the_orientation_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "psf.tif"
    tifffile.imwrite(path, spot(0.1, 41).astype(np.float32))
    kernel = kernel_of(path)
    expected = spot(0.1, len(kernel))
    wrong = [expected[::-1], expected[:, ::-1], expected[::-1, ::-1], expected.T]
    assert all(np.abs(kernel - w).max() > 3 * np.abs(kernel - expected).max() for w in wrong)


def test_a_centred_kernel_without_background_comes_back_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "psf.tif"
    line = np.exp(-0.5 * ((np.arange(31) - 15) / 2) ** 2)
    image = np.outer(line, line)
    tifffile.imwrite(path, image)
    kernel = kernel_of(path)
    reach = len(kernel) // 2
    inner = image[15 - reach : 16 + reach, 15 - reach : 16 + reach]
    np.testing.assert_allclose(kernel, inner / inner.sum(), atol=1e-9)


def test_integers_noise_and_a_rectangular_image(tmp_path: Path) -> None:
    path = tmp_path / "bead.tif"
    rng = np.random.default_rng(0)
    image = 100 + rng.poisson(np.pad(1e5 * spot(0.1, 49, (0.12, 0.2)), ((3, 9), (0, 22))) + 4)
    tifffile.imwrite(path, image.astype(np.uint16))
    kernel = kernel_of(path, pixel_size=0.2, kernel_pixel_size=0.1)
    expected = spot(0.2, len(kernel))
    assert np.abs(kernel - expected).max() < 0.03 * expected.max()


def test_a_spot_that_drowns_in_noise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bead.tif"
    image = np.random.default_rng(0).poisson(300 * spot(0.1, 49) + 4)
    tifffile.imwrite(path, image.astype(np.uint16))
    with pytest.raises(FileError, match="average several"):
        read_kernel(path)


def test_a_measured_airy_pattern_is_the_computed_one(tmp_path: Path) -> None:
    path = tmp_path / "airy.tif"
    tifffile.imwrite(path, born_wolf_integrals(0.8, 520.0, 0.05, radius=120).numpy())
    kernel = kernel_of(path, pixel_size=0.325, kernel_pixel_size=0.05)
    expected = born_wolf_kernel(0.8, 520.0, 0.325, radius=len(kernel) // 2).numpy()
    assert np.abs(kernel - expected).max() < 0.005 * expected.max()


def test_the_size_of_the_files_pixels_is_the_callers_before_the_files(tmp_path: Path) -> None:
    path = tmp_path / "psf.ome.tif"
    image = spot(0.1, 49).astype(np.float32)
    write_image(path, image, axes="yx", scale=(0.2, 0.2), units=("micrometer",) * 2)
    kernel = kernel_of(path, pixel_size=0.2, kernel_pixel_size=0.1)
    expected = spot(0.2, len(kernel))
    assert np.abs(kernel - expected).max() < 0.01 * expected.max()
    np.testing.assert_array_equal(kernel_of(path), kernel_of(path, pixel_size=0.2))


def test_oblong_pixels_are_made_square(tmp_path: Path) -> None:
    path = tmp_path / "psf.ome.tif"
    image = spot(0.1, 60).reshape(30, 2, 60).sum(1)
    write_image(path, image.astype(np.float32), axes="yx", scale=(0.2, 0.1), units=("micrometer",) * 2)
    kernel = kernel_of(path, pixel_size=0.1)
    expected = spot(0.1, len(kernel))
    assert np.abs(kernel - expected).max() < 0.01 * expected.max()


def test_a_spot_smaller_than_a_pixel_is_one_pixel(tmp_path: Path) -> None:
    path = tmp_path / "psf.tif"
    tifffile.imwrite(path, spot(0.1, 41).astype(np.float32))
    assert kernel_of(path, pixel_size=10.0, kernel_pixel_size=0.1).tolist() == [[1.0]]


def test_a_wide_kernel_that_has_decayed_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "psf.tif"
    line = np.arange(301) - 150
    tifffile.imwrite(path, 1 / (1 + (line[:, None] ** 2 + line**2) / 25) ** 1.2)
    assert kernel_of(path).shape == (129, 129)


@given(st.integers(1, 12), st.floats(0.2, 5), st.floats(-3, 9))
def test_rebinning_conserves_the_light(size: int, step: float, start: float) -> None:
    values = np.random.default_rng(size).random((size, 2))
    edges = np.concatenate([[-50.0], start + step * np.arange(12), [99.0]])
    np.testing.assert_allclose(_rebinned(values, edges).sum(0), values.sum(0))


def test_rebinning_onto_the_same_pixels_changes_nothing() -> None:
    values = np.random.default_rng(0).random((9, 4))
    np.testing.assert_allclose(_rebinned(values, np.arange(10.0)), values, atol=1e-12)


def _two(image: np.ndarray) -> np.ndarray:
    return image + 0.6 * np.roll(image, (12, -14), (0, 1))


def _with(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(image: np.ndarray) -> np.ndarray:
        image[3, 4] = value
        return image

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_two, "2 bright spots"),
        (lambda i: np.stack([i, i]), "is a stack of shape 2 × 49 × 49"),
        (lambda i: np.ones_like(i), "same value everywhere"),
        (lambda i: np.zeros_like(i), "same value everywhere"),
        (_with(math.nan), "not finite"),
        (_with(math.inf), "not finite"),
        (lambda i: -i, "brighter than its border"),
        (lambda i: i[25:], "cuts the spot off"),
        (lambda i: i[:, :25], "cuts the spot off"),
        (lambda i: np.tile(np.linspace(0, 1, 49), (49, 1)), "cuts the spot off|brighter than its border"),
        (lambda i: np.random.default_rng(0).normal(size=i.shape), "bright spots|brighter than its border"),
        (lambda i: i[24:26, 24:26], "at least 3 × 3"),
    ],
)
def test_what_is_no_point_spread_function_is_refused(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    path = tmp_path / "psf.tif"
    tifffile.imwrite(path, change(spot(0.1, 49)).astype(np.float32), photometric="minisblack")
    with pytest.raises(FileError, match=words) as caught:
        read_kernel(path)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_spot_that_is_too_wide_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "psf.tif"
    tifffile.imwrite(path, spot(0.1, 49).astype(np.float32))
    with pytest.raises(FileError, match="129 × 129"):
        read_kernel(path, pixel_size=0.005, kernel_pixel_size=0.1)


def test_sizes_that_are_missing_or_impossible_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "psf.tif"
    tifffile.imwrite(path, spot(0.1, 49).astype(np.float32))
    with pytest.raises(FileError, match="does not say how large"):
        read_kernel(path, pixel_size=0.1)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(FileError, match="pixel size of the specimen"):
            read_kernel(path, pixel_size=bad, kernel_pixel_size=0.1)
        with pytest.raises(FileError, match="pixel size of the kernel"):
            read_kernel(path, pixel_size=0.1, kernel_pixel_size=bad)


def test_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "psf.tif"
    with pytest.raises(DmuError, match="does not exist"):
        read_kernel(path)
    path.write_bytes(b"II*\0 nothing more")
    with pytest.raises(DmuError):
        read_kernel(path)


def test_a_kernel_in_a_settings_file_is_read_from_beside_it(tmp_path: Path) -> None:
    image = (500.0 + 4e5 * spot(0.1, 49)).astype(np.float32)
    write_image(tmp_path / "bead.tif", image, axes=("y", "x"), scale=(0.1, 0.1), units=("micrometer",) * 2)
    tifffile.imwrite(tmp_path / "plain.tif", image)
    own, placed = read_kernel(tmp_path / "bead.tif"), read_kernel(tmp_path / "bead.tif", pixel_size=0.2)
    for entry, wanted in (
        ({"kind": "measured", "kernel": "bead.tif"}, own),
        ({"kernel": "bead.tif", "pixel_size": 0.2}, placed),
        ({"kernel": "plain.tif", "pixel_size": 0.2, "kernel_pixel_size": 0.1}, placed),
    ):
        found = with_kernels({"emission": entry, "photons": 3}, tmp_path)
        assert Psf.model_validate(found["emission"]) == wanted
        assert found["photons"] == 3
    rows = {"kind": "measured", "kernel": [[0, 1, 0], [1, 4, 1], [0, 1, 0]]}
    for other in ({"kind": "gaussian", "sigma": 2}, {"kind": "gaussian", "kernel": "bead.tif"}):
        untouched = {"emission": rows, "excitation": other, "contrast": 100}
        assert with_kernels(untouched, tmp_path) == untouched
    assert with_kernels({"emission": {"kernel": "bead.tif", "sgima": 1}}, tmp_path)["emission"]["sgima"] == 1
    for wrong in ({"kernel": "missing.tif"}, {"kernel": "bead.tif", "pixel_size": "0.2 µm"}):
        with pytest.raises(FileError) as refusal:
            with_kernels({"emission": wrong}, tmp_path)
        assert_sentence(refusal.value)
