"""Boxes for numbers that may be large; see ``parts`` for what else the panel is put together from."""

import re

from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QSpinBox

from napari_dmu.microscope.digits import NARROW
from napari_dmu.viewer.widgets.choice import Steady

# What a number looks like while it is typed: its exponent may still lack its digits.
_BEGUN = re.compile(r"\d*\.?\d*(e[+-]?\d*)?")


class Amount(Steady, QDoubleSpinBox):
    """A number whose steps grow with it: a tenth of its size. ``1e4`` and ``10 000`` may be typed, too."""

    def __init__(self, name: str, top: float, value: float, suffix: str, *, bottom: float = 0.0, decimals: int = 0):
        super().__init__()
        self.setObjectName(name)
        self.setDecimals(decimals)
        self.setRange(bottom, top)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.setSuffix(suffix)
        self._filled = (value, value)  # what was filled in, and how it is shown
        self.fill(value)

    def fill(self, value: float) -> None:
        """Show a value that may have more digits than there is room for."""
        self.setValue(value)
        self._filled = (value, self.value())

    def exact(self) -> float:
        """The value with all its digits, as long as nobody has changed what is shown."""
        filled, shown = self._filled
        rounded = abs(filled - shown) <= 0.5 * 10.0 ** -self.decimals()  # not cut off at the end of the range
        return filled if rounded and self.value() == shown else self.value()

    def textFromValue(self, value: float) -> str:
        """Its digits in groups of three, without the noughts that say nothing: ``2``, not ``2.00``."""
        text = f"{value:,.{self.decimals()}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return text.replace(",", NARROW).replace(".", self.locale().decimalPoint())

    def valueFromText(self, text: str | None) -> float:
        """The number that was typed; the last one where it is none yet."""
        plain = self._plain(text)
        return float(plain) if self._state(plain) == QValidator.State.Acceptable else self.value()

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Whether it is a number, or may become one."""
        return self._state(self._plain(text)), text or "", position

    def _state(self, plain: str) -> QValidator.State:
        if not _BEGUN.fullmatch(plain):
            return QValidator.State.Invalid
        try:
            value = float(plain)
        except ValueError:
            return QValidator.State.Intermediate
        if value > self.maximum():
            return QValidator.State.Invalid
        return QValidator.State.Intermediate if value < self.minimum() else QValidator.State.Acceptable

    def _plain(self, text: str | None) -> str:
        """What was typed as Python reads it: no unit, no spaces."""
        digits = re.sub(r"\s", "", (text or "").removesuffix(self.suffix()))
        return digits.replace(self.locale().decimalPoint(), ".").lower()

    def shows(self, value: float) -> bool:
        """Whether this is the number, as far as it is written out."""
        return self.value() == round(value, self.decimals())


class Seed(Steady, QSpinBox):
    """A whole number."""
