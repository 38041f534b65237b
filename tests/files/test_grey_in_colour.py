"""Masks and beads in files for colours: taken where they are grey, refused with advice that can be followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from support import assert_sentence

from napari_dmu.errors import SpecimenError
from napari_dmu.files import tiff
from napari_dmu.files.kernel import read_kernel
from napari_dmu.files.specimen import read_grey

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


def write(path: Path, pixels: NDArray[np.generic]) -> Path:
    """Colours (..., Y, X, 3 or 4) as the name wants them."""
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        alpha = {"extrasamples": ["unassalpha"]} if pixels.shape[-1] == 4 else {}
        tifffile.imwrite(path, pixels, photometric="rgb", **alpha)
    return path


@pytest.mark.parametrize("alpha", [None, 255, 0])
@pytest.mark.parametrize("name", ["m.png", "m.tif"])
def test_equal_colours_are_the_grey_image(tmp_path: Path, name: str, alpha: int | None) -> None:
    channels = [GREY] * 3 if alpha is None else [GREY, GREY, GREY, np.full_like(GREY, alpha)]
    read = read_grey(write(tmp_path / name, np.stack(channels, axis=-1)))
    assert (read.axes, read.data.dtype) == (("y", "x"), np.uint8)
    np.testing.assert_array_equal(read.data, GREY)


@pytest.mark.parametrize("what", ["colours", "transparency"])
@pytest.mark.parametrize("name", ["m.png", "m.tif"])
def test_what_is_in_colour_is_refused(tmp_path: Path, name: str, what: str) -> None:
    white = np.full_like(GREY, 255)
    channels = [GREY, white, GREY] if what == "colours" else [white, white, white, GREY]
    with pytest.raises(SpecimenError, match="save it as one grey channel") as raised:
        read_grey(write(tmp_path / name, np.stack(channels, axis=-1)))
    assert_sentence(raised.value)
    assert "luminance" not in str(raised.value)


def test_a_stack_is_looked_at_plane_by_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LAZY_BYTES", 10)
    pixels = np.stack([np.stack([GREY] * 3, axis=-1)] * 3)
    pixels[2, 0, 0, 1] = 99
    planes = read_grey(write(tmp_path / "m.tif", pixels)).data
    np.testing.assert_array_equal(planes[1].compute(), GREY)
    with pytest.raises(SpecimenError, match="is in colour"):
        planes[2].compute()


def test_a_bead_in_a_file_for_colours(tmp_path: Path) -> None:
    rows, columns = np.indices((21, 21)) - 10
    bead = np.rint(200 * np.exp(-(rows**2 + columns**2) / 8)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "grey.tif", bead)
    equal = write(tmp_path / "equal.tif", np.stack([bead] * 3, axis=-1))
    assert read_kernel(equal) == read_kernel(tmp_path / "grey.tif")
    with pytest.raises(SpecimenError, match="save it as one grey channel"):
        read_kernel(write(tmp_path / "green.tif", np.stack([0 * bead, bead, 0 * bead], axis=-1)))
