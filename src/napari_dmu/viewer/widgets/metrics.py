"""The table of figures: a row a figure, a column a comparison, so that ratios can be set side by side."""

from collections.abc import Collection, Mapping

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QAction, QKeySequence  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QApplication, QHeaderView, QLabel, QTableWidget, QTableWidgetItem

from napari_dmu.viewer.columns import Column, titles
from napari_dmu.viewer.summary import FIGURES

PADDING = 7  # above and below the text of a row, pixels
WIDEST = "structures"  # title of a column that is never cut off: in a large font the table scrolls sideways


class MetricsTable(QTableWidget):
    """Figures of all comparisons, the newest on the left; scrolls sideways where there are many."""

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
        self._columns: list[Column] = []
        rows, header = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert header is not None
        self._names: QHeaderView = rows
        self._titles: QHeaderView = header
        self._text = QLabel(self)  # one point above the font that napari is set to, which tables do not take over
        self._text.setVisible(False)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        copy_all = QAction("Copy table", self)
        copy_all.triggered.connect(lambda: self._copy())
        self.addAction(copy_all)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.setVisible(False)

    def clear_columns(self) -> None:
        """Forget all comparisons."""
        self.setColumnCount(0)
        self._columns.clear()
        self.setVisible(False)

    def add(self, column: Column, figures: Mapping[str, str]) -> None:
        """Add a comparison with its figures by row; it takes the place of an older one of the same."""
        if (old := next((i for i, c in enumerate(self._columns) if column.replaces(c)), None)) is not None:
            self.removeColumn(old)
            del self._columns[old]
        self.insertColumn(0)
        self._columns = [column, *self._columns]
        for row, (name, meaning, _, _) in enumerate(FIGURES):
            item = QTableWidgetItem(figures[name])
            item.setToolTip(meaning)
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, 0, item)
        self.setColumnCount(len(self._columns))
        for place, (one, title) in enumerate(zip(self._columns, titles(self._columns), strict=True)):
            header = QTableWidgetItem(title)
            header.setToolTip(one.whole)
            self.setHorizontalHeaderItem(place, header)
        for row in range(len(FIGURES)):
            items = [self.item(row, column) for column in range(self.columnCount())]
            self.setRowHidden(row, all(item is None or item.text() == "–" for item in items))
        self._fit()
        self.setVisible(True)

    def keyPressEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Copy what is selected, or everything."""
        if event.matches(QKeySequence.StandardKey.Copy):
            chosen = self.selectedIndexes()
            self._copy({one.row() for one in chosen}, {one.column() for one in chosen})
        else:
            super().keyPressEvent(event)

    def _copy(self, rows: Collection[int] = (), columns: Collection[int] = ()) -> None:
        """Put these figures on the clipboard, or all of them: a single one as it is, others as a sheet with titles."""
        shown = [row for row in sorted(rows or range(self.rowCount())) if not self.isRowHidden(row)]
        chosen = sorted(columns or range(self.columnCount()))
        heads = ["", *(_tip(self.horizontalHeaderItem(column)) for column in chosen)]
        sheet = [[FIGURES[row][0], *(_text(self.item(row, column)) for column in chosen)] for row in shown]
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        single = len(rows) == len(columns) == 1
        clipboard.setText(sheet[0][1] if single else "\n".join("\t".join(line) for line in [heads, *sheet]))

    def changeEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Another theme or another size of the font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self.columnCount():
            self._fit()

    def resizeEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Another width: the columns may need a scroll bar, or none any more."""
        super().resizeEvent(event)
        if self.columnCount():
            self._fit()

    def _fit(self) -> None:
        """Be as high as the rows, in napari's font, and as the scroll bar where the columns need one."""
        self._text.ensurePolished()
        font = self._text.font()
        font.setPointSizeF(max(font.pointSizeF() - 1, 1.0))
        for part in (self, self._names, self._titles):
            part.setFont(font)
        height = self.fontMetrics().height() + PADDING
        self._names.setDefaultSectionSize(height)
        for row in range(self.rowCount()):  # those that were hidden before have Qt's own height
            self.setRowHeight(row, height)
        rows = sum(not self.isRowHidden(row) for row in range(self.rowCount()))
        least = self.fontMetrics().horizontalAdvance(WIDEST) + PADDING
        self._titles.setMinimumSectionSize(least)
        bar = self.horizontalScrollBar()
        assert bar is not None
        scrolls = self._names.sizeHint().width() + least * self.columnCount() > self.width() - 4
        below = bar.sizeHint().height() if scrolls else 0
        self.setFixedHeight(self._titles.sizeHint().height() + height * rows + below + 4)


def _text(item: QTableWidgetItem | None) -> str:
    return "" if item is None else item.text()


def _tip(item: QTableWidgetItem | None) -> str:
    return "" if item is None else item.toolTip()
