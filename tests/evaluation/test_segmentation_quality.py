"""Label scores: hand-computed planes, a slow independent count, invariances, large ids and speed."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_dmu.errors import SettingsError, SpecimenError
from napari_dmu.evaluation import SegmentationQuality, matched_pairs, pool, segmentation_quality

SCORES = ("precision", "recall", "f1", "ap50", "ap", "mean_dice", "mean_iou")


def _row(*runs):
    """A plane of one row from (id, length) runs."""
    return np.concatenate([np.full(n, i, np.int32) for i, n in runs])[None]


def test_hand_computed_plane():
    truth = _row((1, 10), (0, 5), (2, 10), (0, 5), (3, 10), (0, 5))
    labels = _row((7, 10), (0, 5), (9, 8), (0, 7), (5, 3), (0, 7), (6, 5))
    # 7-1: IoU 1; 9-2: 8 / 10; 5-3: 3 / 10, too little; 6 lies on background.
    score = segmentation_quality(labels, truth)
    assert (score.matched, score.missed, score.invented) == (2, 1, 2)
    assert (score.count, score.truth_count, score.count_error) == (4, 3, 1)
    assert score.precision == pytest.approx(2 / 4)
    assert score.recall == pytest.approx(2 / 3)
    assert score.f1 == pytest.approx(4 / 7)
    assert score.ap50 == pytest.approx(2 / 5)
    # Two pairs up to IoU 0.80 (7 thresholds), one from 0.85 on (3 thresholds): 2 / 5 and 1 / 6.
    assert score.ap == pytest.approx((7 * 2 / 5 + 3 * 1 / 6) / 10)
    assert score.mean_iou == pytest.approx(0.9)
    assert score.mean_dice == pytest.approx((1 + 16 / 18) / 2)
    found = matched_pairs(labels, truth)
    assert found.pairs.tolist() == [[7, 1], [9, 2]]
    assert found.ious.tolist() == [1.0, 0.8]
    assert found.missed.tolist() == [3]
    assert found.invented.tolist() == [5, 6]


def test_one_label_over_two_cells_matches_one_of_them():
    truth, labels = _row((1, 6), (2, 4)), _row((4, 10))
    found = matched_pairs(labels, truth, iou=0.3)
    assert found.pairs.tolist() == [[4, 1]]
    assert found.missed.tolist() == [2]
    assert found.invented.size == 0
    score = segmentation_quality(labels, truth, iou=0.3)
    assert (score.matched, score.missed, score.invented, score.count_error) == (1, 1, 0, -1)


def test_one_cell_split_into_three_labels():
    found = matched_pairs(_row((1, 2), (2, 5), (3, 3)), _row((8, 10)), iou=0.1)
    assert found.pairs.tolist() == [[2, 8]]
    assert found.invented.tolist() == [1, 3]


def test_iou_equal_to_the_threshold_matches():
    half = segmentation_quality(_row((1, 5), (0, 5)), _row((1, 10)))
    assert half.matched == 1
    assert half.ap50 == 1.0
    assert half.ap == pytest.approx(0.1)
    # 11 / 20 is the second threshold of AP, 0.55; decimals made by adding up would miss it.
    assert segmentation_quality(_row((1, 11), (0, 9)), _row((1, 20))).ap == pytest.approx(0.2)
    assert segmentation_quality(_row((1, 19), (0, 1)), _row((1, 20))).ap == 1.0


def test_at_exactly_one_half_two_candidates_count_once():
    score = segmentation_quality(_row((1, 10)), _row((1, 5), (2, 5)))
    assert (score.matched, score.missed, score.invented) == (1, 1, 0)
    assert score.ap50 == 0.5


def test_more_pairs_go_before_more_overlap():
    labels, truth = _row((1, 2), (1, 12), (2, 2)), _row((1, 2), (2, 12), (2, 2))
    # IoU: 1-1 2/14, 1-2 12/16, 2-2 2/14: pair 1-2 alone has more overlap than the two others together.
    assert matched_pairs(labels, truth, iou=0.1).pairs.tolist() == [[1, 1], [2, 2]]
    assert matched_pairs(labels, truth, iou=0.2).pairs.tolist() == [[1, 2]]


def test_among_equally_many_pairs_the_larger_overlap_wins():
    labels, truth = _row((1, 4), (1, 3), (2, 3), (2, 6)), _row((1, 4), (2, 3), (1, 3), (2, 6))
    # IoU: 1-1 4/10, 1-2 3/13, 2-1 3/13, 2-2 6/12.
    assert matched_pairs(labels, truth, iou=0.1).pairs.tolist() == [[1, 1], [2, 2]]


def test_empty_planes():
    empty, full = np.zeros((1, 10), np.uint8), _row((3, 4), (0, 6))
    nothing = segmentation_quality(empty, empty)
    assert all(getattr(nothing, name) == 1.0 for name in SCORES)
    assert nothing.count == nothing.truth_count == nothing.matched == 0
    for labels, truth, missed, invented in [(empty, full, 1, 0), (full, empty, 0, 1)]:
        score = segmentation_quality(labels, truth)
        assert all(getattr(score, name) == 0.0 for name in SCORES)
        assert (score.matched, score.missed, score.invented) == (0, missed, invented)
        found = matched_pairs(labels, truth)
        assert found.pairs.shape == (0, 2)
        assert (found.missed.size, found.invented.size) == (missed, invented)


def test_no_overlap_scores_zero():
    score = segmentation_quality(_row((1, 4), (0, 6)), _row((0, 6), (1, 4)))
    assert all(getattr(score, name) == 0.0 for name in SCORES)


def test_a_plane_without_background():
    plane = _row((4, 3), (2**31 - 1, 3))
    assert segmentation_quality(plane, plane).f1 == 1.0
    assert segmentation_quality(plane // 2**20 + 1, plane).f1 == 1.0


# An independent, slow reading of the definitions: sets of pixels and every possible pairing.


def _pixels(plane):
    cells = {}
    for index, value in enumerate(plane.ravel().tolist()):
        if value:
            cells.setdefault(value, set()).add(index)
    return list(cells.values())


def _slow_best(labels, truth, threshold):
    """(number of pairs, sum of IoU) of the best pairing, by trying all of them."""
    a, b = _pixels(labels), _pixels(truth)
    if len(a) > len(b):
        a, b = b, a
    best = (0, 0.0)
    for partners in itertools.permutations(range(len(b)), len(a)):
        ious = [len(a[i] & b[j]) / len(a[i] | b[j]) for i, j in enumerate(partners)]
        kept = [v for v in ious if v >= threshold]
        best = max(best, (len(kept), sum(kept)))
    return best


def _slow_precision(labels, truth, threshold):
    n, m = len(_pixels(labels)), len(_pixels(truth))
    if n == m == 0:
        return 1.0
    matched = _slow_best(labels, truth, threshold)[0]
    return matched / (matched + (m - matched) + (n - matched))


@st.composite
def _plane_pairs(draw):
    """Two planes of up to five cells; the second is often the first with some pixels changed."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    size = shape[0] * shape[1]
    ids = st.lists(st.integers(0, 5), min_size=size, max_size=size)
    truth = np.array(draw(ids), np.int32).reshape(shape)
    labels = np.array(draw(ids), np.int32).reshape(shape)
    keep = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    return np.where(np.array(keep).reshape(shape) > 0, truth, labels), truth


