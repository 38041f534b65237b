"""Measuring under other conditions than the set's own: detector presets and any acquisition setting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support import assert_sentence, discs

from napari_dmu.engine.verbs import reconstruct, simulate
from napari_dmu.errors import SettingsError
from napari_dmu.evaluation import image_quality
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import noisy_signal
from napari_dmu.microscope.presets import PRESETS
from napari_dmu.reconstruction.inference import equivalent_camera
from napari_dmu.zoo.pattern_set import PatternSet

SPECIMEN = discs((64, 64), seed=3)[0]


@pytest.mark.parametrize("detector", sorted(PRESETS))
def test_every_detector_measures_and_its_measurement_reconstructs(installed: PatternSet, detector: str) -> None:
    measurement = simulate(SPECIMEN, installed, detector=detector, photons=200, device="cpu")
    used = measurement.info.acquisition
    assert used.quantum_efficiency == PRESETS[detector].quantum_efficiency
    assert used.excess_noise == PRESETS[detector].excess_noise
    assert measurement.info.saturated < 0.01
    assert image_quality(reconstruct(measurement, device="cpu"), SPECIMEN).psnr > 18


def test_light_that_is_named_wins_over_that_among_the_settings(installed: PatternSet) -> None:
    used = simulate(SPECIMEN, installed, photons=60, acquisition={"photons": 5.0, "read_noise": 4.0}).info.acquisition
    assert (used.photons, used.read_noise) == (60, 4)


@pytest.mark.parametrize("name", ["bin", "exposures", "period"])
def test_the_geometry_of_the_patterns_is_no_setting(installed: PatternSet, name: str) -> None:
    with pytest.raises(SettingsError, match=f"The {name} belongs to the patterns") as refusal:
        simulate(SPECIMEN, installed, acquisition={name: 8})
    assert_sentence(refusal.value)


def test_the_gain_in_use_is_written_down(installed: PatternSet) -> None:
    assert installed.acquisition.gain is None
    measurement = simulate(SPECIMEN, installed, photons=50_000, device="cpu")
    gain = measurement.info.acquisition.gain
    assert gain is not None
    assert gain > 1
    assert measurement.info.saturated == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"emission": {"kind": "gaussian", "sigma": 3.0}},
        {"registration": {"shift": [2.0, 0.0]}},
        {"contrast": 5.0},
    ],
)
def test_optics_change_the_measurement_and_cost_quality(installed: PatternSet, changes: dict[str, Any]) -> None:
    own = simulate(SPECIMEN, installed, device="cpu")
    other = simulate(SPECIMEN, installed, acquisition=changes, device="cpu")
    assert not np.array_equal(own.data, other.data)
    quality = [image_quality(reconstruct(m, device="cpu"), SPECIMEN).psnr for m in (own, other)]
    assert quality[1] < quality[0] - 0.1


@pytest.mark.parametrize(
    "settings",
    [
        {"acquisition": {"bin": 8}},
        {"acquisition": {"contrst": 100}},
        {"acquisition": {"emission": {"kind": "born_wolf", "numerical_aperture": -0.5}}},
        {"acquisition": {"emission": {"kind": "born_wolf", "numerical_aperture": 1.4, "index": 1.33}}},
        {"photons": 0},
        {"detector": "film"},
    ],
)
def test_what_cannot_be_is_one_sentence(installed: PatternSet, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        simulate(SPECIMEN, installed, device="cpu", **settings)
    assert_sentence(caught.value)


@pytest.mark.parametrize("background", [0.0, 500.0])
def test_the_camera_that_the_decoder_is_told_of_has_the_detectors_noise(background: float) -> None:
    """Relative noise of a half-lit bin: the detector's own against that of the equivalent camera."""
    emccd = Acquisition(
        bin=8, exposures=1, period=8, photons=3, quantum_efficiency=0.9, excess_noise=2.0, dark_current=50.0,
        exposure_time=0.2, read_noise=4.0, background=background,
    )  # fmt: skip
    photons, read_noise, other = equivalent_camera(emccd)
    plain = Acquisition(
        bin=8, exposures=1, period=8, photons=float(photons), read_noise=float(read_noise), background=other
    )
    level = torch.full((1, 1, 400, 400), 32.0)
    noise = [float(noisy_signal(level, a, generator=torch.Generator().manual_seed(0)).std()) for a in (emccd, plain)]
    assert noise[1] == pytest.approx(noise[0], rel=0.02)
