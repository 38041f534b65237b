"""``napari-dmu``: the commands, and what becomes of errors and interruptions.

Exit status: 0 done, 2 wrong use or bad input (one sentence on stderr), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Annotated, TextIO

import typer

from napari_dmu._version import __version__
from napari_dmu.cli.add_set import add_set
from napari_dmu.cli.assess import assess
from napari_dmu.cli.budget import budget
from napari_dmu.cli.compare import compare
from napari_dmu.cli.demo import demo
from napari_dmu.cli.export_patterns import export_patterns
from napari_dmu.cli.info import info
from napari_dmu.cli.limits import limits
from napari_dmu.cli.reconstruct import reconstruct
from napari_dmu.cli.register import register
from napari_dmu.cli.run import run
from napari_dmu.cli.segment import segment
from napari_dmu.cli.sets import sets
from napari_dmu.cli.simulate import simulate
from napari_dmu.cli.train import train
from napari_dmu.errors import Cancelled, DmuError

BAD, INTERRUPTED, TERMINATED = 2, 130, 128 + signal.SIGTERM
# What a disk says that can take no more; Windows knows no quotas.
_DISK = (errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC))

app = typer.Typer(
    help="See what a compressive fluorescence microscope would see of your own images.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: it starts three times as fast
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"napari-dmu {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """See what a compressive fluorescence microscope would see of your own images."""


for _command in (
    demo,
    sets,
    add_set,
    budget,
    simulate,
    reconstruct,
    assess,
    segment,
    compare,
    export_patterns,
    register,
    limits,
    run,
    train,
    info,
):
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        What follows ``napari-dmu`` on the command line; taken from there where not given.

    Returns
    -------
    int
        The exit status.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # not every console knows × and µ
    try:
        with _termination_cleans_up():
            status = int(app(given or ["--help"], prog_name="napari-dmu", standalone_mode=False) or 0)
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a reader that has gone can still be dealt with
            if status == INTERRUPTED:  # newer versions of typer make this of Ctrl+C
                raise KeyboardInterrupt
            return status
    except Cancelled as error:
        return _fail(str(error), INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("Interrupted: nothing was left half-written.", INTERRUPTED)
    except DmuError as error:
        return _fail(str(error), BAD)
    except MemoryError:
        return _fail("The memory of this machine is not enough: crop the image or close other programs.", BAD)
    except BrokenPipeError:
        _drop(sys.stdout)
        return 0
    except OSError as error:
        # Files are written in blocks that make sentences of such errors: what is left is the terminal, or a file there.
        if error.errno not in _DISK or error.filename is not None:
            raise
        _drop(sys.stdout)
        reason = error.strerror
        return _fail(f"The output cannot be written ({reason}): make room on the disk or send it elsewhere.", BAD)
    except Exception as error:
        # Typer's errors of usage have no common public name in all versions, but all can say what is wrong.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _fail(_usage(error.format_message(), given), BAD)
        raise


def _usage(message: str, given: Sequence[str]) -> str:
    """One sentence on wrong use, and where to read more."""
    names = {command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback}
    command = f" {given[0]}" if given and given[0] in names else ""
    plain = " ".join(message.replace("Value error, ", "").split()).rstrip(".")  # pydantic's, where typer uses it
    return f"{plain}: see 'napari-dmu{command} --help'."


def _fail(sentence: str, status: int) -> int:
    with contextlib.suppress(OSError):
        print(" ".join(sentence.split()), file=sys.stderr)  # noqa: T201
    return status


def _drop(stream: TextIO) -> None:
    """Nobody reads on (``| head``): keep Python from saying so at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def _termination_cleans_up() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that temporary files are removed on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
