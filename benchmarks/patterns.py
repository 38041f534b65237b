"""The search for patterns on the closed-form error of the linear decoder: what each geometry, start and method gives.

    python benchmarks/patterns.py --data ../shared/data [--write docs/results.md] [--save FOLDER] [--ratios 64,256]

No network, no training. Statistics of the specimens come from the training images (all of BBBC039, every n-th of
DSB2018, the two sources counting alike); the patterns found are then measured with exact noise on every third
validation image and decoded by the same linear estimate. Figures are kept from run to run, so that it resumes.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Kept, table, write_between
from torch import Tensor

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import counts_to_signal, sample_counts
from napari_dmu.microscope.forward import Microscope, dose
from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.linear_design import Method, coarse_pixel, grey_optimum, search
from napari_dmu.reconstruction.linear_estimate import LinearEstimate
from napari_dmu.reconstruction.linear_floor import (
    any_reach_floor,
    block_floor,
    keep_components,
    keep_frequencies,
)
from napari_dmu.reconstruction.linear_starts import Start, start_patterns
from napari_dmu.reconstruction.specimen_statistics import SpecimenStatistics, specimen_statistics
from napari_dmu.training.data import Example, read_examples

SOURCES = ("nuclei_bbbc039", "nuclei_dsb2018")
# (T, d, P) by ratio. Two exposures are nowhere: d² = 2·4ⁿ has no whole root.
GEOMETRIES: dict[int, tuple[tuple[int, int, int], ...]] = {
    4: ((1, 2, 8), (4, 4, 4), (4, 4, 8), (16, 8, 8)),
    16: ((1, 4, 8), (4, 8, 8), (4, 8, 16), (16, 16, 16)),
    64: ((1, 8, 16), (4, 16, 16), (4, 16, 32), (16, 32, 32)),
    256: ((1, 16, 32), (4, 32, 32), (4, 32, 64), (16, 64, 64)),
    1024: ((1, 32, 64), (4, 64, 64), (16, 128, 128)),
}
# Geometries at which every start is tried with every method.
CLOSER = ((64, 4, 16, 16), (256, 4, 32, 32))
STARTS: tuple[Start, ...] = ("raster", "hadamard", "components", "random", "blocks")
METHODS: tuple[Method, ...] = ("annealed", "dithered", "straight", "flips")
USUAL: tuple[tuple[Start, Method], ...] = (
    ("raster", "annealed"),
    ("raster", "dithered"),
    ("hadamard", "annealed"),
    ("components", "annealed"),
)
ARMS = ("plain", "raster", "Walsh", "random", "found, binary", "best grey", "floor, own bin", "floor, any reach")
# Statistics are taken out to one of these distances, so that geometries share them.
REACHES = (54, 108, 216, 400)


@dataclass
class Bench:
    """Training images with their weights, validation images, and statistics that were taken."""

    training: list[Tensor]
    weights: list[float]
    validation: dict[str, list[Example]]
    known: dict[tuple[int, int], SpecimenStatistics] = field(default_factory=dict)

    def statistics(self, reach: int, pixel: int) -> SpecimenStatistics:
        """Of the training images, at least as far as ``reach``."""
        far = next(r for r in REACHES if r >= reach)
        if (far, pixel) not in self.known:
            self.known[far, pixel] = specimen_statistics(self.training, far, pixel=pixel, weights=self.weights)
        return self.known[far, pixel]

    def estimate(self, acquisition: Acquisition, pixel: int = 1) -> LinearEstimate:
        """The linear estimate with these statistics."""
        reach = LinearEstimate.reach(acquisition, pixel=pixel)
        return LinearEstimate(acquisition, self.statistics(reach, pixel), pixel=pixel)


def bench(data: Path, every: int) -> Bench:
    """Read the images; each source counts alike, each image by the root of its area, as training crops are drawn."""
    training, weights = [], []
    for source in SOURCES:
        examples = read_examples(data / source / "train", masks=False)
        examples = examples[:: every if len(examples) > 100 else 1]
        total = sum(math.sqrt(e.specimen.size) for e in examples)
        training += [torch.from_numpy(e.specimen) for e in examples]
        weights += [1.0 / (math.sqrt(e.specimen.size) * total) for e in examples]
    validation = {s: read_examples(data / s / "val", masks=False)[::3] for s in SOURCES}
    return Bench(training, weights, validation)


def decibel(error: float) -> float:
    """PSNR of a mean squared error, for a range of 1."""
    return -10 * math.log10(error)


def acquisition_of(exposures: int, bin: int, period: int) -> Acquisition:
    """The geometry at the nominal light and noise."""
    return Acquisition(bin=bin, exposures=exposures, period=period, photons=1000, background=2, read_noise=2)


def measured(b: Bench, acquisition: Acquisition, patterns: Tensor) -> list[float]:
    """Mean PSNR (dB) on each source's validation images, exact noise of (seed 0, image), linear estimate."""
    lifting = b.estimate(acquisition).lifting(patterns)
    microscope = Microscope(patterns.float(), acquisition)

    def picture(example: Example, index: int) -> Tensor:
        signal = microscope.forward(torch.from_numpy(example.specimen)).numpy()
        counts = sample_counts(signal, acquisition, seed=0, index=index).astype(np.float32)
        linear = counts_to_signal(torch.from_numpy(counts), acquisition)[None] / acquisition.bin**2
        with torch.no_grad():
            image: Tensor = lifting(linear)[0, 0]
        return image

    return [_mean_psnr(e, [picture(x, i) for i, x in enumerate(e)]) for e in b.validation.values()]


