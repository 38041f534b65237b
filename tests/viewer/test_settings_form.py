"""The controls of the microscope by themselves: what the keyboard reaches, and what they remember."""

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget
from support import make_set

from napari_dmu.viewer.widgets.settings_form import SettingsForm
from napari_dmu.zoo.registry import available_sets

pytestmark = pytest.mark.qt


@pytest.fixture
def form(qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsForm:
    """The form with three sets of its own, ×4 in two families and ×16 in one, beside those that are installed."""
    make_set(tmp_path / "a.dmu.safetensors", name="a", family="raster")
    make_set(tmp_path / "b.dmu.safetensors", name="a", family="random")
    make_set(tmp_path / "c.dmu.safetensors", name="a", family="random", bin=8)
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path))
    form = SettingsForm("auto")
    qtbot.addWidget(form)
    form.offer([one for one in available_sets() if one.name == "a"])
    return form


def _reached_with_tab(qtbot: Any, form: SettingsForm) -> list[QWidget | None]:
    """The controls that Tab goes through, from the first until it is back."""
    form.ratio.setFocus()
    reached: list[QWidget | None] = [form.focusWidget()]
    for _ in range(30):
        qtbot.keyClick(form.focusWidget(), Qt.Key.Key_Tab)
        if form.focusWidget() is reached[0]:
            break
        reached.append(form.focusWidget())
    return reached


def test_tab_goes_by_what_is_behind_a_closed_title(qtbot: Any, form: SettingsForm) -> None:
    form.show()
    with qtbot.waitActive(form):
        form.activateWindow()
    reached = _reached_with_tab(qtbot, form)
    assert form.photons in reached
    assert form.advanced.toggleButton() in reached
    hidden = [form.detector, form.read_noise, form.background, form.seed, form.method, form.device]
    assert not [control.objectName() for control in hidden if control in reached]
    form.advanced.toggleButton().click()
    reached = _reached_with_tab(qtbot, form)
    assert not [control.objectName() for control in hidden if control not in reached]


def test_the_title_of_advanced_says_that_something_was_changed(form: SettingsForm) -> None:
    title, tip = form.advanced.text, form.advanced.toggleButton().toolTip
    assert title() == "Advanced"
    for control, other, usual in ((form.detector, "emccd", "set"), (form.method, "ridge", "learned")):
        control.choose(other)
        assert title() == "Advanced · changed"
        assert control.accessibleName() in tip()
        control.choose(usual)
        assert title() == "Advanced", control.objectName()
    form.read_noise.setValue(7)
    form.seed.setValue(1)
    _, changed = tip().split("\nChanged: ")
    assert set(changed.rstrip(".").split(", ")) == {"Read noise", "Noise seed"}
