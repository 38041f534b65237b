"""The budget by hand, its warnings when they are due and only then, and bad settings in one sentence."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.microscope.budget import MEANINGS, Budget, light_budget, readable_electrons
from napari_dmu.microscope.cautions import full_width
from napari_dmu.microscope.checking import checked_update, settings_error
from napari_dmu.microscope.detector import counts_to_signal, sample_counts
from napari_dmu.microscope.digits import NARROW
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.optics import gaussian_kernel
from napari_dmu.microscope.patterns import random_patterns
from napari_dmu.microscope.presets import PRESETS, apply_preset

SHARP = Psf(kind="none")


def settings(**changes: object) -> Acquisition:
    base = {"bin": 8, "exposures": 2, "period": 16, "excitation": SHARP, "emission": SHARP}
    return Acquisition.model_validate({**base, **changes})


def blocks(acquisition: Acquisition, width: int) -> np.ndarray:
    """Stripes of a width, one orientation an exposure."""
    line = (np.arange(acquisition.period) // width) % 2
    tile = np.broadcast_to(line, (acquisition.period, acquisition.period))
    return np.stack([tile if t % 2 == 0 else tile.T for t in range(acquisition.exposures)]).astype(np.uint8)


def topics(budget: Budget) -> set[str]:
    return {caution.topic for caution in budget.warnings}


def test_a_small_case_by_hand() -> None:
    acquisition = settings(
        bin=2,
        exposures=2,
        period=4,
        photons=100,
        background=6,
        read_noise=3,
        quantum_efficiency=0.5,
        gain=2.0,
        offset=100,
        bits=12,
        dark_current=40,
        exposure_time=0.1,
        switching_time=0.02,
        excess_noise=2.0,
    )
    patterns = np.zeros((2, 4, 4), np.uint8)
    patterns[0, :2, :2] = 1  # one bin of four fully lit
    patterns[1, ::2, :] = 1  # every other row: half of every bin
    card = light_budget(acquisition, patterns)
    assert (card.ratio, card.bin, card.exposures) == (2.0, 2, 2)
    assert card.samples_per_megapixel == 500_000
    assert card.camera_samples_per_megapixel == 1_000_000
    assert card.fill_factor == pytest.approx(12 / 32)
    assert (card.dose_mean, card.dose_max) == (pytest.approx(12 / 16), 2.0)
    # Signal: (4 + 0 + 0 + 0 + 2 + 2 + 2 + 2) / 8 = 1.5 lit pixels a bin, of which a mid-grey specimen gives half.
    assert card.photons_per_bin == pytest.approx(75)
    assert card.photons_per_bin_peak == pytest.approx(200)
    noise = card.noise
    assert noise.shot == pytest.approx(math.sqrt(2 * 0.5 * 75))
    assert noise.background == pytest.approx(math.sqrt(2 * 0.5 * 6))
    assert noise.dark == pytest.approx(math.sqrt(2 * 4))
    assert noise.read == 3
    assert noise.quantisation == pytest.approx(2 / math.sqrt(12))
    total = math.sqrt(75 + 6 + 8 + 9 + 4 / 12)
    assert noise.total == pytest.approx(total)
    assert card.snr == pytest.approx(37.5 / total)
    assert card.camera_snr == pytest.approx(25 / math.sqrt(50 + 6 + 8 + 9 + 4 / 12))
    assert card.acquisition_time == pytest.approx(0.22)
    assert readable_electrons(acquisition) == (4095 - 100) * 2
    assert card.full_scale_fraction == pytest.approx((0.5 * (100 * 4 + 6) + 4) / 7990)
    assert (card.pattern_contrast, card.finest_feature) == (pytest.approx(1.0), 1)
    assert card.warnings == ()


@pytest.mark.parametrize(("full_well", "least"), [(None, 7990), (5000.0, 5000), (30_000.0, 7990)])
def test_what_can_be_read_ends_at_the_well_or_at_full_scale(full_well: float | None, least: float) -> None:
    acquisition = settings(gain=2.0, offset=100, bits=12, full_well=full_well)
    assert readable_electrons(acquisition) == least
    card = light_budget(acquisition, np.ones((2, 16, 16)))
    assert card.full_scale_fraction == pytest.approx((1000 * 64 + 2) / least)


@pytest.mark.parametrize("detector", PRESETS)
def test_the_expected_snr_is_that_of_the_detector(detector: str) -> None:
    acquisition = apply_preset(settings(photons=10, exposures=1, exposure_time=0.02), detector)
    patterns = np.ones((1, 16, 16), np.uint8)
    card = light_budget(acquisition, patterns)
    signal = Microscope(torch.from_numpy(patterns).double(), acquisition).forward(torch.full((3200, 800), 0.5))
    counts = sample_counts(signal.numpy(), acquisition, seed=0)
    measured = counts_to_signal(torch.from_numpy(counts.astype(float)), acquisition)
    assert float(measured.mean() / measured.std()) == pytest.approx(card.snr, rel=0.02)
    assert float(signal.mean()) * acquisition.photons == pytest.approx(card.photons_per_bin)


@given(contrast=st.floats(2, 1e4), sigma=st.floats(0, 3), fill=st.floats(0.1, 1), seed=st.integers(0, 99))
def test_blur_conserves_light_and_leakage_adds_to_it(contrast: float, sigma: float, fill: float, seed: int) -> None:
    psf = Psf(sigma=sigma)
    acquisition = settings(excitation=psf, emission=psf, contrast=contrast)
    patterns = random_patterns(2, 16, seed=seed, fill=fill)
    card = light_budget(acquisition, patterns)
    lit = card.fill_factor + (1 - card.fill_factor) / contrast
    assert card.photons_per_bin == pytest.approx(0.5 * 1000 * 64 * lit)
    assert card.photons_per_bin_peak >= card.photons_per_bin * (1 - 1e-9)
    assert 0 <= card.pattern_contrast <= 1 + 1e-9


def test_patterns_finer_than_the_excitation_are_warned_about() -> None:
    acquisition = settings(excitation=Psf(sigma=1.5))
    fine, coarse = (light_budget(acquisition, blocks(acquisition, width)) for width in (1, 8))
    assert "pattern" in topics(fine)
    assert topics(coarse) == set()
    # Transfer of a Gaussian at 1/(2w): exp(−2π²σ²/(4w²)) is ½ at w = 4.0 for σ = 1.5.
    assert fine.finest_feature == math.ceil(math.pi * 1.5 / math.sqrt(2 * math.log(2)))
    assert f"{fine.finest_feature} specimen pixels" in fine.warnings[0].suggestion
    # Stripes as wide as suggested are carried.
    followed = light_budget(acquisition, blocks(acquisition, fine.finest_feature))
    assert followed.pattern_contrast >= 0.5
    assert "pattern" not in topics(followed)
    assert "pattern" not in topics(light_budget(settings(), blocks(acquisition, 1)))
    # No structure, nothing to lose.
    assert "pattern" not in topics(light_budget(acquisition, np.ones((2, 16, 16))))


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.5, 2.0])
def test_the_finest_feature_keeps_half_its_contrast_and_one_pixel_less_does_not(sigma: float) -> None:
    acquisition = settings(excitation=Psf(sigma=sigma))
    finest = light_budget(acquisition, blocks(acquisition, 8)).finest_feature
    least, finer = (math.exp(-2 * (math.pi * sigma / (2 * width)) ** 2) for width in (finest, finest - 1))
    assert least >= 0.5 > finer


def test_contrast_of_stripes_is_the_transfer_of_the_psf() -> None:
    acquisition = settings(excitation=Psf(sigma=1.0), exposures=1)
    # One-pixel stripes are a single frequency, ½ cycle a pixel.
    profile = gaussian_kernel(1.0, dtype=torch.float64).numpy()
    transfer = abs(np.sum(profile * (-1.0) ** np.arange(profile.size)))
    card = light_budget(acquisition, blocks(acquisition, 1))
    assert card.pattern_contrast == pytest.approx(transfer)


def test_bins_narrower_than_the_emission_psf_are_warned_about() -> None:
    wide = Psf(sigma=2.0)  # 4.7 pixels at half maximum
    narrow, broad = (settings(bin=d, period=16, emission=wide) for d in (4, 8))
    patterns = blocks(broad, 8)
    assert topics(light_budget(narrow, patterns)) == {"bin"}
    assert "detector pixels of 5 specimen pixels" in light_budget(narrow, patterns).warnings[0].suggestion
    assert topics(light_budget(broad, patterns)) == set()
    assert topics(light_budget(settings(bin=1), patterns)) == set()


@pytest.mark.parametrize("sigma", [0.8, 1.0, 2.0, 5.0])
def test_full_width_of_a_gaussian(sigma: float) -> None:
    profile = gaussian_kernel(sigma).numpy()
    assert full_width(np.outer(profile, profile)) == pytest.approx(2 * math.sqrt(2 * math.log(2)) * sigma, rel=0.05)
    assert full_width(np.ones((1, 1))) == 1.0


@pytest.mark.parametrize("hole", [0.0, 0.2, 0.49])
def test_the_width_of_a_ring_is_that_of_its_outside(hole: float) -> None:
    y, x = np.mgrid[-8:9, -8:9]
    radius = np.hypot(y, x)
    ring = np.where(radius < 3, hole, 1.0) * (radius < 6.5)
    assert full_width(ring) == pytest.approx(13)
    ring[:, 8:] = 0  # the half of it that lies on one side
    assert full_width(ring) == pytest.approx(6)


def test_a_bin_is_held_against_the_outside_of_a_ring() -> None:
    y, x = np.mgrid[-8:9, -8:9]
    ring = ((np.hypot(y, x) > 5) & (np.hypot(y, x) < 7)).astype(float)
    emission = Psf(kind="measured", kernel=tuple(map(tuple, ring)))
    card = light_budget(settings(bin=4, emission=emission), np.ones((2, 16, 16), np.uint8))
    assert "bin" in topics(card)
    card = light_budget(settings(bin=16, emission=emission), np.ones((2, 16, 16), np.uint8))
    assert "bin" not in topics(card)


def test_saturation_is_warned_about_and_the_suggestion_helps() -> None:
    acquisition = apply_preset(settings(photons=5000), "scmos")
    patterns = np.ones((2, 16, 16), np.uint8)
    card = light_budget(acquisition, patterns)
    assert topics(card) == {"saturation"}
    assert card.warnings[0].text.startswith("Even a mid-grey specimen saturates")
    assert dict(card.lines())["SNR per sample"].endswith("(mid-grey specimen, if nothing saturated)")
    white = light_budget(checked_update(acquisition, {"photons": 700}), patterns)
    assert white.warnings[0].text.startswith("A white specimen saturates the detector: a white one gives 1.22 times")
    assert card.full_scale_fraction == pytest.approx((0.82 * (5000 * 64 + 2) + 0.006) / 30_000)
    highest = (30_000 - 0.006) / 0.82 / 64 - 2 / 64
    assert "571 peak photons" in card.warnings[0].suggestion
    assert 571 <= highest < 572
    helped = checked_update(acquisition, {"photons": 571})
    assert light_budget(helped, patterns).warnings == ()
    assert light_budget(helped, patterns).full_scale_fraction == pytest.approx(1, abs=0.002)


def test_background_that_saturates_alone_asks_for_a_shield() -> None:
    acquisition = apply_preset(settings(background=1e5), "scmos")
    (caution,) = light_budget(acquisition, np.ones((2, 16, 16))).warnings
    assert caution.topic == "saturation"
    assert "shield" in caution.suggestion


def test_light_below_the_read_noise_is_warned_about_and_the_suggestion_helps() -> None:
    acquisition = settings(photons=0.1, read_noise=10)
    patterns = blocks(acquisition, 4)
    card = light_budget(acquisition, patterns)
    assert topics(card) == {"light"}
    assert "6.25 peak photons" in card.warnings[0].suggestion
    helped = light_budget(checked_update(acquisition, {"photons": 6.25}), patterns)
    assert helped.warnings == ()
    assert helped.noise.shot == pytest.approx(helped.noise.read)
    dark = light_budget(acquisition, np.zeros((2, 16, 16)))
    assert dark.warnings[0].suggestion == "Open the patterns: no light reaches the specimen."
    assert dark.snr == 0


def test_rounding_above_all_other_noise_is_warned_about_and_the_suggestion_helps() -> None:
    patterns = np.ones((2, 16, 16), np.uint8)
    coarse = settings(bits=7)  # 127 - 100 counts for a light of 64 000 electrons
    card = light_budget(coarse, patterns)
    (caution,) = card.warnings
    assert caution.topic == "rounding"
    others = math.sqrt(card.noise.total**2 - card.noise.quantisation**2)
    assert card.noise.quantisation > others
    assert f"all the other noise ({others:.0f})" in caution.text
    assert caution.suggestion == "Use 619 electrons per count or less: for the same light a converter of 8 bits."
    assert light_budget(checked_update(coarse, {"bits": 8}), patterns).warnings == ()
    fixed = checked_update(coarse, {"bits": 16, "gain": 2000.0})
    assert topics(light_budget(fixed, patterns)) == {"rounding"}
    assert light_budget(checked_update(fixed, {"gain": 619.0}), patterns).warnings == ()


def test_the_converter_that_is_suggested_has_room_for_the_gain_that_is_suggested() -> None:
    coarse = settings(bits=7, photons=1624.3353, background=2, offset=115)
    (caution,) = light_budget(coarse, np.ones((2, 16, 16), np.uint8)).warnings
    assert caution.suggestion.startswith("Use 789 electrons")
    assert readable_electrons(coarse) / 789 + 115 > 255
    assert caution.suggestion.endswith("a converter of 9 bits.")


def test_rounding_is_held_against_all_other_noise_and_not_warned_about_without_any() -> None:
    patterns = np.ones((2, 16, 16), np.uint8)
    coarse = settings(bits=16, gain=2000.0, full_well=None)
    assert "rounding" in topics(light_budget(coarse, patterns))
    bright = light_budget(checked_update(coarse, {"background": 1e6}), patterns)
    assert bright.noise.background > bright.noise.quantisation
    assert "rounding" not in topics(bright)
    still = checked_update(coarse, {"background": 0.0, "read_noise": 0.0, "dark_current": 0.0})
    assert "rounding" not in topics(light_budget(still, np.zeros((2, 16, 16), np.uint8)))


def test_offset_that_cuts_read_noise_is_warned_about() -> None:
    patterns = np.ones((2, 16, 16))
    assert topics(light_budget(settings(offset=0, background=0), patterns)) == {"offset"}
    assert topics(light_budget(settings(offset=12, background=0), patterns)) == set()
    # Light that is always there lifts the dark samples as well.
    assert topics(light_budget(settings(offset=0, background=6), patterns)) == set()
    # What is suggested is in counts, and twice what is needed.
    (caution,) = light_budget(settings(offset=1, background=0, read_noise=10, gain=4.0), patterns).warnings
    assert caution.suggestion == "Use an offset of 15 counts or more."
    assert topics(light_budget(apply_preset(settings(background=0, photons=50), "spad_array"), patterns)) == set()


def test_pixels_too_large_for_the_aperture_are_warned_about() -> None:
    def path(pixel: float) -> Psf:
        return Psf(kind="born_wolf", numerical_aperture=0.5, wavelength=600, pixel_size=pixel)

    # λ/4NA = 0.3 µm.
    patterns = np.ones((2, 16, 16))
    large = light_budget(settings(emission=path(0.35), excitation=path(0.31)), patterns)
    assert [c.topic for c in large.warnings] == ["sampling", "sampling"]
    assert "excitation" in large.warnings[0].text
    assert "0.3 µm" in large.warnings[1].suggestion
    assert topics(light_budget(settings(emission=path(0.30), excitation=path(0.1)), patterns)) == set()


def test_lines_have_units() -> None:
    acquisition = settings(photons=1000, exposure_time=2.0, switching_time=0.5)
    card = light_budget(acquisition, blocks(acquisition, 4))
    lines = dict(card.lines())
    assert lines["Compression"] == "×32 (detector pixels of 8×8, 2 exposures)"
    assert lines["Samples"] == f"31{NARROW}250 per megapixel of specimen"
    assert lines["Light per detector pixel"] == f"16{NARROW}000 photons mean, 16{NARROW}000 peak"
    assert lines["Acquisition time"] == "4.5 s"
    assert lines["Fill factor"] == "50 % of the mirrors on"
    assert all(label and value for label, value in lines.items())


def test_large_figures_are_written_out() -> None:
    acquisition = settings(photons=5e6)
    lines = dict(light_budget(acquisition, blocks(acquisition, 4)).lines())
    assert lines["Noise per sample"] == f"9{NARROW}060 electrons"
    assert not [value for value in lines.values() if "e+" in value]


def test_every_label_is_explained() -> None:
    card = light_budget(settings(), blocks(settings(), 4))
    assert [label.strip() for label, _ in card.lines()] == list(MEANINGS)


def test_every_figure_has_a_description_and_survives_json() -> None:
    assert all(field.description for field in Budget.model_fields.values())
    card = light_budget(settings(photons=0.01), blocks(settings(), 1))
    assert card.warnings
    assert Budget.model_validate_json(card.model_dump_json()) == card


def test_patterns_of_another_shape_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"\(1, 16, 16\).*\(T, P, P\) = \(2, 16, 16\)"):
        light_budget(settings(), np.ones((1, 16, 16)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"photons": 0}, "A value of 0 is not possible for the photons: choose one above 0."),
        ({"photons": -3.5}, "A value of -3.5 is not possible for the photons: choose one above 0."),
        ({"read_noise": -1}, "A value of -1 is not possible for the read noise: choose one of at least 0."),
        (
            {"quantum_efficiency": 1.5},
            "A value of 1.5 is not possible for the quantum efficiency: choose one of at most 1.",
        ),
        ({"contrast": 1}, "A value of 1 is not possible for the contrast: choose one above 1."),
        (
            {"registration": {"scale": 3}},
            "A value of 3 is not possible for the registration scale: choose one below 2.",
        ),
        (
            {"emission": {"numerical_aperture": -1}},
            "A value of -1 is not possible for the emission numerical aperture: choose one above 0.",
        ),
        (
            {"emission": {"kind": "born_wolf", "numerical_aperture": 1.4}},
            "The numerical aperture (1.4) must be below the immersion's index (1): raise the index or lower the "
            "aperture.",
        ),
        ({"period": 12}, "The pattern period (12) must be a multiple of the binning (8): choose 8, 16 or 32."),
        ({"offset": 70_000}, "The offset (70000) leaves no room in 16 bits: lower it or raise the bits."),
        ({"shutter": 1}, "There is no setting 'shutter': check its spelling."),
        ({"exposures": 1.5}, "A value of 1.5 is not possible for the exposures: it should be a valid integer"),
        ({"photons": "many"}, "A value of 'many' is not possible for the photons: it should be a valid number."),
        (
            {"emission": 3},
            "A value of 3 is not possible for the emission: give it settings of its own, one 'name: value' a line "
            "below it.",
        ),
    ],
)
def test_bad_settings_are_one_sentence(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked_update(settings(), changes)
    text = str(caught.value)
    assert text.startswith(sentence)
    assert text.endswith(".")
    assert "\n" not in text


def test_a_missing_setting_is_one_sentence() -> None:
    with pytest.raises(ValidationError) as caught:
        Acquisition.model_validate({"bin": 4, "exposures": 1})
    assert str(settings_error(caught.value)) == "The period is missing: give it a value."


def test_what_is_not_given_stays() -> None:
    assert checked_update(settings(photons=5), {"photons": None, "background": 0}) == settings(photons=5, background=0)