@settings(max_examples=80, deadline=None)
@given(_plane_pairs(), st.sampled_from([0.05, 0.2, 0.5, 0.7, 1.0]))
def test_agrees_with_trying_every_pairing(planes, threshold):
    labels, truth = planes
    score = segmentation_quality(labels, truth, threshold)
    number, total = _slow_best(labels, truth, threshold)
    assert score.matched == number
    if number:
        assert score.mean_iou == pytest.approx(total / number)
    expected = [_slow_precision(labels, truth, percent / 100) for percent in range(50, 100, 5)]
    assert score.ap50 == pytest.approx(expected[0])
    assert score.ap == pytest.approx(sum(expected) / 10)


@settings(max_examples=60, deadline=None)
@given(_plane_pairs(), st.permutations(range(1, 6)), st.integers(1, 2**31 - 6), st.integers(0, 2**31 - 6))
def test_names_of_the_cells_do_not_matter(planes, order, first, second):
    labels, truth = planes
    renamed = np.array([0, *order])[labels]
    renamed = np.where(renamed, renamed + first, 0).astype(np.int32)
    other = np.where(truth, truth + second, 0).astype(np.int32)
    one, two = segmentation_quality(labels, truth), segmentation_quality(renamed, other)
    assert two.model_dump() == pytest.approx(one.model_dump())


@settings(max_examples=60, deadline=None)
@given(_plane_pairs(), st.sampled_from([0.05, 0.5, 0.7]))
def test_books_balance_and_sides_swap(planes, iou):
    labels, truth = planes
    score, found = segmentation_quality(labels, truth, iou), matched_pairs(labels, truth, iou)
    assert len(found.pairs) == score.matched
    assert found.ious.size == score.matched
    assert sorted([*found.pairs[:, 0], *found.invented]) == sorted(set(labels[labels > 0]))
    assert sorted([*found.pairs[:, 1], *found.missed]) == sorted(set(truth[truth > 0]))
    for (label, cell), value in zip(found.pairs, found.ious, strict=True):
        a, b = labels == label, truth == cell
        assert value == pytest.approx((a & b).sum() / (a | b).sum())
        assert value >= iou
    swapped = segmentation_quality(truth, labels, iou)
    assert (swapped.precision, swapped.recall) == (score.recall, score.precision)
    assert swapped.f1 == score.f1
    assert swapped.ap == pytest.approx(score.ap)
    assert segmentation_quality(truth, truth, iou).f1 == 1.0


