"""Cells by the pattern set or by another segmenter, with the image they are measured in."""

from __future__ import annotations

import tracemalloc
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import assert_sentence, discs, make_set

import napari_dmu as dmu
from napari_dmu.engine.cells import cell_table, count_sentence, find_cells
from napari_dmu.engine.progress import CancelToken
from napari_dmu.errors import Cancelled, DmuError, PatternSetError, SettingsError, SpecimenError
from napari_dmu.microscope.measurement import Measurement
from napari_dmu.segmentation import registry
from napari_dmu.zoo.pattern_set import PatternSet

SEEN: list[NDArray[np.float32]] = []


def halves(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A segmenter of somebody's: two cells with ids of its own, whatever the image; keeps what it saw."""
    SEEN.append(image)
    labels = np.zeros(image.shape, np.uint8)
    labels[:8], labels[-8:] = 9, 200
    return labels


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> str:
    """``halves``, in the group."""
    entry = EntryPoint("halves", f"{__name__}:halves", registry.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: halves)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    SEEN.clear()
    return "halves"


@pytest.fixture(scope="module")
def measurement(instrument: PatternSet) -> Measurement:
    """Two planes of discs and one with nothing, in µm."""
    stack = np.stack([discs((64, 80), seed=1)[0], discs((64, 80), seed=2, count=4)[0], np.full((64, 80), 0.05)])
    return dmu.simulate(
        (stack * 1000).astype(np.uint16), instrument, axes=("t", "y", "x"), scale=(1, 0.5, 0.5),
        units=("second", "micrometer", "micrometer"),
    )  # fmt: skip


def test_the_image_is_the_reconstruction_and_the_labels_those_of_segment(
    measurement: Measurement, instrument: PatternSet
) -> None:
    cells = find_cells(measurement, instrument=instrument)
    np.testing.assert_array_equal(cells.labels, dmu.segment(measurement, instrument=instrument))
    np.testing.assert_allclose(cells.image, dmu.reconstruct(measurement, instrument=instrument), rtol=1e-5, atol=1e-3)
    assert cells.counts.tolist() == [6, 4, 0]
    table = cell_table(cells, measurement.info)
    assert table["t"].tolist() == [0] * 6 + [1] * 4
    assert table["label"].tolist() == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]
    np.testing.assert_allclose(table["area (µm²)"], table["area (pixels)"] * 0.25)
    assert (table["mean intensity"] > 400).all()


def test_where_the_cells_lie_may_be_said_otherwise(measurement: Measurement, instrument: PatternSet) -> None:
    cells = find_cells(measurement, instrument=instrument)
    table = cell_table(cells, measurement.info, scale=(1, 2.0, 3.0), units=("second", "nanometer", "nanometer"))
    np.testing.assert_allclose(table["area (nm²)"], table["area (pixels)"] * 6.0)
    assert "t" in table


def test_another_segmenter_gets_the_reconstruction_plane_by_plane(
    measurement: Measurement, instrument: PatternSet, theirs: str
) -> None:
    progress: list[int] = []
    labels = dmu.segment(
        measurement, instrument=instrument, segmenter=theirs, progress=lambda done, *_: progress.append(done)
    )
    assert labels.dtype == np.int32
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert progress == [1, 2, 3]
    np.testing.assert_allclose(SEEN, dmu.reconstruct(measurement, instrument=instrument), rtol=1e-6)


def test_a_given_image_is_used_and_needs_no_pattern_set(measurement: Measurement, theirs: str) -> None:
    image = np.arange(3 * 64 * 80, dtype=np.float64).reshape(3, 64, 80)
    cells = find_cells(measurement, segmenter=theirs, image=image)  # the set is not where the registry looks
    np.testing.assert_array_equal(SEEN, image.astype(np.float32))
    np.testing.assert_array_equal(cells.image, image.astype(np.float32))
    assert cells.counts.tolist() == [2, 2, 2]


def test_labels_alone_keep_no_image(measurement: Measurement, theirs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EntryPoint, "load", lambda self: lambda image: np.ones(image.shape, np.int32))
    stack = measurement.with_data(np.repeat(measurement.data, 40, axis=0))
    image = np.zeros((120, 64, 80), np.float32)
    tracemalloc.start()
    labels = dmu.segment(stack, segmenter=theirs, image=image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * labels.nbytes


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"segmenter": "nobody's"}, SettingsError, "choose one of pattern set, halves"),
        ({"image": np.zeros((3, 64, 80))}, SettingsError, "leave the image out"),
        ({"segmenter": "halves", "image": np.zeros((64, 80))}, SpecimenError, r"\(64, 80\)"),
        ({"segmenter": "halves", "image": np.full((3, 64, 80), np.nan)}, SpecimenError, "NaN"),
    ],
)
def test_wrong_use_is_one_sentence(
    measurement: Measurement, instrument: PatternSet, theirs: str, options: Any, kind: type[DmuError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        find_cells(measurement, instrument=instrument, **options)
    assert_sentence(caught.value)


def test_a_set_without_segmenter_is_refused_but_not_for_another_one(tmp_path: Path, theirs: str) -> None:
    instrument = make_set(tmp_path / "plain.dmu.safetensors", with_head=False)
    measurement = dmu.simulate(discs((48, 48))[0], instrument)
    with pytest.raises(PatternSetError, match="or another segmenter") as caught:
        dmu.segment(measurement, instrument=instrument)
    assert_sentence(caught.value)
    assert dmu.segment(measurement, instrument=instrument, segmenter=theirs).max() == 2


def test_cancelling_stops_before_the_next_plane(measurement: Measurement, instrument: PatternSet, theirs: str) -> None:
    token = CancelToken()
    with pytest.raises(Cancelled):
        dmu.segment(
            measurement, instrument=instrument, segmenter=theirs, cancel=token, progress=lambda *_: token.cancel()
        )
    assert len(SEEN) == 1


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ([92], "92 cells"),
        ([1], "1 cell"),
        ([0], "0 cells"),
        ([3, 5, 4], "12 cells in 3 planes, 3–5 each"),
        (np.array([2, 2]), "4 cells in 2 planes, 2 each"),
    ],
)
def test_counts_in_words(counts: Any, sentence: str) -> None:
    assert count_sentence(counts) == sentence


def test_the_comparison_says_how_many_too_many(measurement: Measurement) -> None:
    labels = np.zeros((2, 32, 32), np.int32)
    truth = labels.copy()
    labels[0, :4, :4], truth[0, :4, :4] = 1, 1
    labels[1, 8:12, :4], labels[1, 20:24, :4], truth[1, 8:12, :4] = 1, 2, 1
    truth[1, :4, :4], truth[1, :4, 8:], truth[1, 28:, :] = 2, 3, 4
    image = np.zeros(labels.shape)
    found = dmu.compare(image, image, labels=labels, truth_labels=truth)
    assert (found.count, found.truth_count, found.count_error) == (3, 5, -2)
    assert dmu.compare(image, image).count_error is None
