"""A box to choose from a list; see ``parts`` for what else the panel is put together from."""

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QSizePolicy, QStyle, QStyleOptionComboBox, QStylePainter

SHORTEST = 5  # so many letters of a name are always shown


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
        self._empty, self._purpose = empty, ""
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

    def offer(self, entries: Sequence[tuple[str, str]], *, insist: str = "", prefer: str = "") -> None:
        """Offer (key, text) pairs; takes ``insist``, else keeps the choice, else takes ``prefer``, else the first."""
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
            found = next((key for key in (insist, wanted, prefer) if key in keys and key), keys[0])
            self.setCurrentIndex(keys.index(found))
            self.setEnabled(bool(entries))
        self._tell()
        if self.key() != wanted:
            self.chosen.emit()

    def explain(self, tips: Mapping[str, str]) -> None:
        """Explain entries by their keys: below their names, in the open list and over the closed box."""
        for key, tip in tips.items():
            index = self.findData(key)
            self.setItemData(index, f"{self.itemText(index)}\n{tip}", Qt.ItemDataRole.ToolTipRole)
        self._tell()

    def setToolTip(self, purpose: str | None) -> None:
        """What the box is for; its tip also says what is chosen, for a long name is cut in the box."""
        self._purpose = purpose or ""
        self._tell()

    def _tell(self) -> None:
        chosen = self.itemData(self.currentIndex(), Qt.ItemDataRole.ToolTipRole) or ""
        super().setToolTip("\n\n".join(part for part in (chosen, self._purpose) if part))

    def room(self, option: QStyleOptionComboBox) -> int:
        """Width that is left for a name, pixels."""
        style, field = self.style(), QStyle.SubControl.SC_ComboBoxEditField
        assert style is not None
        return style.subControlRect(QStyle.ComplexControl.CC_ComboBox, option, field, self).width()

    def paintEvent(self, event) -> None:  # type: ignore[no-untyped-def]
        """Shorten a long name in its middle: its start and its end tell layers apart."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        middle = Qt.TextElideMode.ElideMiddle
        option.currentText = self.fontMetrics().elidedText(option.currentText, middle, self.room(option))
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _changed(self) -> None:
        self._tell()
        self.chosen.emit()
