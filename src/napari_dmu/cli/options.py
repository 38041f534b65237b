"""Options that several commands share, so that they are called and explained alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def parse_ratio(text: str | float) -> float:
    """``64``, ``x64`` or ``×64`` as a number."""
    try:
        return float(str(text).strip().lstrip("×xX"))
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no compression ratio such as 64") from error


Output = Annotated[Path, typer.Option("-o", "--output", help="OME-TIFF or OME-Zarr to write, replaced if there.")]
SetName = Annotated[str, typer.Option("--set", help="Pattern set, see 'napari-dmu sets'.")]
Ratio = Annotated[
    float,
    typer.Option(
        "--ratio", parser=parse_ratio, metavar="NUMBER", help="Compression ratio: pixels per sample.", show_default="64"
    ),
]
Family = Annotated[str, typer.Option("--family", help="Pattern family of the set.")]
Photons = Annotated[
    float | None,
    typer.Option("--photons", help="Peak photons of a specimen pixel in one exposure.", show_default="the set's own"),
]
ReadNoise = Annotated[
    float | None, typer.Option("--read-noise", help="Electrons per detector pixel.", show_default="the set's own")
]
Background = Annotated[
    float | None, typer.Option("--background", help="Photons per detector pixel.", show_default="the set's own")
]
Detector = Annotated[
    str | None,
    typer.Option("--detector", help="ideal, scmos, emccd, pmt_array or spad_array.", show_default="the set's own"),
]
AcquisitionFile = Annotated[
    Path | None,
    typer.Option(
        "--acquisition",
        help="YAML file with other acquisition settings (PSFs, contrast, registration, …).",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the noise.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, … or mps.")]
Luminance = Annotated[bool, typer.Option("--luminance", help="Take the luminance of a colour image.")]
Channel = Annotated[
    int | None,
    typer.Option(
        "--channel", min=0, metavar="NUMBER", help="The one channel to take, from 0.", show_default="all, together"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
MeasurementFile = Annotated[Path, typer.Argument(help="A file that 'simulate' wrote.", show_default=False)]
