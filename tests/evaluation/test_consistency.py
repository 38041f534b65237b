"""χ² of a reconstruction: 1 for the specimen itself whatever the detector, far above 1 for a wrong image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import NO_PSF, discs

from napari_dmu.errors import SettingsError
from napari_dmu.evaluation.consistency import consistency, residuals, usual_limit, usual_tolerance
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import sample_counts, saturation_count
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import make_patterns
from napari_dmu.microscope.presets import PRESETS, apply_preset


def _signal(image: np.ndarray, acquisition: Acquisition) -> np.ndarray:
    a = acquisition
    patterns = make_patterns("random", exposures=a.exposures, period=a.period, bin=a.bin, seed=3)
    return Microscope(torch.from_numpy(patterns).double(), a).forward(torch.from_numpy(image).double()).numpy()


def _acquisition(**more: Any) -> Acquisition:
    return Acquisition(**{"bin": 4, "exposures": 3, "period": 8, "emission": NO_PSF, "excitation": NO_PSF, **more})


SPECIMEN = discs((96, 96), seed=1)[0]


@given(seed=st.integers(0, 2**31), photons=st.sampled_from([3.0, 30.0, 300.0]), name=st.sampled_from(sorted(PRESETS)))
def test_the_specimen_itself_gives_one_with_every_detector(seed: int, photons: float, name: str) -> None:
    acquisition = apply_preset(_acquisition(photons=photons), name)
    signal = _signal(SPECIMEN, acquisition)
    found = consistency(sample_counts(signal, acquisition, seed=seed), signal, acquisition)
    assert found.saturated == 0.0
    assert abs(found.chi_square - 1.0) < 4.5 * found.standard_error


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_one_is_met_over_many_measurements_and_spreads_as_announced(name: str) -> None:
    """The mean of 100 measurements: ten times sharper than one of them; and the spread between them."""
    acquisition = apply_preset(_acquisition(photons=20.0), name)
    signal = _signal(SPECIMEN, acquisition)
    found = [consistency(sample_counts(signal, acquisition, seed=s), signal, acquisition) for s in range(100)]
    values, error = np.array([f.chi_square for f in found]), found[0].standard_error
    assert abs(values.mean() - 1.0) < 4 * error / 10
    assert values.std() == pytest.approx(error, rel=0.3)


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("photons", [20.0, 200.0])
def test_a_wrong_image_is_far_above_one(name: str, photons: float) -> None:
    acquisition = apply_preset(_acquisition(photons=photons), name)
    signal = _signal(SPECIMEN, acquisition)
    counts = sample_counts(signal, acquisition, seed=0)
    for wrong in (SPECIMEN[::-1].copy(), np.zeros_like(SPECIMEN), np.full_like(SPECIMEN, SPECIMEN.mean())):
        found = consistency(counts, _signal(wrong, acquisition), acquisition)
        assert found.chi_square > 1.0 + 10 * found.standard_error
        assert found.chi_square > 3.0


def test_the_map_shows_where() -> None:
    acquisition = _acquisition(photons=100.0)
    wrong = SPECIMEN.copy()
    wrong[40:56, 60:80] = 1.0 - wrong[40:56, 60:80]
    counts = sample_counts(_signal(SPECIMEN, acquisition), acquisition, seed=0)
    found = consistency(counts, _signal(wrong, acquisition), acquisition)
    assert found.chi_square_map.shape == (24, 24)
    assert float(found.chi_square_map.mean()) == pytest.approx(found.chi_square, rel=1e-5)
    hit = np.zeros((24, 24), dtype=bool)
    hit[10:14, 15:20] = True
    assert found.chi_square_map[hit].min() > 10
    assert found.chi_square_map[~hit].mean() == pytest.approx(1.0, abs=0.2)


def test_saturated_samples_are_left_out_and_counted() -> None:
    acquisition = _acquisition(photons=1000.0, full_well=5000.0)
    signal = _signal(SPECIMEN, acquisition)
    found = consistency(sample_counts(signal, acquisition, seed=0), signal, acquisition)
    assert 0.05 < found.saturated < 0.9
    # Never above: what is left near saturation is cut off on one side, in the data and in the prediction.
    assert 0.8 < found.chi_square < 1.0 + 4 * found.standard_error
    assert np.isnan(found.chi_square_map).any()
    dark = consistency(sample_counts(0.1 * signal, acquisition, seed=0), signal, acquisition)
    assert dark.chi_square > 100  # an image that is too bright for dark data is not excused by its saturation


def test_an_image_is_not_blamed_for_light_beyond_what_can_be_measured() -> None:
    acquisition = _acquisition(photons=1000.0, full_well=5000.0)
    nearly = np.full((3, 4, 4), saturation_count(acquisition) - 1, np.uint16)
    found = residuals(nearly, np.full(nearly.shape, 16.0), acquisition)  # 16000 electrons
    assert found.used.all()
    np.testing.assert_allclose(found.square, acquisition.electrons_per_count**2)


def test_nothing_is_known_where_everything_is_saturated() -> None:
    acquisition = _acquisition(photons=1000.0, full_well=10.0)
    signal = _signal(np.ones((16, 16)), acquisition)
    found = consistency(np.full(signal.shape, acquisition.max_count, np.uint16), signal, acquisition)
    assert found.saturated == 1.0
    assert math.isnan(found.chi_square)
    assert math.isnan(found.misfit)
    assert np.isnan(found.chi_square_map).all()


def test_a_dark_photon_counter_has_no_infinite_misfit() -> None:
    acquisition = apply_preset(_acquisition(background=0.0), "ideal")
    signal = np.zeros((3, 4, 4))
    assert consistency(np.zeros(signal.shape, np.uint16), signal, acquisition).chi_square == 0.0
    assert math.isfinite(consistency(np.full(signal.shape, 1, np.uint16), signal, acquisition).chi_square)


@given(relative=st.floats(0.01, 0.3), seed=st.integers(0, 1000))
def test_the_tolerance_is_the_error_that_the_signal_has(relative: float, seed: int) -> None:
    acquisition = _acquisition(photons=1e5)
    rng = np.random.default_rng(seed)
    examples = []
    for index in range(4):
        signal = _signal(discs((64, 64), seed=index)[0], acquisition)
        predicted = signal / (1.0 + relative * rng.standard_normal(signal.shape)).clip(0.2)
        examples.append(residuals(sample_counts(signal, acquisition, seed=seed), predicted, acquisition))
    found = usual_tolerance(examples)
    assert found == pytest.approx(relative, rel=0.25)
    assert np.median([e.chi_square(found) for e in examples]) == pytest.approx(1.0, abs=1e-6)
    steps = [examples[0].chi_square(t) for t in (0.0, 0.01, 0.1, 1.0)]
    assert steps == sorted(steps, reverse=True)


def test_no_tolerance_where_noise_explains_all() -> None:
    acquisition = _acquisition(photons=50.0)
    signal = _signal(SPECIMEN, acquisition)
    perfect = residuals(sample_counts(signal, acquisition, seed=0), signal, acquisition)
    assert usual_tolerance([perfect]) < 0.05
    assert usual_tolerance([]) == 0.0


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=300), st.floats(0.5, 0.999))
def test_the_limit_has_the_right_share_below(values: list[float], quantile: float) -> None:
    limit = usual_limit(values, quantile=quantile)
    assert limit >= 1.0
    below = np.mean(np.array(values) <= limit)
    assert below >= min(quantile, 1.0)
    assert limit == 1.0 or limit in values
    assert usual_limit([], quantile=quantile) == math.inf


@pytest.mark.parametrize(("quantile", "rank"), [(0.5, 51), (0.9, 91), (0.99, 100), (0.999, 100)])
def test_the_limit_allows_for_an_image_that_is_not_among_the_examples(quantile: float, rank: int) -> None:
    """Of n examples it is that of rank ⌈(n + 1)·quantile⌉, where there are so many."""
    assert usual_limit([*range(100, 0, -1), math.nan], quantile=quantile) == rank


def test_shapes_must_agree() -> None:
    with pytest.raises(SettingsError, match="compare an image with the measurement"):
        consistency(np.zeros((3, 4, 4), np.uint16), np.zeros((2, 4, 4)), _acquisition())
