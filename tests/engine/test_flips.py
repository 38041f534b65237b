"""The mean over mirrored measurements: where it holds, that it is one, and the sentence where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import assert_sentence, discs, make_set

from napari_dmu.engine.flips import SYMMETRIES, exposure_order, turned, turned_back
from napari_dmu.engine.verbs import reconstruct, simulate
from napari_dmu.errors import SettingsError
from napari_dmu.microscope.measurement import Measurement
from napari_dmu.microscope.patterns import make_patterns
from napari_dmu.zoo.pattern_set import PatternSet, write_set


@pytest.fixture
def raster(tmp_path: Path) -> PatternSet:
    """A raster of four exposures, which mirroring only reorders."""
    return make_set(tmp_path / "raster.dmu.safetensors", bin=8, exposures=4, period=8, with_head=False)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_turning_back_undoes_turning(symmetry: int) -> None:
    planes = np.random.default_rng(0).random((3, 5, 7))
    np.testing.assert_array_equal(turned_back(turned(planes, symmetry), symmetry), planes)


def test_the_eight_symmetries_differ() -> None:
    square = np.arange(9).reshape(3, 3)
    assert len({turned(square, symmetry).tobytes() for symmetry in SYMMETRIES}) == 8


def test_which_patterns_are_symmetric() -> None:
    plain = np.ones((1, 8, 8), dtype=np.uint8)
    raster = make_patterns("raster", exposures=4, period=16, bin=16)
    off = raster.copy()
    off[0, 0, 1] ^= 1
    for symmetry in SYMMETRIES:
        assert exposure_order(plain, symmetry) == [0]
        assert sorted(exposure_order(raster, symmetry) or []) == [0, 1, 2, 3]
    assert any(exposure_order(off, symmetry) is None for symmetry in SYMMETRIES)


@pytest.mark.parametrize("shape", [(64, 48), (50, 61)])
def test_a_mirrored_specimen_gives_the_mirrored_image(raster: PatternSet, shape: tuple[int, int]) -> None:
    # Without noise and on whole periods the mean must not know left from right; the decoder alone does.
    whole = (shape[0] // 8 * 8, shape[1] // 8 * 8)
    specimen = discs(whole, seed=3)[0]
    light = {"photons": 1e6, "read_noise": 0.0, "background": 0.0}
    images = [
        turned_back(
            reconstruct(
                simulate(turned(specimen, k).copy(), raster, device="cpu", **light), instrument=raster, flips=f
            ),
            k,
        )
        for k in (0, 5)
        for f in (True, False)
    ]
    assert np.abs(images[0] - images[2]).max() < 0.1 * np.abs(images[1] - images[3]).max()


def test_the_mean_is_at_least_as_close_as_one_and_of_the_field(raster: PatternSet) -> None:
    specimen = discs((50, 61), seed=4)[0]
    measurement = simulate(specimen, raster, device="cpu")
    one, mean = (reconstruct(measurement, instrument=raster, flips=f) for f in (False, True))
    assert mean.shape == specimen.shape
    assert np.mean((mean - specimen) ** 2) < 1.02 * np.mean((one - specimen) ** 2)
    assert not np.array_equal(mean, one)


def test_a_part_of_a_period_is_filled_up_with_its_last_bins(tmp_path: Path) -> None:
    plain = make_set(tmp_path / "plain.dmu.safetensors", bin=8, exposures=1, period=16, with_head=False)
    measurement = simulate(discs((50, 61), seed=4)[0], plain, device="cpu")
    filled = np.pad(measurement.data, ((0, 0), (0, 1), (0, 0)), mode="edge")  # 7 × 8 bins, of which two make a period
    whole = Measurement(filled, measurement.info.model_copy(update={"field": (64, 64)}))
    part, image = (reconstruct(one, instrument=plain, flips=True) for one in (measurement, whole))
    np.testing.assert_array_equal(part, image[:50, :61])


def test_refused_where_the_patterns_change(raster: PatternSet, tmp_path: Path) -> None:
    patterns = raster.patterns.copy()
    patterns[0, 0, 1] ^= 1
    other = write_set(tmp_path / "other.dmu.safetensors", raster.header, patterns, raster.decoder)
    measurement = simulate(discs((32, 32))[0], other, device="cpu")
    with pytest.raises(SettingsError, match="not symmetric") as caught:
        reconstruct(measurement, instrument=other, flips=True)
    assert_sentence(caught.value)


def test_refused_for_classical_methods(raster: PatternSet) -> None:
    measurement = simulate(discs((32, 32))[0], raster, device="cpu")
    with pytest.raises(SettingsError, match="not for tv") as caught:
        reconstruct(measurement, instrument=raster, method="tv", flips=True)
    assert_sentence(caught.value)
