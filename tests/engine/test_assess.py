"""The verb assess: maps in the specimen's units, figures of every plane, and a sentence that says what they mean."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support import TRUST, assert_sentence, discs, make_set

import napari_dmu as dmu
from napari_dmu.engine.assessment import Assessment
from napari_dmu.engine.progress import CancelToken
from napari_dmu.engine.verdict import PlaneAssessment
from napari_dmu.errors import Cancelled, SpecimenError
from napari_dmu.training.data import CropSampler, as_example
from napari_dmu.training.recipe import NoiseSpread
from napari_dmu.training.typicality import measure_typical
from napari_dmu.zoo.pattern_set import PatternSet


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    """The same set as ``instrument``, with error bars that are made up and limits that discs keep."""
    return make_set(tmp_path_factory.mktemp("trusted") / "discs.dmu.safetensors", with_error_bars=True)


def _stack(planes: int = 3) -> np.ndarray:
    return np.stack([discs((64, 80), seed=index)[0] for index in range(planes)]) * 3000 + 100


def test_a_stack_in_the_specimens_units(instrument: PatternSet) -> None:
    measurement = dmu.simulate(_stack(), instrument)
    steps: list[tuple[int, int, str]] = []
    image = dmu.reconstruct(measurement, instrument=instrument)
    found = dmu.assess(measurement, image, instrument=instrument, progress=lambda *step: steps.append(step))
    assert steps == [(1, 3, "Checking"), (2, 3, "Checking"), (3, 3, "Checking")]
    assert found.imagined.shape == (3, 64, 80)
    assert found.imagined.dtype == found.chi_square_map.dtype == np.float32
    assert found.chi_square_map.shape == (3, *instrument.acquisition.bins((64, 80)))
    for index, plane in enumerate(found.planes):
        energy = np.square(found.imagined[index]).sum() / np.square(image[index] - image[index].mean()).sum()
        assert plane.imagined_fraction == pytest.approx(energy, rel=1e-3)
        assert plane.chi_square == pytest.approx(found.chi_square_map[index].mean(), rel=1e-4)
    assert found.imagined_fraction == pytest.approx(np.mean([p.imagined_fraction for p in found.planes]))
    # The set reconstructs by itself where no image is given.
    again = dmu.assess(measurement, instrument=instrument)
    np.testing.assert_allclose(again.imagined, found.imagined, atol=0.5)
    # One plane alone is what it is in the stack.
    alone = dmu.assess(measurement.with_data(measurement.data[1]), image[1], instrument=instrument)
    assert alone.planes[0].chi_square == pytest.approx(found.planes[1].chi_square, rel=1e-6)
    np.testing.assert_allclose(alone.imagined, found.imagined[1], atol=1e-2)


def test_without_a_calibration_noise_alone_decides(instrument: PatternSet) -> None:
    truth = discs((64, 64), seed=4)[0].astype(np.float32)
    measurement = dmu.simulate(truth, instrument)
    low, high = measurement.info.intensity_range
    seen = np.clip(truth, low, high)  # what the microscope was shown
    right = dmu.assess(measurement, seen, instrument=instrument)
    assert right.fits
    assert right.level is None
    assert right.error_bar is None
    assert right.chi_square == right.misfit
    assert not right.own  # it is the specimen itself, not what the set reconstructs
    assert dmu.assess(measurement, instrument=instrument).own
    assert right.limit == pytest.approx(1 + 4 * right.planes[0].expected_error)
    assert "Fits the data within the noise" in right.sentence
    assert "not calibrated" in right.sentence
    wrong = dmu.assess(measurement, seen[::-1], instrument=instrument)
    assert wrong.verdict == "misfit"
    assert not wrong.fits
    assert wrong.chi_square > 20
    assert wrong.sentence.startswith("Does not fit the data")


def test_with_a_calibration_there_are_error_bars_and_usual_limits(trusted: PatternSet) -> None:
    measurement = dmu.simulate(_stack(2), trusted)
    image = dmu.reconstruct(measurement, instrument=trusted)
    found = dmu.assess(measurement, image, instrument=trusted)
    assert found.level == 0.9
    assert found.error_bar is not None
    assert found.error_bar.shape == image.shape
    assert (found.error_bar > 0).all()
    span = measurement.info.intensity_range[1] - measurement.info.intensity_range[0]
    assert found.planes[0].spread == pytest.approx(found.error_bar[0].mean() / span, rel=1e-4)
    assert found.limit == pytest.approx(TRUST.chi_square_limit)
    assert found.planes[0].spread_limit == pytest.approx(TRUST.spread_limit)
    assert found.misfit < found.chi_square
    assert "90 % error bar ±" in found.sentence
    # Without the image the set's own is judged: the same.
    again = dmu.assess(measurement, instrument=trusted)
    np.testing.assert_allclose(again.error_bar, found.error_bar, rtol=1e-4)


@pytest.mark.parametrize("index", [0, 1])
def test_an_image_that_is_not_the_sets_own_has_no_error_bar(trusted: PatternSet, index: int) -> None:
    measurement = dmu.simulate(_stack(2), trusted)
    image = dmu.reconstruct(measurement, instrument=trusted)
    image[index] = dmu.reconstruct(measurement, instrument=trusted, method="ridge")[index]
    found = dmu.assess(measurement, image, instrument=trusted)
    assert found.error_bar is None
    assert not found.own
    assert all(plane.spread is None for plane in found.planes)
    assert "no error bar, because it is known for the learned reconstruction alone" in found.sentence


@pytest.mark.parametrize(("away", "own"), [(1e-3, True), (3e-3, False)])
def test_an_image_is_the_sets_own_within_what_devices_differ_by(trusted: PatternSet, away: float, own: bool) -> None:
    measurement = dmu.simulate(_stack(1)[0], trusted)
    image = dmu.reconstruct(measurement, instrument=trusted)
    low, high = measurement.info.intensity_range
    image[20, 30] += away * (high - low)
    assert dmu.assess(measurement, image, instrument=trusted).own == own


def test_figures_are_means_over_the_planes_that_can_be_judged() -> None:
    lost = _plane(chi_square=math.nan, misfit=math.nan, saturated=1.0)
    image = np.zeros((3, 4, 5), np.float32)
    found = Assessment(None, image, image, (_plane(misfit=1.0), lost, _plane(misfit=2.0)), 0.9, True)
    assert (found.misfit, found.chi_square, found.saturated) == (1.5, 40.0, pytest.approx(1 / 3))
    assert math.isnan(Assessment(None, image[:1], image[:1], (lost,), 0.9, True).misfit)


def test_on_a_camera_the_setup_may_be_wrong_too(trusted: PatternSet) -> None:
    simulated = dmu.simulate(_stack(1)[0], trusted)
    taken = replace(simulated, info=simulated.info.model_copy(update={"camera": True}))
    for measurement, told in ((simulated, False), (taken, True)):
        found = dmu.assess(measurement, np.zeros(measurement.info.field, "f4"), instrument=trusted)
        assert found.verdict == "misfit"
        assert ("the order of the frames" in found.sentence) == told


def test_wide_error_bars_are_out_of_the_ordinary(trusted: PatternSet) -> None:
    narrow = trusted.header.trust.model_copy(update={"spread_limit": 1e-6, "chi_square_limit": 1e6})
    strict = replace(trusted, header=trusted.header.model_copy(update={"trust": narrow}))
    found = dmu.assess(dmu.simulate(_stack(1)[0], strict), instrument=strict)
    assert found.verdict == "unusual"
    assert not found.fits
    assert "wider error bars than usual" in found.sentence


def _field(seed: int) -> np.ndarray:
    return discs((144, 160), seed=seed, count=18)[0]


def _familiar(trusted: PatternSet) -> PatternSet:
    """The set with a cloud of discs that it knows, and the limit that four other fields of discs keep."""
    sampler = CropSampler([[as_example("", _field(s), None) for s in range(8)]], [1.0], device=torch.device("cpu"))
    typical = measure_typical(trusted, sampler, NoiseSpread(), crops=80)
    generous = {"chi_square_limit": 1e6, "spread_limit": 1e6}

    def with_limit(limit: float) -> PatternSet:
        known = typical.model_copy(update={"limits": ((0.0, limit),)})
        trust = trusted.header.trust.model_copy(update={**generous, "typical": known})
        return replace(trusted, header=trusted.header.model_copy(update={"trust": trust}))

    free = with_limit(1e6)
    found = [dmu.assess(dmu.simulate(_field(s), free), instrument=free).planes[0].distance for s in range(40, 44)]
    return with_limit(1.5 * max(found))


def test_a_specimen_of_another_kind_is_unusual_and_one_of_the_same_is_not(trusted: PatternSet) -> None:
    familiar = _familiar(trusted)
    same = dmu.assess(dmu.simulate(_field(50), familiar), instrument=familiar)
    assert same.fits, same.sentence
    stripes = np.tile(np.sin(np.arange(160) / 3), (144, 1))
    measurement = dmu.simulate(stripes, familiar)
    found = dmu.assess(measurement, instrument=familiar)
    assert found.verdict == "unusual"
    assert found.planes[0].unlike
    assert found.planes[0].distance > 1.3 * found.planes[0].distance_limit
    assert "its error bars do not hold here" in found.sentence
    assert "not to be relied on" in found.sentence
    # It is the set's error bars that do not hold: another method has none.
    other = dmu.assess(
        measurement, dmu.reconstruct(measurement, instrument=familiar, method="ridge"), instrument=familiar
    )
    assert other.planes[0].distance is None
    assert "do not hold" not in other.sentence
    # Too small a field shows too little of the specimen.
    small = dmu.assess(dmu.simulate(stripes[:100, :100], familiar), instrument=familiar)
    assert small.planes[0].distance is None


def test_the_limit_on_the_misfit_follows_the_light(trusted: PatternSet) -> None:
    trust = trusted.header.trust.model_copy(update={"chi_square_limits": ((0.3, 1.5), (-0.3, 6.0))})
    set_ = replace(trusted, header=trusted.header.model_copy(update={"trust": trust}))
    limits = [
        dmu.assess(dmu.simulate(_stack(1)[0], set_, photons=photons), instrument=set_).limit
        for photons in (1e-3, 200.0, 1e9)
    ]
    assert limits[0] == 1.5
    assert 1.5 < limits[1] < 6.0
    assert limits[2] == 6.0


def test_saturated_samples_are_left_out_and_that_is_said(instrument: PatternSet) -> None:
    measurement = dmu.simulate(_stack(1)[0], instrument, acquisition={"full_well": 4000.0})
    found = dmu.assess(measurement, instrument=instrument)
    assert 0.0 < found.saturated < 1.0
    assert "of the samples are saturated and were left out" in found.sentence
    drowned = dmu.simulate(_stack(1)[0], instrument, acquisition={"full_well": 1.0, "read_noise": 0.0})
    nothing = dmu.assess(drowned, instrument=instrument)
    assert nothing.verdict == "unknown"
    assert not nothing.fits
    assert "Cannot be judged: most samples are saturated" in nothing.sentence


@pytest.mark.parametrize("shape", [(64, 1), (1, 40), (5, 7), (2, 1, 30, 33)])
def test_odd_shapes(trusted: PatternSet, shape: tuple[int, ...]) -> None:
    measurement = dmu.simulate(np.random.default_rng(0).random(shape), trusted)
    found = dmu.assess(measurement, instrument=trusted)
    assert found.imagined.shape == shape
    assert np.isfinite(found.imagined).all()
    assert found.sentence.endswith(".")


def test_a_constant_image(instrument: PatternSet) -> None:
    found = dmu.assess(dmu.simulate(np.full((40, 40), 7.0), instrument), np.full((40, 40), 7.0), instrument=instrument)
    assert found.imagined_fraction == 0.0
    assert found.fits


def test_it_stops_between_planes_and_iterations(instrument: PatternSet) -> None:
    measurement, token = dmu.simulate(_stack(), instrument), CancelToken()
    with pytest.raises(Cancelled):
        dmu.assess(measurement, instrument=instrument, cancel=token, progress=lambda *_: token.cancel())


def test_images_of_another_measurement_are_refused(instrument: PatternSet) -> None:
    measurement = dmu.simulate(_stack(1)[0], instrument)
    with pytest.raises(SpecimenError) as shape:
        dmu.assess(measurement, np.zeros((3, 3)), instrument=instrument)
    assert_sentence(shape.value)
    with pytest.raises(SpecimenError, match="NaN"):
        dmu.assess(measurement, np.full((64, 80), np.nan), instrument=instrument)


def test_the_set_is_found_by_itself(installed: PatternSet) -> None:
    assert os.environ["NAPARI_DMU_SETS"]
    assert isinstance(dmu.assess(dmu.simulate(_stack(1)[0], installed)), Assessment)


def _plane(**changes: Any) -> PlaneAssessment:
    figures = {
        "chi_square": 40.0, "expected_error": 0.02, "misfit": 1.1, "limit": 1.6, "imagined_fraction": 0.381,
        "spread": 0.031, "relative_spread": 0.1, "spread_limit": 0.3, "saturated": 0.0,
    }  # fmt: skip
    return PlaneAssessment(**{**figures, **changes})


@pytest.mark.parametrize(
    ("planes", "options", "says"),
    [
        (
            [_plane()],
            {},
            "Fits the data; 90 % error bar ±0.031 of the intensity range on average; 38 % of the contrast is imagined; "
            "χ² 1.1, usual up to 1.6.",
        ),
        ([_plane(misfit=7.31)], {}, "Does not fit the data: the specimen is unlike "),
        ([_plane(misfit=7.31)], {}, "; χ² 7.3, usual up to 1.6."),
        ([_plane(misfit=73.12)], {}, "; χ² 73, usual up to 1.6."),
        (
            [_plane(misfit=7.31)],
            {"camera": True},
            "or the optics differ, or the order of the frames, their orientation",
        ),
        (
            [_plane(distance=2.0, distance_limit=1.1)],
            {"camera": True},
            "roi, camera_bin, gain or registration is wrong: ",
        ),
        ([_plane(), _plane(misfit=731.2)], {}, "Does not fit the data in 1 of 2 planes: "),
        ([_plane(), _plane(misfit=731.2)], {}, "; χ² 731, usual up to 1.6."),
        ([_plane(misfit=7.31), _plane(misfit=731.2)], {}, "; χ² 731, usual up to 1.6."),  # the worst, not the mean
        ([_plane(), _plane()], {}, "Fits the data in all 2 planes; "),
        ([_plane(relative_spread=0.4)], {}, "but with wider error bars than usual"),
        (
            [_plane(distance=2.0, distance_limit=1.1)],
            {},
            "Fits the data, but is unlike the specimens this set was trained on: its error bars do not hold here; 90 % "
            "error bar ±0.031 of the intensity range on average, not to be relied on; ",
        ),
        (
            [_plane(), _plane(distance=2.0, distance_limit=1.1)],
            {},
            "in 1 of 2 planes, but is",
        ),
        ([_plane(relative_spread=0.4, distance=2.0, distance_limit=1.1)], {}, "is unlike the specimens"),
        ([_plane(distance=1.0, distance_limit=1.1)], {}, "Fits the data; "),
        ([_plane(misfit=9.0, distance=2.0, distance_limit=1.1)], {}, "Does not fit the data"),
        ([_plane(misfit=9.0, relative_spread=0.4)], {}, "Does not fit the data"),
        ([_plane(), _plane(misfit=9.0)], {}, "on average, not to be relied on; "),
        ([_plane(misfit=math.nan, saturated=1.0)], {}, "Cannot be judged: most samples are saturated"),
        ([_plane(saturated=0.7)], {}, "Cannot be judged"),
        ([_plane()], {"bars": False, "own": False}, "no error bar, because"),
        ([_plane(misfit=0.42)], {"level": None, "bars": False}, "Fits the data within the noise; "),
        ([_plane(misfit=0.42)], {"level": None, "bars": False}, "; χ² 0.42, 1 expected."),
        ([_plane(saturated=0.7)], {}, "were left out."),
        ([_plane(saturated=0.021)], {}, "; 2.1 % of the samples are saturated and were left out; χ²"),
    ],
)
def test_the_words(planes: list[PlaneAssessment], options: dict[str, Any], says: str) -> None:
    nothing = np.zeros((1, 1), np.float32)
    given = {"bars": True, "level": 0.9, "own": True, "camera": False, **options}
    bars = nothing if given.pop("bars") else None
    found = Assessment(bars, nothing, nothing, tuple(planes), **given)
    assert says in found.sentence
    assert "χ²" not in "".join(found.statements)
