"""A whole folder of images through the microscope, one after the other, resumable: ``napari-dmu run``."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_dmu._version import __version__
from napari_dmu.engine.arguments import geometry_of
from napari_dmu.engine.batch_plan import (
    LABELS,
    MEASUREMENT,
    RECONSTRUCTION,
    BatchJob,
    RunSettings,
    image_seed,
    readable,
)
from napari_dmu.engine.batch_record import (
    Figures,
    RunRecord,
    files_now,
    made_from,
    record_of_unchanged,
    records_of_others,
    refuse_mixing,
    write_record,
)
from napari_dmu.engine.progress import CancelToken, check, report
from napari_dmu.errors import Cancelled, DmuError, PatternSetError, SettingsError, SpecimenError

if TYPE_CHECKING:
    from napari_dmu.engine.cells import Cells
    from napari_dmu.engine.comparison import Comparison
    from napari_dmu.engine.progress import Progress
    from napari_dmu.files.specimen import Specimen
    from napari_dmu.microscope.measurement import Measurement
    from napari_dmu.zoo.pattern_set import PatternSet

TABLE = "scores.csv"
CELLS = ".cells.csv"
FIGURES = ("psnr", "ssim", "nrmse", "count", "truth_count", "f1", "ap50", "mean_dice")
State = Literal["done", "was there", "failed"]


@dataclass(frozen=True)
class BatchOutcome:
    """What became of an image; ``error`` is the sentence where it failed, ``notes`` are what the user should know."""

    job: BatchJob
    state: State
    figures: Figures
    error: str = ""
    notes: tuple[str, ...] = ()


def run_batch(
    jobs: Sequence[BatchJob],
    settings: RunSettings,
    *,
    device: str = "auto",
    scheduler: str | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> list[BatchOutcome]:
    """Take every image through the microscope; the same call goes on after an interruption.

    An image whose record says that it was done with the same settings and the same set, and has not changed since, is
    passed over. One that fails is noted, and the others are done. ``scores.csv`` is renewed at the end, with all
    images that have results in the folder. With the address of a dask ``scheduler`` the images are spread over its
    workers, which must see the same folders and sets.

    Raises
    ------
    SettingsError
        The folder holds results of other settings or of other images of these names, a setting is impossible, or
        there is no such scheduler.
    DmuError
        There is no such pattern set.
    Cancelled
        ``cancel`` was set; what is done stays.
    """
    from napari_dmu.engine.verbs import load

    instrument = load(settings.set, ratio=settings.ratio, family=settings.family)
    wanted = made_from(settings, instrument)
    refuse_mixing(jobs, wanted)
    found = (
        ((number, _outcome(job, settings, instrument, device, cancel)) for number, job in enumerate(jobs))
        if scheduler is None
        else _on_cluster(jobs, settings, wanted, device, scheduler, cancel)
    )
    done: dict[int, BatchOutcome] = {}
    try:
        for number, outcome in found:
            done[number] = outcome
            report(progress, len(done), len(jobs), readable(outcome.job.name))
    finally:
        if done:
            _write_scores(jobs[0].folder, [done[number] for number in sorted(done)])
    return [done[number] for number in range(len(jobs))]


def _there(job: BatchJob) -> BatchOutcome | None:
    """What an earlier call made of an image that has not changed since; None where it has to be done."""
    record = record_of_unchanged(job)
    return None if record is None else BatchOutcome(job, "was there", record.figures, notes=record.notes)


def _on_cluster(
    jobs: Sequence[BatchJob],
    settings: RunSettings,
    wanted: str,
    device: str,
    scheduler: str,
    cancel: CancelToken | None,
) -> Iterator[tuple[int, BatchOutcome]]:
    from napari_dmu.engine.cluster import spread

    tasks = [(job, settings, wanted, device) for job in jobs]
    for number, outcome in spread(on_worker, tasks, scheduler, cancel=cancel):
        if isinstance(outcome, SettingsError):
            raise outcome
        if isinstance(outcome, BaseException):
            outcome = BatchOutcome(jobs[number], "failed", {}, f"its worker failed ({type(outcome).__name__})")
        yield number, outcome


def on_worker(job: BatchJob, settings: RunSettings, wanted: str, device: str) -> BatchOutcome:
    """One image on a worker of a cluster, with what is installed there if it makes the same results."""
    try:
        instrument = _installed(settings.set, settings.ratio, settings.family, wanted)
        if made_from(settings, instrument) != wanted:
            _installed.cache_clear()  # the next call may find the right one
            raise PatternSetError(
                "The worker has another pattern set, segmenter or napari-dmu: install the same there and start it anew."
            )
    except DmuError as error:
        return BatchOutcome(job, "failed", {}, str(error))
    return _outcome(job, settings, instrument, device, None)


@lru_cache(maxsize=1)
def _installed(name: str, ratio: float, family: str, wanted: str) -> PatternSet:
    """Read once a worker and run, not once an image; a set may be replaced between two runs."""
    from napari_dmu.engine.verbs import load

    return load(name, ratio=ratio, family=family)


def _outcome(
    job: BatchJob, settings: RunSettings, instrument: PatternSet, device: str, cancel: CancelToken | None
) -> BatchOutcome:
    check(cancel)
    try:
        if there := _there(job):
            return there
        record = take(job, settings, instrument, device=device, cancel=cancel)
        return BatchOutcome(job, "done", record.figures, notes=record.notes)
    except (Cancelled, SettingsError):  # settings are those of all images
        raise
    except (DmuError, MemoryError, OSError, UnicodeError) as error:
        return BatchOutcome(job, "failed", {}, _sentence(error))


def _sentence(error: BaseException) -> str:
    """Why an image failed."""
    if isinstance(error, DmuError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The memory of this machine is not enough: take a part of it."
    if isinstance(error, UnicodeError):
        return "A name or a text in it is not Unicode: rename it, or save it anew."
    return f"It cannot be read or its results written ({getattr(error, 'strerror', None) or error}): check its disk."


def take(
    job: BatchJob, settings: RunSettings, instrument: PatternSet, *, device: str, cancel: CancelToken | None
) -> RunRecord:
    """One image through the whole chain: its results are written, its record last of all."""
    from napari_dmu.engine import verbs
    from napari_dmu.engine.cells import cell_table
    from napari_dmu.files.measurement import write_measurement
    from napari_dmu.files.specimen import one_channel, read_image, read_mask, shared_range, write_like
    from napari_dmu.files.table import write_table

    start, files = time.perf_counter(), files_now(job)
    specimen = read_image(job.image, luminance=settings.luminance, option="luminance: true")
    if settings.channel is not None:
        specimen = one_channel(specimen, settings.channel)
    _check_place(specimen)
    truth = None if job.truth is None else read_mask(job.truth, settings.channel)
    measurement = verbs.simulate(
        specimen.data,
        instrument,
        photons=settings.photons,
        read_noise=settings.read_noise,
        background=settings.background,
        detector=settings.detector,
        acquisition=settings.acquisition,
        intensity_range=settings.intensity_range,
        seed=image_seed(settings.seed, job.name),
        device=device,
        cancel=cancel,
        **specimen.placed,
    )
    cells = _cells(settings, measurement, instrument, device, cancel)
    if cells is not None and settings.method == "learned" and not settings.flips:
        image = cells.image  # decoded once for both
    else:
        image = verbs.reconstruct(
            measurement,
            instrument=instrument,
            method=settings.method,
            flips=settings.flips,
            device=device,
            cancel=cancel,
        )
    pair = {} if truth is None or cells is None else {"labels": cells.labels, "truth_labels": truth.data}
    limits = settings.intensity_range
    comparison = verbs.compare(image, specimen.data, intensity_range=limits, cancel=cancel, **pair)
    notes = [*specimen.notes, *shared_range(specimen, "channel")]
    notes += [] if truth is None else [f"Mask: {note}" for note in truth.notes]
    notes += [measurement.info.saturation_note, *comparison.notes]
    if "measurement" in settings.keep:
        write_measurement(job.result(MEASUREMENT), measurement)
    if "reconstruction" in settings.keep:
        write_like(job.result(RECONSTRUCTION), image, specimen)
    if cells is not None and "labels" in settings.keep:
        write_like(job.result(LABELS), cells.labels, specimen, labels=True)
    if cells is not None and "table" in settings.keep:
        write_table(job.result(CELLS), cell_table(cells, measurement.info))
    record = RunRecord(
        napari_dmu=__version__, made_from=made_from(settings, instrument), shown=job.shown, files=files,
        settings=settings.model_dump(mode="json"), set=instrument.hash, seed=measurement.info.seed,
        figures=_figures(comparison, cells), notes=tuple(note for note in notes if note),
        seconds=round(time.perf_counter() - start, 2),
    )  # fmt: skip
    write_record(job, record)
    return record


def _check_place(specimen: Specimen) -> None:
    """What a file says of its own axes is no setting of all images, so an error in it is that of the image."""
    try:
        geometry_of(len(specimen.data.shape), **specimen.placed)
    except SettingsError as error:
        raise SpecimenError(str(error)) from error


def _cells(
    settings: RunSettings,
    measurement: Measurement,
    instrument: PatternSet,
    device: str,
    cancel: CancelToken | None,
) -> Cells | None:
    """None where no cells are looked for, or the pattern set finds none."""
    from napari_dmu.engine.cells import find_cells
    from napari_dmu.segmentation.registry import PATTERN_SET

    if settings.segmenter is None or (settings.segmenter == PATTERN_SET and instrument.segmenter is None):
        return None
    return find_cells(measurement, instrument=instrument, segmenter=settings.segmenter, device=device, cancel=cancel)


def _figures(comparison: Comparison, cells: Cells | None) -> Figures:
    count = None if cells is None else int(cells.counts.sum())
    found = {**{name: getattr(comparison, name) for name in FIGURES}, "count": count}
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in found.items()}


def _write_scores(folder: Path, outcomes: Sequence[BatchOutcome]) -> None:
    """One row an image, first those that this call got to; blank where there is no figure."""
    from napari_dmu.files.table import write_table

    rows = [(o.job.shown, o.state, o.figures) for o in outcomes]
    rows += [(r.shown, "was there", r.figures) for r in records_of_others(folder, {o.job.name for o in outcomes})]
    columns: dict[str, Any] = {"image": np.array([shown for shown, _, _ in rows])}
    columns["state"] = np.array([state for _, state, _ in rows])
    for name in FIGURES:
        values = [figures.get(name) for _, _, figures in rows]
        columns[name] = np.array([math.nan if v is None else v for v in values])
    write_table(folder / TABLE, columns)
