"""``napari-dmu simulate``: what the compressive microscope would measure of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_dmu.cli.options import (
    AcquisitionFile,
    Background,
    Channel,
    Detector,
    Device,
    Family,
    Luminance,
    Output,
    Photons,
    Ratio,
    ReadNoise,
    Seed,
    SetName,
)


def simulate(
    specimen: Annotated[Path, typer.Argument(help="TIFF or OME-Zarr, a plane or a stack.", show_default=False)],
    output: Output,
    set_name: SetName = "nuclei",
    ratio: Ratio = 64.0,
    family: Family = "learned",
    photons: Photons = None,
    read_noise: ReadNoise = None,
    background: Background = None,
    detector: Detector = None,
    acquisition: AcquisitionFile = None,
    intensity_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Specimen values that count as dark and fully bright, in place of the 0.1 and 99.9 percentiles: "
            "the same for images that belong together.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    luminance: Luminance = False,
    channel: Channel = None,
) -> None:
    """Measure an image or stack, with noise."""
    from napari_dmu.cli.reading import read_acquisition, read_channel
    from napari_dmu.cli.running import Work, check_image_output, note, notes_of, say_written
    from napari_dmu.files.measurement import write_measurement
    from napari_dmu.files.specimen import shared_range

    check_image_output(output, specimen)
    image = read_channel(specimen, luminance=luminance, channel=channel)

    from napari_dmu.engine import verbs

    instrument = verbs.load(set_name, ratio=ratio, family=family)
    with Work() as work:
        measurement = verbs.simulate(
            image.data,
            instrument,
            photons=photons,
            read_noise=read_noise,
            background=background,
            detector=detector,
            acquisition=None if acquisition is None else read_acquisition(acquisition),
            intensity_range=intensity_range,
            seed=seed,
            device=device,
            progress=work.progress,
            cancel=work.cancel,
            **image.placed,
        )
    write_measurement(output, measurement)
    notes_of(image)
    for line in shared_range(image, "--channel"):
        note(line)
    notes_of(measurement.info)
    what = f"measurement at ×{instrument.ratio:g} {instrument.name}, {instrument.family}"
    say_written(output, measurement.data.shape, measurement.axes, measurement.data.dtype, what)
