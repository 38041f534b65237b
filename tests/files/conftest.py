"""A pattern set that the frames of a camera can belong to."""

from pathlib import Path

import pytest
from support import make_set

from napari_dmu.zoo.pattern_set import PatternSet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sets")


@pytest.fixture(scope="module")
def instrument(folder: Path) -> PatternSet:
    return make_set(folder / "discs.dmu.safetensors", with_head=False)


@pytest.fixture
def installed(instrument: PatternSet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_DMU_SETS", str(folder))
