"""The section "Light budget": what the acquisition costs and yields, and what physics will not allow."""

import logging
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QGridLayout, QVBoxLayout, QWidget
from superqt.utils import FunctionWorker

from napari_dmu.errors import DmuError
from napari_dmu.microscope.budget import MEANINGS, Budget
from napari_dmu.microscope.cautions import Caution
from napari_dmu.viewer.loading import torch_is_loaded
from napari_dmu.viewer.widgets.parts import GAP, Note, Section, column

logger = logging.getLogger(__name__)

TITLE = "Light budget"
DELAY = 250  # milliseconds of rest after a change: nobody reads the figures while a wheel turns
_TIP = "Samples, light, noise and time of one plane with these settings, and what will not work."
_CAUTION = "border-left: 3px solid #d9a03f; padding: 1px 0px 3px 7px;"

Task = Callable[[], Budget]


class BudgetCard(Section):
    """Closed at first; computes in a thread, and while it is closed only where torch is loaded anyway."""

    def __init__(self) -> None:
        super().__init__(TITLE, "budget", _TIP)
        self.state = Note("budget_state")
        self._table = QWidget()
        self._grid = QGridLayout(self._table)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(GAP + 2)
        self._grid.setVerticalSpacing(2)
        for side in (0, 1):
            self._grid.setColumnStretch(side, 1)
        self._names: list[Note] = []
        self._values: list[Note] = []
        self._cautions = column(spacing=GAP)
        self.notes: list[Note] = []
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(0, GAP, 0, GAP)
        inside.setSpacing(GAP)
        inside.addWidget(self.state)
        inside.addLayout(self._cautions)
        inside.addWidget(self._table)
        self.fill(content)
        self._table.setVisible(False)
        self._task: Task | None = None  # the newest wish, None where it is fulfilled
        self._worker: FunctionWorker[Any] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY)
        self._timer.timeout.connect(self._start)
        self.toggled.connect(self.catch_up)

    def ask(self, task: Task | None) -> None:
        """The settings are others now: ``task`` computes their budget; None where there is nothing to compute."""
        self._task = task
        if task is None:
            self._show_state("Choose a pattern set first.")
        else:
            self._timer.start()

    def catch_up(self) -> None:
        """Compute what is out of date, if somebody sees it or if torch is there anyway."""
        if self._task is not None and not self._timer.isActive():
            self._start()

    @property
    def idle(self) -> bool:
        """Whether nothing is being computed, nor about to be."""
        return self._worker is None and not self._timer.isActive()

    def rows(self) -> list[tuple[str, str]]:
        """What the table shows."""
        return [(name.text(), value.text()) for name, value in zip(self._names, self._values, strict=True)]

    def _start(self) -> None:
        if self._task is None or self._worker is not None or not (self.isExpanded() or torch_is_loaded()):
            return
        task, self._task = self._task, None
        if not self._values:
            self._show_state("Working it out …")
        worker: FunctionWorker[Any] = FunctionWorker(_attempt, task)
        worker.returned.connect(self._returned)
        worker.errored.connect(self._errored)
        self._worker = worker
        worker.start()

    def _returned(self, result: Budget | DmuError) -> None:
        self._worker = None
        if isinstance(result, Budget):
            self._show(result)
        else:
            self._show_state(f"⚠ {result}")
        self.catch_up()  # the settings may have changed meanwhile

    def _errored(self, error: BaseException) -> None:
        self._worker = None
        logger.error("The light budget could not be computed.", exc_info=error)
        self._show_state("⚠ The light budget could not be computed: the log says why.")

    def _show_state(self, sentence: str) -> None:
        self.state.setText(sentence)
        self.state.setVisible(bool(sentence))
        if sentence:
            self._show_cautions(())
            self._table.setVisible(False)

    def _show(self, budget: Budget) -> None:
        self._show_state("")
        for row, (name, value) in enumerate(budget.lines()):
            if row == len(self._values):
                self._add_row(row)
            self._names[row].setText(name)
            self._names[row].setContentsMargins(2 * GAP if name.startswith(" ") else 0, 0, 0, 0)
            self._values[row].setText(value)
            for note in (self._names[row], self._values[row]):
                note.setToolTip(MEANINGS[name.strip()])
        self._table.setVisible(True)
        self._show_cautions(budget.warnings)
        self.fit()

    def _add_row(self, row: int) -> None:
        name, value = Note(f"budget_name_{row}"), Note(f"budget_{row}")
        for side, note in enumerate((name, value)):
            note.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
            note.setIndent(0)  # otherwise there is room above the text
            self._grid.addWidget(note, row, side, Qt.AlignmentFlag.AlignTop)
        self._names.append(name)
        self._values.append(value)

    def _show_cautions(self, cautions: tuple[Caution, ...]) -> None:
        count = len(cautions)
        self.setText(TITLE if not count else f"{TITLE} · {count} warning{'s' if count > 1 else ''}")
        while len(self.notes) < count:
            note = Note(f"caution_{len(self.notes)}")
            note.setStyleSheet(_CAUTION)
            self.notes.append(note)
            self._cautions.addWidget(note)
        for index, note in enumerate(self.notes):
            note.setVisible(index < count)
            note.setText(f"⚠ {cautions[index].text}\n→ {cautions[index].suggestion}" if index < count else "")


def _attempt(task: Task) -> Budget | DmuError:
    """In the thread: what can be explained comes back as it is, the rest is an error."""
    try:
        return task()
    except DmuError as error:
        return error
