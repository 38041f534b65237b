"""The verdict on a reconstruction: a sign, words and figures, so that nothing hangs on a colour."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_dmu.engine.verdict import Verdict
from napari_dmu.viewer.widgets.parts import GAP, Note
from napari_dmu.viewer.widgets.style import MUTED

if TYPE_CHECKING:
    from napari_dmu.engine.assessment import Assessment

# Sign, colour of the line at the side.
SIGNS: dict[Verdict, tuple[str, str]] = {
    "fits": ("✓", "#3f9d6a"),
    "unusual": ("⚠", "#d9a03f"),
    "misfit": ("⚠", "#d2573f"),
    "unknown": ("?", "#8a8f98"),
}
_TIP = (
    "χ²: the reconstruction, measured again, against the data, in units of the expected noise; 1 is noise alone.\n"
    "Error bar: so far from the truth, in nine of ten pixels of images like those the pattern set was trained on.\n"
    "Unlike the specimens: to the decoder it looks like no training image, and error bars hold for such images alone.\n"
    "Imagined: what the data do not determine; the decoder has put it there because specimens usually look so."
)


class TrustCard(QWidget):
    """Hidden until something was checked."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("trust")
        # Which image; the verdict; what follows from it; the figure behind it.
        self.caption, self.verdict = Note("verdict_caption"), Note("verdict")
        self.details, self.figure = Note("verdict_details"), Note("verdict_figure")
        self.setToolTip(_TIP)
        self.setAccessibleDescription(_TIP)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, GAP, 0, GAP)
        layout.setSpacing(0)
        for part in (self.caption, self.verdict, self.details, self.figure):
            layout.addWidget(part)
        self.setVisible(False)

    def show_assessment(self, found: "Assessment", name: str) -> None:
        """Show what was found of the reconstruction of that name."""
        sign, colour = SIGNS[found.verdict]
        first, *others = found.statements
        side = f"border-left: 3px solid {colour}; padding: 1px 0px 1px 7px;"
        self.verdict.setStyleSheet(f"{side} font-weight: 600;")
        for part in (self.caption, self.details):
            part.setStyleSheet(side)
        self.figure.setStyleSheet(f"{side} color: {MUTED};")
        self.caption.setText(name)
        self.verdict.setText(f"{sign} {first}")
        self.details.setText("\n".join(f"{line[0].upper()}{line[1:]}." for line in others))
        self.figure.setText(found.goodness)
        self.figure.setVisible(bool(found.goodness))
        self.setAccessibleName(found.sentence)
        self.setVisible(True)
