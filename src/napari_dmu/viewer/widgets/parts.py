"""Small parts that the panel is put together from."""

from qtpy.QtCore import QEvent, QRect, QSize, Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_dmu.viewer.widgets.style import TITLE

MARGIN, GAP = 8, 4
WIDTH = 340  # least width of the panel: napari's title of the dock needs as much
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
            # A part that spans the row is its field, too.
            parts = (self.itemAt(row, one) for one in (role.LabelRole, role.FieldRole))
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


class Section(QCollapsible):
    """A part of the panel behind its title, closed at first."""

    def __init__(self, title: str, name: str, tip: str) -> None:
        super().__init__(title, expandedIcon="▾", collapsedIcon="▸")
        self.setObjectName(name)
        self.setDuration(0)
        self.toggleButton().setToolTip(tip)
        self.toggleButton().setStyleSheet(TITLE)
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
