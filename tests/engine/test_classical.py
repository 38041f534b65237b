"""The classical methods through the verb."""

from __future__ import annotations

import numpy as np
import pytest

import napari_dmu as dmu
from napari_dmu.engine.progress import CancelToken
from napari_dmu.errors import Cancelled, SettingsError
from napari_dmu.zoo.pattern_set import PatternSet


def _specimen() -> np.ndarray:
    y, x = np.mgrid[:40, :52]
    return (1000 + 3000 * np.exp(-((y - 18) ** 2 + (x - 30) ** 2) / 60)).astype(np.uint16)


@pytest.mark.parametrize("method", ["ridge", "tv"])
def test_a_stack_comes_back_in_its_own_units(instrument: PatternSet, method: str) -> None:
    stack = np.stack([_specimen(), _specimen()[::-1]])
    measurement = dmu.simulate(stack, instrument, photons=1000, device="cpu")
    image = dmu.reconstruct(measurement, instrument=instrument, method=method, device="cpu")
    assert image.shape == stack.shape
    assert image.dtype == np.float32
    assert np.sqrt(np.mean((image - stack) ** 2)) < 0.05 * 3000


@pytest.mark.parametrize("method", ["ridge", "tv"])
def test_it_can_be_cancelled(instrument: PatternSet, method: str) -> None:
    measurement = dmu.simulate(_specimen(), instrument, device="cpu")
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        dmu.reconstruct(measurement, instrument=instrument, method=method, device="cpu", cancel=token)


def test_an_unknown_method_is_refused(instrument: PatternSet) -> None:
    measurement = dmu.simulate(_specimen(), instrument, device="cpu")
    with pytest.raises(SettingsError, match="ridge or tv"):
        dmu.reconstruct(measurement, instrument=instrument, method="magic", device="cpu")
