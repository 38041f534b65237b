"""The measurement's geometry, and how specimen values become fluorescence densities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError
from support import assert_sentence

from napari_dmu.errors import SpecimenError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.measurement import (
    Measurement,
    MeasurementInfo,
    check_plane,
    check_specimen,
    intensity_range,
    normalise,
)


def measurement() -> Measurement:
    info = MeasurementInfo(
        acquisition=Acquisition(bin=4, exposures=3, period=8), set_name="nuclei", family="learned", ratio=16 / 3,
        set_hash="0" * 64, field=(18, 21), axes=("t", "z", "y", "x"), scale=(30.0, 2.0, 0.5, 0.25),
        translate=(0.0, 5.0, 10.0, -4.0), units=("second", "micrometer", "micrometer", "micrometer"),
    )  # fmt: skip
    return Measurement(np.zeros((2, 5, 3, 5, 6), dtype=np.uint16), info)


def test_the_measurement_lies_on_its_specimen() -> None:
    m = measurement()
    assert m.axes == ("t", "z", "pattern", "y", "x")
    assert m.planes == 10
    assert m.scale == (30.0, 2.0, 1.0, 2.0, 1.0)
    assert m.units == ("second", "micrometer", "pixel", "micrometer", "micrometer")
    # The first sample's centre is that of specimen pixels 0 … 3: at pixel 1.5.
    assert m.translate == (0.0, 5.0, 0.0, 10.0 + 1.5 * 0.5, -4.0 + 1.5 * 0.25)
    # The left border of the first sample is the left border of the first pixel.
    assert m.translate[-1] - m.scale[-1] / 2 == pytest.approx(-4.0 - 0.25 / 2)


def test_info_survives_json_and_refuses_what_it_does_not_know() -> None:
    info = measurement().info
    assert MeasurementInfo.model_validate_json(info.model_dump_json()) == info
    with pytest.raises(ValidationError):
        MeasurementInfo.model_validate({**info.model_dump(), "colour": "green"})
    with pytest.raises(ValidationError):
        MeasurementInfo.model_validate({**info.model_dump(), "seed": -1})


FLOATS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-1e6, 1e6, width=32)
)


@given(FLOATS)
def test_the_intensity_range_is_never_empty_and_densities_stay_between_0_and_1(image: np.ndarray) -> None:
    low, high = intensity_range(image)
    assert high > low
    density = normalise(image, (low, high))
    assert density.dtype == np.float32
    assert 0 <= density.min() <= density.max() <= 1


def test_the_range_ignores_a_hot_pixel_but_not_the_specimen() -> None:
    image = np.random.default_rng(0).uniform(100, 200, (100, 100))
    image[3, 3] = 60_000
    low, high = intensity_range(image)
    assert 100 <= low < 101
    assert 199 < high < 201


@pytest.mark.parametrize("value", [0.0, 7.0, -3.5, 1e20, 3e38])
def test_a_constant_image_is_dark(value: float) -> None:
    image = np.full((5, 5), value, dtype=np.float32)
    assert not normalise(image, intensity_range(image)).any()


def test_a_few_bright_spots_on_black_are_kept() -> None:
    image = np.zeros((100, 100))
    image[50, 50] = 40
    assert normalise(image, intensity_range(image))[50, 50] == 1


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((7,), "uint8"),
        ((), "uint8"),
        ((0, 5), "uint8"),
        ((3, 4, 0), "f4"),
        ((4, 4), "c8"),
        ((4, 4), "U3"),
        ((4, 4), "O"),
    ],
)
def test_what_cannot_be_a_specimen_is_refused_with_a_sentence(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(SpecimenError) as refusal:
        check_specimen(shape, np.dtype(dtype))
    assert_sentence(refusal.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_are_refused_with_their_number(bad: float) -> None:
    image = np.zeros((4, 4))
    image[1, 1:3] = bad
    with pytest.raises(SpecimenError, match="Plane 7 of the specimen has 2 pixels") as refusal:
        check_plane(image, 7)
    assert_sentence(refusal.value)


@pytest.mark.parametrize(
    ("saturated", "note"),
    [(0.0, ""), (0.001, ""), (0.0012, "0.12"), (0.126, "13"), (0.5, "50"), (0.996, "100"), (1.0, "100")],
)
def test_saturation_is_worth_a_word_from_a_thousandth(saturated: float, note: str) -> None:
    info = measurement().info.model_copy(update={"saturated": saturated})
    whole = f"{note}\u202f% of the samples are saturated: fewer photons may help." if note else ""
    assert info.saturation_note == whole
    on_a_camera = info.model_copy(update={"camera": True})
    assert on_a_camera.saturation_note == whole.replace("fewer photons", "a shorter exposure")
    assert "saturation_note" not in info.model_dump()
