"""``napari-dmu register``: where the patterns really lie on the camera, from a frame of dots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_dmu.cli.options import AsJson

if TYPE_CHECKING:
    from napari_dmu.microscope.acquisition import Registration

# Specimen pixels; twice as much costs the learned set at x64 1.8 dB (docs/results.md, "Robustness").
SMALL = 0.25


def register(
    run: Annotated[Path, typer.Argument(help="YAML file of the camera run.", show_default=False)],
    frames: Annotated[
        list[Path],
        typer.Argument(help="TIFF of the frame 'dots' on an even slide; several are averaged.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Find where the patterns lie on the camera's frames, to be written into the YAML file."""
    import json

    from napari_dmu.cli.running import say
    from napari_dmu.files.camera_run import read_run
    from napari_dmu.files.registration import measure_registration
    from napari_dmu.microscope.acquisition import Registration

    found = measure_registration(run, frames)
    r = found.registration
    if as_json:
        figures = {"dots": found.dots, "residual": found.residual, "largest_displacement": found.largest}
        say(json.dumps({"registration": r.model_dump(), **figures}, indent=2))
        return
    say(f"registration: {{shift: [{r.shift[0]:g}, {r.shift[1]:g}], rotation: {r.rotation:g}, scale: {r.scale:g}}}")
    say(
        f"From {found.dots} dots, which lie within {found.residual:.2f} specimen pixels of it (root mean square); the "
        f"largest displacement in the field is {found.largest:.1f} specimen pixels."
    )
    say(where_they_lie(r))
    had = read_run(run).registration != Registration()
    if found.largest > SMALL:
        instead = " in place of the one that is there" if had else ""
        say(f"Write the first line into {run.name}{instead}, with 'align: resample' for the learned decoder.")
    else:
        say(f"That is small enough to be left alone{f': take the registration out of {run.name}' if had else ''}.")


def where_they_lie(r: Registration) -> str:
    """A registration in words: it says from where the patterns' light comes, so they lie the opposite way."""
    down, right = -r.shift[0], -r.shift[1]
    sense = "clockwise" if r.rotation > 0 else "anticlockwise"
    turned = f", turned by {abs(r.rotation):g}° {sense}" if r.rotation else ""
    return (
        f"On the frames, turned as 'orientation' says, the patterns lie {abs(down):g} specimen pixels too far "
        f"{'down' if down > 0 else 'up'} and {abs(right):g} too far {'right' if right > 0 else 'left'}{turned}."
    )
