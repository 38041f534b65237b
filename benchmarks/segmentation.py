"""How well cells are found: every set with a segmenter, beside the same head on the uncompressed image.

    python benchmarks/segmentation.py [--data ../shared/data] [--sets FOLDER ...] [--write docs/results.md]

Exact noise of (seed 0, image number), the sets' own settings, means over images. Without ``--sets`` the shipped sets;
folders given are taken beside them: sets for comparison that are not shipped (the uncompressed image, the direct
route, task-aware and content-aware twins, further seeds). Sets that differ in their seed alone are one row, with the
standard deviation over seeds. ``--field`` segments a field of that side tile by tile and in one piece. Figures are kept
in .cache from run to run.

With ``--write`` the tables go between the markers ``<!-- segmentation -->`` and the curves to
``images/segmentation.png`` beside the page.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells_figure import curves
from common import CACHE, Group, Kept, domains, groups, pattern_sets, print_of, table, write_between

import napari_dmu
from napari_dmu.engine import decoding
from napari_dmu.engine.tiles import plan
from napari_dmu.evaluation.segmentation_quality import segmentation_quality
from napari_dmu.segmentation.instances import instances
from napari_dmu.training.validation import decode_example, head_maps
from napari_dmu.zoo.header import SetHeader
from napari_dmu.zoo.pattern_set import PatternSet, read_set
from napari_dmu.zoo.registry import SetSummary

Row = dict[str, Any]
# Column, key of a row, decimals.
COLUMNS = (
    ("F1", "f1", 3), ("AP50", "ap50", 3), ("AP 0.5–0.95", "ap", 3), ("mean Dice", "mean_dice", 3),
    ("count error per image", "count_error", 1), ("count bias (%)", "bias", 1), ("images", "images", 0),
)  # fmt: skip
# What was aimed at: F1 on BBBC039 and AP50 on DSB2018, by ratio.
AIMS = {1: (0.95, 0.85), 16: (0.94, 0.82), 64: (0.90, 0.72), 256: (0.65, 0.40)}
ROUTES = {"task": "task-aware", "content": "content-aware, then the head", "direct": "direct, no reconstruction"}


def route(header: SetHeader) -> str:
    """How the set learned cells: ``task`` (stage 3 won), ``content`` (head on a frozen decoder) or ``direct``."""
    if header.provenance.chosen.startswith("direct"):
        return "direct"
    return "task" if "task step" in header.provenance.chosen else "content"


@torch.inference_mode()
def figures(instrument: PatternSet, group: Group) -> list[dict[str, float]]:
    """One entry an image."""
    microscope, found = instrument.microscope(), []
    assert instrument.segmenter is not None
    for index, example in enumerate(group.examples):
        assert example.labels is not None
        decoded = decode_example(example, index, microscope, instrument.decoder, instrument.acquisition)
        maps = head_maps(instrument.segmenter, decoded, example.specimen.shape)
        found.append(segmentation_quality(instances(*maps, instrument.header.instances), example.labels).model_dump())
    return found


def summary(images: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over images; the count error without its sign, the bias from all cells together."""
    means = {key: float(np.mean([i[key] for i in images])) for key in ("f1", "ap50", "ap", "mean_dice")}
    means["count_error"] = float(np.mean([abs(i["count_error"]) for i in images]))
    means["bias"] = 100 * sum(i["count_error"] for i in images) / max(1, sum(i["truth_count"] for i in images))
    return {**means, "images": len(images)}


def pooled(seeds: Sequence[dict[str, float]]) -> Row:
    """Means over seeds and, of several, their standard deviations."""
    means = {k: float(np.mean([s[k] for s in seeds])) for k in seeds[0]}
    several = len(seeds) > 1
    return {**means, "spread": {k: float(np.std([s[k] for s in seeds], ddof=1)) for k in means} if several else {}}


def all_rows(options: argparse.Namespace, sets: Sequence[SetSummary]) -> list[Row]:
    """One row a group and kind of set; several seeds of one kind share it."""
    kept, rows = Kept(options.cache), []
    for name, domain in domains(sets).items():
        own = [s for s in sets if s.name == name]
        for group in (g for g in groups(options.data, domain, options.every) if g.has_cells and own):
            kinds: dict[tuple[float, str, str], dict[str, dict[str, float]]] = {}
            for s in own:
                made_from = ["cells", segmentation_digest(), s.header.tensors_sha256, print_of(group)]
                made_from.append(s.header.instances.model_dump())
                images = kept.get(made_from, lambda s=s, group=group: figures(read_set(s.path), group))
                kind = (s.ratio, s.family, route(s.header))
                kinds.setdefault(kind, {})[s.header.tensors_sha256] = summary(images)
                print(f"{group.title} {s.path.name} F1 {summary(images)['f1']:.3f}", file=sys.stderr)
            for (ratio, family, way), seeds in sorted(kinds.items()):
                known = {"group": group.title, "ratio": ratio, "family": family, "route": way, "seeds": len(seeds)}
                rows.append({**known, **pooled(list(seeds.values()))})
    return rows


