"""Several images at once in the panel: each goes with its own measurement, truth and column."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from support import discs

from napari_dmu.viewer.layers import record_of

pytestmark = pytest.mark.qt
WAIT = 120_000  # milliseconds; the machine may be busy

Opener = Callable[[], tuple[Any, Any]]


def press(qtbot: Any, panel: Any, button: Any) -> str:
    """Press a button, wait for the end of the work, give the status line."""
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    return str(panel.status.text())


def add(viewer: Any, name: str, seed: int) -> tuple[Any, Any]:
    """An image and its mask as files open: both as images."""
    image, labels = discs((64, 80), seed=seed)
    noise = np.random.default_rng(seed).poisson(4, image.shape)
    first = viewer.add_image((np.rint(3000 * image) + noise).astype(np.uint16), name=name)
    return first, viewer.add_image(labels.astype(np.uint16), name=f"{name} [1]")


def both_run(qtbot: Any, panel_in: Opener) -> tuple[Any, Any]:
    """Two images with their masks, one after the other through the whole chain."""
    viewer, panel = panel_in()
    for seed, name in enumerate(("one", "two")):
        add(viewer, name, seed)
        press(qtbot, panel, panel.run_all)
    return viewer, panel


def test_what_is_opened_is_chosen_and_a_mask_becomes_its_truth(panel_in: Opener) -> None:
    viewer, panel = panel_in()
    for seed, name in enumerate(("one", "two")):
        add(viewer, name, seed)
        assert panel.specimen.currentText() == name
        assert panel.truth.currentText() == f"{name} [1] (image)"


def test_one_image_after_the_other_is_chosen(panel_in: Opener) -> None:
    viewer, panel = panel_in()
    for name in ("t1", "t10"):
        viewer.add_image(discs((64, 80), seed=1)[0], name=name)
        assert panel.specimen.currentText() == name
    labels = discs((64, 80), seed=1)[1]
    for name in ("t10_mask", "t1_mask"):
        viewer.add_labels(labels, name=name)
    panel.specimen.setCurrentText("t1")
    assert panel.truth.currentText() == "t1_mask"


def test_a_truth_chosen_by_hand_stays_with_its_specimen(panel_in: Opener) -> None:
    viewer, panel = panel_in()
    for seed, name in enumerate(("one", "two")):
        add(viewer, name, seed)
    panel.truth.choose("none")
    panel.truth.activated.emit(0)  # as a click does
    panel.specimen.setCurrentText("one")
    assert panel.truth.currentText() == "one [1] (image)"
    panel.specimen.setCurrentText("two")
    assert panel.truth.currentText() == "none"
    panel.specimen.setCurrentText("one")
    viewer.layers.remove("one [1]")
    panel.specimen.setCurrentText("two")
    panel.specimen.setCurrentText("one")
    assert panel.truth.currentText() == "none"


def test_an_older_result_is_compared_in_sight(qtbot: Any, panel_in: Opener) -> None:
    viewer, panel = both_run(qtbot, panel_in)
    panel.specimen.setCurrentText("one")
    assert panel.cells.isHidden()
    assert "Compared one" in press(qtbot, panel, panel.buttons["compare"])
    shown = {record_of(x).specimen for x in viewer.layers if record_of(x) is not None and x.visible}
    assert shown == {"one"}
    found = int(panel.cells.count.text().split()[1])
    numbers = [int(panel.cells.entries[kind].text().split("&nbsp;")[-2]) for kind in ("matched", "invented")]
    assert found == sum(numbers)


def test_cells_are_counted_again_where_one_comes_back_to_an_image(qtbot: Any, panel_in: Opener) -> None:
    viewer, panel = panel_in()
    add(viewer, "one", 1)
    press(qtbot, panel, panel.run_all)
    found = panel.cells.count.text()
    viewer.add_image(discs((64, 80), seed=2)[0], name="two")
    assert panel.cells.isHidden()
    panel.specimen.setCurrentText("one")
    press(qtbot, panel, panel.buttons["compare"])
    assert not panel.cells.count.isHidden()
    assert panel.cells.count.text() == found


def test_a_mask_that_is_selected_is_not_taken_for_the_specimen(qtbot: Any, make_napari_viewer_proxy: Any) -> None:
    from napari_dmu.viewer.widgets.panel import CompressiveMicroscope

    viewer = make_napari_viewer_proxy()
    add(viewer, "one", 1)
    assert viewer.layers.selection.active.name == "one [1]"
    panel = CompressiveMicroscope(viewer)
    qtbot.addWidget(panel)
    assert panel.specimen.currentText() == "one"


def test_a_specimen_goes_with_its_own_measurement_and_truth(qtbot: Any, panel_in: Opener) -> None:
    viewer, panel = both_run(qtbot, panel_in)
    image, _ = discs((64, 80), seed=5)
    viewer.add_image(image, name="three")
    assert panel.truth.currentText() == "none"
    for name in ("one", "two"):
        panel.specimen.setCurrentText(name)
        assert name in panel.measurement.currentText()
        assert panel.truth.currentText() == f"{name} [1] (image)"
        assert panel.status.text() == ""
        assert f"Compared {name} ·" in press(qtbot, panel, panel.buttons["compare"])
    # Compared once more is no other column; a name that differs is said.
    titles = [panel.metrics.horizontalHeaderItem(i).text() for i in range(panel.metrics.columnCount())]
    assert [title.splitlines()[-1] for title in titles] == ["two", "one"]
    viewer.layers.clear()
    assert panel.metrics.columnCount() == 0
    assert panel.metrics.isHidden()


def test_a_dock_that_is_closed_stops_the_work(qtbot: Any, panel_in: Opener) -> None:
    """Also where somebody still holds the panel, which napari does not delete."""
    viewer, panel = panel_in()
    viewer.add_image(np.stack([discs((64, 80), seed=s)[0] for s in range(3)]), name="film")
    panel.live.setChecked(True)
    qtbot.mouseClick(panel.run_all, Qt.MouseButton.LeftButton)
    job = panel._links.job
    viewer.window.remove_dock_widget(panel.parent())
    assert not panel.live.isChecked()
    qtbot.waitUntil(lambda: job.done.is_set() and panel._links.job is None, timeout=WAIT)
    viewer.dims.set_current_step(0, 2)
    qtbot.wait(400)
    assert not [layer for layer in viewer.layers if record_of(layer) is not None]


def test_a_run_of_another_image_does_not_speak_for_the_one_that_is_chosen(qtbot: Any, panel_in: Opener) -> None:
    viewer, panel = panel_in()
    for seed, name in enumerate(("two", "one")):
        add(viewer, name, seed)
    qtbot.mouseClick(panel.run_all, Qt.MouseButton.LeftButton)
    panel.specimen.setCurrentText("two")
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    assert panel.cells.isHidden()
    assert "compared one · ×" in panel.status.text()
    assert panel.measurement.currentText() == "none yet"
    for step in ("reconstruct", "segment", "compare", "check"):
        assert not panel.buttons[step].isEnabled()
    panel.specimen.setCurrentText("one")
    assert panel.measurement.currentText().endswith(" · one")


def test_cards_go_with_the_measurement_that_they_are_of(qtbot: Any, panel_in: Opener) -> None:
    viewer, panel = panel_in()
    add(viewer, "one", 1)
    for _ in range(2):
        press(qtbot, panel, panel.run_all)
    assert not panel.cells.isHidden()
    panel.measurement.setCurrentIndex(1)
    assert panel.cells.isHidden()
    press(qtbot, panel, panel.buttons["compare"])
    press(qtbot, panel, panel.buttons["check"])
    assert not panel.cells.isHidden()
    assert not panel.trust.isHidden()
    for layer in [x for x in viewer.layers if record_of(x) is not None]:
        viewer.layers.remove(layer)
    assert panel.cells.isHidden()
    assert panel.trust.isHidden()


def test_a_measurement_of_no_open_image_stays_chosen(qtbot: Any, panel_in: Opener) -> None:
    viewer, panel = panel_in()
    image, _ = discs((64, 80), seed=1)
    viewer.add_image(image, name="one")
    press(qtbot, panel, panel.buttons["measure"])
    viewer.layers.remove("one")
    chosen = panel.measurement.key()
    viewer.add_image(image, name="two")
    assert panel.measurement.key() == chosen != ""
    assert panel.measurement.itemText(0) == "none yet"


def test_nobody_is_advised_to_find_cells_with_a_set_that_finds_none(qtbot: Any, panel_in: Opener) -> None:
    viewer, panel = panel_in()
    for seed, name in enumerate(("two", "one")):
        add(viewer, name, seed)
    if not panel.settings.pattern_set.choose("structures/learned"):
        pytest.skip("there is no trained pattern set without a segmenter here")
    qtbot.mouseClick(panel.run_all, Qt.MouseButton.LeftButton)
    panel.specimen.setCurrentText("two")  # which has no measurement
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    assert panel.status.text().endswith("Cells were not scored: this pattern set finds none.")
