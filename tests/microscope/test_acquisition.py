"""Acquisition settings: what follows from them, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_dmu.microscope.acquisition import Acquisition, Psf

GOOD: dict[str, Any] = {"bin": 8, "exposures": 4, "period": 16}


@pytest.mark.parametrize(
    ("bin", "exposures", "ratio"), [(8, 4, 16), (16, 4, 64), (32, 4, 256), (4, 16, 1), (2, 8, 0.5), (3, 4, 2.25)]
)
def test_the_ratio_is_specimen_pixels_per_sample(bin: int, exposures: int, ratio: float) -> None:
    assert Acquisition(bin=bin, exposures=exposures, period=bin).ratio == ratio


@given(bin=st.integers(1, 40), field=st.tuples(st.integers(1, 500), st.integers(1, 500)))
def test_bins_cover_the_field_and_no_more(bin: int, field: tuple[int, int]) -> None:
    for size, count in zip(field, Acquisition(bin=bin, exposures=1, period=bin).bins(field), strict=True):
        assert (count - 1) * bin < size <= count * bin


@given(
    bin=st.sampled_from([1, 4, 16, 64]),
    photons=st.floats(0.1, 1e6),
    background=st.floats(0, 1e4),
    read_noise=st.floats(0, 50),
    efficiency=st.floats(0.05, 1.0),
    bits=st.integers(8, 32),
)
def test_the_automatic_gain_fits_full_scale_and_is_no_larger_than_needed(
    bin: int, photons: float, background: float, read_noise: float, efficiency: float, bits: int
) -> None:
    settings = Acquisition(
        bin=bin, exposures=1, period=bin, photons=photons, background=background, read_noise=read_noise,
        quantum_efficiency=efficiency, bits=bits,
    )  # fmt: skip
    mean = efficiency * (photons * bin**2 + background)
    deviation = math.sqrt(mean + read_noise**2)
    assert settings.electrons_per_count >= 1
    brightest = (mean + 5 * deviation) / settings.electrons_per_count + settings.offset
    assert brightest <= settings.max_count
    if settings.electrons_per_count > 1:
        assert (mean + 7 * deviation) / settings.electrons_per_count + settings.offset > settings.max_count - 0.5


def test_a_gain_that_is_given_is_used() -> None:
    assert Acquisition(**GOOD, gain=0.25).electrons_per_count == 0.25


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"period": 12}, "multiple of the binning"),
        ({"bits": 6}, "offset"),
        ({"bin": 0}, "bin"),
        ({"exposures": 0}, "exposures"),
        ({"photons": 0}, "photons"),
        ({"photons": -1}, "photons"),
        ({"photons": math.nan}, "photons"),
        ({"photons": math.inf}, "photons"),
        ({"background": -1}, "background"),
        ({"read_noise": -0.5}, "read_noise"),
        ({"quantum_efficiency": 1.2}, "quantum_efficiency"),
        ({"quantum_efficiency": 0}, "quantum_efficiency"),
        ({"gain": 0}, "gain"),
        ({"bits": 33}, "bits"),
        ({"binning": 2}, "binning"),
    ],
)
def test_what_physics_does_not_allow_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Acquisition(**{**GOOD, **changes})


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "gaussian", "sigma": -1},
        {"kind": "airy"},
        {"kind": "born_wolf", "numerical_aperture": 1.2, "index": 1.0},
        {"kind": "measured"},
        {"kind": "measured", "kernel": ((0.5, 0.5), (0.0, 0.0))},
        {"kind": "measured", "kernel": ((1.0, 0.0, 0.0), (0.0, 0.0), (0.0, 0.0, 0.0))},
    ],
)
def test_an_impossible_psf_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Psf(**settings)


def test_settings_cannot_be_changed_behind_a_measurements_back() -> None:
    settings = Acquisition(**GOOD)
    with pytest.raises(ValidationError):
        settings.photons = 3.0  # type: ignore[misc]


def test_settings_survive_json() -> None:
    settings = Acquisition(**GOOD, excitation=Psf(kind="gaussian", sigma=0.5), gain=2.0)
    assert Acquisition.model_validate_json(settings.model_dump_json()) == settings
