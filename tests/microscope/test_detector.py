"""The detector: the exact sampler, the one for training, and the way back to a linear signal."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import (
    count_dtype,
    counts_to_signal,
    electrons_mean,
    noisy_signal,
    sample_counts,
    saturated_fraction,
)
from napari_dmu.microscope.forward import Microscope
from napari_dmu.training.stages import BinaryPatterns

SAMPLES = 60_000
DETECTORS = {
    "plain": {"photons": 1000.0, "background": 2.0, "read_noise": 2.0},
    "dim": {"photons": 0.5, "background": 0.2, "read_noise": 1.0},
    "inefficient": {"photons": 30.0, "background": 5.0, "read_noise": 6.0, "quantum_efficiency": 0.3},
    "coarse gain": {"photons": 500.0, "background": 2.0, "read_noise": 3.0, "gain": 4.0},
    "fine gain": {"photons": 20.0, "background": 1.0, "read_noise": 0.0, "gain": 0.25},
}


def detector(name: str) -> Acquisition:
    return Acquisition(bin=4, exposures=1, period=4, **DETECTORS[name])


def assert_moments(values: NDArray[np.float64], mean: float, variance: float) -> None:
    """Mean and variance within four standard errors of what they should be."""
    deviations = values - values.mean()
    found = deviations.var()
    fourth = (deviations**4).mean()
    assert abs(values.mean() - mean) <= 4 * (variance / values.size) ** 0.5
    assert abs(found - variance) <= 4 * ((fourth - found**2) / values.size) ** 0.5


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("level", [0.0, 0.7, 9.0])
def test_exact_counts_have_the_mean_and_variance_of_the_model(name: str, level: float) -> None:
    settings = detector(name)
    signal = np.full((1, SAMPLES // 100, 100), level)
    counts = sample_counts(signal, settings, seed=11).astype(float)
    gain = settings.electrons_per_count
    expected = settings.quantum_efficiency * (settings.photons * level + settings.background)
    # Rounding to whole counts adds 1/12, except where the electrons fall on counts already.
    rounding = 0.0 if settings.read_noise == 0 and (1 / gain).is_integer() else 1 / 12
    assert_moments(counts, expected / gain + settings.offset, (expected + settings.read_noise**2) / gain**2 + rounding)
    assert float(electrons_mean(torch.tensor(level), settings)) == pytest.approx(expected)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("level", [0.5, 9.0])
def test_counts_to_signal_is_unbiased_and_training_noise_has_the_same_moments(name: str, level: float) -> None:
    settings = detector(name)
    per_photon = settings.quantum_efficiency * settings.photons
    electrons = settings.quantum_efficiency * (settings.photons * level + settings.background)
    variance = (electrons + settings.read_noise**2) / per_photon**2

    # Digitised finely and far from zero, rounding and clipping are out of the picture.
    fine = settings.model_copy(update={"gain": 0.05, "bits": 32, "offset": 10_000})
    generator = torch.Generator().manual_seed(4)
    clean = torch.full((1, 1, SAMPLES // 100, 100), level, dtype=torch.float64)
    trained = noisy_signal(clean, fine, generator=generator).numpy()
    assert_moments(trained, level, variance)

    counts = sample_counts(clean[0].numpy(), fine, seed=6).astype(float)
    exact = counts_to_signal(torch.from_numpy(counts), fine).numpy()
    assert_moments(exact, level, variance + (0.05 / per_photon) ** 2 / 12)


def test_training_noise_takes_a_level_of_its_own_for_each_example() -> None:
    settings = detector("plain").model_copy(update={"gain": 0.01, "bits": 32})
    photons = torch.tensor([20.0, 2000.0], dtype=torch.float64)[:, None, None, None]
    read = torch.tensor([10.0, 0.0], dtype=torch.float64)[:, None, None, None]
    clean = torch.full((2, 1, SAMPLES // 100, 100), 3.0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    noisy = noisy_signal(clean, settings, generator=generator, photons=photons, read_noise=read)
    for values, k, sigma in zip(noisy.numpy(), (20.0, 2000.0), (10.0, 0.0), strict=True):
        assert_moments(values, 3.0, (k * 3.0 + settings.background + sigma**2) / k**2)


@given(
    signal=st.floats(0.0, 16.0),
    photons=st.floats(1.0, 1e5),
    background=st.floats(0, 100),
    efficiency=st.floats(0.1, 1.0),
    offset=st.integers(0, 1000),
)
def test_counts_to_signal_inverts_the_noise_free_detector(
    signal: float, photons: float, background: float, efficiency: float, offset: int
) -> None:
    settings = Acquisition(
        bin=4, exposures=1, period=4, photons=photons, background=background, quantum_efficiency=efficiency,
        offset=offset,
    )  # fmt: skip
    electrons = electrons_mean(torch.tensor([signal], dtype=torch.float64), settings)
    counts = electrons / settings.electrons_per_count + settings.offset
    assert float(counts_to_signal(counts, settings)) == pytest.approx(signal, abs=1e-6)


def test_noise_below_the_background_stays_negative() -> None:
    settings = detector("plain")
    signal = counts_to_signal(torch.tensor([0.0, float(settings.offset)]), settings)
    assert (signal < 0).all()


def test_a_detector_that_is_too_bright_clips_at_full_scale_and_says_so() -> None:
    settings = Acquisition(bin=4, exposures=1, period=4, photons=1000, gain=1.0, bits=8, offset=10)
    signal = np.zeros((1, 10, 10))
    signal[0, :3] = 16.0
    counts = sample_counts(signal, settings, seed=0)
    assert (counts[0, :3] == 255).all()
    assert counts[0, 3:].max() < 255
    assert saturated_fraction(counts, settings) == pytest.approx(0.3)


def test_read_noise_never_wraps_below_zero() -> None:
    settings = Acquisition(bin=1, exposures=1, period=1, photons=1, background=0, read_noise=100, offset=5)
    counts = sample_counts(np.zeros((1, 100, 100)), settings, seed=0)
    assert counts.min() == 0
    assert counts.max() < 2000


@given(bin=st.sampled_from([1, 8, 32]), photons=st.floats(1, 1e8), bits=st.sampled_from([8, 12, 16, 24]))
def test_the_automatic_gain_does_not_saturate(bin: int, photons: float, bits: int) -> None:
    settings = Acquisition(bin=bin, exposures=1, period=bin, photons=photons, bits=bits)
    counts = sample_counts(np.full((1, 40, 40), float(bin**2)), settings, seed=1)
    assert saturated_fraction(counts, settings) == 0


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint16), (16, np.uint16), (17, np.uint32), (32, np.uint32)])
def test_counts_fit_their_type(bits: int, dtype: type) -> None:
    settings = Acquisition(bin=1, exposures=1, period=1, photons=1e6, gain=1e-4, bits=bits)
    counts = sample_counts(np.ones((1, 3, 3)), settings, seed=0)
    assert counts.dtype == count_dtype(settings) == dtype
    assert int(counts.max()) == 2**bits - 1


def test_no_two_seeds_and_planes_have_the_same_noise() -> None:
    seeds = (0, 1, 2, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**64, 2**64 + 2**32, 2**96, 2**128, 2**160 + 1)
    noises = {
        sample_counts(np.full((1, 8, 8), 4.0), Acquisition(bin=4, exposures=1, period=4), seed=seed, index=i).tobytes()
        for seed in seeds
        for i in range(4)
    }
    assert len(noises) == 4 * len(seeds)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_the_noise_of_usual_seeds_is_what_it_always_was(seed: int) -> None:
    light, settings = np.full((1, 8, 8), 4.0), Acquisition(bin=4, exposures=1, period=4, read_noise=0)
    shot = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 3]).spawn(3)[0]))
    mean = settings.quantum_efficiency * (settings.photons * light + settings.background) + settings.dark_electrons
    expected = np.rint(shot.poisson(mean) / settings.electrons_per_count + settings.offset)
    np.testing.assert_array_equal(sample_counts(light, settings, seed=seed, index=3), expected)


def test_noise_follows_from_seed_and_index_alone() -> None:
    settings = detector("plain")
    signals = np.random.default_rng(0).uniform(0, 16, (5, 1, 12, 9))
    forwards = [sample_counts(s, settings, seed=3, index=i) for i, s in enumerate(signals)]
    backwards = [sample_counts(signals[i], settings, seed=3, index=i) for i in reversed(range(5))][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    same_light = [sample_counts(signals[0], settings, seed=s, index=i) for s, i in ((3, 0), (3, 1), (4, 0), (0, 3))]
    for one in range(4):
        for other in range(one):
            assert (same_light[one] != same_light[other]).mean() > 0.9


def test_noise_of_neighbouring_planes_is_uncorrelated() -> None:
    settings = detector("plain")
    signal = np.full((1, 200, 200), 4.0)
    planes = [sample_counts(signal, settings, seed=0, index=i).ravel().astype(float) for i in range(3)]
    planes.append(sample_counts(signal, settings, seed=1, index=0).ravel().astype(float))
    off_diagonal = np.corrcoef(planes)[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / 200


def test_shot_and_read_noise_are_independent_draws() -> None:
    """Read noise is the same whatever the light, shot noise the same whatever the read noise."""
    quiet = Acquisition(bin=4, exposures=1, period=4, read_noise=0.0, gain=0.01, bits=32)
    loud = quiet.model_copy(update={"read_noise": 5.0})
    signal = np.full((1, 30, 30), 4.0)
    read = [
        sample_counts(s, loud, seed=2).astype(float) - sample_counts(s, quiet, seed=2) for s in (signal, signal / 2)
    ]
    np.testing.assert_allclose(read[0], read[1], atol=1.01)


def test_sampling_leaves_every_global_generator_alone() -> None:
    settings = detector("plain")
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state(), random.getstate()  # noqa: NPY002
    sample_counts(np.ones((1, 8, 8)), settings, seed=0)
    noisy_signal(torch.ones(1, 1, 8, 8), settings, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.random.get_rng_state())
    assert before[2] == random.getstate()


def test_patterns_learn_through_the_noise_and_not_through_torch_poisson(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        raise AssertionError("torch.poisson has no gradient: patterns trained through it learn nothing")

    monkeypatch.setattr(torch, "poisson", forbidden)
    settings = Acquisition(bin=4, exposures=2, period=8, photons=100)
    start = (np.random.default_rng(0).random((2, 8, 8)) < 0.5).astype(np.uint8)
    patterns = BinaryPatterns(start)
    specimen = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
    signal = Microscope(patterns(), settings).forward(specimen)
    noisy_signal(signal, settings, generator=torch.Generator().manual_seed(2)).square().mean().backward()
    gradient = patterns.logits.grad
    assert gradient is not None
    assert (gradient != 0).all()
    assert torch.isfinite(gradient).all()
