"""Cells of a large field are the same however it is cut; nothing gives nothing; stacks go plane by plane."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from support import discs, make_set

import napari_dmu as dmu
from napari_dmu.engine import decoding
from napari_dmu.engine.tiles import plan
from napari_dmu.microscope.measurement import Measurement
from napari_dmu.segmentation.settings import InstanceSettings
from napari_dmu.zoo.pattern_set import PatternSet


@pytest.fixture(scope="module")
def instrument(tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    return make_set(tmp_path_factory.mktemp("set") / "discs.dmu.safetensors")


@pytest.mark.parametrize("side", [16, 40, 96])
def test_a_field_in_tiles_has_the_labels_of_the_whole(
    instrument: PatternSet, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    specimen, truth = discs((301, 262), seed=4, count=60, radius=(4.0, 8.0))
    measurement = dmu.simulate(specimen, instrument)
    whole = dmu.segment(measurement, instrument=instrument, device="cpu")
    assert len(plan((301, 262), instrument.acquisition, instrument.header.decoder, side=side)) > 1
    monkeypatch.setattr(decoding, "plan", partial(plan, side=side))
    tiled = dmu.segment(measurement, instrument=instrument, device="cpu")
    assert truth.max() * 0.9 < whole.max() < truth.max() * 1.1
    np.testing.assert_array_equal(tiled, whole)
    np.testing.assert_array_equal(dmu.segment(measurement, instrument=instrument, device="cpu"), tiled)


def test_a_field_without_cells_has_no_labels(instrument: PatternSet) -> None:
    dark = dmu.simulate(np.zeros((48, 40), dtype=np.uint16), instrument)
    found = dmu.segment(dark, instrument=instrument, device="cpu")
    assert found.shape == (48, 40)
    assert found.dtype == np.int32
    assert not found.any()


def test_a_stack_of_thirty_is_segmented_plane_by_plane(instrument: PatternSet) -> None:
    planes = [discs((56, 64), seed=index, count=3 + index % 4) for index in range(30)]
    measurement = dmu.simulate(np.stack([image for image, _ in planes]), instrument)
    found = dmu.segment(measurement, instrument=instrument, device="cpu")
    assert found.shape == (30, 56, 64)
    assert [int(plane.max()) for plane in found] == [int(labels.max()) for _, labels in planes]
    for index in (0, 17, 29):
        assert set(np.unique(found[index])) == set(range(found[index].max() + 1))
        alone = measurement.info.model_copy(
            update={
                "axes": ("y", "x"),
                **{n: getattr(measurement.info, n)[1:] for n in ("scale", "translate", "units")},
            }
        )
        single = dmu.segment(Measurement(measurement.data[index], alone), instrument=instrument, device="cpu")
        np.testing.assert_array_equal(single, found[index])


def test_settings_written_before_prominence_are_read_with_it() -> None:
    """Heads trained for one threshold are read with the same post-processing."""
    older = InstanceSettings.model_validate({"foreground": 0.6, "core": 0.55, "smoothing": 1.0, "min_area": 25})
    assert older.prominence > 0
    assert older.confidence == 0