@lru_cache(maxsize=1)
def segmentation_digest() -> str:
    """Of the code below ``segmentation``, on which the kept figures depend too."""
    digest = hashlib.sha256()
    for file in sorted((Path(napari_dmu.__file__).parent / "segmentation").glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def arm(row: Row) -> str:
    """What a row is called on the page."""
    if row["ratio"] == 1:
        return "uncompressed image, the same head"
    return f"{row['family']}, {ROUTES[row['route']]}" + (f", {row['seeds']} seeds" if row["seeds"] > 1 else "")


def markdown(rows: Sequence[Row]) -> str:
    """One table a group of images, and what was aimed at."""
    text = ""
    for group in dict.fromkeys(r["group"] for r in rows):
        own = [r for r in rows if r["group"] == group]
        lines = [[f"×{r['ratio']:g}", arm(r), *(_cell(r, key, decimals) for _, key, decimals in COLUMNS)] for r in own]
        text += f"\n### Cells: {group}\n\n" + table(["ratio", "arm", *(c for c, _, _ in COLUMNS)], lines)
    return text + "\n" + aims(rows)


def _cell(row: Row, key: str, decimals: int) -> str:
    spread = f" ± {row['spread'][key]:.{decimals}f}" if key in row["spread"] and key in ("f1", "ap50", "ap") else ""
    return f"{row[key]:.{decimals}f}{spread}"


def aims(rows: Sequence[Row]) -> str:
    """The best of each ratio beside what was aimed at."""
    lines = []
    for ratio in sorted({r["ratio"] for r in rows}):
        line = [f"×{ratio:g}"]
        for number, (place, key) in enumerate((("bbbc039", "f1"), ("dsb2018", "ap50"))):
            own = [r for r in rows if r["ratio"] == ratio and place in r["group"]]
            if not own:
                line += ["–", "–"]
                continue
            best = max(own, key=lambda r: r[key])
            aim = AIMS.get(round(ratio))
            reached = "" if aim is None else f" ({'reached' if best[key] >= aim[number] else 'missed'}: {aim[number]})"
            line += [f"{best[key]:.3f}{reached}", arm(best)]
        lines.append(line)
    head = ["ratio", "best F1, BBBC039 (aim)", "by", "best AP50, DSB2018 (aim)", "by"]
    return table(head, lines, left=5)


def large_field(side: int, data: Path, instrument: PatternSet) -> tuple[str, bool]:
    """Segment a field put together from validation images, tile by tile and in one piece: a sentence, and if equal."""
    from napari_dmu.training.data import read_examples

    images = [e.specimen for e in read_examples(data / "nuclei_bbbc039" / "val", masks=False)]
    columns = -(-side // images[0].shape[1])
    rows = -(-side // images[0].shape[0])
    mosaic = np.block([[images[(r * columns + c) % len(images)] for c in range(columns)] for r in range(rows)])
    specimen = np.rint(4000 * mosaic[:side, :side]).astype(np.uint16)
    measurement = napari_dmu.simulate(specimen, instrument)
    start = time.monotonic()
    tiled = napari_dmu.segment(measurement, instrument=instrument, device="cpu")
    seconds = time.monotonic() - start
    usual, decoding.plan = decoding.plan, partial(plan, side=10**6)
    try:
        whole = napari_dmu.segment(measurement, instrument=instrument, device="cpu")
    finally:
        decoding.plan = usual
    differing = int((tiled != whole).sum())
    match = segmentation_quality(tiled, whole, iou=0.99)
    same = "the same labels" if not differing else f"labels that differ in {differing} of {side**2} pixels"
    return (
        f"A field of {side}×{side} at ×{instrument.ratio:g} ({instrument.family}), {tiled.max()} cells: tile by tile "
        f"and in one piece give {same} (F1 at IoU 0.99: {match.f1:.5f}); {seconds / (side**2 / 1e6):.2f} s per "
        f"megapixel on {torch.get_num_threads()} cores, post-processing included.\n",
        match.f1 == 1.0,
    )


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", type=Path, nargs="*", default=[], help="folders of sets beside the shipped ones")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    parser.add_argument("--field", type=int, default=0, help="side of the large field; 0 leaves it out")
    parser.add_argument("--field-ratio", type=float, default=64.0)
    parser.add_argument("--cache", type=Path, default=CACHE)
    return parser.parse_args()


def main() -> None:
    """Print the tables; write them and the curves where wanted."""
    options = options_of()
    sets = [s for folder in (None, *options.sets) for s in pattern_sets(folder) if s.header.head is not None]
    rows = all_rows(options, sets)
    text = markdown(rows)
    if options.field:
        one = next(s for s in sets if s.ratio == options.field_ratio and s.family == "learned")
        text += "\n" + large_field(options.field, options.data, read_set(one.path))[0]
    print(text)
    if options.write:
        path = options.write.parent / "images" / "segmentation.png"
        curves(rows, path)
        picture = "![F1 and AP50 over compression ratio](images/segmentation.png)\n"
        write_between(options.write, "segmentation", f"{picture}\n{text}")


if __name__ == "__main__":
    main()