def test_large_ids_take_no_memory():
    labels = np.zeros((256, 256), np.int32)
    labels[10:50, 10:50], labels[100:120, 7:30] = 2**31 - 1, 2**31 - 1000
    wide = labels.astype(np.int64) * 2**31
    tracemalloc.start()
    try:
        score, found = segmentation_quality(labels, wide), matched_pairs(wide, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert score.f1 == 1.0
    assert found.pairs[:, 1].tolist() == [2**31 - 1000, 2**31 - 1]
    assert peak < 20e6


def _field(shift, first_id=1):
    """2048 x 2048 with 2025 round cells, shifted."""
    y, x = np.mgrid[:2048, :2048] - shift
    row, column = y // 45, x // 45
    inside = (y % 45 - 22) ** 2 + (x % 45 - 22) ** 2 < 19**2
    return np.where(inside & (y >= 0) & (x >= 0), row * 46 + column + first_id, 0).astype(np.int32)


@pytest.mark.parametrize("first_id", [1, 2**30])
def test_a_large_field_is_fast(first_id):
    truth, labels = _field(0), _field(6, first_id)
    best = np.inf
    for _ in range(3):  # the best of three, so that a busy machine does not fail the test
        start = time.perf_counter()
        score = segmentation_quality(labels, truth)
        best = min(best, time.perf_counter() - start)
    assert score.truth_count > 2000
    assert score.recall > 0.9
    assert 0.5 < score.mean_iou < 0.9
    assert best < 2.0


class TestRefusals:
    def test_shapes_differ(self):
        with pytest.raises(SpecimenError, match=r"\(1, 4\).*\(1, 5\)"):
            segmentation_quality(np.zeros((1, 4), int), np.zeros((1, 5), int))

    @pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1j, "1"])
    def test_not_whole_numbers(self, value):
        with pytest.raises(SpecimenError, match="whole numbers"):
            segmentation_quality(np.full((4, 4), value), np.zeros((4, 4), int))

    @pytest.mark.parametrize("shape", [(4,), (2, 4, 4), (0, 4)])
    def test_not_a_plane(self, shape):
        with pytest.raises(SpecimenError, match="plane"):
            matched_pairs(np.zeros(shape, int), np.zeros(shape, int))

    @pytest.mark.parametrize("bad", [np.array([[-1, 2]]), np.array([[2**63, 2]], np.uint64), np.array([[2.0**60, 2]])])
    def test_ids_out_of_range(self, bad):
        with pytest.raises(SpecimenError, match="relabel"):
            segmentation_quality(np.ones((1, 2), int), bad)

    @pytest.mark.parametrize("iou", [0.0, -0.5, 1.01, float("nan")])
    def test_iou_out_of_range(self, iou):
        plane = np.ones((2, 2), int)
        for function in (segmentation_quality, matched_pairs):
            with pytest.raises(SettingsError, match="IoU"):
                function(plane, plane, iou)


def test_pool_takes_means_of_scores_and_sums_of_counts():
    one = segmentation_quality(_row((1, 4), (2, 6)), _row((1, 4), (0, 6)))
    two = segmentation_quality(_row((0, 10)), _row((1, 4), (5, 6)))
    both = pool([one, two])
    for name in SCORES:
        assert getattr(both, name) == pytest.approx((getattr(one, name) + getattr(two, name)) / 2)
    assert (both.matched, both.missed, both.invented) == (1, 2, 1)
    assert (both.count, both.truth_count, both.count_error) == (2, 3, -1)
    assert pool([one]) == one
    assert both.iou == 0.5


def test_pool_refuses_nothing_and_mixtures():
    plane = np.ones((2, 2), int)
    with pytest.raises(SettingsError, match="no planes"):
        pool([])
    with pytest.raises(SettingsError, match="different IoU"):
        pool([segmentation_quality(plane, plane, 0.5), segmentation_quality(plane, plane, 0.7)])


def test_result_is_frozen_and_survives_json():
    score = segmentation_quality(_row((1, 4), (2, 6)), _row((1, 4), (0, 6)))
    assert SegmentationQuality.model_validate_json(score.model_dump_json()) == score
    with pytest.raises(ValidationError):
        score.f1 = 0.0
