"""``napari-dmu budget``: what an acquisition costs and yields, before anything is measured."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from napari_dmu.cli.options import (
    AcquisitionFile,
    AsJson,
    Background,
    Detector,
    Family,
    Photons,
    Ratio,
    ReadNoise,
    SetName,
)


def budget(
    set_name: SetName = "nuclei",
    ratio: Ratio = 64.0,
    family: Family = "learned",
    detector: Detector = None,
    photons: Photons = None,
    background: Background = None,
    read_noise: ReadNoise = None,
    exposure_time: Annotated[
        float | None, typer.Option(help="Seconds of one exposure.", show_default="the set's own")
    ] = None,
    switching_time: Annotated[
        float | None, typer.Option(help="Seconds between two exposures.", show_default="the set's own")
    ] = None,
    acquisition: AcquisitionFile = None,
    as_json: AsJson = False,
) -> None:
    """Samples, light, time and noise of an acquisition, and what physics will not allow."""
    from napari_dmu.cli.reading import read_acquisition
    from napari_dmu.engine.arguments import settings_of
    from napari_dmu.engine.verbs import load
    from napari_dmu.microscope.budget import light_budget
    from napari_dmu.microscope.digits import NARROW
    from napari_dmu.microscope.presets import PRESETS

    instrument = load(set_name, ratio=ratio, family=family)
    light = {
        "photons": photons,
        "background": background,
        "read_noise": read_noise,
        "exposure_time": exposure_time,
        "switching_time": switching_time,
    }
    # What is said on the command line goes before the file, and that before the preset: as 'simulate' has it.
    further = None if acquisition is None else read_acquisition(acquisition)
    card = light_budget(settings_of(instrument.acquisition, detector, light, further), instrument.patterns)
    if as_json:
        typer.echo(card.model_dump_json(indent=2))
        return

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A pipe or file has no width: long lines stay whole there, up to a point.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    title = f"×{instrument.ratio:g} {instrument.name}, {instrument.family}"
    if detector is not None:
        title += f" · {PRESETS[detector].title}"
    console.print(Text(title, style="bold"))
    table = Table.grid(padding=(0, 2))
    narrow = (sys.stdout.encoding or "").lower().startswith("utf")
    for label, value in card.lines():
        table.add_row(Text(label), Text(value if narrow else value.replace(NARROW, " ")))
    console.print(table)
    for caution in card.warnings:
        console.print(Text.assemble(("Warning: ", "bold yellow"), f"{caution.text} {caution.suggestion}"))
