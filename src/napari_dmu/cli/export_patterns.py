"""``napari-dmu export-patterns``: the illumination patterns as frames for a DMD."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_dmu.cli.options import Family, Ratio, SetName


class Format(StrEnum):
    """File format of the frames."""

    png = "png"
    bmp = "bmp"
    tiff = "tiff"


def export_patterns(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; an older export in it is replaced.")],
    set_name: SetName = "nuclei",
    ratio: Ratio = 64.0,
    family: Family = "learned",
    format: Annotated[Format, typer.Option("--format", help="1-bit frames of this kind.")] = Format.png,
    dmd: Annotated[
        str, typer.Option("--dmd", metavar="SIZE|CHIP", help="Columns x rows, or a chip such as DLP6500.")
    ] = "1920x1080",
    mirrors_per_pixel: Annotated[
        int, typer.Option("--mirrors-per-pixel", min=1, help="Mirrors along a side of a pattern pixel.")
    ] = 1,
    packed: Annotated[
        bool, typer.Option("--packed", help="Also 24-bit RGB frames that hold 24 binary frames each.")
    ] = False,
    orientation: Annotated[
        bool, typer.Option(help="Also frames for adjustment: which way is up, all on, all off.")
    ] = True,
) -> None:
    """Write the patterns of a set as frames for a micromirror device (DMD).

    manifest.json in the folder says in which order they are shown, where a tile begins, and their checksums; run.yaml
    is the beginning of the description of the camera's frames.
    """
    from napari_dmu.cli.running import check_folder, note, say
    from napari_dmu.files.dmd import export_patterns as export
    from napari_dmu.files.manifest import RUN

    check_folder(output.absolute().parent)

    from napari_dmu.engine import verbs

    instrument = verbs.load(set_name, ratio=ratio, family=family)
    manifest = export(
        instrument,
        output,
        format=format.value,
        dmd=dmd,
        mirrors_per_pixel=mirrors_per_pixel,
        packed=packed,
        orientation=orientation,
    )
    run = (output / RUN).read_text(encoding="utf-8", errors="replace")
    if manifest.set_hash not in run:
        note(
            f"{output / RUN} was there before and is kept, without this set_hash: correct its set, ratio and set_hash."
        )
    pixel = "" if manifest.pixel_pitch is None else f", a pattern pixel of {manifest.pixel_pitch:g} µm"
    frames = len(manifest.frames) + len(manifest.packed)
    say(
        f"Wrote {output} ({manifest.exposures} exposure{'' if manifest.exposures == 1 else 's'} of "
        f"{manifest.set_name} ×{manifest.ratio:g}, "
        f"{manifest.family}: {frames} frames for {manifest.chip}, {manifest.columns} × {manifest.rows} mirrors{pixel})."
    )
