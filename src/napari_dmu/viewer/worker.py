"""One piece of work in a thread: progress without floods, a Cancel that works, and no trace when it fails."""

import threading
import time
from collections.abc import Callable
from typing import Any

from napari.utils.progress import cancelable_progress
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from superqt.utils import FunctionWorker

from napari_dmu.engine.progress import CancelToken, Progress
from napari_dmu.errors import Cancelled, DmuError
from napari_dmu.viewer.steps import PLANE

INTERVAL = 0.05  # seconds between two reports of progress

Task = Callable[[Progress, CancelToken], Any]


class _Activity(cancelable_progress):
    """A bar in napari's activity dock whose Cancel button stops our work."""

    token: CancelToken | None = None

    def cancel(self) -> None:
        super().cancel()
        if self.token is not None:
            self.token.cancel()


class Job(QObject):
    """Runs a task in a thread; all signals arrive in the thread of the window.

    Signals
    -------
    progressed
        Done, total, what is going on; at most every ``INTERVAL`` seconds, and when something else begins.
    succeeded
        What the task returned.
    failed
        The exception; not for a cancelled task.
    cancelled, ended
        The last one comes after any of the others.
    """

    progressed = Signal(int, int, str)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    ended = Signal()

    def __init__(self, title: str, task: Task) -> None:
        super().__init__()
        self.token = CancelToken()
        self.done = threading.Event()
        self._title, self._task = title, task
        self._last, self._doing = 0.0, ""
        self._bar: _Activity | None = None
        self._worker: FunctionWorker[Any] | None = None

    def start(self) -> None:
        """Start it; to be called in the thread of the window."""
        self._bar = _Activity(desc=self._title, total=1000)
        self._bar.token = self.token
        worker: FunctionWorker[Any] = FunctionWorker(self._work)
        worker.returned.connect(self._returned)
        worker.errored.connect(self._errored)
        self.progressed.connect(self._show)
        self._worker = worker
        worker.start()

    def cancel(self) -> None:
        """Ask it to stop; it does at its next tile or plane."""
        self.token.cancel()

    def _work(self) -> Any:
        try:
            return self._task(self._report, self.token)
        finally:
            self._task = _nothing  # what it held is freed now, not when the window closes
            self.done.set()

    def _report(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        doing = what.partition(PLANE)[0]
        if now - self._last >= INTERVAL or doing != self._doing:
            self._last, self._doing = now, doing
            self.progressed.emit(done, total, what)

    def _show(self, done: int, total: int, what: str) -> None:
        bar = self._bar
        if bar is not None:
            bar.set_description(what)
        # napari lets events happen while it shows the text: the work may be over by now.
        if bar is not None and bar is self._bar:
            bar.update(round(1000 * done / max(total, 1)) - bar.n)

    def _returned(self, result: Any) -> None:
        # A task may end before it sees that it was cancelled: what it made is not wanted all the same.
        if self.token.cancelled:
            self.cancelled.emit()
        else:
            self.succeeded.emit(result)
        self._end()

    def _errored(self, error: BaseException) -> None:
        if isinstance(error, Cancelled) or self.token.cancelled:
            self.cancelled.emit()
        else:
            self.failed.emit(error)
        if isinstance(error, DmuError):  # its sentence says all, and its traceback holds every array of the run
            error.__traceback__ = None
        self._end()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = self._worker = None
        self.ended.emit()


def _nothing(progress: Progress, cancel: CancelToken) -> None:
    """The task of a job that is over."""
