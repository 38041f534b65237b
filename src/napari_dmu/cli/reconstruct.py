"""``napari-dmu reconstruct``: the image back from a measurement."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from napari_dmu.cli.options import Device, MeasurementFile, Output


class Method(StrEnum):
    """How to invert the measurement."""

    learned = "learned"
    lmmse = "lmmse"
    ridge = "ridge"
    tv = "tv"


def reconstruct(
    measurement: MeasurementFile,
    output: Output,
    method: Annotated[
        Method, typer.Option(help="Trained decoder, its linear part, or a classical inverse.")
    ] = Method.learned,
    flips: Annotated[
        bool, typer.Option("--flips", help="Mean over eight mirrored measurements, eight times as slow; plain sets.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Reconstruct the image of a measurement.

    The file alone is enough. The image is float32 in the specimen's own intensity units.
    """
    from napari_dmu.cli.running import Work, check_image_output, notes_of, say_written
    from napari_dmu.files.measurement import files_of_measurement, read_measurement
    from napari_dmu.files.specimen import write_image

    check_image_output(output, *files_of_measurement(measurement))
    measured = read_measurement(measurement)

    from napari_dmu.engine import verbs

    with Work() as work:
        image = verbs.reconstruct(
            measured,
            method=method.value,
            flips=flips,
            device=device,
            progress=work.progress,
            cancel=work.cancel,
        )
    info = measured.info
    notes_of(info)
    write_image(output, image, axes=info.axes, scale=info.scale, units=info.units, translate=info.translate)
    say_written(output, image.shape, info.axes, image.dtype, "reconstruction")
