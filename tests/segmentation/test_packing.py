"""Packing the foreground: every pixel has one place, and cells come out as from the whole field."""

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_dmu.segmentation import instances as module
from napari_dmu.segmentation.instances import instances, parted
from napari_dmu.segmentation.packing import Packing
from napari_dmu.segmentation.settings import InstanceSettings

MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24)))


def neighbours(mask: NDArray[np.bool_], numbers: NDArray[np.int64]) -> set[tuple[int, int]]:
    """Pairs of pixels of the mask, by their numbers, that touch at a side or a corner."""
    found = set()
    for y, x in np.argwhere(mask):
        for down, across in ((0, 1), (1, -1), (1, 0), (1, 1)):
            row, column = y + down, x + across
            if row < mask.shape[0] and 0 <= column < mask.shape[1] and mask[row, column]:
                found.add((int(numbers[y, x]), int(numbers[row, column])))
    return found


@settings(deadline=None)
@given(MASKS)
def test_pixels_keep_their_neighbours_and_get_no_others(mask: NDArray[np.bool_]) -> None:
    assume(mask.any())
    numbers = np.arange(1, mask.size + 1).reshape(mask.shape)
    packing = Packing.of(mask)
    small = packing.pack(numbers, 0)
    assert neighbours(small > 0, small) == neighbours(mask, numbers)
    np.testing.assert_array_equal(packing.unpack(small), np.where(mask, numbers, 0))


def test_mostly_empty_fields_become_small() -> None:
    mask = np.zeros((400, 300), dtype=bool)
    mask[10:20, 5:15] = mask[390:, 290:] = mask[200, 0] = True
    packed = Packing.of(mask).packed
    assert packed[0] * packed[1] < 600


def test_a_full_field_stays_as_it_is() -> None:
    assert Packing.of(np.ones((7, 5), dtype=bool)).packed == (8, 6)


@pytest.mark.parametrize("prominence", [0.0, 0.05, 0.15])
@pytest.mark.parametrize("seed", range(4))
def test_cells_are_those_of_the_whole_field(prominence: float, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    foreground = ndimage.gaussian_filter(rng.random((120, 170)), 3, mode="reflect")
    foreground = (foreground - foreground.min()) / np.ptp(foreground)
    # Plateaus and values below zero: where markers and ties are decided.
    distance = np.round(np.clip(3 * foreground - 1.2 + 0.1 * rng.standard_normal(foreground.shape), -0.1, 1), 1)
    chosen = InstanceSettings(foreground=0.45, prominence=prominence, min_area=3, smoothing=0.7, confidence=0.4)
    packed = instances(foreground, distance, chosen)
    assert packed.max() > 10

    monkeypatch.setattr(module, "Packing", AsItIs)
    np.testing.assert_array_equal(instances(foreground, distance, chosen), packed)


def test_what_would_take_more_room_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Diagonal stripes: the box of each is nearly the field."""
    rows, columns = np.indices((96, 128))
    foreground = ((rows + columns) % 12 < 6).astype(np.float32)
    packing = Packing.of(foreground > 0.5)
    assert packing.packed[0] * packing.packed[1] > 4 * foreground.size
    seen = []
    whole = module._parted_pieces

    def watched(smooth: NDArray[np.float32], *rest: Any) -> Any:
        seen.append(smooth.shape)
        return whole(smooth, *rest)

    monkeypatch.setattr(module, "_parted_pieces", watched)
    assert instances(foreground, foreground, InstanceSettings()).max() > 10
    assert seen == [(96, 128)]


class AsItIs:
    """In the place of ``Packing``: the field itself."""

    packed = (0, 0)  # so that it is taken for the smaller one

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.mask = mask

    of = classmethod(lambda cls, mask: cls(mask))

    def pack(self, image: NDArray[Any], background: float) -> NDArray[Any]:
        return np.where(self.mask, image, np.asarray(background, dtype=image.dtype))

    def unpack(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        return labels


def test_nothing_in_the_foreground_gives_no_cells() -> None:
    maps = np.zeros((2, 30, 40), dtype=np.float32)
    assert not parted(*maps, InstanceSettings()).any()
