"""What the columns of the table of figures are called: as little as tells them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

from napari_dmu.segmentation.registry import PATTERN_SET
from napari_dmu.viewer.layers import shortened
from napari_dmu.viewer.record import RunRecord

LONGEST = 9  # characters that fit above a column


@dataclass(frozen=True)
class Column:
    """What was compared.

    Attributes
    ----------
    run
        Names what was compared: the measurement and the method.
    ratio, kind
        ``×64``, and what is most worth knowing: the method, the family or the set.
    others
        All else that may differ, in the order in which it is said.
    whole
        All of it in one line.
    segmenter
        What found the cells; empty where nothing did.
    """

    run: str
    ratio: str
    kind: str
    others: tuple[str, ...]
    whole: str
    segmenter: str = ""

    @classmethod
    def of(cls, record: RunRecord, method: str) -> "Column":
        """Of a comparison; ``method`` is that of the reconstruction where the record is not its own."""
        info, method = record.info, record.settings.get("method", method)
        a = info.acquisition
        kind = method if method != "learned" else info.set_name if info.family == "learned" else info.family
        others = (
            info.set_name,
            info.family,
            f"{a.photons:g} ph",
            f"{a.background:g} ph dark",
            f"{a.read_noise:g} e⁻ read",
            str(record.settings.get("detector", "")),
            f"seed {info.seed}",
            record.specimen,
        )
        segmenter = record.settings.get("segmenter", "")
        cells = "" if segmenter in ("", PATTERN_SET) else f", cells by {segmenter}"
        detector = f", {record.settings['detector']}" if record.settings.get("detector") else ""
        whole = (
            f"{record.specimen} · {record.instrument}, {a.photons:g} photons, background {a.background:g}, "
            f"read noise {a.read_noise:g}{detector}, seed {info.seed}, {method}{cells}"
        )
        return cls(f"{record.run} {method}", f"×{info.ratio:g}", kind, others, whole, segmenter)

    def replaces(self, other: "Column") -> bool:
        """Whether it is of the same as another one, in which perhaps no cells had been found yet."""
        return self.run == other.run and other.segmenter in ("", self.segmenter)


def titles(columns: Sequence[Column]) -> list[str]:
    """A title of several lines for each column: ratio and kind, and what is not the same in all of them."""
    lists = list(zip(*(c.others for c in columns), strict=True))
    lists[-1] = tuple(_told_apart(lists[-1]))
    differing = [len(set(values)) > 1 for values in lists]
    several = len({c.segmenter for c in columns} - {""}) > 1
    said = [
        [o for o, differs in zip(others, differing, strict=True) if differs and o not in ("", c.kind)]
        for c, others in zip(columns, zip(*lists, strict=True), strict=True)
    ]
    cells = [(c.segmenter,) if several and c.segmenter else () for c in columns]
    return ["\n".join((c.ratio, c.kind, *o, *by)) for c, o, by in zip(columns, said, cells, strict=True)]


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names of images without what they all begin and end with."""
    if len(set(names)) < 2:
        return list(names)
    first = _alike(names)
    last = _alike([name[first:][::-1] for name in names])
    return [shortened(name[first : len(name) - last] or name, LONGEST) for name in names]


def _alike(names: Sequence[str]) -> int:
    """Number of characters that all names begin with."""
    letters = zip(*names, strict=False)
    return next((place for place, found in enumerate(letters) if len(set(found)) > 1), min(len(n) for n in names))
