"""``napari-dmu segment``: cells straight from a measurement."""

from __future__ import annotations

from napari_dmu.cli.options import Device, MeasurementFile, Output


def segment(measurement: MeasurementFile, output: Output, device: Device = "auto") -> None:
    """Label the cells in a measurement.

    0 is background; every cell of a plane has a number of its own.
    """
    from napari_dmu.cli.running import Work, check_image_output, counted, say, say_written
    from napari_dmu.files.measurement import read_measurement
    from napari_dmu.files.specimen import write_image

    check_image_output(output, measurement)
    measured = read_measurement(measurement)

    from napari_dmu.engine import verbs

    with Work() as work:
        labels = verbs.segment(measured, device=device, progress=work.progress, cancel=work.cancel)
    info = measured.info
    write_image(
        output, labels, axes=info.axes, scale=info.scale, units=info.units, translate=info.translate, labels=True
    )
    say_written(output, labels.shape, info.axes, labels.dtype, "labels")
    cells = int(labels.max(axis=(-2, -1)).sum())
    say(f"Found {counted(cells, 'cell')} in {counted(measured.planes, 'plane')}.")
