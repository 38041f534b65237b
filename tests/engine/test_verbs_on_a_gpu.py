"""The verbs on a CUDA device give what they give on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from support import discs

import napari_dmu as dmu
from napari_dmu.engine.assessment import SAME_IMAGE
from napari_dmu.engine.tiles import tile_memory
from napari_dmu.errors import PatternSetError
from napari_dmu.zoo.pattern_set import PatternSet

pytestmark = pytest.mark.gpu

# Shipped sets: a plain camera, multiplexed patterns, and large bins with a coarse lifting.
SHIPPED = [("nuclei", 4, "plain"), ("nuclei", 64, "learned"), ("nuclei", 256, "learned"), ("nuclei", 1024, "learned")]


def specimen(shape: tuple[int, int] = (300, 420)) -> np.ndarray:
    """Discs as 0 … 1."""
    return discs(shape, seed=3, count=30, radius=(8.0, 15.0))[0]


def shipped(name: str, ratio: float, family: str) -> PatternSet:
    try:
        return dmu.load(name, ratio=ratio, family=family)
    except PatternSetError as error:
        pytest.skip(f"the shipped set is not here: {error}")


@pytest.mark.parametrize("which", SHIPPED, ids=lambda which: f"x{which[1]}-{which[2]}")
def test_shipped_sets_give_the_same_image_error_bar_and_verdict(which: tuple[str, float, str]) -> None:
    instrument = shipped(*which)
    here = dmu.simulate(specimen(), instrument, device="cpu")
    there = dmu.simulate(specimen(), instrument, device="cuda")
    # The Poisson sampler may turn a rounding error in the last digit into another count, rarely.
    assert np.mean(here.data != there.data) < 0.01
    expected = dmu.reconstruct(here, instrument=instrument, device="cpu")
    image = dmu.reconstruct(here, instrument=instrument, device="cuda")
    np.testing.assert_allclose(image, expected, atol=SAME_IMAGE)
    one, other = (dmu.assess(here, image, instrument=instrument, device=name) for name in ("cpu", "cuda"))
    assert one.own
    assert other.own
    assert other.chi_square == pytest.approx(one.chi_square, rel=0.02)
    np.testing.assert_allclose(other.error_bar, one.error_bar, atol=SAME_IMAGE)
    np.testing.assert_allclose(other.imagined, one.imagined, atol=5 * SAME_IMAGE)


@pytest.mark.parametrize("which", SHIPPED[:2], ids=lambda which: f"x{which[1]}-{which[2]}")
def test_the_same_cells(which: tuple[str, float, str]) -> None:
    instrument = shipped(*which)
    measurement = dmu.simulate(specimen(), instrument, device="cpu")
    here, there = (dmu.segment(measurement, instrument=instrument, device=name) for name in ("cpu", "cuda"))
    assert here.max() == there.max() > 20
    assert np.mean((here > 0) != (there > 0)) < 1e-3


@pytest.mark.parametrize("method", ["lmmse", "ridge", "tv"])
def test_the_same_image_without_a_network(instrument: PatternSet, method: str) -> None:
    measurement = dmu.simulate(specimen((96, 104)), instrument, photons=1000, device="cpu")
    here, there = (
        dmu.reconstruct(measurement, instrument=instrument, method=method, device=name)  # type: ignore[arg-type]
        for name in ("cpu", "cuda")
    )
    # The classical methods stop at a tolerance.
    np.testing.assert_allclose(there, here, atol=3 * SAME_IMAGE)


def test_tiles_are_as_the_whole(instrument: PatternSet) -> None:
    measurement = dmu.simulate(specimen(), instrument, device="cpu")
    whole = dmu.reconstruct(measurement, instrument=instrument, device="cuda")
    with tile_memory(1):
        tiled = dmu.reconstruct(measurement, instrument=instrument, device="cuda")
    np.testing.assert_allclose(tiled, whole, atol=SAME_IMAGE)