def _mean_psnr(examples: Sequence[Example], pictures: Sequence[Tensor]) -> float:
    scores = []
    for example, picture in zip(examples, pictures, strict=True):
        rows, columns = example.specimen.shape
        # PSNR of `image_quality`, without its other scores: the specimen's range is 0 … 1 already.
        picture = picture[:rows, :columns].clamp(0, 1).numpy()
        scores.append(decibel(float(np.mean((picture - example.specimen) ** 2))))
    return float(np.mean(scores))


def floors(b: Bench, acquisition: Acquisition) -> dict[str, list[float]]:
    """Both noise-free floors: by the closed form, then on each source."""
    a = acquisition
    pixel = max(1, a.bin // 64)
    samples = a.exposures * (a.period // a.bin) ** 2
    block = b.statistics(a.bin // pixel, pixel)
    wide = b.statistics(LinearEstimate.reach(a), 1)
    own, far = [], []
    for examples in b.validation.values():
        images = [torch.from_numpy(e.specimen) for e in examples]
        own.append(_mean_psnr(examples, [keep_components(i, block, a.bin, a.exposures, pixel=pixel) for i in images]))
        far.append(_mean_psnr(examples, [keep_frequencies(i, wide, a.period, samples) for i in images]))
    return {
        "floor, own bin": [decibel(block_floor(block, a.bin // pixel, a.exposures)), *own],
        "floor, any reach": [decibel(any_reach_floor(wide, a.period, samples)), *far],
    }


def scores(b: Bench, acquisition: Acquisition, patterns: Tensor) -> list[float]:
    """By the closed form at full resolution, then on each source."""
    error = float(b.estimate(acquisition).error(patterns.double()))
    return [decibel(error), *measured(b, acquisition, patterns.double())]


def starts_of(b: Bench, a: Acquisition) -> dict[Start, Patterns]:
    """Starts that the geometry allows."""
    estimate = b.estimate(a, coarse_pixel(a))
    return {start: start_patterns(start, a, estimate) for start in STARTS}


def geometry_row(b: Bench, ratio: int, shape: tuple[int, int, int], save: Path | None) -> dict[str, Any]:
    """All arms of one geometry."""
    a = acquisition_of(*shape)
    begin, side = starts_of(b, a), math.isqrt(ratio)
    camera = acquisition_of(1, side, a.period)
    figures = {
        "plain": scores(b, camera, torch.ones(1, a.period, a.period)),
        "raster": scores(b, a, torch.from_numpy(begin["raster"])),
        "Walsh": scores(b, a, torch.from_numpy(begin["hadamard"])),
        "random": scores(b, a, torch.from_numpy(begin["random"])),
        **floors(b, a),
    }
    estimate = b.estimate(a, coarse_pixel(a))
    tried = []
    for start, method in USUAL:
        found = search(estimate, begin[start], method=method)
        tried.append((float(b.estimate(a).error(torch.from_numpy(found.patterns).double())), start, method, found))
        if save is not None:
            keep(save, ratio, a, start, tried[-1][0], found.patterns)
    _, start, method, best = min(tried, key=lambda t: t[0])
    figures["found, binary"] = scores(b, a, torch.from_numpy(best.patterns))
    grey, _ = grey_optimum(estimate, best.patterns, steps=300)
    figures["best grey"] = scores(b, a, grey)
    changed = float(np.mean(best.patterns != begin[start]))
    spent = dose(torch.from_numpy(best.patterns))[0]
    return {"figures": figures, "start": start, "method": method, "changed": changed, "dose": spent}


def keep(folder: Path, ratio: int, a: Acquisition, start: str, error: float, patterns: Patterns) -> None:
    """Write the patterns where they are better than those of the same start that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"x{ratio}_T{a.exposures}_d{a.bin}_P{a.period}_{start}"
    note = folder / f"{name}.score"
    if not note.is_file() or float(note.read_text(encoding="utf-8")) < decibel(error):
        np.save(folder / f"{name}.npy", patterns)
        note.write_text(f"{decibel(error)}", encoding="utf-8")


def closer_rows(b: Bench, shape: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Every start with every method, at the pooling of the search."""
    a = acquisition_of(*shape)
    pixel, rows = coarse_pixel(a), []
    for start, begin in starts_of(b, a).items():
        row: dict[str, Any] = {"start": start, "before": decibel(search_error(b, a, pixel, begin))}
        for method in METHODS:
            clock = time.process_time()
            found = search(b.estimate(a, pixel), begin, method=method)
            row[method] = [decibel(found.error), time.process_time() - clock]
        rows.append(row)
    return rows


def search_error(b: Bench, a: Acquisition, pixel: int, patterns: Patterns) -> float:
    """Error at the pooling of the search."""
    return float(b.estimate(a, pixel).error(torch.from_numpy(patterns).double()))


def markdown(rows: dict[tuple[int, int, int, int], dict[str, Any]], closer: dict[Any, list[dict[str, Any]]]) -> str:
    """All tables."""
    head = ["ratio", "T", "d", "P"]
    parts = ["PSNR (dB) on every third validation image, BBBC039 / DSB2018:\n"]
    lines = [
        [*_shape(k), *(f"{r['figures'][m][1]:.2f} / {r['figures'][m][2]:.2f}" for m in ARMS)] for k, r in rows.items()
    ]
    parts.append(table([*head, *ARMS], lines, left=4))
    parts.append("The same by the closed form (training statistics, dB), and what the best search did:\n")
    lines = [
        [
            *_shape(k),
            *(f"{r['figures'][m][0]:.2f}" for m in ARMS),
            f"{r['start']}, {r['method']}",
            f"{100 * r['changed']:.0f} %",
            f"{r['dose']:.2f}",
        ]
        for k, r in rows.items()
    ]
    parts.append(table([*head, *ARMS, "from, by", "mirrors changed", "dose"], lines, left=4))
    for key, found in closer.items():
        ratio, exposures, bin, _ = key
        parts.append(
            f"Every start with every method at ×{ratio}, T = {exposures}, d = {bin} (dB, seconds on one core):\n"
        )
        cells = [
            [r["start"], f"{r['before']:.2f}", *(f"{r[m][0]:.2f} ({r[m][1]:.0f} s)" for m in METHODS)] for r in found
        ]
        parts.append(table(["start", "before", *METHODS], cells, left=1))
    return "\n".join(parts)


def _shape(key: tuple[int, int, int, int]) -> list[str]:
    return [f"×{key[0]}", *(str(v) for v in key[1:])]


def main() -> None:
    """Print the tables, and write them between the markers of a Markdown page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--write", type=Path, help="page with markers <!-- patterns --> … <!-- /patterns -->")
    parser.add_argument("--save", type=Path, help="folder for the patterns found, as .npy files")
    parser.add_argument("--ratios", default="4,16,64,256,1024")
    parser.add_argument("--every", type=int, default=8, help="take every n-th training image of DSB2018")
    parser.add_argument("--kept", type=Path, help="file that keeps figures from run to run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ratios = [int(r) for r in options.ratios.split(",")]
    b = bench(options.data, options.every)
    kept = Kept(options.kept) if options.kept else Kept()
    rows, closer = {}, {}
    for ratio in ratios:
        for shape in GEOMETRIES[ratio]:
            made = ("patterns", ratio, *shape, options.every)
            rows[ratio, *shape] = kept.get(made, partial(geometry_row, b, ratio, shape, options.save))
            print(markdown({(ratio, *shape): rows[ratio, *shape]}, {}), file=sys.stderr, flush=True)
    for key in CLOSER:
        if key[0] in ratios:
            closer[key] = kept.get(("closer", *key, options.every), partial(closer_rows, b, key[1:]))
    text = markdown(rows, closer)
    print(text)
    if options.write:
        write_between(options.write, "patterns", text)


if __name__ == "__main__":
    main()
