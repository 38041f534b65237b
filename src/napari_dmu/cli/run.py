"""``napari-dmu run``: a whole folder of images through the microscope."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_dmu.cli.options import Device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dmu.engine.batch import BatchOutcome

HEADINGS = ("image", "", "PSNR (dB)", "SSIM", "cells", "in truth", "F1", "AP50")


def run(
    config: Annotated[
        Path, typer.Argument(help="YAML file: which images, which pattern set, where to.", show_default=False)
    ],
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a dask scheduler whose workers see the same folders.", show_default="none"),
    ] = None,
    device: Device = "auto",
) -> None:
    """Measure, reconstruct, segment and compare a whole folder of images.

    The same command goes on where it was stopped; images that are done are passed over. An image that cannot be read
    is noted at the end, the others are done. scores.csv holds a row an image.
    """
    from napari_dmu.cli.reading import read_mapping
    from napari_dmu.cli.running import Work, check_folder, counted, note, say
    from napari_dmu.engine.batch import TABLE, run_batch
    from napari_dmu.engine.batch_plan import plan_run, run_settings
    from napari_dmu.errors import Cancelled, FileError
    from napari_dmu.files.kernel import with_kernels

    content = read_mapping(config)
    if isinstance(acquisition := content.get("acquisition"), dict):
        content["acquisition"] = with_kernels(acquisition, config.parent)
    settings = run_settings(content, config.name)
    jobs = plan_run(settings, config.absolute().parent)
    bare = [job.name for job in jobs if job.truth is None]
    if settings.truth is not None and bare:
        note(f"{counted(len(bare), 'image')} of {len(jobs)} have no mask ('{bare[0]}'): their cells are not scored.")
    folder = jobs[0].folder
    if not folder.exists() and folder.parent.is_dir():
        folder.mkdir()
    check_folder(folder)
    try:
        with Work() as work:
            outcomes = run_batch(
                jobs, settings, device=device, scheduler=scheduler, progress=work.progress, cancel=work.cancel
            )
    except (Cancelled, KeyboardInterrupt) as error:
        raise Cancelled("Stopped: what is done stays, and the same command goes on.") from error
    _print(outcomes)
    say(f"Wrote {folder / TABLE} and the results beside it.")
    _print_notes(outcomes)
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    for outcome in failed:
        note(f"{outcome.job.shown}: {outcome.error}")
    if failed:
        raise FileError(f"{len(failed)} of {len(outcomes)} images failed: see the notes above.")


def _print_notes(outcomes: Sequence[BatchOutcome]) -> None:
    """What the user should know of the images; the same of several of them once."""
    from napari_dmu.cli.running import note

    images: dict[str, list[str]] = {}
    for outcome in outcomes:
        for line in outcome.notes:
            images.setdefault(line, []).append(outcome.job.shown)
    for line, (first, *others) in images.items():
        note(f"{first}{f' and {len(others)} more' if others else ''}: {line}")


def _print(outcomes: Sequence[BatchOutcome]) -> None:
    from napari_dmu.cli.running import figure, print_table
    from napari_dmu.engine.batch_plan import readable

    forms = (("psnr", ".2f"), ("ssim", ".4f"), ("count", "d"), ("truth_count", "d"), ("f1", ".3f"), ("ap50", ".3f"))
    rows = [
        (readable(o.job.name), o.state, *(figure(o.figures.get(key), form) for key, form in forms)) for o in outcomes
    ]
    print_table("Images", HEADINGS, rows, left=2)
