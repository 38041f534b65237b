"""Adding a pattern set in the window: a dialog that knows what can be right, a job, and the set is chosen."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QFileDialog
from support import make_set

from napari_dmu.viewer.settings import pattern_sets, plugin_settings
from napari_dmu.viewer.widgets.add_set_dialog import AddSetDialog
from napari_dmu.zoo import library, preferred
from napari_dmu.zoo.registry import available_sets

WAIT = 120_000  # milliseconds; the machine may be busy
Opener = Callable[[], tuple[Any, Any]]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set that is nowhere yet, and a folder to add it to."""
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path / "library"))
    make_set(tmp_path / "mine.dmu.safetensors", name="fibres")
    return tmp_path / "mine.dmu.safetensors"


@pytest.mark.parametrize(
    ("source", "sha256", "reason"),
    [
        ("", "", "Choose a file"),
        ("/somewhere/mine.dmu.safetensors", "", ""),
        ("/somewhere/mine.dmu.safetensors", "12", "this has 2 characters"),
        ("https://example.org/mine", "", "needs its SHA-256"),
        ("https://example.org/mine", "abc", "64 digits"),
        ("https://example.org/mine", " " + "a" * 64, ""),
    ],
)
def test_add_can_be_pressed_where_all_can_be_right_else_it_says_why_not(
    qtbot: Any, panel_in: Opener, source: str, sha256: str, reason: str
) -> None:
    _, panel = panel_in()
    dialog = AddSetDialog(panel)
    qtbot.keyClicks(dialog.findChild(object, "source"), source)
    qtbot.keyClicks(dialog.findChild(object, "sha256"), sha256)
    assert dialog.add.isEnabled() == (not reason)
    shown = dialog.findChild(object, "why_not")
    assert shown.isHidden() == (not reason)
    assert reason in shown.text()
    dialog.close()


def test_a_file_is_browsed_for_added_and_chosen(
    qtbot: Any, panel_in: Opener, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, panel = panel_in()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(published), ""))
    qtbot.mouseClick(panel.settings.add_set, Qt.MouseButton.LeftButton)
    dialog = panel.findChild(QDialog)
    qtbot.mouseClick(dialog.findChild(object, "browse"), Qt.MouseButton.LeftButton)
    assert dialog.source == str(published)
    assert dialog.sha256 is None
    qtbot.mouseClick(dialog.add, Qt.MouseButton.LeftButton)
    assert not panel.settings.add_set.isEnabled()
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    assert panel.status.text() == "✓ Added the pattern set ×4 fibres, raster."
    assert panel.settings.pattern_set.currentText() == "fibres, raster"
    assert panel.settings.ratio.currentText() == "×4"
    assert panel.settings.add_set.isEnabled()
    assert not panel.progress.isVisible()


def test_what_is_no_set_is_said_and_the_choice_stays(qtbot: Any, panel_in: Opener, published: Path) -> None:
    _, panel = panel_in()
    before = panel.settings.pattern_set.currentText()
    published.write_bytes(b"no set")
    panel.add_set(str(published))
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    assert panel.status.text().startswith("⚠ ")
    assert "mine.dmu.safetensors" in panel.status.text()
    assert panel.settings.pattern_set.currentText() == before


def test_a_cancelled_addition_adds_nothing(
    qtbot: Any, panel_in: Opener, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, panel = panel_in()
    asked = Event()
    add = library.add_set

    def slowly(*arguments: Any, **options: Any) -> library.Added:
        assert asked.wait(WAIT / 1000)  # a file next door is there before anybody could press Cancel
        return add(*arguments, **options)

    monkeypatch.setattr(library, "add_set", slowly)
    panel.add_set(str(published))
    panel._links.job.cancel()
    asked.set()
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    assert "Cancelled" in panel.status.text()
    assert not list((tmp_path / "library").glob("*.safetensors"))


def test_what_is_added_to_the_preferred_folder_is_found_outside_napari(
    qtbot: Any, panel_in: Opener, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NAPARI_DMU_SETS")
    monkeypatch.setattr(preferred, "_told", [])
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    _, panel = panel_in()
    plugin_settings().library.folder = str(tmp_path / "preferred")
    try:
        panel.add_set(str(published))
        qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
        assert [path.name[:6] for path in (tmp_path / "preferred").iterdir()] == ["fibres"]
        preferred._told.clear()  # as in another process
        assert "fibres" in [one.name for one in available_sets()]
    finally:
        plugin_settings().library.folder = ""
    pattern_sets()
    assert "fibres" not in [one.name for one in available_sets()]
