"""Other segmenters: found by entry point, checked in what they give, and clear where something is missing."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from support import assert_sentence, discs

from napari_dmu.errors import Cancelled, SettingsError, SpecimenError
from napari_dmu.segmentation import cellpose as adapter
from napari_dmu.segmentation import registry
from napari_dmu.segmentation.otsu import otsu_watershed
from napari_dmu.segmentation.registry import PATTERN_SET, available_segmenters, load_segmenter, run_segmenter

Members = Callable[..., None]


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> Members:
    """Puts entry points into the group in place of the installed ones."""

    def offer(**values: str) -> None:
        entries = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == registry.GROUP else [])

    return offer


# -- the group -------------------------------------------------------------------------------------


def test_what_the_package_declares_exists(project: Path) -> None:
    declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    group = declared["entry-points"][registry.GROUP]
    assert {"otsu-watershed", "cellpose"} <= set(group)
    for value in group.values():
        module, _, name = value.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
    heavy = declared["optional-dependencies"]
    assert any(one.startswith("cellpose") for one in heavy["cellpose"])
    assert not any("cellpose" in line for name, lines in heavy.items() if name != "cellpose" for line in lines)


def test_the_installed_package_offers_its_own() -> None:
    names = [one.name for one in available_segmenters()]
    assert names[0] == PATTERN_SET
    assert "otsu-watershed" in names, 'the entry points are not installed: run pip install -e ".[all,test]"'
    assert load_segmenter("otsu-watershed") is otsu_watershed


def test_members_are_listed_without_being_imported(members: Members) -> None:
    members(**{"b": "no.such.module:find", "a": "napari_dmu.segmentation.otsu:otsu_watershed", PATTERN_SET: "x:y"})
    assert [(one.name, one.lacks) for one in available_segmenters()] == [(PATTERN_SET, ""), ("a", ""), ("b", "")]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no.such.module:find", "ModuleNotFoundError"),
        ("napari_dmu.segmentation.otsu:nothing", "AttributeError"),
        ("napari_dmu.segmentation.otsu:SMOOTHING", "no function"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(members: Members, value: str, words: str) -> None:
    members(theirs=value)
    with pytest.raises(SettingsError, match="'theirs'") as caught:
        load_segmenter("theirs")
    assert words in str(caught.value)
    assert_sentence(caught.value)


def test_an_unknown_name_is_answered_with_those_there_are(members: Members) -> None:
    members(theirs="a:b")
    with pytest.raises(SettingsError, match="choose one of pattern set, theirs") as caught:
        load_segmenter("thiers")
    assert_sentence(caught.value)


# -- running one -----------------------------------------------------------------------------------


def _run(function: Callable[[NDArray[np.float32]], Any], image: Any = None) -> NDArray[np.int32]:
    return run_segmenter("theirs", function, np.zeros((4, 6), np.float32) if image is None else image)


def _raise(error: BaseException) -> Callable[[Any], Any]:
    def function(image: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda image: image[1:].astype(int), r"\(3, 6\)"),
        (lambda image: np.zeros((1, 4, 6), int), r"\(1, 4, 6\)"),
        (lambda image: None, r"shape \(\)"),
        (lambda image: image, "float32"),
        (lambda image: image > 0, "bool"),
        (lambda image: np.full((4, 6), -1), "below 0"),
        (_raise(ValueError("two\nlines.")), r"ValueError: two lines\)"),
        (_raise(KeyError("x")), "KeyError"),
    ],
)
def test_anything_but_labels_is_refused_in_a_sentence(function: Any, words: str) -> None:
    with pytest.raises(SpecimenError, match=words) as caught:
        _run(function)
    assert "'theirs'" in str(caught.value)
    assert_sentence(caught.value)


@pytest.mark.parametrize("error", [Cancelled("Stopped: nothing was changed."), MemoryError(), KeyboardInterrupt()])
def test_what_is_not_its_fault_passes_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        _run(_raise(error))


@given(
    ids=st.lists(st.integers(0, 2**62), min_size=6, max_size=6), dtype=st.sampled_from([np.int64, np.uint64, np.uint8])
)
def test_ids_come_out_as_1_to_n(ids: list[int], dtype: Any) -> None:
    given_labels = np.array(ids, np.int64).astype(dtype).reshape(2, 3)
    found = _run(lambda image: given_labels, np.zeros((2, 3), np.float32))
    assert found.dtype == np.int32
    cells = np.unique(given_labels[given_labels > 0])
    assert set(found[found > 0].tolist()) == set(range(1, cells.size + 1))
    np.testing.assert_array_equal(found > 0, given_labels > 0)
    for number, cell in enumerate(cells, start=1):
        np.testing.assert_array_equal(found == number, given_labels == cell)


def test_it_may_write_into_what_it_gets() -> None:
    image = np.ones((4, 6), np.float32)

    def greedy(plane: NDArray[np.float32]) -> NDArray[np.int8]:
        assert plane.dtype == np.float32
        assert plane.flags["C_CONTIGUOUS"]
        plane[:] = -1
        return np.zeros(plane.shape, np.int8)

    assert not _run(greedy, image[::-1]).any()
    assert (image == 1).all()


# -- Otsu ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_discs_are_found_whatever_their_units(seed: int) -> None:
    image, truth = discs((128, 128), seed=seed, count=8)
    for scaled in (image, 4000 * image + 100, 1e-6 * image - 1):
        found = otsu_watershed(scaled.astype(np.float32))
        assert found.max() == truth.max()
        assert ((found > 0) & (truth > 0)).sum() / ((found > 0) | (truth > 0)).sum() > 0.8


def test_touching_discs_are_parted() -> None:
    y, x = np.indices((60, 90))
    image = (np.hypot(y - 30, x - 30) < 14) | (np.hypot(y - 30, x - 54) < 14)
    assert otsu_watershed(image.astype(np.float32)).max() == 2


@pytest.mark.parametrize("seed", range(3))
def test_no_cells_give_no_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(100, 5, (128, 128)).astype(np.float32)
    for image in (np.full((20, 30), 3, np.float32), noise, ndimage.gaussian_filter(noise, 2), noise[:1, :1]):
        found = otsu_watershed(image)
        assert found.shape == image.shape
        assert found.dtype == np.int32
        assert not found.any()


# -- Cellpose --------------------------------------------------------------------------------------


class _Model:
    """Stands for Cellpose's model: knows its own weights by name."""

    def __init__(self, gpu: bool = False, pretrained_model: str = "cpsam_v2") -> None:
        self.gpu = gpu

    def eval(self, image: NDArray[np.float32]) -> tuple[Any, ...]:
        return (image > 0.5).astype(np.uint16), [], []


