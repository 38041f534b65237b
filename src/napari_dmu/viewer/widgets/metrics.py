"""The table of figures: a row a figure, a column a comparison, so that ratios can be set side by side."""

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_dmu.viewer.summary import FIGURES

COLUMNS = 3  # the last so many comparisons
ROW = 21  # height in screen pixels


class MetricsTable(QTableWidget):
    """Figures of the last comparisons, the newest on the left."""

    def __init__(self) -> None:
        super().__init__(len(FIGURES), 0)
        self.setObjectName("metrics")
        self.setAccessibleName("Figures of the comparison")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.setTabKeyNavigation(False)
        self.setAlternatingRowColors(False)
        self.setShowGrid(False)
        for row, (name, meaning, _, _) in enumerate(FIGURES):
            item = QTableWidgetItem(name)
            item.setToolTip(meaning)
            self.setVerticalHeaderItem(row, item)
        rows, titles = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert titles is not None
        self._titles: QHeaderView = titles
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(ROW)
        rows.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        titles.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVisible(False)

    def add(self, title: str, whole: str, figures: Mapping[str, str]) -> None:
        """Add a comparison: its short title, the whole name as a tooltip, and the figures by row."""
        self.insertColumn(0)
        header = QTableWidgetItem(title)
        header.setToolTip(whole)
        self.setHorizontalHeaderItem(0, header)
        for row, (name, meaning, _, _) in enumerate(FIGURES):
            item = QTableWidgetItem(figures[name])
            item.setToolTip(meaning)
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, 0, item)
        self.setColumnCount(min(self.columnCount(), COLUMNS))
        for row in range(len(FIGURES)):
            items = [self.item(row, column) for column in range(self.columnCount())]
            self.setRowHidden(row, all(item is None or item.text() == "–" for item in items))
        rows = sum(not self.isRowHidden(row) for row in range(self.rowCount()))
        self.setFixedHeight(self._titles.sizeHint().height() + ROW * rows + 4)
        self.setVisible(True)
