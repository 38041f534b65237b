"""How many cells were found, and what became of them in the comparison: figures with the signs used on the image."""

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget
from superqt import QFlowLayout

from napari_dmu.engine.cells import count_sentence
from napari_dmu.viewer.compared import COLOURS, DARK, SYMBOLS
from napari_dmu.viewer.record import Kind
from napari_dmu.viewer.widgets.parts import GAP, Note

MEANINGS: dict[Kind, str] = {
    "matched": "Found, and there: overlap with a true cell ≥ half. Outlined on the image.",
    "missed": "There, but not found. Hatched on the image.",
    "invented": "Found, but not there. Crossed out on the image.",
}


class CellsCard(QWidget):
    """One line with the count, one with the legend of the comparison; each shown once there is something to say."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("cells")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GAP)
        self.count = Note("cell_count")
        self.count.setAccessibleName("Cells found")
        self.legend = QWidget()
        row = QFlowLayout(self.legend)  # large numbers need a second line
        row.setContentsMargins(0, 0, 0, 0)
        row.setHorizontalSpacing(3 * GAP)
        row.setVerticalSpacing(GAP)
        self.entries: dict[Kind, QLabel] = {}
        for kind, meaning in MEANINGS.items():
            entry = QLabel()
            entry.setObjectName(f"{kind}_cells")
            entry.setTextFormat(Qt.TextFormat.RichText)
            entry.setToolTip(meaning)
            entry.setAccessibleDescription(meaning)
            self.entries[kind] = entry
            row.addWidget(entry)
        layout.addWidget(self.count)
        layout.addWidget(self.legend)
        self.clear()

    def clear(self) -> None:
        """Say nothing."""
        self.count.setVisible(False)
        self.legend.setVisible(False)
        self.setVisible(False)

    def show_count(self, counts: Sequence[int]) -> None:
        """Cells in every plane; a comparison of other cells is over."""
        self.count.setText(f"Found {count_sentence(counts)}.")
        self.count.setVisible(True)
        self.legend.setVisible(False)
        self.setVisible(True)

    def show_compared(self, numbers: Mapping[Kind, int]) -> None:
        """Cells matched, missed and invented, each after its sign."""
        for kind, entry in self.entries.items():
            style = f"color:{COLOURS[kind]}; background-color:{DARK}; font-weight:600"
            sign = f'<span style="{style}">&nbsp;{SYMBOLS[kind]}&nbsp;</span>'  # dark behind it, like the image
            entry.setText(f"{sign}&nbsp;{numbers[kind]}&nbsp;{kind}")
            entry.setAccessibleName(f"{numbers[kind]} {kind} cells")
        self.legend.setVisible(True)
        self.setVisible(True)
