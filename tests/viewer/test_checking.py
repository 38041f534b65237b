"""The step Check in a real window: layers, the verdict in words, what it needs, and that it can be stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_dmu.viewer.layers import record_of

pytestmark = pytest.mark.qt
WAIT = 120_000  # milliseconds; the machine may be busy

Opener = Callable[[], tuple[Any, Any]]


def _press(qtbot: Any, panel: Any, name: str) -> str:
    button = panel.buttons[name]
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    return str(panel.status.text())


def _named(viewer: Any, kind: str) -> list[Any]:
    return [layer for layer in viewer.layers if record_of(layer, kind) is not None]


def test_it_shows_a_verdict_and_maps_that_lie_on_the_image(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    place = {"scale": (60, 0.5, 0.25), "translate": (0, 3, -2), "units": ("second", "um", "um")}
    viewer.add_image(np.stack([cells, cells[::-1]]), name="film", axis_labels=("t", "y", "x"), **place)
    assert panel.trust.isHidden()
    assert panel.buttons["check"].toolTip().startswith("Press Reconstruct first")
    _press(qtbot, panel, "measure")
    _press(qtbot, panel, "reconstruct")
    assert _press(qtbot, panel, "check").startswith("✓ Checked")
    (image,), (imagined,) = _named(viewer, "reconstruction"), _named(viewer, "imagined")
    for layer in [imagined, *_named(viewer, "error_bar")]:
        assert layer.data.shape == image.data.shape
        for name in ("axis_labels", "units"):
            assert getattr(layer, name) == getattr(image, name)
        for name in ("scale", "translate"):
            np.testing.assert_array_equal(getattr(layer, name), getattr(image, name))
    low, high = imagined.contrast_limits
    assert low == -high < 0
    assert imagined.data.min() < 0 < imagined.data.max()
    record = record_of(imagined, "imagined")
    assert record.run == record_of(image).run
    assert record.settings["method"] == "learned"
    assert record.settings["assessment"].endswith(f"; {panel.trust.figure.text()}.")
    assert not panel.trust.isHidden()
    assert panel.trust.verdict.text()[:2] in ("✓ ", "⚠ ")
    assert "the data" in panel.trust.verdict.text()
    assert "of the contrast is imagined" in panel.trust.details.text()
    assert panel.trust.caption.text() == image.name
    assert "χ²" not in panel.trust.verdict.text() + panel.trust.details.text()
    assert panel.trust.figure.text().startswith("χ² ")
    _press(qtbot, panel, "reconstruct")
    assert panel.trust.isHidden()


def test_an_image_that_does_not_fit_is_told_without_colour(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="cells")
    _press(qtbot, panel, "measure")
    _press(qtbot, panel, "reconstruct")
    (image,) = _named(viewer, "reconstruction")
    image.data = image.data[::-1].copy()
    _press(qtbot, panel, "check")
    assert panel.trust.verdict.text().startswith("⚠ Does not fit the data")
    assert record_of(_named(viewer, "imagined")[0]).settings["verdict"] == "misfit"


def test_it_needs_the_measurement(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="cells")
    _press(qtbot, panel, "measure")
    _press(qtbot, panel, "reconstruct")
    viewer.layers.remove(_named(viewer, "measurement")[0])
    assert "is not open any more" in _press(qtbot, panel, "check")
    assert panel.trust.isHidden()
    assert not _named(viewer, "imagined")


def test_the_selected_reconstruction_is_checked_with_its_own_measurement(
    qtbot: Any, panel_in: Opener, cells: np.ndarray
) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="first")
    _press(qtbot, panel, "measure")
    _press(qtbot, panel, "reconstruct")
    first = _named(viewer, "reconstruction")[0]
    viewer.layers.selection.active = viewer.layers["first"]
    _press(qtbot, panel, "measure")  # chosen now, and not yet reconstructed
    assert panel.buttons["check"].toolTip() == "Press Reconstruct first."
    viewer.layers.selection.active = first
    _press(qtbot, panel, "check")
    assert record_of(_named(viewer, "imagined")[0]).run == record_of(first).run


def test_cancel_adds_nothing(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(np.stack([cells] * 100), name="long")
    _press(qtbot, panel, "measure")
    _press(qtbot, panel, "reconstruct")
    before = len(viewer.layers)
    qtbot.mouseClick(panel.buttons["check"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.progress.value() > 0 or panel._links.job is None, timeout=WAIT)
    qtbot.mouseClick(panel.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    assert "Cancelled" in panel.status.text()
    assert len(viewer.layers) == before
    assert panel.trust.isHidden()


def test_the_card_and_its_step_import_no_torch() -> None:
    code = (
        "import sys; import napari_dmu.viewer.checking, napari_dmu.viewer.widgets.trust_card; "
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
