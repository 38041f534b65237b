"""``napari-dmu assess``: how far a reconstruction is to be trusted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_dmu.cli.options import AsJson, Device, MeasurementFile

if TYPE_CHECKING:
    from napari_dmu.engine.assessment import Assessment

FILES = ("error_bar.tif", "imagined.tif", "chi_square.tif")


def assess(
    measurement: MeasurementFile,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the maps, made if it is not there.")],
    reconstruction: Annotated[
        Path | None,
        typer.Option(help="Image to judge, made of this measurement.", show_default="the learned reconstruction"),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say how far the reconstruction of a measurement is to be trusted.

    Writes error_bar.tif (where the pattern set has error bars), imagined.tif (what the data do not determine) and
    chi_square.tif (misfit of every detector pixel, 1 is noise), and prints one sentence. The exit status is 0
    whatever the verdict.
    """
    from napari_dmu.cli.running import Work, check_output, notes_of, say, say_written
    from napari_dmu.files.measurement import files_of_measurement, read_measurement
    from napari_dmu.files.specimen import read_grey, write_image

    _check_folder(output)
    if output.is_dir():
        inputs = [*files_of_measurement(measurement), *([] if reconstruction is None else [reconstruction])]
        for name in FILES:
            check_output(output / name, *inputs)
    measured = read_measurement(measurement)
    image = None if reconstruction is None else read_grey(reconstruction).data

    from napari_dmu.engine import verbs

    with Work() as work:
        found = verbs.assess(measured, image, device=device, progress=work.progress, cancel=work.cancel)
    info = measured.info
    notes_of(info)
    placed: dict[str, Any] = {"axes": info.axes, "scale": info.scale, "units": info.units, "translate": info.translate}
    coarse: dict[str, Any] = {"axes": info.axes}  # the measurement's axes but the pattern's
    coarse |= {key: _without_pattern(getattr(measured, key)) for key in ("scale", "units", "translate")}
    maps = (
        (found.error_bar, placed, "error bar"),
        (found.imagined, placed, "imagined part"),
        (found.chi_square_map, coarse, "χ² of every detector pixel"),
    )
    _make(output)
    for name, (data, where, what) in zip(FILES, maps, strict=True):
        if data is None:
            (output / name).unlink(missing_ok=True)  # of an older run: it does not belong to these maps
            continue
        write_image(output / name, data, **where)
        if not as_json:
            say_written(output / name, data.shape, info.axes, data.dtype, what)
    say(json.dumps(flat(found), indent=2, ensure_ascii=False) if as_json else found.sentence)


def flat(found: Assessment) -> dict[str, Any]:
    """The figures by name; None where there is none (JSON knows no NaN)."""
    names = ("chi_square", "misfit", "limit", "imagined_fraction", "saturated", "level")
    figures = {name: getattr(found, name) for name in names}
    planes = [{**vars(plane), "verdict": plane.verdict} for plane in found.planes]
    whole = {"fits": found.fits, "verdict": found.verdict, "sentence": found.sentence, **figures}
    return {**_finite(whole), "planes": [_finite(plane) for plane in planes]}


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _without_pattern(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*values[:-3], *values[-2:])


def _check_folder(folder: Path) -> None:
    """Refuse, before any work is done, a folder that cannot be made or written to.

    Raises
    ------
    FileError
    """
    from napari_dmu.cli.running import check_folder
    from napari_dmu.errors import FileError

    if folder.exists() and not folder.is_dir():
        raise FileError(f"'{folder}' is a file: give the name of a folder to write to.")
    check_folder(folder if folder.is_dir() else folder.absolute().parent)


def _make(folder: Path) -> None:
    from napari_dmu.errors import FileError

    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise FileError(f"The folder '{folder}' cannot be made ({error.strerror}): choose another one.") from error
