"""The table of figures: what is copied from it."""

from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QTableWidgetSelectionRange

from napari_dmu.viewer.columns import Column
from napari_dmu.viewer.summary import FIGURES
from napari_dmu.viewer.widgets.metrics import MetricsTable

pytestmark = pytest.mark.qt
NOTHING = {name: "–" for name, *_ in FIGURES}


@pytest.fixture
def table(qtbot: Any) -> MetricsTable:
    """Two comparisons in which no cells were scored."""
    table = MetricsTable()
    qtbot.addWidget(table)
    table.add(
        Column("1", "×64", "nuclei", ("one",), "one · ×64 nuclei"),
        {**NOTHING, "PSNR (dB)": "34.3", "SSIM": "0.930", "NRMSE": "0.101"},
    )
    table.add(
        Column("2", "×4", "nuclei", ("one",), "one · ×4 nuclei"),
        {**NOTHING, "PSNR (dB)": "41.0", "SSIM": "0.980", "NRMSE": "0.050"},
    )
    return table


def _copied() -> str:
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    return clipboard.text()


WHOLE = "\tone · ×4 nuclei\tone · ×64 nuclei\nPSNR (dB)\t41.0\t34.3\nSSIM\t0.980\t0.930\nNRMSE\t0.050\t0.101"


def test_the_whole_table_is_copied_with_its_titles(qtbot: Any, table: MetricsTable) -> None:
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert _copied() == WHOLE
    QApplication.clipboard().clear()
    (action,) = table.actions()
    assert action.text() == "Copy table"
    action.trigger()
    assert _copied() == WHOLE


def test_every_comparison_keeps_its_column(table: MetricsTable) -> None:
    for number in range(3, 9):
        table.add(Column(str(number), f"×{number}", "nuclei", ("one",), "one"), {**NOTHING, "PSNR (dB)": "30.0"})
    assert table.columnCount() == 8
    assert [table.item(0, place).text() for place in (0, 6, 7)] == ["30.0", "41.0", "34.3"]


def test_a_part_of_the_table_is_copied(qtbot: Any, table: MetricsTable) -> None:
    table.setRangeSelected(QTableWidgetSelectionRange(1, 1, 2, 1), True)
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert _copied() == "\tone · ×64 nuclei\nSSIM\t0.930\nNRMSE\t0.101"
    table.clearSelection()
    table.setRangeSelected(QTableWidgetSelectionRange(1, 1, 1, 1), True)
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert _copied() == "0.930"
