"""What ties a panel to the viewer, and how it is undone."""

from collections.abc import Callable
from functools import partial
from typing import Any

from napari_dmu.viewer.worker import Job


class Links:
    """What ties the panel to the viewer; outlives the panel just long enough to be undone."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.closed = False
        self._undo: list[Callable[[], Any]] = []

    def connect(self, emitter: Any, callback: Callable[..., Any]) -> None:
        """Connect a callback to one of napari's events."""
        emitter.connect(callback)
        self._undo.append(partial(emitter.disconnect, callback))

    def forget(self) -> None:
        """The job is over."""
        self.job = None

    def release(self, *_: Any) -> None:
        """Stop the work and undo the connections."""
        self.closed = True
        if self.job is not None:
            self.job.cancel()
        self.undo()

    def undo(self) -> None:
        """Undo the connections; others may be made."""
        while self._undo:
            self._undo.pop()()
