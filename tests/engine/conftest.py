"""One pattern set for the whole folder, made in a second."""

from __future__ import annotations

import os

import pytest
from support import make_set

from napari_dmu.zoo import registry
from napari_dmu.zoo.pattern_set import PatternSet


@pytest.fixture(scope="session")
def instrument(tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    """×4 discs: T = 4, d = 4, P = 8, with a segmenter."""
    return make_set(tmp_path_factory.mktemp("sets") / "discs.dmu.safetensors")


@pytest.fixture
def installed(
    instrument: PatternSet, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> PatternSet:
    """The same set, where the registry finds it."""
    folder = tmp_path_factory.mktemp("installed")
    made = make_set(folder / "discs.dmu.safetensors")
    assert made.hash == instrument.hash
    monkeypatch.setenv(registry.FOLDER_VARIABLE, os.fspath(folder))
    return made
