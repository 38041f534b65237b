"""Asks for a pattern set to add: a file, or an address on the web and the checksum that goes with it."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dmu.viewer.widgets.parts import GAP, MARGIN, Note, add_row, add_row_with_button, form
from napari_dmu.zoo.header import SUFFIX
from napari_dmu.zoo.library import is_sha256, is_web

ABOUT = (
    "Others train pattern sets too. A set is a file that ends in .dmu.safetensors: numbers alone, no program. "
    "From the web it needs its SHA-256, which stands beside the address where it was published."
)


class AddSetDialog(QDialog):
    """``source`` and ``sha256`` once it is accepted; it says what is missing until *Add* can be pressed."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Add a pattern set")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(480)
        about = Note("about_sets")
        about.setText(ABOUT)
        self._source = QLineEdit()
        self._source.setObjectName("source")
        self._source.setPlaceholderText("file, https://… or doi:…")
        self._browse = QPushButton("Browse…")
        self._browse.setObjectName("browse")
        self._browse.setToolTip("Choose a file.")
        self._sha256 = QLineEdit()
        self._sha256.setObjectName("sha256")
        self._sha256.setPlaceholderText("64 digits, for an address")
        rows = form()
        tip = "Where the set is: on this machine, or on the web."
        add_row_with_button(rows, "&File or address", self._source, self._browse, tip)
        add_row(rows, "&SHA-256", self._sha256, "The checksum of the file, so that what arrives is what was meant.")
        self._why_not = Note("why_not")
        standard = QDialogButtonBox.StandardButton
        self._buttons = QDialogButtonBox(standard.Ok | standard.Cancel)
        add = self._buttons.button(standard.Ok)
        assert add is not None
        self.add = add
        self.add.setText("Add")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2 * MARGIN, 2 * MARGIN, 2 * MARGIN, 2 * MARGIN)
        layout.setSpacing(2 * GAP)
        layout.addWidget(about)
        layout.addLayout(rows)
        layout.addWidget(self._why_not)
        layout.addWidget(self._buttons)
        self._buttons.accepted.connect(self.accept)
        self._buttons.rejected.connect(self.reject)
        self._browse.clicked.connect(self._choose)
        for field in (self._source, self._sha256):
            field.textChanged.connect(self._judge)
        self._judge()

    @property
    def source(self) -> str:
        """Path or address."""
        return self._source.text().strip()

    @property
    def sha256(self) -> str | None:
        """The checksum; None where there is none."""
        return self._sha256.text().strip() or None

    def _choose(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a pattern set", "", f"Pattern sets (*{SUFFIX})")
        if path:
            self._source.setText(path)

    def _judge(self) -> None:
        reason = self._missing()
        self.add.setEnabled(not reason)
        self.add.setToolTip(reason or "Check the set and copy it into your folder of sets.")
        self._why_not.setText(reason)
        self._why_not.setVisible(bool(reason))

    def _missing(self) -> str:
        """What there is to do before a set can be added; empty where nothing is."""
        if not self.source:
            return "Choose a file, or paste an address."
        if self.sha256 is None:
            return "From the web it needs its SHA-256 as well." if is_web(self.source) else ""
        if not is_sha256(self.sha256):
            return f"A SHA-256 has 64 digits (0–9, a–f): this has {len(self.sha256)} characters."
        return ""
