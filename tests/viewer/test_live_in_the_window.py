"""The live view in a real window: settings turned, sliders moved, the panel closed in the middle of it."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_dmu.viewer.layers import record_of
from napari_dmu.viewer.sentences import WORKING
from napari_dmu.viewer.widgets import live as live_widget

pytestmark = pytest.mark.qt
WAIT = 120_000  # milliseconds; the machine may be busy

Opener = Callable[[], tuple[Any, Any]]


@pytest.fixture
def live_in(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> Any:
    """Opens a window with a specimen and the live view on it; gives (viewer, panel)."""
    panels = []

    def open_panel(data: np.ndarray = cells, **options: Any) -> tuple[Any, Any]:
        viewer, panel = panel_in()
        viewer.add_image(data, name="cells", **options)
        panels.append(panel)
        qtbot.mouseClick(panel.live, Qt.MouseButton.LeftButton, pos=panel.live.rect().center() * 0.2)
        assert panel.live.isChecked()
        return viewer, panel

    yield open_panel
    for panel in panels:
        job = panel._live.links.job
        panel._live.links.release()
        panel._live.follow(None, None)
        if job is not None:
            qtbot.waitUntil(job.done.is_set, timeout=30_000)


def _settled(qtbot: Any, panel: Any, *words: str) -> str:
    """Wait until the live view is done and the status line has these words; give it."""

    def done() -> bool:
        live, text = panel._live, panel.status.text()
        idle = live.links.job is None and not live._timer.isActive() and not panel._runner.busy
        return idle and all(word in text for word in words)

    qtbot.waitUntil(done, timeout=WAIT)
    return str(panel.status.text())


def _live(viewer: Any, kind: str = "live_image") -> Any:
    (layer,) = [x for x in viewer.layers if record_of(x, kind) is not None]
    return layer


def test_the_picture_follows_the_settings(qtbot: Any, live_in: Any, cells: np.ndarray) -> None:
    viewer, panel = live_in()
    _settled(qtbot, panel, "Live · ×64 nuclei", "PSNR", "cell")
    assert [x.name for x in viewer.layers] == ["cells", "cells · ×64 nuclei · live", "cells · ×64 nuclei · live cells"]
    assert panel.side_by_side.isChecked()
    assert panel.metrics.columnCount() == 0  # a look is no result
    panel.side_by_side.setChecked(False)
    before = _live(viewer).data.copy()
    for turn, word in (
        (lambda: panel.settings.ratio.choose("256"), "×256 nuclei"),
        (lambda: panel.settings.photons.setValue(20), "×256 nuclei"),
        (lambda: panel.settings.method.choose("lmmse"), "×256 nuclei"),
        (lambda: panel.settings.seed.setValue(3), "×256 nuclei"),
    ):
        turn()
        assert panel._live._timer.isActive()
        _settled(qtbot, panel, word, "cell")
        after = _live(viewer).data
        assert not np.array_equal(before, after)
        before = after.copy()
    record = record_of(_live(viewer))
    assert record is not None
    assert (record.info.acquisition.photons, record.info.seed, record.settings) == (20, 3, {"method": "lmmse"})
    assert len(viewer.layers) == 3
    assert not panel.side_by_side.isChecked()  # that was the user's choice

    qtbot.mouseClick(panel.live, Qt.MouseButton.LeftButton, pos=panel.live.rect().center() * 0.2)
    panel.settings.ratio.choose("64")
    assert not panel._live._timer.isActive()
    assert "×256" in _live(viewer).name  # what is there stays


def test_it_follows_the_slider_of_a_stack(qtbot: Any, live_in: Any, cells: np.ndarray) -> None:
    viewer, panel = live_in(np.stack([cells, cells[::-1], cells[:, ::-1]]), scale=(60, 1, 1))
    _settled(qtbot, panel, "cell")
    viewer.dims.set_current_step(0, 2)
    _settled(qtbot, panel, "cell")
    layer = _live(viewer)
    assert layer.data.shape == (1, *cells.shape)
    assert layer.translate[0] == 120
    viewer.dims.set_current_step(0, 0)
    _settled(qtbot, panel, "cell")
    assert _live(viewer) is layer
    assert layer.translate[0] == 0


def test_of_a_large_image_the_part_in_view(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(np.tile(cells, (12, 10)), name="large")
    viewer.scene.camera.zoom = 4
    viewer.scene.camera.center = (0, 1152, 600)
    panel.live.setChecked(True)
    status = _settled(qtbot, panel, "cell")
    assert "768\u202f×\u202f768 pixels in the middle of the view" in status
    layer = _live(viewer)
    assert layer.data.shape == (768, 768)
    assert layer.translate[0] == 1152 - 768  # the last rows
    assert abs(layer.translate[1] + 384 - 600) <= 64
    assert viewer.scene.camera.zoom == 4  # the view stays where it was
    assert not panel.side_by_side.isChecked()
    viewer.scene.camera.center = (0, 0, 0)
    _settled(qtbot, panel, "cell")
    np.testing.assert_array_equal(layer.translate, (0, 0))
    panel.live.setChecked(False)


def test_a_set_without_a_segmenter_shows_no_cells_of_another(qtbot: Any, live_in: Any) -> None:
    viewer, panel = live_in()
    _settled(qtbot, panel, "cell")
    panel.settings.pattern_set.choose("structures/learned")
    status = _settled(qtbot, panel, "×64 structures")
    assert " cell" not in status
    assert not _live(viewer, "live_labels").visible
    panel.settings.pattern_set.choose("nuclei/learned")
    _settled(qtbot, panel, "×64 nuclei", "cell")
    assert _live(viewer, "live_labels").visible


def test_run_all_comes_first_and_the_view_goes_on(qtbot: Any, live_in: Any) -> None:
    viewer, panel = live_in()
    qtbot.mouseClick(panel.run_all, Qt.MouseButton.LeftButton)  # while the first look is under way
    qtbot.waitUntil(lambda: panel.metrics.columnCount() == 1, timeout=WAIT)
    _settled(qtbot, panel, "Live", "cell")
    kinds = [record_of(x).kind for x in viewer.layers if record_of(x) is not None]
    assert sorted(kinds) == ["labels", "live_image", "live_labels", "measurement", "reconstruction"]
    newest = next(x for x in viewer.layers if record_of(x, "reconstruction"))
    np.testing.assert_array_equal(_live(viewer).data, newest.data)
    assert panel.measurement.key()


def test_results_take_the_place_of_the_look_that_they_were_preceded_by(qtbot: Any, live_in: Any) -> None:
    viewer, panel = live_in()
    _settled(qtbot, panel, "cell")
    qtbot.mouseClick(panel.run_all, Qt.MouseButton.LeftButton)
    _settled(qtbot, panel, "✓ Measured")
    qtbot.wait(500)
    assert panel.status.text().startswith("✓ Measured")  # what it advises stays
    assert not _live(viewer).visible
    panel.settings.photons.setValue(30)
    _settled(qtbot, panel, "Live", "cell")
    assert _live(viewer).visible


def test_what_cannot_be_measured_is_told_in_the_panel_alone(qtbot: Any, live_in: Any, cells: np.ndarray) -> None:
    hole = cells.astype(np.float32)
    hole[3, 4] = np.nan
    notification_manager.records.clear()
    viewer, panel = live_in(hole)
    _settled(qtbot, panel, "⚠", "NaN")
    assert notification_manager.records == []
    assert len(viewer.layers) == 1
    viewer.layers["cells"].data = cells
    panel.settings.photons.setValue(500)
    _settled(qtbot, panel, "Live", "cell")


@pytest.mark.parametrize(
    "end", [lambda panel: panel.live.setChecked(False), lambda panel: panel._live.links.job.cancel()]
)
def test_a_look_that_is_given_up_is_not_worked_on_any_more(
    qtbot: Any, live_in: Any, monkeypatch: pytest.MonkeyPatch, end: Callable[[Any], Any]
) -> None:
    def slow(*arguments: Any) -> None:
        while True:
            time.sleep(0.01)
            arguments[-1].check()

    monkeypatch.setattr(live_widget, "look", slow)
    _, panel = live_in()
    qtbot.waitUntil(lambda: panel.status.text() == WORKING, timeout=WAIT)
    end(panel)
    qtbot.waitUntil(lambda: panel.status.text() == "", timeout=WAIT)
    panel.live.setChecked(False)


def test_what_is_not_expected_switches_it_off(qtbot: Any, live_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(live_widget, "look", broken)
    notification_manager.records.clear()
    _, panel = live_in()
    qtbot.waitUntil(lambda: not panel.live.isChecked(), timeout=WAIT)
    _settled(qtbot, panel, "⚠", "did not expect")
    assert len(notification_manager.records) == 1


def test_it_ends_with_its_specimen(qtbot: Any, live_in: Any, cells: np.ndarray) -> None:
    viewer, panel = live_in()
    qtbot.waitUntil(lambda: panel._live.links.job is not None, timeout=WAIT)
    viewer.layers.clear()
    _settled(qtbot, panel)
    qtbot.wait(300)
    assert len(viewer.layers) == 0
    viewer.add_image(cells[::-1], name="another")
    _settled(qtbot, panel, "cell")
    assert _live(viewer).name.startswith("another")


def test_there_and_back_again_shows_what_is_set(qtbot: Any, live_in: Any, cells: np.ndarray) -> None:
    viewer, panel = live_in(np.stack([cells, cells[::-1], cells[:, ::-1]]))
    _settled(qtbot, panel, "cell")
    here, there = (viewer.dims.current_step[0] + 1) % 3, (viewer.dims.current_step[0] + 2) % 3
    viewer.dims.set_current_step(0, here)
    qtbot.waitUntil(lambda: panel._live.links.job is not None, timeout=WAIT)
    viewer.dims.set_current_step(0, there)
    qtbot.waitUntil(lambda: panel._live.links.job is None or panel._live.links.job.token.cancelled, timeout=WAIT)
    viewer.dims.set_current_step(0, here)
    _settled(qtbot, panel, "cell")
    for kind in ("live_image", "live_labels"):
        assert _live(viewer, kind).translate[0] == here


def test_what_the_user_has_hidden_and_zoomed_stays_so(qtbot: Any, live_in: Any) -> None:
    viewer, panel = live_in()
    _settled(qtbot, panel, "cell")
    viewer.layers["cells"].visible = False
    viewer.scene.camera.zoom = 9
    _live(viewer, "live_labels").visible = False
    panel.settings.photons.setValue(40)
    _settled(qtbot, panel, "cell")
    assert [x.visible for x in viewer.layers] == [False, True, False]
    assert viewer.scene.camera.zoom == 9


def test_it_follows_the_specimen_itself(qtbot: Any, live_in: Any, cells: np.ndarray) -> None:
    viewer, panel = live_in()
    _settled(qtbot, panel, "cell")
    before = _live(viewer).data.copy()
    viewer.layers["cells"].data = cells[::-1] * 20
    _settled(qtbot, panel, "cell")
    assert _live(viewer).data.max() > 10 * before.max()
    viewer.layers["cells"].scale = (3, 3)
    _settled(qtbot, panel, "cell")
    np.testing.assert_array_equal(_live(viewer).scale, (3, 3))
    np.testing.assert_array_equal(_live(viewer, "live_labels").scale, (3, 3))


def test_it_follows_edits_in_place(qtbot: Any, live_in: Any, cells: np.ndarray) -> None:
    viewer, panel = live_in(cells.copy())
    _settled(qtbot, panel, "cell")
    before = _live(viewer).data.copy()
    viewer.layers["cells"].data[:] = cells[::-1]
    viewer.layers["cells"].refresh()
    qtbot.waitUntil(lambda: not np.array_equal(before, _live(viewer).data), timeout=WAIT)
    _settled(qtbot, panel, "cell")
    truth = viewer.add_labels(np.ones(cells.shape, np.int32), name="cells mask")
    _settled(qtbot, panel, "of 1,")
    truth.paint((20, 20), 2)
    _settled(qtbot, panel, "of 2,")
    truth.undo()
    _settled(qtbot, panel, "of 1,")


def test_it_lets_go_of_its_layers_when_it_is_switched_off(qtbot: Any, live_in: Any, cells: np.ndarray) -> None:
    viewer, panel = live_in()
    _settled(qtbot, panel, "cell")
    assert panel._live.specimen._layer is not None
    panel.live.setChecked(False)
    assert panel._live.specimen._layer is None
    assert not any("Follower" in str(callback) for callback in viewer.layers["cells"].events.data.callbacks)


def test_a_look_at_a_specimen_that_has_gone_is_dropped(qtbot: Any, live_in: Any) -> None:
    viewer, panel = live_in()
    looks: list[Any] = []
    panel._live.shown.connect(lambda work, _: looks.append(work))
    _settled(qtbot, panel, "cell")
    viewer.layers.clear()
    for deliver in (panel._live._on_image, panel._live._on_cells):  # before the panel has seen that it is gone
        deliver(looks[-1])
    assert len(viewer.layers) == 0


def test_a_warning_goes_with_its_cause(qtbot: Any, live_in: Any) -> None:
    viewer, panel = live_in()
    _settled(qtbot, panel, "cell")
    viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True, name="colour")
    panel.specimen.setCurrentText("colour")
    _settled(qtbot, panel, "⚠", "colour image")
    panel.specimen.setCurrentText("cells")
    _settled(qtbot, panel, "Live", "cell")


def test_it_waits_for_a_specimen(panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    assert not panel.live.isEnabled()
    assert "Open an image" in panel.live.toolTip()
    viewer.add_image(cells)
    assert panel.live.isEnabled()


def test_a_panel_that_closes_stops_it(qtbot: Any, live_in: Any) -> None:
    viewer, panel = live_in()
    qtbot.waitUntil(lambda: panel._live.links.job is not None, timeout=WAIT)
    job, step = panel._live.links.job, viewer.dims.events.current_step
    assert any("Live" in str(callback) for callback in step.callbacks)
    viewer.window.remove_dock_widget(panel.parent())
    panel.deleteLater()
    qtbot.waitUntil(job.done.is_set, timeout=WAIT)
    qtbot.wait(300)
    assert len(viewer.layers) == 1
    for emitter in (step, viewer.scene.camera.events.center, viewer.layers[0].events.data):
        assert not any("Live" in str(callback) or "Follower" in str(callback) for callback in emitter.callbacks)
