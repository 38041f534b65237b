"""``napari-dmu segment``: cells straight from a measurement, or by another segmenter from its reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_dmu.cli.options import Device, MeasurementFile, Output


def _list(wanted: bool) -> None:
    """Name the segmenters and end."""
    if not wanted:
        return
    from napari_dmu.cli.running import say
    from napari_dmu.segmentation.registry import available_segmenters

    for one in available_segmenters():
        note = f"needs: {one.lacks}" if one.lacks else one.origin
        say(f"{one.name:<18}{note}".rstrip())
    raise typer.Exit


def segment(
    measurement: MeasurementFile,
    output: Output,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="CSV to write: area, intensity, place and shape of every cell.", metavar="FILE"),
    ] = None,
    segmenter: Annotated[
        str, typer.Option("--segmenter", help="What finds the cells, see --list.", metavar="NAME")
    ] = "pattern set",
    listing: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="Name the segmenters there are, and end.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Label the cells in a measurement.

    0 is background; every cell of a plane has a number of its own. The pattern set's segmenter reads the measurement
    itself, any other one its reconstruction.
    """
    from napari_dmu.cli.running import Work, check_image_output, check_output, notes_of, say, say_written
    from napari_dmu.files.measurement import files_of_measurement, read_measurement
    from napari_dmu.files.specimen import write_image
    from napari_dmu.files.table import check_table_name, write_table

    inputs = files_of_measurement(measurement)
    check_image_output(output, *inputs)
    if table is not None:
        check_table_name(table)
        check_output(table, *inputs)
    measured = read_measurement(measurement)

    from napari_dmu.engine.cells import cell_table, count_sentence, counts_of, find_cells, find_labels

    with Work() as work:
        options = {"segmenter": segmenter, "device": device, "progress": work.progress, "cancel": work.cancel}
        cells = None if table is None else find_cells(measured, **options)
        labels = find_labels(measured, **options) if cells is None else cells.labels
    info = measured.info
    notes_of(info)
    write_image(
        output, labels, axes=info.axes, scale=info.scale, units=info.units, translate=info.translate, labels=True
    )
    say_written(output, labels.shape, info.axes, labels.dtype, "labels")
    if cells is not None and table is not None:
        write_table(table, cell_table(cells, info))
        say(f"Wrote {table} (a row a cell).")
    say(f"Found {count_sentence(counts_of(labels))}.")
