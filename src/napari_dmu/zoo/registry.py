"""Where pattern sets are found: the package, the user's folder, the environment."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_dmu.errors import PatternSetError
from napari_dmu.zoo.header import SUFFIX, SetHeader, read_header
from napari_dmu.zoo.preferred import own_folder, preferred_folders

if TYPE_CHECKING:
    from napari_dmu.zoo.pattern_set import PatternSet

FOLDER_VARIABLE = "NAPARI_DMU_SETS"
SHIPPED = Path(__file__).parent / "sets"
# So many are named where a set does not exist: more would be a paragraph.
NEAREST = 4


@dataclass(frozen=True)
class SetSummary:
    """One line about a pattern set, read from its header alone."""

    path: Path
    header: SetHeader
    bytes: int

    @property
    def name(self) -> str:
        """Domain, e.g. ``"nuclei"``."""
        return self.header.name

    @property
    def family(self) -> str:
        """Pattern family."""
        return self.header.family

    @property
    def ratio(self) -> float:
        """Compression ratio C."""
        return self.header.acquisition.ratio

    @property
    def exposures(self) -> int:
        """T."""
        return self.header.acquisition.exposures

    @property
    def bin(self) -> int:
        """d (specimen pixels)."""
        return self.header.acquisition.bin

    @property
    def period(self) -> int:
        """P (specimen pixels)."""
        return self.header.acquisition.period

    @property
    def has_segmenter(self) -> bool:
        """Whether cells can be segmented with it."""
        return self.header.head is not None

    @property
    def dose_mean(self) -> float:
        """Mean light dose (full-on exposures)."""
        return self.header.dose_mean

    @property
    def dose_max(self) -> float:
        """Largest light dose of any pixel (full-on exposures)."""
        return self.header.dose_max

    @property
    def psnr(self) -> float | None:
        """Validation PSNR (dB) on the first validation set."""
        return next((s.psnr for s in self.header.scores.values()), None)

    @property
    def ssim(self) -> float | None:
        """Validation SSIM on the first validation set."""
        return next((s.ssim for s in self.header.scores.values()), None)

    @property
    def ap50(self) -> float | None:
        """Validation AP50 on the first validation set."""
        return next((s.ap50 for s in self.header.scores.values()), None)

    @property
    def label(self) -> str:
        """How the set is called in sentences and menus, e.g. ``"×64 nuclei, learned"``."""
        return f"×{self.ratio:g} {self.name}, {self.family}"


def folders() -> tuple[Path, ...]:
    """Folders that are searched, in order; the first set of a name, ratio and family wins."""
    return tuple(dict.fromkeys((*_users_folders(), own_folder() / "sets", SHIPPED)))


def library_folder() -> Path:
    """Where sets are put that the user adds: the first of those that are searched.

    That is the first one that ``NAPARI_DMU_SETS`` names, the one in napari's preferences, or one among the user's
    data. It may not be there yet.
    """
    return next(iter(_users_folders()), own_folder() / "sets")


def _users_folders() -> list[Path]:
    named = [Path(p) for p in os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep) if p]
    return [*named, *preferred_folders()]


@lru_cache(maxsize=256)
def _summary(path: Path, modified: int, size: int) -> SetSummary:
    """Header by path, size and time of change, so that a new file is seen and an old one is not read again."""
    return SetSummary(path, read_header(path), size)


def summaries(path: Path) -> list[SetSummary]:
    """What a pattern set file holds: its set, once for each family that it stands for.

    Raises
    ------
    PatternSetError, OSError
        Where it cannot be read.
    """
    state = path.stat()
    own = _summary(path, state.st_mtime_ns, state.st_size)
    families = (own.family, *own.header.also)
    return [replace(own, header=own.header.model_copy(update={"family": family})) for family in families]


def _summaries() -> Iterator[SetSummary]:
    for folder in folders():
        found: list[SetSummary] = []
        for path in _newest_first(folder):
            # One broken file in the user's folder must not hide the others; `broken_sets` says what is wrong.
            with contextlib.suppress(PatternSetError, OSError):
                found += summaries(path)
        # A set that only stands for a family comes after that family's own.
        yield from sorted(found, key=lambda s: s.family in s.header.also)


def _newest_first(folder: Path) -> list[Path]:
    """Pattern set files of a folder: one that was added takes the place of an older one of the same name."""

    def age(path: Path) -> tuple[int, Path]:
        try:
            return -path.stat().st_mtime_ns, path
        except OSError:  # gone meanwhile
            return 0, path

    return sorted(_files(folder), key=age)


def _files(folder: Path) -> list[Path]:
    """Files of pattern sets; hidden ones are those that are just being written, or were when somebody ended it."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def broken_sets(like: str = "") -> list[str]:
    """Why files that are called like pattern sets are not among those: a sentence each.

    The files whose names are the most like the text given come first.
    """
    found: list[tuple[float, str]] = []
    for folder in folders():
        for path in _files(folder):
            try:
                summaries(path)
                continue
            except PatternSetError as error:
                sentence = str(error)
            except OSError:
                sentence = f"{path.name} cannot be read: check the file and its permissions."
            alike = SequenceMatcher(None, path.name.lower(), like.lower()).ratio()
            found.append((-alike, sentence))
    return [sentence for _, sentence in sorted(found, key=lambda one: one[0])]


