"""Adding pattern sets to those that are found: from a file, or from the web by address and checksum."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_dmu.errors import FileError, SettingsError
from napari_dmu.files.atomic import atomic_path
from napari_dmu.zoo.header import SUFFIX
from napari_dmu.zoo.registry import SetSummary, available_sets, library_folder, summaries

WEB = ("http://", "https://", "doi:")
# Bytes done, all bytes (as far as the server says), what is going on.
Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Added:
    """A set that was added: ``summary`` lists it, ``was_there`` where the same one was found before already.

    ``hides`` is a set of the same name, ratio and family that is no longer found, because this one comes first;
    ``hidden_by`` one that comes first nevertheless.
    """

    summary: SetSummary
    was_there: bool
    hides: SetSummary | None = None
    hidden_by: SetSummary | None = None

    @property
    def sentence(self) -> str:
        """What was done, for the user."""
        if self.was_there:
            return f"The pattern set {self.summary.label} was there already."
        if self.hidden_by is not None:
            return f"Added {self.summary.label}, but another set of that name comes first: {self.hidden_by.path}."
        added = f"Added the pattern set {self.summary.label}."
        return added if self.hides is None else f"{added} It takes the place of another set of that name."


def is_web(source: str) -> bool:
    """Whether a source is an address on the web and no file."""
    return source.lower().startswith(WEB)


def is_sha256(text: str) -> bool:
    """Whether a text can be a SHA-256 checksum: 64 hexadecimal digits."""
    return re.fullmatch(r"[0-9a-fA-F]{64}", text) is not None


def add_set(
    source: str,
    *,
    sha256: str | None = None,
    report: Report | None = None,
    check_cancelled: Callable[[], None] | None = None,
) -> Added:
    """Copy or download a pattern set into ``registry.library_folder()``, checked, whole or not at all.

    Parameters
    ----------
    source
        Path of a ``.dmu.safetensors`` file; or ``http://…``, ``https://…``, or ``doi:10.5281/zenodo.1234/file``.
    sha256
        Checksum of the file, from whoever published it. Wanted for the web, so that what arrives is what was meant.
    report, check_cancelled
        Called while it downloads; the latter raises to stop.

    Raises
    ------
    FileError
        There is no such file, it cannot be downloaded or written, or its checksum is another.
    PatternSetError
        It is no pattern set, damaged, or of a newer version.
    SettingsError
        A checksum is missing where one is wanted, or is none.
    """
    if sha256 is not None and not is_sha256(sha256):
        raise SettingsError(f"'{sha256}' is no SHA-256 checksum: it has 64 digits, 0 to 9 and a to f.")
    if is_web(source) and sha256 is None:
        raise SettingsError("A set from the web needs its checksum: give the SHA-256 that was published with it.")
    target = library_folder()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=target) as work:
            path = Path(source).expanduser()
            if is_web(source):
                path = Path(work) / f"set{SUFFIX}"
                _download(source, path, report, check_cancelled or _nothing)
            elif not path.is_file():
                raise FileError(f"'{source}' is no file: name a pattern set, a file that ends in {SUFFIX}.")
            if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256.lower():
                raise FileError(f"'{source}' has another checksum: ask whoever gave it to you for the right one.")
            return _placed(path, target, check_cancelled or _nothing)
    except OSError as error:
        raise FileError(
            f"'{target}' cannot be written ({error.strerror or error}): name another folder for pattern sets."
        ) from error


def _placed(path: Path, folder: Path, check_cancelled: Callable[[], None]) -> Added:
    """Read the whole set, so that only a sound one is added, and put it under a name of its own."""
    from napari_dmu.zoo.pattern_set import read_set

    header = read_set(path).header
    before = available_sets()
    same = next((s for s in before if s.header.tensors_sha256 == header.tensors_sha256), None)
    if same is not None:
        return Added(same, was_there=True)
    name = f"{header.name}-x{header.acquisition.ratio:g}-{header.family}-{header.tensors_sha256[:8]}"
    target = folder / (re.sub(r"[^\w.-]+", "_", name) + SUFFIX)
    check_cancelled()
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
    summary = summaries(target)[0]
    former, found = _alike(before, summary), _alike(available_sets(), summary)
    comes_first = found is None or found.header.tensors_sha256 == header.tensors_sha256
    return Added(summary, False, hides=former if comes_first else None, hidden_by=None if comes_first else found)


def _alike(sets: list[SetSummary], one: SetSummary) -> SetSummary | None:
    """The set of the same name, family and ratio."""
    return next((s for s in sets if (s.name, s.family, s.ratio) == (one.name, one.family, one.ratio)), None)


def _download(address: str, path: Path, report: Report | None, check_cancelled: Callable[[], None]) -> None:
    from pooch.downloaders import choose_downloader

    try:
        choose_downloader(address, progressbar=_Bar(report, check_cancelled))(address, str(path), None)
    except (ValueError, IndexError) as error:  # of what is no DOI, too
        raise FileError(f"'{address}' is no address of a file: check it.") from error
    except OSError as error:  # what goes wrong in a network, too
        raise FileError(
            f"{address} cannot be downloaded ({type(error).__name__}): check the address and the network."
        ) from error


class _Bar:
    """What pooch takes for a progress bar."""

    def __init__(self, report: Report | None, check_cancelled: Callable[[], None]) -> None:
        self.total: Any = 0
        self._done = 0
        self._report, self._check_cancelled = report, check_cancelled

    def update(self, count: int) -> None:
        """So many bytes more."""
        self._check_cancelled()
        self._done += count
        if self._report is not None:
            self._report(self._done, max(int(self.total or 0), self._done), "Downloading the pattern set")

    def reset(self) -> None:
        """From the start."""
        self._done = 0

    def close(self) -> None:
        """Over."""


def _nothing() -> None:
    """No reason to stop."""
