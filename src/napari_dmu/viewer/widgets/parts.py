"""Small parts that the panel is put together from."""

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

MARGIN, GAP = 8, 4
ROW = 24  # height of a control
ARROW = 48  # width of the arrow and the margins of a combo box
_NO_LIMIT = 16_777_215  # Qt's QWIDGETSIZE_MAX
LABELS = 110  # one width for all, so that the controls of all sections stand in one line


def heading(text: str) -> QLabel:
    """The name of a section."""
    label = QLabel(text)
    label.setStyleSheet("font-weight: 600; padding-top: 2px;")
    return label


class Note(QLabel):
    """Plain words that wrap and take as many lines as they need, no more; can be selected and copied."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def hasHeightForWidth(self) -> bool:
        """No: layouts that ask for it squeeze the rows beside the text; see ``sizeHint``."""
        return False

    def sizeHint(self) -> QSize:
        """Height of the text at the width there is."""
        return QSize(0, max(self.heightForWidth(max(self.width(), 1)), 0))

    def minimumSizeHint(self) -> QSize:
        """The same: no line is ever cut off."""
        return self.sizeHint()

    def resizeEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Another width, other lines."""
        super().resizeEvent(event)
        self.updateGeometry()


def form() -> QFormLayout:
    """Rows of a label and a control; the controls share the width that is left."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(GAP + 2)
    layout.setVerticalSpacing(GAP)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return layout


def add_row(layout: QFormLayout, text: str, control: QWidget, tip: str) -> QLabel:
    """Add a labelled control; label, control and screen readers get the same explanation."""
    label = QLabel(text)
    label.setBuddy(control)
    label.setMinimumWidth(LABELS)
    control.setFixedHeight(ROW)
    for widget in (label, control):
        widget.setToolTip(tip)
    control.setAccessibleName(text.replace("&", ""))
    control.setAccessibleDescription(tip)
    layout.addRow(label, control)
    return label


def add_row_with_button(layout: QFormLayout, text: str, control: QWidget, button: QPushButton, tip: str) -> None:
    """The same with a button beside the control, which has a tip of its own."""
    both = QWidget()
    beside = QHBoxLayout(both)
    beside.setContentsMargins(0, 0, 0, 0)
    beside.setSpacing(GAP)
    beside.addWidget(control, 1)
    beside.addWidget(button)
    add_row(layout, text, both, tip).setBuddy(control)
    control.setToolTip(tip)
    control.setAccessibleName(text.replace("&", ""))
    control.setAccessibleDescription(tip)


def line() -> QFrame:
    """A thin line between sections."""
    rule = QFrame()
    rule.setFrameShape(QFrame.Shape.HLine)
    rule.setFixedHeight(1)
    rule.setStyleSheet("background-color: rgba(128, 128, 128, 0.35); border: none;")
    return rule


def column(*, spacing: int = GAP) -> QVBoxLayout:
    """A column without margins."""
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    return layout


# napari paints a button that is down in the colour of a selection: an open section is none.
_TITLE = """
QPushButton { text-align: left; border: 1px solid transparent; }
QPushButton:checked { background-color: rgba(128, 128, 128, 0.25); }
QPushButton:focus { border: 1px solid rgba(128, 128, 128, 0.9); }
"""


class Section(QCollapsible):
    """A part of the panel behind its title, closed at first."""

    def __init__(self, title: str, name: str, tip: str) -> None:
        super().__init__(title, expandedIcon="▾", collapsedIcon="▸")
        self.setObjectName(name)
        self.setDuration(0)
        self.toggleButton().setToolTip(tip)
        self.toggleButton().setStyleSheet(_TITLE)
        inner = self.layout()
        assert isinstance(inner, QVBoxLayout)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(0)

    def fill(self, content: QWidget) -> None:
        """Put this behind the title."""
        self.setContent(content)
        self.toggled.connect(self.fit)
        self.collapse(animate=False)

    def eventFilter(self, watched, event) -> bool:  # type: ignore[no-untyped-def]
        """Nothing: the base class would fix the height at that of the first layout, and cut off what wraps."""
        return False

    def fit(self) -> None:
        """Let the content be as high as it wants, for it may grow; while it is closed, keep the keyboard out of it."""
        self.content().setVisible(self.isExpanded())
        if self.isExpanded():
            self.content().setMaximumHeight(_NO_LIMIT)


class Steady:
    """For controls in a scroll area: the wheel scrolls it, and changes nothing in passing."""

    def wheelEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Leave the wheel to the scroll area."""
        event.ignore()


class Choice(Steady, QComboBox):
    """A combo box whose entries are known by a key, so that it keeps its choice when the list changes."""

    chosen = Signal()

    def __init__(self, name: str, empty: str = "") -> None:
        super().__init__()
        self.setObjectName(name)
        self._empty = empty
        # A long name is cut in the box, not in the window; the whole of it stands in the list.
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(10)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.currentIndexChanged.connect(self._changed)

    def key(self) -> str:
        """Key of the choice; empty where nothing is chosen."""
        return str(self.currentData() or "")

    def choose(self, key: str) -> bool:
        """Choose by key; False where there is no such entry."""
        index = self.findData(key)
        if index >= 0:
            self.setCurrentIndex(index)
        return index >= 0

    def offer(self, entries: Sequence[tuple[str, str]], *, prefer: str = "") -> None:
        """Offer (key, text) pairs; keeps the choice, else takes ``prefer``, else the first."""
        wanted = self.key()
        listed = [(str(self.itemData(i)), self.itemText(i)) for i in range(self.count())]
        shown = list(entries) or [("", self._empty)]
        if shown == listed:
            return
        with QSignalBlocker(self):
            self.clear()
            for key, text in shown:
                self.addItem(text, key)
                self.setItemData(self.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
            keys = [key for key, _ in shown]
            found = next((key for key in (wanted, prefer) if key in keys and key), keys[0])
            self.setCurrentIndex(keys.index(found))
            self.setEnabled(bool(entries))
        if self.key() != wanted:
            self.chosen.emit()

    def explain(self, tips: Mapping[str, str]) -> None:
        """Explain entries, by their keys, where the list is open."""
        for key, tip in tips.items():
            self.setItemData(self.findData(key), tip, Qt.ItemDataRole.ToolTipRole)

    def paintEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Shorten a long name in its middle: its start and its end tell layers apart."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        room = self.width() - ARROW
        option.currentText = self.fontMetrics().elidedText(option.currentText, Qt.TextElideMode.ElideMiddle, room)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _changed(self) -> None:
        self.chosen.emit()
