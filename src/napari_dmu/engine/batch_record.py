"""What a run over a folder has done already: a record beside the results of every image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from napari_dmu._version import __version__
from napari_dmu.engine.batch_plan import BatchJob, RunSettings, readable
from napari_dmu.errors import SettingsError
from napari_dmu.files.atomic import atomic_path
from napari_dmu.segmentation.registry import available_segmenters

if TYPE_CHECKING:
    from napari_dmu.zoo.pattern_set import PatternSet

RECORD = ".run.json"
# What of a set's header its results depend on; the hash is that of the tensors alone.
DECISIVE = {"acquisition", "decoder", "head", "instances"}
_BLOCK = 2**20  # bytes of a file that are read at once
_REMEMBERED = 4096  # files whose fingerprints are
Figures: TypeAlias = dict[str, float | int | None]


class KeptFile(BaseModel):
    """An image or mask as it was when its results were made."""

    model_config = ConfigDict(frozen=True)

    path: str
    size: int
    changed: int
    sha256: str


class RunRecord(BaseModel):
    """How the results of an image were made; ``files`` are the image and its mask, ``seed`` is of its noise."""

    model_config = ConfigDict(frozen=True)

    napari_dmu: str
    made_from: str
    shown: str
    files: tuple[KeptFile, ...] = Field(min_length=1)
    settings: dict[str, Any]
    set: str
    seed: int
    figures: Figures
    notes: tuple[str, ...]
    seconds: float


def made_from(settings: RunSettings, instrument: PatternSet) -> str:
    """Of all that decides what an image's results are; not of which other images there are."""
    decisive = {
        "settings": settings.model_dump(mode="json", exclude={"images", "output"}),
        "noise": "with a seed for every image",  # once one seed was that of all
        "set": [instrument.hash, instrument.header.model_dump(mode="json", include=DECISIVE)],
        "napari_dmu": __version__,
        "segmenter": next((s.origin for s in available_segmenters() if s.name == settings.segmenter), ""),
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def files_now(job: BatchJob) -> tuple[KeptFile, ...]:
    """Image and mask as they are; what changes from here on is not in the results."""
    return tuple(_as_it_is(path) for path in _paths(job))


def write_record(job: BatchJob, record: RunRecord) -> None:
    """Write the record of an image; whole or not at all, and last of its results."""
    with atomic_path(job.result(RECORD)) as path:
        path.write_text(json.dumps(record.model_dump(mode="json"), indent=1), encoding="utf-8")


def record_of_unchanged(job: BatchJob) -> RunRecord | None:
    """The record of an image that was done and has not changed since; None where it has to be done."""
    record, paths = _read(job.result(RECORD)), _paths(job)
    try:
        same = record is not None and len(record.files) == len(paths) and all(map(_is_as_it_was, paths, record.files))
    except OSError:  # to do it tells why
        return None
    return record if same else None


def records_of_others(folder: Path, names: Collection[str]) -> list[RunRecord]:
    """The records of a folder but those of the images called ``names``."""
    others = (_read(path) for path in _record_files(folder) if path.name.removesuffix(RECORD) not in names)
    return [record for record in others if record is not None]


def refuse_mixing(jobs: Sequence[BatchJob], wanted: str) -> None:
    """Refuse a folder with results of other settings, or with those of another file under the name of an image.

    Raises
    ------
    SettingsError
    """
    folder = jobs[0].folder
    for path in _record_files(folder):
        source = _content(path).get("made_from")
        if isinstance(source, str) and source != wanted:
            raise SettingsError(
                f"'{folder}' holds results of other settings, of another pattern set, segmenter or napari-dmu "
                f"('{path.name.removesuffix(RECORD)}', for instance): name another output folder, or delete them."
            )
    for job in jobs:
        record = _read(job.result(RECORD))
        if record is not None and _is_of_another(job.image, record.files[0]):
            raise SettingsError(
                f"'{folder}' holds the results of '{record.files[0].path}' under the name of '{job.image}': name "
                "another output folder, or rename the image."
            )


def _record_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{RECORD}"))


def _content(path: Path) -> dict[str, Any]:
    """What a record says; nothing where there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _read(path: Path) -> RunRecord | None:
    try:
        return RunRecord.model_validate(_content(path))
    except ValueError:  # an entry is missing, or no such entry can be
        return None


def _paths(job: BatchJob) -> list[Path]:
    return [path for path in (job.image, job.truth) if path is not None]


def _as_it_is(path: Path) -> KeptFile:
    size, changed = _size_and_change(path)
    return KeptFile(path=_place(path), size=size, changed=changed, sha256=_fingerprint(path, size, changed))


def _is_as_it_was(path: Path, kept: KeptFile) -> bool:
    """Whether a file is the one that was kept, wherever it lies by now; read only where it was moved or touched."""
    size, changed = _size_and_change(path)
    untouched = (_place(path), changed) == (kept.path, kept.changed)
    return size == kept.size and (untouched or _fingerprint(path, size, changed) == kept.sha256)


def _is_of_another(image: Path, kept: KeptFile) -> bool:
    """Whether a record is of another image than this one that is there as well.

    One that is gone, or has the same content, may be this very image: folders are moved, and copied to other machines.
    """
    other = Path(kept.path)
    try:
        return other.exists() and not other.samefile(image) and not _is_as_it_was(image, kept)
    except OSError:  # to do it tells why
        return False


def _place(path: Path) -> str:
    return readable(str(path.resolve()))


def _parts(path: Path) -> list[Path]:
    """The file itself; all files of an OME-Zarr, since its folder does not tell of changes in them."""
    return sorted(p for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file())


def _size_and_change(path: Path) -> tuple[int, int]:
    """Bytes and newest time of change."""
    states = [part.stat() for part in _parts(path)]
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)


@lru_cache(maxsize=_REMEMBERED)
def _fingerprint(path: Path, size: int, changed: int) -> str:
    """sha256 over the bytes, and the names in an OME-Zarr; a big file is read once for all that ask, as it is now."""
    digest = hashlib.sha256()
    for part in _parts(path):
        digest.update(part.relative_to(path).as_posix().encode("utf-8", "surrogatepass"))
        with part.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