def _with_broken(sentence: str, like: str) -> str:
    """A sentence on a set that is missing: a file that cannot be read may be that set."""
    broken = broken_sets(like)
    if not broken:
        return sentence
    more = f" (and {len(broken) - 1} more: see 'napari-dmu info')" if broken[1:] else ""
    return f"{sentence.rstrip('.')}; besides, {broken[0].rstrip('.')}{more}."


def available_sets() -> list[SetSummary]:
    """All pattern sets, sorted by name, family and ratio; reads headers only."""
    found: dict[tuple[str, str, float], SetSummary] = {}
    for summary in _summaries():
        found.setdefault((summary.name, summary.family, summary.ratio), summary)
    return [found[key] for key in sorted(found)]


def load_set(name: str = "nuclei", *, ratio: float, family: str = "learned") -> PatternSet:
    """Load a pattern set by name, ratio and family.

    Raises
    ------
    PatternSetError
        Where there is none; the sentence names the nearest ones.
    """
    return _read(find_set(name, ratio=ratio, family=family))


def find_set(name: str, *, ratio: float, family: str) -> SetSummary:
    """Find a pattern set by name, ratio and family; see ``load_set``."""
    try:
        ratio = float(ratio)
    except (TypeError, ValueError) as error:
        raise PatternSetError(f"The ratio of the pattern set is {ratio!r}: give a number, such as 64.") from error
    sets = available_sets()
    for summary in sets:
        if (summary.name, summary.family) == (name, family) and _same(summary.ratio, ratio):
            return summary
    nearest = sorted(sets, key=lambda s: _difference(s, str(name), ratio, family))[:NEAREST]
    there = "; ".join(one.label for one in nearest)
    advice = f"choose {there}; or another one that 'napari-dmu sets' lists" if nearest else "there are none at all"
    sentence = f"There is no pattern set ×{ratio:g} {name}, {family}: {advice}."
    raise PatternSetError(_with_broken(sentence, f"{name}-x{ratio:g}-{family}"))


def _same(ratio: float, written: float) -> bool:
    """Whether a ratio is the one that somebody wrote: one that is not whole is rounded."""
    return math.isclose(ratio, written, rel_tol=1e-4)


def _difference(one: SetSummary, name: str, ratio: float, family: str) -> tuple[float, float]:
    """How far a set is from what was asked for: sorts what was probably meant to the front."""
    alike = SequenceMatcher(None, one.name.lower(), name.lower()).ratio()
    apart = abs(math.log(one.ratio / ratio)) if 0 < ratio < math.inf else 0.0
    return (not _same(one.ratio, ratio)) + (one.family != family) + 2 * (1 - alike), apart


def load_by_hash(tensors_sha256: str, label: str) -> PatternSet:
    """Load the very set that a measurement was taken with.

    Raises
    ------
    PatternSetError
        Where it is not in any folder; ``label`` names it in the sentence.
    """
    for summary in _summaries():
        if summary.header.tensors_sha256 == tensors_sha256:
            return _read(summary)
    sentence = (
        f"The pattern set of this measurement ({label}, {tensors_sha256[:12]}…) is not installed: "
        "add its file with 'napari-dmu add-set', or with Add… in the panel."
    )
    raise PatternSetError(_with_broken(sentence, f"{label} {tensors_sha256[:8]}"))


def _read(summary: SetSummary) -> PatternSet:
    """The set, of the family as which it was found."""
    from napari_dmu.zoo.pattern_set import read_set

    found = read_set(summary.path)
    return replace(found, header=found.header.model_copy(update={"family": summary.family}))
