"""The controls of the microscope by themselves: what the keyboard reaches, and what they remember."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QLocale, Qt
from qtpy.QtWidgets import QStyleOptionComboBox, QWidget
from support import make_set

from napari_dmu.viewer.widgets.amount import Amount
from napari_dmu.viewer.widgets.settings_form import FAMILIES, SettingsForm
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


def test_the_light_dose_is_explained(form: SettingsForm) -> None:
    assert "the light that the specimen receives" in form.summary.toolTip()


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


def test_the_tip_of_a_box_says_what_is_chosen_and_what_it_is_for(form: SettingsForm) -> None:
    """A long name is cut in the box."""
    tip = form.pattern_set.toolTip
    assert tip().startswith("a, random\n")
    assert "illumination patterns" in tip()
    form.pattern_set.choose("a/raster")
    assert tip().startswith("a, raster\n")
    assert FAMILIES["raster"] in tip()
    entry = form.pattern_set.itemData(form.pattern_set.findData("a/random"), Qt.ItemDataRole.ToolTipRole)
    assert entry == f"a, random\n{FAMILIES['random']}"
    form.ratio.choose("16")
    assert tip().startswith("a, random\n")
    form.method.choose("ridge")
    assert form.method.toolTip().startswith("Ridge\nFrom the optics")


def test_the_names_of_the_sets_fit_into_the_narrowest_panel(qtbot: Any, panel_in: Callable[[], Any]) -> None:
    _, panel = panel_in()
    panel.window().show()
    panel.settings.advanced.expand(animate=False)  # with a scroll bar beside it
    qtbot.wait(100)
    box = panel.settings.pattern_set
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    assert panel.width() < 350
    assert box.room(option) >= box.fontMetrics().horizontalAdvance("nuclei, hadamard")


def test_another_ratio_and_back_keeps_the_set_that_was_chosen_by_hand(qtbot: Any, form: SettingsForm) -> None:
    assert form.pattern_set.key() == "a/random"
    qtbot.keyClick(form.pattern_set, Qt.Key.Key_Down)
    assert form.pattern_set.key() == "a/raster"
    form.ratio.choose("16")
    assert form.pattern_set.key() == "a/random"
    form.ratio.choose("4")
    assert form.pattern_set.key() == "a/raster"
    qtbot.keyClick(form.pattern_set, Qt.Key.Key_Up)
    form.ratio.choose("16")
    form.ratio.choose("4")
    assert form.pattern_set.key() == "a/random"


def test_another_ratio_stays_with_the_kind_of_specimen(qtbot: Any, form: SettingsForm, tmp_path: Path) -> None:
    make_set(tmp_path / "d.dmu.safetensors", name="z", family="raster")
    make_set(tmp_path / "e.dmu.safetensors", name="z", family="random", bin=8)
    form.offer([one for one in available_sets() if one.name in ("a", "z")])
    assert form.pattern_set.key() == "a/random"
    form.choose_set(next(one for one in available_sets() if one.name == "z" and one.ratio == 4))
    form.ratio.choose("16")
    assert form.pattern_set.key() == "z/random"


def _type(qtbot: Any, box: Amount, text: str) -> None:
    box.selectAll()
    qtbot.keyClicks(box, text)
    qtbot.keyClick(box, Qt.Key.Key_Return)


@pytest.mark.parametrize(
    ("typed", "value", "shown"),
    [
        ("1e3", 1000, "1\u202f000 photons"),
        ("2.5E2", 250, "250 photons"),
        ("1000000", 1e6, "1\u202f000\u202f000 photons"),
        ("10 000", 1e4, "10\u202f000 photons"),
        ("0.25", 0.25, "0.25 photons"),
        ("5e-1", 0.5, "0.5 photons"),
        ("1e", 1, "1 photons"),  # never finished
        ("1e9", 1, "1 photons"),  # the 9 would be too many, and is not taken
        ("x", 77, "77 photons"),
        ("inf", 77, "77 photons"),
    ],
)
def test_numbers_may_be_typed_as_people_write_them(qtbot: Any, typed: str, value: float, shown: str) -> None:
    box = Amount("photons", 1e7, 77, " photons", bottom=0.01, decimals=2)
    box.setLocale(QLocale(QLocale.Language.English))
    qtbot.addWidget(box)
    _type(qtbot, box, typed)
    assert box.value() == value
    assert box.text() == shown


def test_numbers_are_written_with_the_decimal_point_of_the_country(qtbot: Any) -> None:
    box = Amount("photons", 1e7, 1234.5, " photons", decimals=2)
    qtbot.addWidget(box)
    box.setLocale(QLocale(QLocale.Language.German))
    assert box.text() == "1\u202f234,5 photons"
    _type(qtbot, box, "2,75")
    assert box.value() == 2.75
