"""What the commands share while they work: outputs checked beforehand, progress, interruption, tables."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import typer

from napari_dmu.errors import FileError

if TYPE_CHECKING:
    from napari_dmu.engine.progress import CancelToken, Progress
    from napari_dmu.files.specimen import Specimen
    from napari_dmu.microscope.measurement import MeasurementInfo


def check_folder(folder: Path) -> None:
    """Refuse a folder that does not exist, is a file, or cannot be written to, before any work is done for it.

    Raises
    ------
    FileError
    """
    if folder.exists() and not folder.is_dir():
        raise FileError(f"'{folder}' is a file and no folder: choose another name.")
    if not folder.is_dir():
        raise FileError(f"The folder '{folder}' does not exist: make it first.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FileError(
            f"Nothing can be written to the folder '{folder}' ({error.strerror}): choose another one."
        ) from error


def check_image_output(output: Path, *inputs: Path) -> None:
    """Refuse an image or measurement that cannot be written or is one of the inputs, before work is done for it.

    Raises
    ------
    FileError
    """
    from napari_dmu.files.ome import check_suffix
    from napari_dmu.files.zarr_measurement import check_zarr_place, is_zarr_name

    if is_zarr_name(output):
        _check_place(output, inputs)
        check_zarr_place(output)
    else:
        check_suffix(output)
        check_output(output, *inputs)


def check_output(output: Path, *inputs: Path) -> None:
    """See ``check_image_output``; for any kind of file."""
    if output.is_dir():
        raise FileError(f"'{output}' is a folder: give the name of a file to write.")
    _check_place(output, inputs)


def _check_place(output: Path, inputs: Sequence[Path]) -> None:
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            which = "the input itself" if path == inputs[0] else "one of the inputs"
            raise FileError(f"'{output}' is {which}: give another name to write to.")
    check_folder(output.absolute().parent)


class Work:
    """A stretch of long work: a progress bar where somebody looks, and Ctrl+C stops it between two planes or tiles.

    Attributes
    ----------
    progress
        For the verbs; None where stderr is no terminal.
    cancel
        Set by the first Ctrl+C; the second one interrupts at once.
    """

    def __init__(self) -> None:
        from napari_dmu.engine.progress import CancelToken

        self.cancel: CancelToken = CancelToken()
        self.progress: Progress | None = None
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Work:
        if threading.current_thread() is threading.main_thread():
            self._exit.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, self._interrupt))
        if sys.stderr.isatty():
            self.progress = self._exit.enter_context(_bar())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()
        if error is None:
            self.cancel.check()  # asked to stop after the last plane: write nothing

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.cancel.cancelled:
            raise KeyboardInterrupt
        self.cancel.cancel()


@contextlib.contextmanager
def _bar() -> Iterator[Progress]:
    """A rich progress bar on stderr as a progress callback; it disappears at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Starting", total=None)

        def report(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield report


def say(line: str) -> None:
    """What a command has done, on stdout."""
    typer.echo(line)


def note(line: str) -> None:
    """What the user should know besides, on stderr."""
    typer.echo(f"Note: {line}", err=True)


def say_written(path: Path, shape: Sequence[int], axes: Sequence[str], dtype: Any, what: str) -> None:
    """One line on a file that was written."""
    sizes = " × ".join(f"{name} {size}" for name, size in zip(axes, shape, strict=True))
    say(f"Wrote {path} ({what}: {sizes}, {dtype}).")


def notes_of(found: Specimen | MeasurementInfo, path: Path | None = None) -> None:
    """Pass on what the reader left out or changed, or what a measurement suffers from that no picture shows.

    With the name of the file where there are several.
    """
    for line in found.notes:
        note(line if path is None else f"{path.name}: {line}")


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """A table on stdout; the first ``left`` columns are text, the others figures.

    Where stdout is no terminal it is as wide as it needs to be, so that no figure is cut off in a file or pipe.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < left else "right", no_wrap=number >= left)
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(Text(title, style="bold"), table, sep="\n")


def figure(value: float | None, form: str) -> str:
    """A figure for a table; an en dash where there is none."""
    return "–" if value is None else format(value, form)


def counted(number: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
