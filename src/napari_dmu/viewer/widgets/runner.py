"""One piece of work at a time in the panel: its progress, its Cancel button, and the line that says how it went."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from napari.utils.notifications import ErrorNotification, notification_manager, show_error
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton

from napari_dmu.errors import DmuError
from napari_dmu.viewer.widgets.links import Links
from napari_dmu.viewer.worker import Job, Task

logger = logging.getLogger(__name__)


class Runner(QObject):
    """Starts jobs and shows how they get on; goes with the panel that it belongs to.

    Signals
    -------
    started, ended
        Of every job.
    """

    started = Signal()
    ended = Signal()

    def __init__(
        self, panel: QObject, links: Links, progress: QProgressBar, cancel: QPushButton, status: QLabel
    ) -> None:
        super().__init__(panel)
        self._links, self._progress, self._cancel, self._status = links, progress, cancel, status
        cancel.clicked.connect(self.stop)
        self._show_progress(None)

    @property
    def busy(self) -> bool:
        """Whether something is being worked on."""
        return self._links.job is not None

    def begin(self, title: str, task: Task, succeeded: Callable[[Any], None]) -> None:
        """Do one thing in the background, with progress and Cancel."""
        job = Job(title, task)
        job.progressed.connect(self._show_progress_of)
        job.succeeded.connect(partial(self._finish, succeeded))
        job.failed.connect(self.fail)
        job.cancelled.connect(self._on_cancelled)
        job.ended.connect(self._links.forget)  # even where the panel is gone by then
        job.ended.connect(self._on_ended)
        self._links.job = job
        self._show_progress(0)
        self.say("Starting …")
        self.started.emit()
        job.start()

    def _finish(self, succeeded: Callable[[Any], None], result: Any) -> None:
        """Hand over what was made; what goes wrong then, in napari perhaps, is told like an error of the work."""
        try:
            succeeded(result)
        except Exception as error:
            self.fail(error)

    def stop(self) -> None:
        """Ask the work to stop."""
        if self._links.job is not None:
            self._links.job.cancel()
            self._cancel.setEnabled(False)
            self.say("Stopping …")

    def say(self, sentence: str) -> None:
        """What the line below the buttons says; empty hides it."""
        self._status.setText(sentence)
        self._status.setVisible(bool(sentence))

    def unsay(self, sentence: str) -> None:
        """Say nothing, if that is what is said: it does not hold any more."""
        if self._status.text() == sentence:
            self.say("")

    def fail(self, error: BaseException) -> None:
        """Tell of an error: one sentence where the user can mend it, a notification with all of it where not."""
        if isinstance(error, DmuError):
            show_error(str(error))
            self.say(f"⚠ {error}")
        else:
            logger.error("A job of the compressive microscope failed.", exc_info=error)
            notification_manager.dispatch(ErrorNotification(error))
            self.say("⚠ Something went wrong that napari-dmu did not expect: the notification says what.")

    def _on_cancelled(self) -> None:
        self.say("Cancelled: nothing was added.")

    def _on_ended(self) -> None:
        if not self._links.closed:
            self._show_progress(None)
            self.ended.emit()

    def rest(self) -> None:
        """Show no progress unless something is worked on: it may have ended while nobody listened."""
        if not self.busy:
            self._show_progress(None)
            self.say("")

    def _show_progress_of(self, done: int, total: int, what: str) -> None:
        if self._links.job is not None and not self._links.job.token.cancelled:
            self._show_progress(done)
            self.say(what)

    def _show_progress(self, done: int | None) -> None:
        for widget in (self._progress, self._cancel):
            widget.setVisible(done is not None)
        self._cancel.setEnabled(True)
        self._progress.setValue(done or 0)