@pytest.fixture
def cellpose_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for the package; gives the folder of its weights."""
    package, models = ModuleType("cellpose"), ModuleType("cellpose.models")
    models.MODEL_DIR, models.CellposeModel = tmp_path, _Model  # type: ignore[attr-defined]
    package.models = models  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cellpose", package)
    monkeypatch.setitem(sys.modules, "cellpose.models", models)
    adapter._model.cache_clear()
    return tmp_path


def test_cellpose_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch, members: Members) -> None:
    monkeypatch.setitem(sys.modules, "cellpose", None)
    adapter._model.cache_clear()
    with pytest.raises(SettingsError, match=r"pip install 'napari-dmu\[cellpose\]'") as caught:
        adapter.cellpose(np.zeros((4, 4), np.float32))
    assert_sentence(caught.value)
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    members(cellpose="napari_dmu.segmentation.cellpose:cellpose")
    assert available_segmenters()[1].lacks
    with pytest.raises(SettingsError, match=r"pip install 'napari-dmu\[cellpose\]'") as caught:
        load_segmenter("cellpose")
    assert_sentence(caught.value)


def test_weights_that_are_not_there_are_said_and_not_fetched(cellpose_installed: Path) -> None:
    with pytest.raises(SettingsError, match="weights 'cpsam_v2'") as caught:
        run_segmenter("cellpose", adapter.cellpose, np.zeros((4, 4), np.float32))
    assert_sentence(caught.value)
    assert not list(cellpose_installed.iterdir())


def test_cellpose_is_put_on_the_image(cellpose_installed: Path) -> None:
    (cellpose_installed / "cpsam_v2").touch()
    image = np.zeros((4, 4), np.float32)
    image[1, 1] = 1
    np.testing.assert_array_equal(run_segmenter("cellpose", adapter.cellpose, image), image.astype(np.int32))
