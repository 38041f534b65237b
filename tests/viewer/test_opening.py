"""Opening measurements in the window: in the background, from files and from OME-Zarr folders."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_dmu.engine.verbs import load, simulate
from napari_dmu.files import write_image
from napari_dmu.files.measurement import write_measurement
from napari_dmu.viewer import reader
from napari_dmu.viewer.finding import key_of
from napari_dmu.viewer.layers import record_of
from napari_dmu.viewer.widgets.panel import CompressiveMicroscope

pytestmark = pytest.mark.qt
WAIT = 120_000  # milliseconds; the machine may be busy
Opener = Callable[[], tuple[Any, Any]]


@pytest.fixture
def saved(tmp_path: Path, cells: np.ndarray, ratio: float) -> Callable[[str], Path]:
    """Writes a measurement under a name."""

    def save(name: str) -> Path:
        write_measurement(tmp_path / name, simulate(cells, load("nuclei", ratio=ratio)))
        return tmp_path / name

    return save


def _wait(qtbot: Any, panel: Any) -> str:
    qtbot.waitUntil(lambda: panel._links.job is None and not panel._waiting, timeout=WAIT)
    return str(panel.status.text())


def test_a_file_is_read_beside_the_window(
    qtbot: Any, panel_in: Opener, saved: Callable[[str], Path], ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decompressing a large measurement takes a second, for which the window would stand still."""
    viewer, panel = panel_in()
    threads = []

    def read(path: Any) -> Any:
        threads.append(threading.current_thread())
        return original(path)

    original = reader.read_measurement
    monkeypatch.setattr(reader, "read_measurement", read)
    panel.add_measurement(str(saved("m.ome.tif")))
    assert _wait(qtbot, panel) == f"Opened 'm': ×{ratio:g} nuclei, 1000 photons, 1 plane."
    assert threads
    assert threading.main_thread() not in threads
    assert record_of(viewer.layers[-1], "measurement") is not None
    assert panel.measurement.currentText() == f"×{ratio:g} nuclei · m"


def test_a_file_that_is_none_is_said(qtbot: Any, panel_in: Opener, tmp_path: Path) -> None:
    viewer, panel = panel_in()
    panel.add_measurement(str(tmp_path / "missing.tif"))
    assert _wait(qtbot, panel).startswith("⚠ ")
    assert "missing.tif" in panel.status.text()
    assert not viewer.layers
    assert panel.open_measurement.isEnabled()


def test_saturation_is_said_of_what_is_opened(
    qtbot: Any, panel_in: Opener, tmp_path: Path, cells: np.ndarray, ratio: float
) -> None:
    _, panel = panel_in()
    full = simulate(cells, load("nuclei", ratio=ratio), acquisition={"full_well": 100.0})
    write_measurement(tmp_path / "full.dmu.tif", full)
    panel.add_measurement(str(tmp_path / "full.dmu.tif"))
    said = _wait(qtbot, panel)
    assert said.startswith("Opened 'full': ×")
    assert said.endswith(f"1 plane. {full.info.saturation_note}")
    assert "saturated" in full.info.saturation_note


def test_what_was_said_before_a_good_measurement_was_dropped_goes(
    qtbot: Any, panel_in: Opener, saved: Callable[[str], Path], tmp_path: Path
) -> None:
    viewer, panel = panel_in()
    panel.add_measurement(str(tmp_path / "missing.tif"))
    assert _wait(qtbot, panel).startswith("⚠ ")
    assert not panel.hint.isHidden()
    viewer.open(str(saved("m.dmu.ome.tif")), plugin="napari-dmu")
    assert panel.status.text().startswith("Opened 'm': ×")
    assert panel.hint.isHidden()
    panel.add_measurement(str(tmp_path / "missing.tif"))
    _wait(qtbot, panel)
    viewer.add_image(np.ones((8, 8)))
    assert panel.status.text() == ""


def test_a_closed_panel_leaves_the_opening_to_the_next(
    qtbot: Any, panel_in: Opener, saved: Callable[[str], Path]
) -> None:
    """Somebody may still hold it; docked once more, it follows the viewer again."""
    viewer, first = panel_in()
    viewer.window.remove_dock_widget(first.parent())
    second = CompressiveMicroscope(viewer)
    viewer.window.add_dock_widget(second)
    viewer.open(str(saved("once.dmu.ome.zarr")), plugin="napari")
    assert first._links.job is None
    assert not first._waiting
    _wait(qtbot, second)
    (layer,) = viewer.layers
    assert record_of(layer, "measurement") is not None
    viewer.window.add_dock_widget(first)
    assert first.measurement.key() == key_of(layer)
    viewer.add_image(np.ones((8, 8)), name="seen")
    assert first.specimen.currentText() == "seen"


def test_two_panels_open_a_measurement_once(qtbot: Any, panel_in: Opener, saved: Callable[[str], Path]) -> None:
    viewer, first = panel_in()
    second = CompressiveMicroscope(viewer)
    viewer.window.add_dock_widget(second)
    viewer.open(str(saved("once.dmu.ome.zarr")), plugin="napari")
    for panel in (first, second):
        _wait(qtbot, panel)
    assert len(viewer.layers) == 1


def test_open_takes_a_file_or_a_folder(
    qtbot: Any, panel_in: Opener, saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, panel = panel_in()
    file, folder = str(saved("file.ome.tif")), str(saved("folder.dmu.ome.zarr"))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (file, ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: folder)
    assert "YAML" in panel.open_file.text()
    for action, name in ((panel.open_file, "file"), (panel.open_folder, "folder")):
        assert action in panel.open_measurement.menu().actions()
        action.trigger()
        assert _wait(qtbot, panel).startswith(f"Opened '{name}': ×")
        assert panel.measurement.currentText().endswith(f" · {name}")
    assert len(viewer.layers) == 2


def test_a_dropped_zarr_measurement_becomes_one(
    qtbot: Any, panel_in: Opener, saved: Callable[[str], Path], cells: np.ndarray, tmp_path: Path
) -> None:
    """Napari opens folders itself, as images without a record."""
    viewer, panel = panel_in()
    viewer.open(str(saved("dropped.dmu.ome.zarr")), plugin="napari")
    assert _wait(qtbot, panel).startswith("Opened 'dropped': ×")
    (layer,) = viewer.layers
    assert record_of(layer, "measurement") is not None
    assert panel.measurement.currentText().endswith(" · dropped")
    write_image(tmp_path / "image.ome.zarr", cells, axes=("y", "x"), scale=(1.0, 1.0), units=("pixel", "pixel"))
    viewer.open(str(tmp_path / "image.ome.zarr"), plugin="napari")
    assert panel._links.job is None
    assert record_of(viewer.layers[-1]) is None
