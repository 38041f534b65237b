"""The panel by the keyboard alone: it is seen what has it, and every letter for Alt means one thing."""

from collections.abc import Callable
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractButton, QLabel

from napari_dmu.viewer.widgets.style import RING

pytestmark = pytest.mark.qt
Opener = Callable[[], tuple[Any, Any]]
MENUS = set("FVLPWH")  # napari's


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_ring_shows_what_has_the_keyboard_and_moves_nothing(qtbot: Any, panel_in: Opener, theme: str) -> None:
    viewer, panel = panel_in()
    viewer.theme = theme
    panel.window().show()
    with qtbot.waitActive(panel.window()):
        panel.window().activateWindow()
    form = panel.settings
    panel.buttons["measure"].setEnabled(True)
    panel.live.setEnabled(True)
    form.advanced.expand(animate=False)
    controls = [panel.buttons["measure"], panel.live, panel.side_by_side, panel.open_measurement, form.add_set]
    for control in (*controls, form.ratio, form.photons, form.seed, form.advanced.toggleButton()):
        panel.run_all.setFocus()
        qtbot.wait(20)
        before, place = control.grab().toImage(), control.geometry()
        control.setFocus(Qt.FocusReason.TabFocusReason)
        qtbot.waitUntil(control.hasFocus)
        after = control.grab().toImage()
        edge = [after.pixelColor(after.width() // 2, y) for y in (0, 1)]
        assert QColor(RING) in edge, control.objectName()
        assert QColor(RING) not in [before.pixelColor(before.width() // 2, y) for y in (0, 1)]
        assert control.geometry() == place, control.objectName()


def test_every_letter_for_alt_means_one_thing(panel_in: Opener) -> None:
    _, panel = panel_in()
    texts = [part.text() for kind in (QLabel, QAbstractButton) for part in panel.findChildren(kind)]
    letters = [text[text.index("&") + 1].upper() for text in texts if "&" in text.replace("&nbsp;", "")]
    assert len(letters) > 10
    assert len(set(letters)) == len(letters), sorted(letters)
    assert not MENUS & set(letters)
