"""Keeps the live view up to date: one job at a time, and the newest settings win."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_dmu.errors import DmuError
from napari_dmu.viewer.finding import key_of
from napari_dmu.viewer.live import Request, look, look_for_cells, set_aside, show
from napari_dmu.viewer.record import Kind
from napari_dmu.viewer.steps import Work
from napari_dmu.viewer.widgets.following import Follower
from napari_dmu.viewer.widgets.links import Links
from napari_dmu.viewer.worker import Job, Task

DELAY = 150  # milliseconds after the last change, so that typing a number is one change
PATIENCE = 500  # milliseconds of work that need no word
TITLE = "Live view"
CELLS_ALONE: tuple[Kind, ...] = ("live_labels",)

# What is wanted now, with its work; None where nothing can be shown.
Prepare = Callable[[], tuple[Request, Work] | None]


class Live(QObject):
    """Shows what is wanted now, as soon as the last picture is done or given up; goes with its panel.

    Signals
    -------
    working
        What is shown is not what is set any more, and it takes a moment.
    shown
        The work whose layers have just been put in place, and whether a layer came into view by it.
    stopped
        It is not worked on any more, and nothing will be shown.
    failed
        The exception.
    """

    working = Signal()
    stopped = Signal()
    shown = Signal(object, bool)
    failed = Signal(object)

    def __init__(self, panel: QObject, viewer: Any, prepare: Prepare) -> None:
        super().__init__(panel)
        self.links = Links()
        self.on = False
        self._viewer, self._prepare = viewer, prepare
        self._wanted: Request | None = None  # of the job that runs, or that failed
        self._finished: Request | None = None  # what is shown, if all of it is
        self._image: Work | None = None  # whose cells come next
        self._lit: tuple[Hashable, tuple[float, float] | None] = ("", None)  # the last intensity range and of what
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY)
        self._timer.timeout.connect(self._update)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(PATIENCE)
        self._patience.timeout.connect(self.working)
        self.specimen, self.truth = Follower(viewer, self.ask), Follower(viewer, self.ask)

    def switch(self, on: bool) -> None:
        """Begin; or leave what is there as it is, and let go of the layers that were followed."""
        self.on, self._finished = on, None
        if on:
            set_aside(self._viewer, hidden=True)  # whatever was hidden comes back
            self._timer.start()
        else:
            self.pause()
            self.follow(None, None)

    def follow(self, specimen: Any, truth: Any) -> None:
        """Wait for changes of these layers; None for no layer."""
        self.specimen.follow(specimen)
        self.truth.follow(truth)

    def ask(self, *_: Any) -> None:
        """Something may have changed."""
        if self.on and not self.links.closed:
            self._timer.start()

    def pause(self) -> None:
        """Give up what is being worked on; ``ask`` goes on."""
        self._timer.stop()
        self._patience.stop()
        self._wanted = None
        if self.links.job is not None:
            self.links.job.cancel()
        self.stopped.emit()

    def _update(self) -> None:
        if not self.on or self.links.closed:
            return
        try:
            found = self._prepare()
        except DmuError as error:
            self._wanted = self._finished = None
            self.failed.emit(error)
            return
        if found is None:
            self.pause()  # the specimen has gone, or other work comes first
            return
        if found[0] in (self._wanted, self._finished):
            return
        if self.links.job is not None:
            self._wanted = None
            self.links.job.cancel()  # when it has ended it asks again
            return
        self._wanted, work = found
        self._finished = None
        if self._lit[0] == self._wanted.lit and work.specimen is not None:
            work = replace(work, specimen=replace(work.specimen, intensity_range=self._lit[1]))
        self._begin(partial(look, work, self._wanted.part), self._on_image)
        self._patience.start()

    def _begin(self, task: Task, succeeded: Callable[[Any], None]) -> None:
        job = Job(TITLE, task)
        job.succeeded.connect(succeeded)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        job.ended.connect(self.links.forget)
        job.ended.connect(self._on_ended)
        self.links.job = job
        job.start()

    def _is_there(self) -> bool:
        """Whether there still is something for a result to be shown on."""
        keys = {key_of(layer) for layer in self._viewer.layers} if not self.links.closed else set()
        return self._wanted is not None and self._wanted.specimen in keys

    def _on_image(self, work: Work) -> None:
        if not self._is_there():
            return
        assert self._wanted is not None
        assert work.specimen is not None
        self._lit = self._wanted.lit, work.specimen.intensity_range
        came = show(self._viewer, work.made)
        if self._wanted.cells:
            self._image = work
        else:
            set_aside(self._viewer, CELLS_ALONE)
            self._finished = self._wanted
        self.shown.emit(work, came)

    def _on_cells(self, work: Work) -> None:
        if self._is_there():
            came = show(self._viewer, work.made)
            self._finished = self._wanted
            self.shown.emit(work, came)

    def _on_failed(self, error: BaseException) -> None:
        self._drop_cells()
        self.failed.emit(error)

    def _on_cancelled(self) -> None:
        if self._wanted is not None:  # by the user: nothing else is under way
            self._drop_cells()
            self.stopped.emit()

    def _drop_cells(self) -> None:
        """Those that are shown are not the picture's, and there will be no others."""
        self._image = None
        if not self.links.closed:
            set_aside(self._viewer, CELLS_ALONE)

    def _on_ended(self) -> None:
        self._patience.stop()
        if self.links.closed:
            return
        work, self._image = self._image, None
        if work is not None and self.on:
            self._begin(partial(look_for_cells, work), self._on_cells)
        else:
            self.ask()
