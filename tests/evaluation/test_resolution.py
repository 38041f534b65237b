"""Fourier ring correlation: specimens whose resolution is known, noise alone, and the curve against a plain loop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_dmu.errors import SettingsError
from napari_dmu.evaluation import frc_resolution, ring_correlation, sampling_limit
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import sample_counts

SEEDS = st.integers(0, 2**32 - 1)


def _filtered(plane, gain):
    """Multiply the spectrum by gain(frequency in periods per pixel)."""
    fy, fx = np.fft.fftfreq(plane.shape[0])[:, None], np.fft.fftfreq(plane.shape[1])[None]
    return np.fft.ifft2(np.fft.fft2(plane) * gain(np.hypot(fy, fx))).real


def _low_pass(plane, cutoff):
    """Keep periods longer than 1 / cutoff pixels."""
    return _filtered(plane, lambda frequency: frequency <= cutoff)


@given(SEEDS, st.floats(3.0, 10.0), st.sampled_from([(384, 384), (401, 450)]))
def test_two_noisy_images_of_a_band_limited_specimen_give_its_cutoff_within_a_tenth(seed, period, shape):
    rng = np.random.default_rng(seed)
    specimen = _low_pass(rng.normal(size=shape), 1 / period)
    one, other = (specimen + 0.1 * rng.normal(size=shape) for _ in range(2))
    assert frc_resolution(one, other) == pytest.approx(period, rel=0.1)


@given(SEEDS, st.floats(1.0, 3.0), st.floats(0.02, 0.2))
def test_a_blurred_specimen_with_noise_is_resolved_where_the_signal_is_a_sixth_of_the_noise(seed, sigma, noise):
    # Blur exp(−2π²σ²f²) of white detail: the power signal-to-noise ratio is exp(−4π²σ²f²)/noise², and s/(s + 1) = 1/7.
    rng = np.random.default_rng(seed)
    blurred = _filtered(rng.normal(size=(320, 320)), lambda f: np.exp(-2 * (np.pi * sigma * f) ** 2))
    frequency = math.sqrt(-math.log(noise**2 / 6)) / (2 * math.pi * sigma)
    # One pair scatters by 3 %, and strays by a tenth once in some hundred draws: the middle one of five does not.
    pairs = [[blurred + noise * rng.normal(size=(320, 320)) for _ in range(2)] for _ in range(5)]
    found = np.median([frc_resolution(one, other) for one, other in pairs])
    assert found == pytest.approx(max(1 / frequency, 2.0), rel=0.1)


@given(SEEDS, st.tuples(st.integers(8, 200), st.integers(8, 200)))
def test_noise_alone_has_no_resolution(seed, shape):
    rng = np.random.default_rng(seed)
    assert frc_resolution(rng.normal(size=shape), rng.normal(size=shape)) == math.inf


def test_chance_is_seldom_taken_for_resolution():
    rng = np.random.default_rng(0)
    found = [frc_resolution(rng.normal(size=(64, 64)), rng.normal(size=(64, 64))) for _ in range(300)]
    assert np.isfinite(found).sum() <= 1


@pytest.mark.parametrize("rings", [8, 16, 32])
def test_the_spread_of_the_mean_over_rings_for_noise_is_that_of_their_samples(rings):
    rng = np.random.default_rng(1)
    curves = [ring_correlation(rng.normal(size=(64, 90)), rng.normal(size=(64, 90))) for _ in range(400)]
    samples = curves[0].samples[:rings]
    means = [np.average(c.correlation[:rings], weights=samples) for c in curves]
    assert np.std(means) == pytest.approx(samples.sum() ** -0.5, rel=0.15)


@given(SEEDS, st.tuples(st.integers(16, 150), st.integers(16, 150)), st.floats(0.01, 10.0))
def test_a_plane_and_itself_agree_up_to_the_sampling(seed, shape, pixel_size):
    plane = np.random.default_rng(seed).normal(size=shape)
    assert frc_resolution(plane, 5 + 0.3 * plane, pixel_size) == 2 * pixel_size


@given(SEEDS)
def test_order_and_gain_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    specimen = _low_pass(rng.normal(size=(128, 100)), 0.2)
    one, other = (specimen + 0.2 * rng.normal(size=(128, 100)) for _ in range(2))
    assert frc_resolution(other, 3 * one - 7) == pytest.approx(frc_resolution(one, other), rel=1e-9)


def test_more_light_resolves_more():
    rng = np.random.default_rng(3)
    specimen = 0.5 + _filtered(rng.normal(size=(256, 256)), lambda f: 1 / (1 + (40 * f) ** 2))
    found = []
    for photons in (3, 30, 300, 3000):
        settings = Acquisition(bin=1, exposures=1, period=1, photons=photons)
        frames = [sample_counts(specimen[None], settings, seed=seed)[0] for seed in (0, 1)]
        found.append(frc_resolution(*frames))
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.5 * found[0]


def test_sampling_limit():
    assert sampling_limit(64, 0.5) == 8.0
    with pytest.raises(SettingsError, match="compression ratio"):
        sampling_limit(0.5)


@pytest.mark.parametrize("shape", [(256, 256), (200, 301), (255, 180)])
@pytest.mark.parametrize("period", [4.0, 8.0, 16.0])
def test_frc_finds_the_period_beyond_which_detail_is_wrong(shape, period):
    rng = np.random.default_rng(5)
    truth, other = rng.normal(size=shape), rng.normal(size=shape)
    image = _low_pass(truth, 1 / period) + other - _low_pass(other, 1 / period)
    # In rings: the Hann window and the averaging over neighbours blur the edge by one ring each.
    side = min(shape)
    assert abs(side / frc_resolution(image, truth) - side / period) <= 2


def test_frc_unit_gain_and_limits():
    rng = np.random.default_rng(6)
    truth, other = rng.normal(size=(128, 128)), rng.normal(size=(128, 128))
    image = _low_pass(truth, 0.125) + other - _low_pass(other, 0.125)
    assert frc_resolution(image, truth, 0.1) == pytest.approx(0.1 * frc_resolution(image, truth))
    assert frc_resolution(1e6 + 3e-5 * image, truth) == pytest.approx(frc_resolution(image, truth), rel=1e-3)
    assert frc_resolution(truth, truth, 0.25) == 0.5
    assert frc_resolution(-truth, truth) == math.inf
    assert frc_resolution(np.full((128, 128), 0.1), truth) == math.inf
    assert frc_resolution(truth, np.full((128, 128), 0.1)) == math.inf
    assert frc_resolution(image, truth, threshold=0.5) >= frc_resolution(image, truth, threshold=0.1)


def test_frc_rings_against_a_plain_loop_over_the_whole_spectrum():
    rng = np.random.default_rng(7)
    for shape in [(16, 16), (17, 16), (16, 21), (15, 19)]:
        image, truth = rng.normal(size=shape), rng.normal(size=shape)
        wy = [math.sin(math.pi * (i + 0.5) / shape[0]) ** 2 for i in range(shape[0])]
        wx = [math.sin(math.pi * (i + 0.5) / shape[1]) ** 2 for i in range(shape[1])]
        a = np.fft.fft2((image - image.mean()) * np.outer(wy, wx))
        b = np.fft.fft2((truth - truth.mean()) * np.outer(wy, wx))
        side = min(shape)
        sums = np.zeros((side, 3))
        for y, fy in enumerate(np.fft.fftfreq(shape[0])):
            for x, fx in enumerate(np.fft.fftfreq(shape[1])):
                ring = round(math.hypot(fy, fx) * side)
                sums[ring] += (a[y, x] * b[y, x].conjugate()).real, abs(a[y, x]) ** 2, abs(b[y, x]) ** 2
        expected = [s[0] / math.sqrt(s[1] * s[2]) for s in sums[1 : side // 2 + 1]]
        rings = ring_correlation(image, truth)
        np.testing.assert_allclose(rings.correlation, expected, atol=1e-10)
        np.testing.assert_allclose(rings.frequency, np.arange(1, side // 2 + 1) / side)


@pytest.mark.parametrize("pixel_size", [0.0, -1.0, math.nan, math.inf])
def test_frc_refuses_a_pixel_without_size(pixel_size):
    with pytest.raises(SettingsError, match="pixel size"):
        frc_resolution(np.zeros((16, 16)), np.zeros((16, 16)), pixel_size)


@pytest.mark.parametrize("threshold", [0.0, 1.0, math.nan])
def test_frc_refuses_a_threshold_outside_0_to_1(threshold):
    with pytest.raises(SettingsError, match="threshold"):
        frc_resolution(np.zeros((16, 16)), np.zeros((16, 16)), threshold=threshold)
