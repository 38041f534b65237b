"""Progress and cancellation, the same for every door."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

from napari_dmu.errors import Cancelled

# Called with (done, total, what is going on); from the thread that does the work.
Progress: TypeAlias = Callable[[int, int, str], None]


class CancelToken:
    """Set from any thread to stop work at its next check."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the work was asked to stop."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise ``Cancelled`` if the work was asked to stop."""
        if self._event.is_set():
            raise Cancelled("Stopped: nothing was changed.")


def check(cancel: CancelToken | None) -> None:
    """Check a token that may be absent."""
    if cancel is not None:
        cancel.check()


def report(progress: Progress | None, done: int, total: int, what: str) -> None:
    """Report to a callback that may be absent."""
    if progress is not None:
        progress(done, total, what)
