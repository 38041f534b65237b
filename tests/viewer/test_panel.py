"""The panel in a real window: buttons pressed, work watched, errors read."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QLabel, QPushButton
from support import make_set

from napari_dmu.viewer.layers import record_of
from napari_dmu.viewer.settings import plugin_settings
from napari_dmu.viewer.widgets.panel import CompressiveMicroscope
from napari_dmu.viewer.widgets.settings_form import SettingsForm
from napari_dmu.viewer.worker import Job
from napari_dmu.zoo.registry import available_sets

pytestmark = pytest.mark.qt
WAIT = 120_000  # milliseconds; the machine may be busy

Opener = Callable[[], tuple[Any, Any]]


def _press(qtbot: Any, panel: Any, name: str) -> str:
    """Press a button, wait for the end of the work, give the status line."""
    button = panel.run_all if name == "run_all" else panel.buttons[name]
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    return str(panel.status.text())


def _named(viewer: Any, kind: str) -> list[Any]:
    return [layer for layer in viewer.layers if record_of(layer, kind) is not None]


@pytest.fixture
def real_tiff(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, np.ndarray | None]:
    """A real 12-bit TIFF and its masks where they are; else a part of a sample that comes with the package."""
    try:
        folder = request.getfixturevalue("shared_data") / "nuclei_bbbc039" / "val"
        image = sorted(p for p in folder.rglob("*.tif") if "mask" not in str(p.parent).lower())[0]
        masks = [p for p in folder.rglob(image.name) if p != image]
        return image, tifffile.imread(masks[0]) if masks else None
    except (pytest.skip.Exception, IndexError):
        from napari_dmu.viewer.samples import open_sample

        (data, _, _), (truth, _, _) = open_sample("nuclei_2d")
        path = tmp_path / "nuclei.tif"
        tifffile.imwrite(path, np.asarray(data)[:256, :320])
        return path, np.asarray(truth)[:256, :320]


def test_all_five_buttons_on_a_real_tiff(qtbot: Any, panel_in: Opener, real_tiff: tuple[Path, Any]) -> None:
    path, masks = real_tiff
    viewer, panel = panel_in()
    assert not panel.run_all.isEnabled()
    assert "Open an image" in panel.run_all.toolTip()
    viewer.open(str(path))
    specimen = viewer.layers[0]
    assert panel.specimen.currentText() == specimen.name
    assert "samples instead of" in panel.settings.summary.text()
    if masks is not None:
        viewer.add_labels(masks.astype(np.int32), name=f"{specimen.name}_labels")
        assert panel.truth.currentText() == f"{specimen.name}_labels"

    assert panel.buttons["reconstruct"].toolTip().startswith("Press Measure first")
    assert _press(qtbot, panel, "measure").startswith("✓ Measured")
    assert _press(qtbot, panel, "reconstruct").startswith("✓ Reconstructed")
    assert _press(qtbot, panel, "segment").startswith("✓ Segmented")
    assert _press(qtbot, panel, "compare").startswith("✓ Compared")
    (measurement,), (image,), (labels,) = (_named(viewer, k) for k in ("measurement", "reconstruction", "labels"))
    assert image.data.shape == labels.data.shape == specimen.data.shape
    assert isinstance(labels, Labels)
    assert measurement.axis_labels == ("pattern", "y", "x")
    assert image.units == specimen.units == labels.units
    assert panel.metrics.columnCount() == 1
    assert float(panel.metrics.item(0, 0).text()) > 10
    assert panel.metrics.isRowHidden(4) == (masks is None)

    assert _press(qtbot, panel, "run_all").startswith("✓ Measured, reconstructed, segmented, compared")
    assert len(_named(viewer, "measurement")) == 2
    assert len({layer.name for layer in viewer.layers}) == len(viewer.layers)
    assert panel.metrics.columnCount() == 2


def test_reconstruct_and_segment_without_the_specimen(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="cells", scale=(0.5, 0.5), units=("um", "um"), axis_labels=("y", "x"))
    _press(qtbot, panel, "measure")
    viewer.layers.remove("cells")
    assert not panel.buttons["measure"].isEnabled()
    _press(qtbot, panel, "reconstruct")
    _press(qtbot, panel, "segment")
    image = _named(viewer, "reconstruction")[0]
    assert image.data.shape == cells.shape
    assert [str(u) for u in image.units] == ["micrometer", "micrometer"]
    assert not panel.buttons["compare"].isEnabled()
    viewer.add_image(cells[:, :40], name="another")
    status = _press(qtbot, panel, "compare")
    assert "not open any more" in status


def test_a_time_series_keeps_its_axis(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    series = np.stack([cells, cells[::-1], cells[:, ::-1]])
    units = ("second", "micrometer", "micrometer")
    viewer.add_image(series, name="film", scale=(60, 0.5, 0.5), units=units, axis_labels=("t", "y", "x"))
    assert panel.settings.summary.text().startswith("3 planes")
    _press(qtbot, panel, "run_all")
    (image,), (labels,) = _named(viewer, "reconstruction"), _named(viewer, "labels")
    for layer in (image, labels):
        assert layer.axis_labels == ("t", "y", "x")
        assert layer.data.shape == series.shape
        assert tuple(str(u) for u in layer.units) == units
    assert viewer.dims.axis_labels == ("pattern", "t", "y", "x")


def test_a_saved_measurement_can_be_used(qtbot: Any, panel_in: Opener, cells: np.ndarray, tmp_path: Path) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="cells")
    _press(qtbot, panel, "measure")
    measurement = _named(viewer, "measurement")[0]
    path = str(tmp_path / "saved.dmu.ome.tif")
    written = measurement.save(path, plugin="napari-dmu")
    assert [str(p) for p in written] == [path]
    viewer.layers.clear()
    panel.add_measurement(path)
    assert not panel.open_measurement.isEnabled()
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    assert panel.open_measurement.isEnabled()
    assert panel.measurement.currentText().endswith(" · saved")
    _press(qtbot, panel, "reconstruct")
    assert _named(viewer, "reconstruction")[0].data.shape == cells.shape


def test_cancel_adds_no_layer(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(np.stack([cells] * 200), name="long")
    before = len(viewer.layers)
    qtbot.mouseClick(panel.run_all, Qt.MouseButton.LeftButton)
    assert not panel.run_all.isEnabled()
    assert not panel.buttons["measure"].isEnabled()
    qtbot.waitUntil(lambda: panel.progress.value() > 0 or panel._links.job is None, timeout=WAIT)
    qtbot.mouseClick(panel.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    assert "Cancelled" in panel.status.text()
    assert len(viewer.layers) == before
    assert panel.run_all.isEnabled()
    assert not panel.cancel.isVisible()


def _bad_inputs() -> dict[str, tuple[np.ndarray, dict[str, Any], str]]:
    hole = np.ones((64, 64), np.float32)
    hole[3, 4] = np.nan
    return {
        "nan": (hole, {}, "NaN"),
        "colour": (np.zeros((64, 64, 3), np.uint8), {"rgb": True}, "colour"),
    }


@pytest.mark.parametrize("name", ["nan", "colour"])
def test_bad_input_gives_one_sentence_and_no_layer(qtbot: Any, panel_in: Opener, name: str) -> None:
    data, options, word = _bad_inputs()[name]
    viewer, panel = panel_in()
    viewer.add_image(data, **options)
    notification_manager.records.clear()
    _press(qtbot, panel, "run_all")
    assert len(viewer.layers) == 1
    (shown,) = notification_manager.records
    assert word in shown.message
    assert shown.message.count("\n") == 0
    assert shown.message in panel.status.text()


@pytest.mark.parametrize("shape", [(64, 1), (1, 64), (5, 7), (1, 1, 40, 30)])
def test_odd_shapes_work(qtbot: Any, panel_in: Opener, shape: tuple[int, ...]) -> None:
    viewer, panel = panel_in()
    viewer.add_image(np.arange(np.prod(shape), dtype=np.uint16).reshape(shape), name="odd")
    status = _press(qtbot, panel, "run_all")
    assert status.startswith("✓"), status
    assert _named(viewer, "reconstruction")[0].data.shape == shape


def test_colour_on_request(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    assert panel.luminance.isHidden()
    viewer.add_image(np.stack([(cells >> 5).astype(np.uint8)] * 3, axis=-1), rgb=True, name="stain")
    assert not panel.luminance.isHidden()
    panel.luminance.setChecked(True)
    assert _press(qtbot, panel, "run_all").startswith("✓")
    assert _named(viewer, "reconstruction")[0].data.shape == cells.shape


@contextmanager
def notified() -> Iterator[list[str]]:
    """What napari tells the user meanwhile."""
    messages: list[str] = []

    def keep(notification: Any) -> None:
        messages.append(str(notification.message))

    notification_manager.notification_ready.connect(keep)
    try:
        yield messages
    finally:
        notification_manager.notification_ready.disconnect(keep)


def test_an_unexpected_error_is_shown_and_leaves_the_panel_usable(
    qtbot: Any, panel_in: Opener, cells: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_dmu.engine import verbs

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("what nobody thought of")

    viewer, panel = panel_in()
    viewer.add_image(cells)
    monkeypatch.setattr(verbs, "simulate", broken)
    with notified() as shown:
        status = _press(qtbot, panel, "measure")
    assert "did not expect" in status
    assert any("what nobody thought of" in message for message in shown)
    monkeypatch.undo()
    assert _press(qtbot, panel, "measure").startswith("✓")


def test_an_error_of_napari_is_told_and_the_progress_is_over(
    qtbot: Any, panel_in: Opener, cells: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise TypeError("napari's own")

    viewer, panel = panel_in()
    viewer.add_image(cells)
    monkeypatch.setattr(panel._scene, "add", broken)
    with notified() as shown:
        status = _press(qtbot, panel, "measure")
    assert "did not expect" in status
    assert any("napari's own" in message for message in shown)


def test_the_window_answers_while_it_works(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(np.stack([np.tile(cells, (3, 3))] * 6), name="work")
    _press(qtbot, panel, "run_all")  # the libraries are loaded once
    gaps, last = [], [time.perf_counter()]

    def tick() -> None:
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.setInterval(5)
    timer.timeout.connect(tick)
    panel.buttons["reconstruct"].click()
    timer.start()
    last[0] = time.perf_counter()
    panel._links.job.succeeded.connect(lambda _: timer.stop())  # adding layers is napari's time, not ours
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    assert len(gaps) > 5
    assert np.percentile(gaps, 95) < 0.1, max(gaps)
    assert max(gaps) < 0.5  # a machine with two busy cores may be late once


def test_progress_comes_now_and_then_and_with_every_step(qtbot: Any) -> None:
    """Thousands of quick planes must not flood the window, and the name of a long step must not be left out."""

    def task(progress: Any, cancel: Any) -> None:
        for step in ("Measuring", "Reconstructing"):
            progress(0, 1000, step)
            for plane in range(1000):
                progress(plane, 1000, f"{step} · plane {plane} of 1000")

    job, seen = Job("test", task), []
    job.progressed.connect(lambda done, total, what: seen.append(what))
    with qtbot.waitSignal(job.ended, timeout=WAIT):
        job.start()
    assert [what for what in seen if "plane" not in what] == ["Measuring", "Reconstructing"]
    assert len(seen) < 200


def test_closing_while_a_job_runs(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(np.stack([cells] * 300), name="long")
    threads = threading.active_count()
    panel.run_all.click()
    links, job = panel._links, panel._links.job
    qtbot.waitUntil(lambda: panel.progress.value() > 0 or links.job is None, timeout=WAIT)
    viewer.close()
    qtbot.waitUntil(lambda: job.done.is_set(), timeout=WAIT)
    assert links.closed
    assert job.token.cancelled
    qtbot.waitUntil(lambda: links.job is None, timeout=WAIT)
    assert threading.active_count() <= threads + 1  # Qt keeps a worker thread for the next job


def test_every_control_explains_itself(panel_in: Opener) -> None:
    _, panel = panel_in()
    controls = [w for kind in (QComboBox, QAbstractSpinBox, QPushButton, QCheckBox) for w in panel.findChildren(kind)]
    assert len(controls) > 15
    assert not [w.objectName() for w in controls if not w.toolTip()]
    unnamed = [w.objectName() for w in controls if not (w.accessibleName() or getattr(w, "text", str)())]
    assert not unnamed


def test_the_dock_fits_a_small_screen(qtbot: Any, panel_in: Opener) -> None:
    _, panel = panel_in()
    panel.settings.advanced.expand(animate=False)
    assert panel.minimumSizeHint().height() < 300
    assert panel.minimumSizeHint().width() <= 360


def test_side_by_side_follows_the_grid(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="cells")
    _press(qtbot, panel, "run_all")
    assert panel.side_by_side.isChecked()
    assert viewer.canvas.grid.enabled
    labels = _named(viewer, "labels")[0]
    assert labels.contour == 0
    viewer.canvas.grid.enabled = False
    assert not panel.side_by_side.isChecked()
    assert labels.contour > 0
    panel.side_by_side.setChecked(True)
    assert viewer.canvas.grid.enabled


def test_a_panel_that_opens_beside_a_grid_leaves_it_on_and_one_that_closes_takes_its_names_back(
    qtbot: Any, panel_in: Opener, cells: np.ndarray
) -> None:
    viewer, first = panel_in()
    viewer.add_image(cells, name="cells")
    first.side_by_side.setChecked(True)
    assert viewer.layers[0].name_overlay.visible
    viewer.window.remove_dock_widget(first.parent())
    assert not viewer.layers[0].name_overlay.visible
    second = CompressiveMicroscope(viewer)
    qtbot.addWidget(second)
    assert viewer.canvas.grid.enabled
    assert second.side_by_side.isChecked()
    viewer.window.add_dock_widget(first)
    assert viewer.layers[0].name_overlay.visible
    qtbot.waitUntil(lambda: first.settings.budget.idle and second.settings.budget.idle, timeout=WAIT)


def test_preferences_are_taken_over_by_an_open_panel(panel_in: Opener, tmp_path: Path) -> None:
    _, panel = panel_in()
    make_set(tmp_path / "discs.dmu.safetensors")
    preferred = plugin_settings()
    try:
        preferred.computing.device = "cpu"
        preferred.library.folder = str(tmp_path)
        assert panel.settings.device.key() == "cpu"
        assert "changed" not in panel.settings.advanced.text()
        panel.settings.ratio.choose("4")
        assert panel.settings.pattern_set.choose("discs/raster")
    finally:
        preferred.reset()
    assert panel.settings.device.key() == "auto"
    assert not panel.settings.pattern_set.choose("discs/raster")


def test_true_cells_that_do_not_fit_do_not_keep_from_measuring(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="cells")
    viewer.add_labels(np.ones((5, *cells.shape), np.int32), name="of a stack")
    panel.truth.choose(panel.truth.itemData(1))
    assert _press(qtbot, panel, "measure").startswith("✓ Measured")


def test_large_numbers_of_cells_do_not_widen_the_panel(qtbot: Any, panel_in: Opener) -> None:
    _, panel = panel_in()
    panel.resize(340, 700)
    panel.cells.show_compared({"matched": 104_300, "missed": 12_000, "invented": 16_400})
    panel.show()
    qtbot.wait(50)
    assert panel.area.widget().minimumSizeHint().width() <= panel.area.viewport().width()
    for entry in panel.cells.entries.values():
        assert entry.geometry().right() <= panel.cells.legend.width()


def test_the_sample_button_opens_a_specimen(panel_in: Opener) -> None:
    viewer, panel = panel_in()
    assert not panel.sample_button.isHidden()
    panel.sample_actions["nuclei_2d"].trigger()
    assert isinstance(viewer.layers[0], Image)
    assert panel.specimen.currentText() == "nuclei_2d"
    assert panel.truth.currentText() == "nuclei_2d_labels"
    assert panel.sample_button.isHidden()


def _budget(panel: Any, qtbot: Any) -> Any:
    card = panel.settings.budget
    qtbot.waitUntil(lambda: card.idle, timeout=WAIT)
    return card


def test_the_budget_is_that_of_the_command_line(qtbot: Any, panel_in: Opener, ratio: float) -> None:
    from typer.testing import CliRunner

    from napari_dmu.cli.app import app

    _, panel = panel_in()
    form = panel.settings
    form.photons.setValue(300)
    form.background.setValue(7)
    form.detector.choose("emccd")
    assert form.read_noise.value() == 0.45
    assert form.budget.rows() == []  # nobody has looked
    form.budget.expand(animate=False)
    rows = _budget(panel, qtbot).rows()
    arguments = ["--ratio", f"{ratio:g}", "--photons", "300", "--background", "7", "--detector", "emccd"]
    printed = CliRunner().invoke(app, ["budget", *arguments])
    assert printed.exit_code == 0, printed.output
    assert len(rows) > 10
    assert all(note.toolTip() for note in (*form.budget._names, *form.budget._values))
    for name, value in rows:
        assert any(line.strip().startswith(name.strip()) and line.rstrip().endswith(value)
                   for line in printed.output.splitlines()), (name, value)  # fmt: skip


def test_warnings_stand_in_the_title_and_come_and_go(qtbot: Any, panel_in: Opener) -> None:
    import torch  # noqa: F401 - a session that has measured before: the closed card computes too

    _, panel = panel_in()
    form = panel.settings
    assert form.pattern_set.choose("nuclei/plain")  # no warning of its own
    form.detector.choose("spad_array")
    form.photons.setValue(1e5)
    card = _budget(panel, qtbot)
    assert not card.isExpanded()
    assert card.text() == "Light budget · 1 warning"
    (note,) = [note for note in card.notes if not note.isHidden()]
    assert note.text().startswith("⚠ ")
    assert "saturates" in note.text()
    assert "\n→ Lower the light to" in note.text()
    form.detector.choose("ideal")
    form.photons.setValue(1000)
    assert _budget(panel, qtbot).text() == "Light budget"
    assert not [note for note in card.notes if not note.isHidden()]


def test_an_opened_card_shows_all_of_itself(qtbot: Any) -> None:
    from napari_dmu.viewer.widgets.panel import CompressiveMicroscope

    panel = CompressiveMicroscope(ViewerModel())
    qtbot.addWidget(panel)
    panel.resize(340, 600)
    panel.show()
    form = panel.settings
    form.detector.choose("spad_array")
    form.photons.setValue(1e5)
    form.budget.toggleButton().click()
    card = _budget(panel, qtbot)
    content = card.content()
    qtbot.waitUntil(lambda: content.height() >= content.sizeHint().height() > 200, timeout=5000)
    last = card.findChild(QLabel, f"budget_{len(card.rows()) - 1}")
    assert content.rect().contains(last.geometry().translated(last.parentWidget().pos()))
    assert panel.height() == 600  # it scrolls
    form.budget.toggleButton().click()
    qtbot.waitUntil(lambda: content.height() == 0, timeout=5000)


def test_detector_and_method_are_used_and_saturation_is_said(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="cells")
    form = panel.settings
    assert [form.method.itemText(i) for i in range(form.method.count())] == [
        "Learned network", "Linear estimate (LMMSE)", "Ridge", "Total variation",
    ]  # fmt: skip
    form.detector.choose("spad_array")
    form.photons.setValue(1e5)
    status = _press(qtbot, panel, "measure")
    record = record_of(_named(viewer, "measurement")[0])
    assert record is not None
    assert record.info.acquisition.bits == 12
    assert record.settings == {"detector": "spad_array"}
    assert record.info.saturated > 0.01
    assert f"{100 * record.info.saturated:.2g}\u202f% of the samples are saturated: fewer photons may help" in status
    form.method.choose("ridge")
    assert _press(qtbot, panel, "reconstruct").startswith("✓")
    made = record_of(_named(viewer, "reconstruction")[0])
    assert made is not None
    assert made.settings == {"detector": "spad_array", "method": "ridge"}


def test_the_first_run_imports_torch_in_the_thread() -> None:
    code = (
        "import sys, threading\n"
        "from napari_dmu.viewer.steps import Choices, Work, run_steps\n"
        "from napari_dmu.engine.progress import CancelToken\n"
        "from napari_dmu.viewer.budget import budget_of\n"
        "from napari_dmu.viewer import loading\n"
        "assert not loading.torch_is_loaded()\n"
        "finder = type('Finder', (), {'find_spec': lambda self, name, *_: name == 'torch' and "
        "threads.append(threading.current_thread()) or None})()\n"
        "threads = []\n"
        "sys.meta_path.insert(0, finder)\n"
        "token = CancelToken()\n"
        "worker = threading.Thread(target=run_steps, args=((), Work(Choices()), lambda *_: None, token))\n"
        "worker.start(); worker.join()\n"
        "assert loading.torch_is_loaded()\n"
        "assert set(threads) == {worker}, threads\n"
        "import gc; assert gc.isenabled()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_building_the_panel_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from qtpy.QtWidgets import QApplication\n"
        "app = QApplication([])\n"
        "from napari.components import ViewerModel\n"
        "from napari_dmu.viewer.widgets.panel import CompressiveMicroscope\n"
        "panel = CompressiveMicroscope(ViewerModel())\n"
        "panel.settings.photons.setValue(50)\n"
        "from qtpy.QtTest import QTest; QTest.qWait(600)\n"
        "assert panel.settings.budget.idle\n"
        "assert 'torch' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_set_brings_its_own_light_and_noise(qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the command line; what somebody has typed stays."""
    make_set(tmp_path / "a.dmu.safetensors", name="a", photons=200.0)
    make_set(tmp_path / "b.dmu.safetensors", name="b", photons=3000.0)
    make_set(tmp_path / "c.dmu.safetensors", name="c", photons=1.2345)
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path))
    form = SettingsForm("cpu")
    qtbot.addWidget(form)
    form.offer(available_sets())
    form.ratio.choose("4")
    assert form.pattern_set.choose("a/raster")
    assert form.choices().photons == 200.0
    assert form.pattern_set.choose("b/raster")
    assert form.choices().photons == 3000.0
    form.pattern_set.choose("c/raster")
    assert form.photons.text() == "1.23 photons"
    assert form.choices().photons == 1.2345  # as long as nobody has changed what is shown
    form.photons.setValue(77.5)
    assert form.pattern_set.choose("a/raster")
    assert form.choices().photons == 77.5
