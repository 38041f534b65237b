"""What the benchmarks of shipped sets share: the sets, their images, kept figures, and places in a Markdown page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import napari_dmu
from napari_dmu.files.atomic import atomic_path
from napari_dmu.training.data import Example, fingerprint
from napari_dmu.training.recipe import Source, read_recipe
from napari_dmu.training.sources import read_source
from napari_dmu.zoo.header import SUFFIX
from napari_dmu.zoo.registry import SHIPPED, SetSummary, summaries

PROJECT = Path(__file__).resolve().parents[1]
CACHE = PROJECT / ".cache" / "benchmarks.json"
FAMILIES = ("learned", "plain", "hadamard", "random")
# Code of the package on which the kept figures depend; any change of it throws them away.
CODE = (
    "microscope/*.py",
    *(f"reconstruction/{name}.py" for name in ("lifting", "total_variation", "variational", "whitening")),
    *(f"evaluation/{name}.py" for name in ("image_quality", "planes", "resolution")),
)


def pattern_sets(folder: Path | None = None) -> list[SetSummary]:
    """The sets of a folder, the shipped ones by default, by name, ratio and family."""
    paths = sorted((folder or SHIPPED).glob(f"*{SUFFIX}"))
    if not paths:
        raise SystemExit(f"There are no pattern sets in {folder or SHIPPED}: name another folder with --sets.")
    sets = [summary for path in paths for summary in summaries(path)]
    return sorted(sets, key=lambda s: (s.name, s.ratio, _rank(s.family)))


def _rank(family: str) -> tuple[int, str]:
    return (FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), family)


@dataclass(frozen=True)
class Domain:
    """Where the images of one kind of specimen are: as the sets' own model cards say."""

    name: str
    training: tuple[Source, ...]
    validation: tuple[Source, ...]


def domains(sets: Sequence[SetSummary]) -> dict[str, Domain]:
    """Domains by name; those for which there is a recipe but no set yet come from the recipe."""
    found: dict[str, Domain] = {}
    for s in sets:
        card = s.header.provenance.recipe
        parts = (tuple(Source.model_validate(e) for e in card[part]) for part in ("training", "validation"))
        found.setdefault(s.name, Domain(s.name, *parts))
    for path in sorted((PROJECT / "recipes").glob("*-x*.yaml")):
        if path.name.split("-x")[0] not in found:
            recipe = read_recipe(path)
            found[recipe.name] = Domain(recipe.name, recipe.training, recipe.validation)
    return found


@dataclass(frozen=True)
class Group:
    """Validation images that are scored together, every n-th of them; ``source`` names them on the page."""

    source: str
    examples: list[Example]

    @property
    def title(self) -> str:
        """Source and number of images."""
        return f"{self.source} ({len(self.examples)})"

    @property
    def has_cells(self) -> bool:
        """Whether there are masks."""
        return all(e.labels is not None for e in self.examples)


@lru_cache(maxsize=4)
def groups(data: Path, domain: Domain, every: int = 1) -> tuple[Group, ...]:
    """One group a validation source."""
    read = (read_source(data, s, masks=s.masks)[::every] for s in domain.validation)
    return tuple(Group(_title(s.folder), examples) for s, examples in zip(domain.validation, read, strict=True))


def _title(folder: str) -> str:
    return folder if "/" in folder else f"{folder}, validation files"


@dataclass
class Kept:
    """Figures kept in a file from run to run, by what they were made from."""

    path: Path | None = CACHE
    content: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is not None and self.path.is_file():
            self.content = json.loads(self.path.read_text(encoding="utf-8"))

    def get(self, made_from: Sequence[Any], make: Callable[[], Any]) -> Any:
        """The figures made from this (JSON), made now where they are not there."""
        key = hashlib.sha256(json.dumps([_code_digest(), *made_from]).encode()).hexdigest()
        if key not in self.content:
            self.content[key] = make()
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(self.path) as temporary:
                    temporary.write_text(json.dumps(self.content), encoding="utf-8")
        return self.content[key]


@lru_cache(maxsize=1)
def _code_digest() -> str:
    digest, root = hashlib.sha256(), Path(napari_dmu.__file__).parent
    files = [*(f for part in CODE for f in sorted(root.glob(part))), Path(__file__).with_name("baselines.py")]
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def print_of(group: Group) -> str:
    """sha256 that stands for the images of a group."""
    return fingerprint(group.examples)


def write_between(page: Path, marker: str, text: str) -> None:
    """Replace what stands between ``<!-- marker -->`` and ``<!-- /marker -->`` of a page."""
    content = page.read_text(encoding="utf-8")
    first, last = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    if content.count(first) != 1 or content.count(last) != 1:
        raise SystemExit(f"{page} needs the lines {first} and {last} once each: add them where the table belongs.")
    before, rest = content.split(first)
    after = rest.split(last)[1]
    page.write_text(f"{before}{first}\n{text.strip()}\n{last}{after}", encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 2) -> str:
    """A Markdown table; the first ``left`` columns are text, the others numbers."""
    align = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, align, *rows]) + "\n"
