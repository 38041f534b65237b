"""The panel in small and large fonts: nothing is cut off, and it only ever scrolls up and down."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtWidgets import QCheckBox, QComboBox, QPushButton

pytestmark = pytest.mark.qt
Opener = Callable[[], tuple[Any, Any]]
SLACK = 4  # pixels of a control's padding that may be taken


@pytest.fixture
def set_font(qtbot: Any) -> Iterator[Callable[[int], None]]:
    """Sets the size of napari's font, in points, and waits until everything has its place."""
    appearance = get_settings().appearance
    before = appearance.font_size

    def set_size(points: int) -> None:
        appearance.font_size = points
        qtbot.wait(200)

    yield set_size
    appearance.font_size = before


@pytest.mark.parametrize("points", [9, 13, 18])
def test_nothing_is_cut_off(
    qtbot: Any, panel_in: Opener, cells: np.ndarray, set_font: Callable[[int], None], points: int
) -> None:
    viewer, panel = panel_in()
    panel.window().resize(1280, 720)
    panel.window().show()
    viewer.add_image(cells, name="cells")
    panel.settings.advanced.expand(animate=False)
    set_font(points)
    panel.area.ensureWidgetVisible(panel.live)
    assert panel.area.horizontalScrollBar().maximum() == 0
    assert panel.height() < 720
    short = [
        (control.objectName(), control.size(), control.minimumSizeHint())
        for kind in (QComboBox, QPushButton, QCheckBox)
        for control in panel.findChildren(kind)
        if control.isVisible()
        and (
            control.height() < control.minimumSizeHint().height() - SLACK
            or control.width() < control.minimumSizeHint().width() - SLACK
        )
    ]
    assert not short
    text = panel.settings.photons.fontMetrics()
    assert panel.settings.photons.height() >= text.height()
    right = panel.live.mapTo(panel.area.widget(), panel.live.rect().bottomRight()).x()
    assert right <= panel.area.viewport().width()


def test_labels_go_above_their_controls_in_a_large_font(
    qtbot: Any, panel_in: Opener, set_font: Callable[[int], None]
) -> None:
    _, panel = panel_in()
    panel.window().show()
    settings = panel.settings
    label = next(one for one in settings.children() if getattr(one, "text", str)() == "&Ratio")
    for points, beside in ((9, True), (18, False), (9, True)):
        set_font(points)
        assert (label.y() + label.height() > settings.ratio.y()) == beside
        assert (settings.ratio.x() > label.x() + 10) == beside


def test_the_rows_of_figures_grow_with_the_font(qtbot: Any, panel_in: Opener, set_font: Callable[[int], None]) -> None:
    from napari_dmu.viewer.columns import Column
    from napari_dmu.viewer.summary import FIGURES

    _, panel = panel_in()
    panel.window().show()
    for run in "abc":
        panel.metrics.add(Column(run, "×64", "nuclei", ("cells",), "cells"), {name: "66 (80)" for name, *_ in FIGURES})
    for points in (9, 18):
        set_font(points)
        assert panel.metrics.rowHeight(0) > panel.metrics.fontMetrics().height()
        assert panel.metrics.fontMetrics().height() > 1.2 * points
        assert panel.metrics.columnWidth(0) > panel.metrics.fontMetrics().horizontalAdvance("66 (80)")
        assert panel.metrics.horizontalScrollBar().isVisible() == (points == 18)
        assert panel.metrics.viewport().height() >= sum(panel.metrics.rowHeight(i) for i in range(len(FIGURES)))
