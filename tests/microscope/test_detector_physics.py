"""The detector against physics: moments of every preset, photon transfer, saturation, multiplication."""

import math

import numpy as np
import pytest
import torch

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import (
    counts_to_signal,
    electrons_mean,
    electrons_variance,
    noisy_signal,
    rounding_variance,
    sample_counts,
    saturated_fraction,
    saturation_count,
)
from napari_dmu.microscope.presets import PRESETS, apply_preset

SAMPLES = 400_000
LIMIT = 4.0  # standard errors


def plain(**settings: object) -> Acquisition:
    return Acquisition.model_validate({"bin": 4, "exposures": 1, "period": 4, **settings})


def preset(name: str, **settings: object) -> Acquisition:
    return apply_preset(plain(photons=20, background=3, **settings), name)


def flat(level: float, samples: int = SAMPLES) -> np.ndarray:
    return np.full((1, 400, samples // 400), level)


def within(values: np.ndarray, mean: float, variance: float) -> None:
    """Mean and variance of the values within four standard errors, theirs estimated from the values."""
    values = values.astype(np.float64).ravel()
    deviation = values - values.mean()
    fourth, second = np.mean(deviation**4), np.mean(deviation**2)
    assert abs(values.mean() - mean) < LIMIT * math.sqrt(second / values.size)
    # A detector without noise has no spread to estimate: the small term is for rounding in float64.
    assert abs(second - variance) < LIMIT * math.sqrt(max(fourth - second**2, 0) / values.size) + 1e-9


@pytest.mark.parametrize("level", [0.0, 0.4, 9.0])
@pytest.mark.parametrize("name", PRESETS)
def test_counts_have_the_mean_and_variance_of_the_preset(name: str, level: float) -> None:
    acquisition = preset(name, exposure_time=0.01)
    counts = sample_counts(flat(level), acquisition, seed=11)
    gain = acquisition.electrons_per_count
    light = acquisition.quantum_efficiency * (20 * level + 3) + acquisition.dark_current * 0.01
    shot = acquisition.excess_noise * light
    # Whole electrons on whole counts without read noise are not rounded (ideal, SPAD).
    rounding = 0.0 if name in ("ideal", "spad_array") else gain**2 / 12
    expected = (shot + acquisition.read_noise**2 + rounding) / gain**2
    if acquisition.excess_noise > 1 and light < 10:
        # Few electrons through a multiplication pile up at zero, which coarse counts do not round evenly.
        counts = sample_counts(flat(level), acquisition.model_copy(update={"gain": 0.05}), seed=11)
        gain, expected = 0.05, (shot + acquisition.read_noise**2 + 0.05**2 / 12) / 0.05**2
    within(counts, light / gain + acquisition.offset, expected)


@pytest.mark.parametrize("level", [0.5, 9.0])
@pytest.mark.parametrize("name", PRESETS)
def test_exact_sampler_and_training_model_agree_in_two_moments(name: str, level: float) -> None:
    acquisition = preset(name, exposure_time=0.02)
    counts = sample_counts(flat(level), acquisition, seed=3)
    exact = counts_to_signal(torch.from_numpy(counts.astype(np.float64)), acquisition).numpy()
    generator = torch.Generator().manual_seed(3)
    trained = noisy_signal(torch.from_numpy(flat(level))[None], acquisition, generator=generator).numpy()
    for values in (exact, trained):
        scale = acquisition.quantum_efficiency * acquisition.photons
        variance = float(electrons_variance(torch.tensor([level], dtype=torch.float64), acquisition)) / scale**2
        within(values, level, variance)


def test_signal_is_unbiased_under_dark_current() -> None:
    acquisition = plain(photons=10, dark_current=300, exposure_time=0.5, quantum_efficiency=0.6)
    counts = sample_counts(flat(2.0), acquisition, seed=0)
    signal = counts_to_signal(torch.from_numpy(counts.astype(np.float64)), acquisition)
    assert float(electrons_mean(torch.tensor(2.0), acquisition)) == pytest.approx(0.6 * 22 + 150)
    assert abs(float(signal.mean()) - 2.0) < LIMIT * float(signal.std()) / SAMPLES**0.5


@pytest.mark.parametrize(("gain", "read_noise"), [(0.46, 1.6), (2.0, 3.0), (1.0, 0.8), (0.25, 5.0)])
def test_photon_transfer_curve_recovers_gain_and_read_noise(gain: float, read_noise: float) -> None:
    acquisition = plain(photons=1, background=0, gain=gain, read_noise=read_noise, offset=200)
    # Variance against mean over flat fields: slope 1/gain; the dark field gives read noise and rounding.
    electrons = np.array([0, 50, 100, 200, 400, 800, 1600, 3200], dtype=float)
    frames = [sample_counts(flat(e, 1_000_000), acquisition, seed=5, index=i) for i, e in enumerate(electrons)]
    mean = np.array([f.mean(dtype=float) - 200 for f in frames])
    variance = np.array([f.var(dtype=float) for f in frames])
    slope = np.polyfit(mean, variance, 1, w=1 / variance)[0]
    found_gain = 1 / slope
    found_read = math.sqrt(variance[0] - float(rounding_variance(acquisition)) / gain**2) * found_gain
    assert found_gain == pytest.approx(gain, rel=0.02)
    assert found_read == pytest.approx(read_noise, rel=0.02)


@pytest.mark.parametrize("read_noise", [0.0, 0.1, 0.3, 0.6, 0.99, 1.5])
def test_rounding_of_whole_electrons_is_that_of_the_read_noise(read_noise: float) -> None:
    acquisition = plain(gain=1.0, read_noise=read_noise, photons=1, background=0)
    counts = sample_counts(flat(50.0, 1_000_000), acquisition, seed=2).astype(float)
    spread = read_noise**2 + float(rounding_variance(acquisition))
    within(counts, 150.0, 50.0 + spread)


def test_rounding_takes_a_read_noise_per_example() -> None:
    acquisition = plain(gain=1.0)
    values = rounding_variance(acquisition, torch.tensor([[0.0], [0.5], [4.0]]))
    assert values.shape == (3, 1)
    assert values[0] == 0
    assert float(values[2]) == pytest.approx(1 / 12)
    assert float(rounding_variance(acquisition.model_copy(update={"gain": 3.0}))) == pytest.approx(0.75)


def test_emccd_doubles_the_photon_variance() -> None:
    single = plain(photons=100, background=0, read_noise=0, gain=0.1)
    double = single.model_copy(update={"excess_noise": 2.0})
    once, twice = (sample_counts(flat(4.0), a, seed=9).astype(float) * 0.1 for a in (single, double))
    assert once.var() == pytest.approx(400, rel=0.02)
    assert twice.var() == pytest.approx(800, rel=0.02)
    assert twice.mean() == pytest.approx(once.mean(), rel=0.002)


def test_one_electron_through_a_register_is_exponential() -> None:
    acquisition = plain(photons=0.01, background=0, read_noise=0, gain=0.001, excess_noise=2.0, offset=0)
    electrons = sample_counts(flat(1.0), acquisition, seed=4).astype(float) * 0.001
    lit = electrons[electrons > 0.001]
    # With one electron at most (1 % of the samples), the output has mean and standard deviation 1.
    assert lit.mean() == pytest.approx(1.0, abs=0.08)
    assert lit.std() == pytest.approx(1.0, abs=0.08)
    assert np.mean(lit > 1) == pytest.approx(math.exp(-1), abs=0.04)


def test_without_the_new_effects_the_samples_are_those_of_the_plain_detector() -> None:
    acquisition = plain(photons=50, background=2, read_noise=2, quantum_efficiency=0.7)
    signal = np.random.default_rng(0).random((2, 16, 16)) * 16
    counts = sample_counts(signal, acquisition, seed=7, index=3)
    shot, read = (np.random.Generator(np.random.Philox(s)) for s in np.random.SeedSequence([7, 3]).spawn(2))
    electrons = shot.poisson(0.7 * (50 * signal + 2)) + 2 * read.standard_normal(signal.shape)
    assert np.array_equal(counts, np.clip(np.rint(electrons + 100), 0, 65535))


@pytest.mark.parametrize("name", PRESETS)
def test_noise_depends_on_seed_and_plane_alone(name: str) -> None:
    acquisition = preset(name)
    signal = np.random.default_rng(1).random((2, 8, 8)) * 16
    planes = [sample_counts(signal, acquisition, seed=1, index=i) for i in range(3)]
    again = [sample_counts(signal, acquisition, seed=1, index=i) for i in (2, 1, 0)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(planes, again, strict=True))
    assert not np.array_equal(planes[0], planes[1])
    assert not np.array_equal(planes[0], sample_counts(signal, acquisition, seed=2, index=0))


def test_saturation_at_the_full_well_is_reported() -> None:
    acquisition = plain(photons=1, background=0, read_noise=5, gain=1.0, full_well=1000, bits=16)
    counts = np.concatenate([sample_counts(flat(e), acquisition, seed=0, index=int(e)) for e in (500, 3000)])
    assert counts.max() < acquisition.max_count
    # Read noise comes after the well: it blurs the edge, but electrons beyond the well are gone.
    assert counts[1].mean() == pytest.approx(1100, abs=0.1)
    assert counts[1].std() == pytest.approx(5, rel=0.02)
    assert saturated_fraction(counts, acquisition) == pytest.approx(0.5, abs=0.001)


def test_saturation_at_full_scale_is_reported() -> None:
    acquisition = plain(photons=1, background=0, gain=1.0, bits=12)
    counts = np.concatenate([sample_counts(flat(e), acquisition, seed=0, index=int(e)) for e in (500, 9000)])
    assert counts.max() == 4095
    assert saturated_fraction(counts, acquisition) == 0.5
    assert saturation_count(acquisition) == 4095
    assert saturation_count(acquisition.model_copy(update={"full_well": 1e6})) == 4095


def test_a_sample_is_saturated_from_three_read_noises_below_the_full_well_on() -> None:
    acquisition = plain(full_well=1000, read_noise=5, gain=2.0, offset=100)
    assert saturation_count(acquisition) == round((1000 - 3 * 5) / 2) + 100


def test_automatic_gain_leaves_room_for_read_noise_above_the_well() -> None:
    acquisition = plain(photons=1e5, full_well=100_000, read_noise=50, bits=16)
    counts = sample_counts(flat(16.0), acquisition, seed=0)
    assert saturated_fraction(counts, acquisition) > 0.99
    assert np.mean(counts == acquisition.max_count) < 1e-4


def test_training_model_saturates_as_the_sampler_does() -> None:
    for settings, most in (
        ({"full_well": 800.0}, 8.0),
        ({"gain": 0.2, "bits": 12, "offset": 0}, 8.19),
        ({"gain": 0.2, "bits": 12, "offset": 1000}, 6.19),
    ):
        acquisition = plain(photons=100, background=0, read_noise=3, **settings)
        counts = sample_counts(flat(12.0), acquisition, seed=1).astype(float)
        exact = counts_to_signal(torch.from_numpy(counts), acquisition)
        generator = torch.Generator().manual_seed(1)
        trained = noisy_signal(torch.from_numpy(flat(12.0))[None], acquisition, generator=generator)
        assert float(exact.mean()) == pytest.approx(most, rel=1e-3)
        assert float(trained.mean()) == pytest.approx(float(exact.mean()), rel=2e-3)


@pytest.mark.parametrize("name", PRESETS)
def test_gradients_are_finite_also_in_the_dark(name: str) -> None:
    acquisition = apply_preset(plain(photons=1000, background=0), name)
    signal = torch.tensor([0.0, 1e-9, 1e-3, 1.0, 15.0]).repeat(200, 1)[:, None, None, :].requires_grad_()
    noisy = noisy_signal(signal, acquisition, generator=torch.Generator().manual_seed(0))
    noisy.square().sum().backward()
    assert torch.isfinite(noisy).all()
    assert signal.grad is not None
    assert torch.isfinite(signal.grad).all()
    assert signal.grad[..., 3].abs().max() > 0


def test_read_noise_that_rounding_takes_away_leaves_numbers() -> None:
    acquisition = plain(gain=1.0, photons=100)
    read = torch.linspace(0, 0.5, 64).reshape(-1, 1, 1, 1)
    clean = torch.full((64, 1, 8, 8), 3.0)
    assert torch.isfinite(noisy_signal(clean, acquisition, read_noise=read)).all()
    for level in (0.05, 0.1, 0.2):
        quiet = acquisition.model_copy(update={"read_noise": level})
        assert torch.isfinite(noisy_signal(clean, quiet)).all()


@pytest.mark.parametrize("read", [1.0, 1.5, 3.0, 40.0])
def test_rounding_is_uniform_noise_where_the_read_noise_is_a_count_or_more(read: float) -> None:
    for gain in (1.0, 0.5):
        found = float(rounding_variance(plain(gain=gain, read_noise=read * gain)))
        assert found == pytest.approx(gain**2 / 12, rel=1e-6)


def test_training_model_takes_noise_per_example() -> None:
    acquisition = preset("scmos")
    clean = torch.full((2, 1, 300, 300), 4.0, dtype=torch.float64)
    photons = torch.tensor([5.0, 500.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    read = torch.tensor([9.0, 0.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    generator = torch.Generator().manual_seed(6)
    noisy = noisy_signal(clean, acquisition, generator=generator, photons=photons, read_noise=read)
    rounding = 0.46**2 / 12
    for i, (k, r) in enumerate(((5.0, 9.0), (500.0, 0.0))):
        electrons = 0.82 * (k * 4 + 3) + acquisition.dark_electrons
        within(noisy[i].numpy(), 4.0, (electrons + r**2 + rounding) / (0.82 * k) ** 2)


def test_presets_say_where_their_figures_come_from() -> None:
    assert set(PRESETS) == {"ideal", "scmos", "emccd", "pmt_array", "spad_array"}
    for figures in PRESETS.values():
        assert figures.title
        assert figures.name == "ideal" or "http" in figures.source
    # A preset replaces the whole detector, also where it says "none".
    applied = apply_preset(apply_preset(plain(photons=7), "scmos"), "pmt_array")
    assert (applied.full_well, applied.gain, applied.excess_noise, applied.photons) == (None, None, 1.25, 7)


def test_unknown_preset_is_one_sentence() -> None:
    with pytest.raises(SettingsError, match=r"^There is no detector 'ccd': choose ideal, scmos"):
        apply_preset(plain(), "ccd")
