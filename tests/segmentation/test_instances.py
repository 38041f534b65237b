"""From maps to cells and from cells to targets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import discs

from napari_dmu.segmentation.instances import DEEP, depths, distance_target, drop_small, instances
from napari_dmu.segmentation.settings import InstanceSettings

SETTINGS = InstanceSettings()


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> NDArray[np.bool_]:
    y, x = np.indices(shape)
    return np.hypot(y - centre[0], x - centre[1]) < radius


def touching() -> NDArray[np.int32]:
    """Two cells that share a border of several pixels."""
    left, right = disc((40, 60), (20, 20), 12), disc((40, 60), (20, 41), 12)
    labels = np.where(left, 1, 0)
    labels[right & ~left] = 2
    return labels.astype(np.int32)


def overlap(found: NDArray[np.int32], truth: NDArray[np.int32]) -> list[float]:
    """Best intersection over union with each true cell."""
    scores = []
    for number in range(1, truth.max() + 1):
        inside = truth == number
        candidates = np.unique(found[inside])
        scores.append(
            max(float((inside & (found == c)).sum() / (inside | (found == c)).sum()) for c in candidates if c > 0)
        )
    return scores


def test_touching_cells_are_parted() -> None:
    truth = touching()
    found = instances((truth > 0).astype(float), distance_target(truth), SETTINGS)
    assert found.max() == 2
    assert min(overlap(found, truth)) > 0.9
    np.testing.assert_array_equal(found > 0, truth > 0)


def test_a_shallow_saddle_does_not_part_a_cell() -> None:
    truth = touching()
    smooth = np.where(truth > 0, 0.8, 0.0)
    smooth[20, 20] = smooth[20, 41] = 0.83
    assert instances((truth > 0).astype(float), smooth, SETTINGS).max() == 1


def test_small_cells_beside_large_ones_are_parted_too() -> None:
    """Their maps do not rise as high, which one threshold for all cannot serve."""
    truth = touching()
    pair = disc((40, 60), (4, 10), 3.4), disc((40, 60), (4, 16), 3.4)
    truth[pair[0]], truth[pair[1] & ~pair[0]] = 3, 4
    truth[:1] = 0
    distance = distance_target(truth)
    distance[truth >= 3] *= 0.75
    found = instances((truth > 0).astype(float), distance, InstanceSettings(min_area=9, smoothing=0.5))
    assert found.max() == 4
    assert min(overlap(found, truth)) > 0.8


def test_a_peak_that_rises_less_than_the_prominence_makes_no_cell() -> None:
    truth = touching()
    ridge = np.where(truth > 0, 0.5 + 0.2 * distance_target(truth), 0.0)
    counts = [instances((truth > 0) * 1.0, ridge, InstanceSettings(prominence=p)).max() for p in (0.02, 0.1, 0.3)]
    assert counts == [2, 2, 1]
    assert instances((truth > 0) * 1.0, ridge, InstanceSettings(prominence=0.02, core=0.75)).max() == 1


def test_doubtful_cells_are_dropped() -> None:
    truth = touching()
    probability = np.where(truth == 1, 0.95, np.where(truth == 2, 0.7, 0.0))
    counts = [
        instances(probability, distance_target(truth), InstanceSettings(confidence=c)).max() for c in (0.0, 0.6, 0.8)
    ]
    assert counts == [2, 2, 1]
    exactly = (truth > 0) * 0.75
    assert instances(exactly, distance_target(truth), InstanceSettings(confidence=0.75)).max() == 2


def test_the_middle_of_a_large_cell_is_flat() -> None:
    target = distance_target(disc((90, 90), (45, 45), 40).astype(np.int32))
    assert (target[disc((90, 90), (45, 45), 40 - DEEP - 1)] == 1).all()
    assert target[45, 45 + 38] < 0.4


def test_depths_are_pixels_to_the_border_and_the_largest_of_the_cell() -> None:
    labels = np.zeros((12, 20), dtype=np.int32)
    labels[2:9, 3:16] = 5
    labels[2:9, 16:18] = 6
    depth, deepest = depths(labels)
    assert depth[5, 9] == deepest[5, 9] == deepest[2, 3] == 4
    assert depth[5, 15] == 1  # the neighbour's border is a border
    assert (deepest[labels == 6] == 1).all()
    assert not depth[labels == 0].any()


def test_cells_apart_are_found_whatever_their_distance_map_says() -> None:
    truth = discs((90, 90), seed=2, count=7)[1]
    found = instances((truth > 0) * 0.9, np.zeros(truth.shape), SETTINGS)
    assert found.max() == truth.max()
    assert min(overlap(found, truth)) == 1.0


def test_nothing_gives_nothing() -> None:
    empty = np.zeros((12, 9))
    for foreground in (empty, empty + 0.5):  # 0.5 is not above the threshold
        found = instances(foreground, empty, SETTINGS)
        assert found.dtype == np.int32
        assert found.shape == (12, 9)
        assert not found.any()


def test_the_whole_field_can_be_one_cell() -> None:
    assert set(np.unique(instances(np.ones((12, 9)), np.ones((12, 9)), SETTINGS))) == {1}


@given(seed=st.integers(0, 500))
def test_numbers_run_from_1_to_n_and_the_result_is_the_same_each_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = discs((48, 48), seed=seed, count=5, radius=(2.0, 8.0))[1]
    foreground = np.clip((truth > 0) + 0.3 * rng.standard_normal(truth.shape), 0, 1)
    distance = distance_target(truth) + 0.1 * rng.standard_normal(truth.shape)
    found = instances(foreground, distance, SETTINGS)
    assert found.dtype == np.int32
    assert set(np.unique(found[found > 0])) == set(range(1, found.max() + 1))
    assert all(area >= SETTINGS.min_area for area in np.bincount(found.ravel())[1:])
    assert not found[foreground <= SETTINGS.foreground].any()
    np.testing.assert_array_equal(found, instances(foreground, distance, SETTINGS))


def test_cells_are_numbered_in_scan_order() -> None:
    found = instances(*(m.astype(float) for m in 2 * [discs((90, 90), seed=4, count=6)[1] > 0]), SETTINGS)
    first = [int(np.flatnonzero(found.ravel() == number)[0]) for number in range(1, found.max() + 1)]
    assert first == sorted(first)


def test_small_cells_are_dropped_and_the_others_keep_their_shape() -> None:
    labels = np.zeros((10, 10), dtype=np.int32)
    labels[0, 0] = 1
    labels[2:5, 2:5] = 2
    labels[6, 0:8] = 3
    labels[8:, 8:] = 4
    found = drop_small(labels, 5)
    assert set(np.unique(found)) == {0, 1, 2}
    np.testing.assert_array_equal(found == 1, labels == 2)
    np.testing.assert_array_equal(found == 2, labels == 3)
    assert not drop_small(labels, 100).any()
    foreground = (labels > 0).astype(float)
    assert instances(foreground, foreground, InstanceSettings(min_area=9)).max() == 1


@given(seed=st.integers(0, 500))
def test_the_distance_target_is_1_in_the_middle_of_each_cell_and_0_outside(seed: int) -> None:
    labels = discs((40, 50), seed=seed, count=4, radius=(1.0, 9.0))[1]
    target = distance_target(labels)
    assert target.dtype == np.float32
    assert not target[labels == 0].any()
    for number in range(1, labels.max() + 1):
        inside = target[labels == number]
        assert inside.min() > 0
        assert inside.max() == pytest.approx(1.0)


def test_the_distance_falls_to_the_border_also_between_touching_cells_and_at_the_field_edge() -> None:
    target = distance_target(touching())
    assert target[20, 31] < 0.3
    assert target[20, 20] > 0.9
    cut = distance_target(np.ones((9, 9), dtype=np.int32))
    assert cut[4, 4] == 1
    assert cut[0].max() < 0.5


def test_labels_with_gaps_and_cells_in_pieces_are_fine() -> None:
    labels = np.zeros((9, 9), dtype=np.int32)
    labels[0:3, 0:3] = labels[6:, 6:] = 7
    target = distance_target(labels)
    assert target[1, 1] == target[7, 7] == 1
