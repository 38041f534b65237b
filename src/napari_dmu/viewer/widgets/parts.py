"""Small parts that the panel is put together from."""

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QEvent, QRect, QSignalBlocker, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

MARGIN, GAP = 8, 4
WIDTH = 340  # least width of the panel: napari's title of the dock needs as much
ARROW = 48  # width of the arrow and the margins of a combo box
SHORTEST = 5  # so many letters of a name are always shown
_NO_LIMIT = 16_777_215  # Qt's QWIDGETSIZE_MAX
LONGEST = "Reconstruction"  # of the labels: one width for all, so that the controls of all sections stand in one line


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


class Label(QLabel):
    """Of a control: as wide as the longest of them in the font there is."""

    def sizeHint(self) -> QSize:
        """Width of the longest text."""
        own, advance = super().sizeHint(), self.fontMetrics().horizontalAdvance
        return own + QSize(max(advance(LONGEST) - advance(self.text().replace("&", "")), 0), 0)

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()


class Rows(QFormLayout):
    """Labels beside their controls; above them where the font is too large for both."""

    def setGeometry(self, rect: QRect) -> None:
        """Choose by the width that there is."""
        policy = QFormLayout.RowWrapPolicy
        wanted = policy.WrapAllRows if rect.width() < self._width(beside=True) else policy.DontWrapRows
        if wanted != self.rowWrapPolicy():
            self.setRowWrapPolicy(wanted)
        super().setGeometry(rect)

    def minimumSize(self) -> QSize:
        """So narrow that a label fits above its control."""
        return QSize(self._width(beside=False), super().minimumSize().height())

    def _width(self, *, beside: bool) -> int:
        role, widest = QFormLayout.ItemRole, 0
        for row in range(self.rowCount()):
            parts = (self.itemAt(row, one) for one in (role.LabelRole, role.FieldRole, role.SpanningRole))
            widths = [part.minimumSize().width() for part in parts if part is not None and not part.isEmpty()]
            gaps = self.horizontalSpacing() * (len(widths) - 1)
            widest = max(widest, sum(widths) + gaps if beside else max(widths, default=0))
        margins = self.contentsMargins()
        return widest + margins.left() + margins.right()


def form() -> QFormLayout:
    """Rows of a label and a control; the controls share the width that is left."""
    layout = Rows()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(GAP + 2)
    layout.setVerticalSpacing(GAP)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return layout


def add_row(layout: QFormLayout, text: str, control: QWidget, tip: str) -> QLabel:
    """Add a labelled control; label, control and screen readers get the same explanation."""
    label = Label(text)
    label.setBuddy(control)
    for widget in (label, control):
        widget.setToolTip(tip)
    control.setAccessibleName(text.replace("&", ""))
    control.setAccessibleDescription(tip)
    layout.addRow(label, control)
    return label


def add_row_with_button(layout: QFormLayout, text: str, control: QWidget, button: QPushButton, tip: str) -> None:
    """The same with a button beside the control, which has a tip of its own."""
    both = QWidget()
    both.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
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


class Area(QScrollArea):
    """Scrolls up and down: it is never narrower than its content, whatever the font."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def minimumSizeHint(self) -> QSize:
        """As wide as the content and the scroll bar beside it."""
        content, bar = self.widget(), self.verticalScrollBar()
        assert content is not None
        assert bar is not None
        frame = self.width() - self.maximumViewportSize().width()
        width = content.minimumSizeHint().width() + bar.sizeHint().width() + frame
        return QSize(max(width, WIDTH), super().minimumSizeHint().height())

    def eventFilter(self, watched, event) -> bool:  # type: ignore[no-untyped-def]
        """The content may need another width."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


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
        self.setMinimumContentsLength(SHORTEST)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
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
