"""Masks with one number for all cells, as many programs write them, against labels with a number a cell."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from support import assert_sentence, discs

import napari_dmu as dmu
from napari_dmu.engine.masks import counted, pieces_sentence
from napari_dmu.engine.progress import CancelToken
from napari_dmu.errors import Cancelled, SpecimenError

IMAGE, LABELS = discs((80, 90), seed=1, count=7)


@pytest.mark.parametrize("value", [1, 255, True, 65535.0])
def test_the_pieces_of_a_mask_are_the_cells(value: Any) -> None:
    mask = np.where(LABELS > 0, value, type(value)(0))
    found = counted(mask)
    assert found.pieces
    assert len(np.unique(found.labels)) == 8
    scores = dmu.compare(IMAGE, IMAGE, labels=LABELS, truth_labels=mask)
    assert scores.truth_count == 7
    assert scores.f1 == 1.0
    assert scores.notes == (pieces_sentence(["true labels"]),)


@pytest.mark.parametrize("kind", [bool, np.uint8, float, np.float32])
@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_a_mask_is_taken_whatever_its_type_and_pieces(kind: Any, pieces: int) -> None:
    mask = np.zeros((80, 90), kind)
    for number in range(pieces):
        mask[10:20, 30 * number + 5 : 30 * number + 20] = 1
    for labels, truth_labels in ((LABELS, mask), (mask, LABELS), (mask, mask)):
        scores = dmu.compare(IMAGE, IMAGE, labels=labels, truth_labels=truth_labels)
        assert (scores.count, scores.truth_count) == tuple(pieces if m is mask else 7 for m in (labels, truth_labels))


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[2:5, 2:5] = mask[5:8, 5:8] = mask[12:15, 2:5] = 255
    assert np.unique(counted(mask).labels).tolist() == [0, 1, 2]


def test_labels_in_floats_score_as_in_whole_numbers() -> None:
    whole = dmu.compare(IMAGE, IMAGE, labels=LABELS, truth_labels=LABELS[::-1])
    floats = (LABELS.astype(np.float32), LABELS[::-1].astype(float))
    assert dmu.compare(IMAGE, IMAGE, labels=floats[0], truth_labels=floats[1]) == whole
    with pytest.raises(SpecimenError, match="whole numbers"):
        dmu.compare(IMAGE, IMAGE, labels=LABELS / 2, truth_labels=LABELS)


def test_labels_stay_as_they_are() -> None:
    found = counted(LABELS)
    assert not found.pieces
    assert found.labels is LABELS
    assert dmu.compare(IMAGE, IMAGE, labels=LABELS, truth_labels=LABELS).notes == ()


def test_pieces_of_one_of_several_cells_stay_together() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[2:5, 2:5] = labels[2:5, 10:14] = 3
    labels[12:16, 2:9] = 4
    assert counted(labels).labels is labels


def test_one_cell_in_one_piece_is_no_mask() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[2:5, 2:5] = 200
    found = counted(labels)
    assert not found.pieces
    assert found.labels is labels


def test_a_stack_is_looked_at_as_a_whole() -> None:
    one, other = (LABELS > 0).astype(np.uint8), (LABELS[::-1] > 0).astype(np.uint8)
    same = counted(da.from_array(np.stack([one, np.zeros_like(one), other]), chunks=(1, 80, 90)))
    assert same.pieces
    assert [len(np.unique(plane)) for plane in np.asarray(same.labels)] == [8, 1, 8]
    different = np.stack([one, 2 * other])
    assert counted(different).labels is different


@pytest.mark.parametrize(
    "labels", [np.zeros((9, 9), int), np.full((9, 9), np.nan), -1 * (LABELS > 0), np.where(LABELS > 0, 0.5, -0.5)]
)
def test_what_is_no_mask_is_left_to_the_comparison(labels: np.ndarray) -> None:
    assert counted(labels).labels is labels


def test_it_can_be_cancelled() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        counted(LABELS > 0, token)


def test_the_sentence_names_what_was_a_mask() -> None:
    assert "The labels and the true labels have one number" in pieces_sentence(["labels", "true labels"])
    assert_sentence(ValueError(pieces_sentence(["true labels"])))


@pytest.mark.parametrize("value", [0, 700])
def test_a_true_image_without_contrast_is_told(value: int) -> None:
    flat = np.full((2, 30, 40), value, np.uint16)
    scores = dmu.compare(flat + 0.25, flat)
    assert len(scores.notes) == 1
    assert_sentence(ValueError(scores.notes[0]))
    flat[1, 3, 4] += 1
    assert dmu.compare(flat + 0.25, flat).notes == ()
