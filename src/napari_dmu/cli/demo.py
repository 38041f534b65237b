"""``napari-dmu demo``: the shipped specimen through the whole chain, in a window or as files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_dmu.cli.options import Device, Family, Photons, Ratio, Seed, SetName

SAMPLE = "nuclei_2d"
FOLDER = Path("demo-output")
# Tried in another process: where Qt finds no display it does not raise, it ends the process.
_PROBE = "import napari; from qtpy.QtWidgets import QApplication; QApplication([])"
_PROBE_SECONDS = 120


def demo(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder for the files, as --output names it.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Folder for the files, made where it is missing.", show_default=str(FOLDER)
        ),
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Write files even where a window could open.")] = False,
    set_name: SetName = "nuclei",
    ratio: Ratio = 64.0,
    family: Family = "learned",
    photons: Photons = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """The whole chain on a sample: a window, or files.

    A specimen that comes along is measured, reconstructed, segmented and compared with the truth. Where there is no
    display, pictures, TIFFs and a report are written into a folder, in place of files of the same names.
    """
    from napari_dmu.cli.running import say
    from napari_dmu.errors import SettingsError

    if folder is not None and output is not None:
        raise SettingsError("The folder for the files is given twice: name it once, with or without --output.")
    if headless or not display_there():
        if not headless:
            say("There is no display for a window, so files are written instead.")
        write_demo(folder or output or FOLDER, set_name, ratio, family, photons, seed, device)
        return

    from napari_dmu.engine.verbs import load
    from napari_dmu.viewer.demo import open_demo

    load(set_name, ratio=ratio, family=family)  # where there is none, say so before a window opens
    say("Opening napari; the command ends when the window is closed.")
    open_demo(SAMPLE, set_name=set_name, ratio=ratio, family=family, photons=photons, seed=seed, device=device)


def display_there() -> bool:
    """Whether a napari window can open: a display, a Qt binding, and the two get on."""
    if os.environ.get("QT_QPA_PLATFORM", "").split(":")[0] in ("offscreen", "minimal", "vnc"):
        return False
    unix = sys.platform not in ("win32", "darwin")
    if unix and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=_PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def write_demo(
    folder: Path, set_name: str, ratio: float, family: str, photons: float | None, seed: int, device: str
) -> None:
    """Specimen, measurement, reconstruction and labels as TIFF, ``panel.png`` and ``report.html`` in ``folder``."""
    import time

    from napari_dmu.cli.running import Work, check_folder, say
    from napari_dmu.engine import verbs
    from napari_dmu.engine.report import DemoRun, demo_panel, demo_report, png
    from napari_dmu.errors import FileError
    from napari_dmu.files.atomic import atomic_path
    from napari_dmu.files.measurement import write_measurement
    from napari_dmu.files.samples import sample_folder
    from napari_dmu.files.specimen import read_specimen, write_like

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"The folder '{folder}' cannot be made ({error.strerror}): choose another one.") from error
    check_folder(folder)
    instrument = verbs.load(set_name, ratio=ratio, family=family)
    specimen = read_specimen(sample_folder() / f"{SAMPLE}.tif")
    truth = read_specimen(sample_folder() / f"{SAMPLE}_labels.tif")
    seconds: dict[str, float] = {}
    with Work() as work:
        start = time.perf_counter()
        measurement = verbs.simulate(
            specimen.data,
            instrument,
            photons=photons,
            seed=seed,
            device=device,
            progress=work.progress,
            cancel=work.cancel,
            **specimen.placed,
        )
        seconds["Measure"] = time.perf_counter() - start
        start = time.perf_counter()
        image = verbs.reconstruct(
            measurement, instrument=instrument, device=device, progress=work.progress, cancel=work.cancel
        )
        seconds["Reconstruct"] = time.perf_counter() - start
        labels = None
        if instrument.segmenter is not None:
            start = time.perf_counter()
            labels = verbs.segment(
                measurement, instrument=instrument, device=device, progress=work.progress, cancel=work.cancel
            )
            seconds["Segment"] = time.perf_counter() - start
        comparison = verbs.compare(
            image,
            specimen.data,
            labels=labels,
            truth_labels=None if labels is None else truth.data,
            progress=work.progress,
            cancel=work.cancel,
        )
    run = DemoRun(specimen, measurement, image, labels, comparison, instrument.header, seconds)
    panel = png(demo_panel(run))

    # Named after what they are; the measurement's name is one that the napari plugin opens as such.
    written = ["specimen.ome.tif", "measurement.dmu.ome.tif", "reconstruction.ome.tif"]
    write_like(folder / written[0], specimen.data, specimen)
    write_measurement(folder / written[1], measurement)
    write_like(folder / written[2], image, specimen)
    if labels is not None:
        written.append("labels.ome.tif")
        write_like(folder / written[3], labels, specimen, labels=True)
    else:
        (folder / "labels.ome.tif").unlink(missing_ok=True)  # of a former run: they would pass for this image's
    written += ["panel.png", "report.html"]
    with atomic_path(folder / "panel.png") as path:
        path.write_bytes(panel)
    with atomic_path(folder / "report.html") as path:
        path.write_text(demo_report(run, panel, written[:-1]), encoding="utf-8")

    say(f"×{instrument.ratio:g} fewer samples: PSNR {comparison.psnr:.1f} dB, SSIM {comparison.ssim:.3f}.")
    if comparison.f1 is not None:
        say(f"Cells: {comparison.count} found, {comparison.truth_count} in truth, F1 {comparison.f1:.3f}.")
    say(f"Written to {folder.resolve()}:")
    for name in written:
        say(f"  {name}")
