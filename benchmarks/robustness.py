"""How the pattern sets bear what they were not made for: little light, other optics, shifted patterns, other images.

    python benchmarks/robustness.py [--data ../shared/data] [--write docs/results.md] [--sets FOLDER] [--every 4]

Every set measures and reconstructs every n-th of its validation images under each condition, with exact noise of
(seed 0, image number); figures are means over images. The decoder knows the light and the read noise, as an instrument
does; it does not know that the optics or the place of the patterns differ. "Elsewhere" are validation images of another
domain, beside them the bicubic picture of an ideal plain camera. Where a set has error bars, more tables say how many
pixels they cover, of all images and of those without a warning, the misfit of the data over the limit above which the
user is warned, and how many images raise a warning at all: a misfit, or "unusual".

With ``--write`` the tables go between the markers ``<!-- robustness -->``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines import bicubic
from common import domains, groups, pattern_sets, table, write_between

from napari_dmu.engine.assessment import judged, misfit_limit
from napari_dmu.engine.decoding import WithError
from napari_dmu.engine.verdict import PlaneAssessment
from napari_dmu.evaluation import image_quality
from napari_dmu.evaluation.consistency import Consistency, consistency
from napari_dmu.evaluation.typicality import FeatureMean
from napari_dmu.microscope.acquisition import Acquisition, Registration
from napari_dmu.microscope.detector import sample_counts
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.inference import Decoded, decode, noise_of
from napari_dmu.training.data import Example
from napari_dmu.training.validation import crop
from napari_dmu.zoo.header import Trust
from napari_dmu.zoo.pattern_set import PatternSet, read_set
from napari_dmu.zoo.registry import SetSummary

torch.set_num_threads(1)


@dataclass(frozen=True)
class Condition:
    """What differs from the set's own acquisition; ``elsewhere`` takes images of another domain."""

    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    optics: float = 1.0
    shift: float = 0.0
    elsewhere: bool = False

    def settings(self, own: Acquisition) -> Acquisition:
        """The acquisition of the measurement."""
        paths = {k: getattr(own, k) for k in ("excitation", "emission")}
        wider = {k: psf.model_copy(update={"sigma": psf.sigma * self.optics}) for k, psf in paths.items()}
        place = Registration(shift=(self.shift, self.shift))
        return own.model_copy(update={**wider, "registration": place, **self.changes})


CONDITIONS = (
    Condition("nominal"),
    *(Condition(f"k = {k}", {"photons": float(k)}) for k in (10, 100, 10000)),
    *(Condition(f"read noise {e} e⁻", {"read_noise": float(e)}) for e in (0, 6)),
    *(Condition(f"PSF σ {sign}20 %", optics=factor) for sign, factor in (("−", 0.8), ("+", 1.2))),
    *(Condition(f"shift {px:g} px", shift=px) for px in (0.25, 0.5)),
    Condition("elsewhere", elsewhere=True),
)
# Beside it: the ideal plain camera on the same images.
THERE = "bicubic elsewhere"
COLUMNS = (*(c.title for c in CONDITIONS), THERE)
# Table, key of the figures, decimals; from the third on for sets with error bars.
TABLES = (
    ("PSNR (dB)", "psnr", 2),
    ("SSIM", "ssim", 3),
    ("Pixels within their error bars", "covered", 3),
    ("The same, of images without a warning", "covered_quiet", 3),
    ("Misfit of the data, over the limit from which the user is warned", "misfit", 2),
    ("Share of the images with a warning", "flagged", 2),
)

Figures = dict[str, float]


@torch.inference_mode()
def one(instrument: PatternSet, microscope: Microscope, example: Example, index: int) -> Figures:
    """Measure with this microscope, decode as the set is, and score."""
    settings, shape, trust = microscope.acquisition, example.specimen.shape, instrument.header.trust
    specimen = torch.from_numpy(example.specimen).to(microscope.patterns)
    counts = sample_counts(microscope.forward(specimen).cpu().numpy(), settings, seed=0, index=index)
    frames = torch.from_numpy(counts.astype(np.float32))[None]
    known = instrument.acquisition.model_copy(
        update={"photons": settings.photons, "read_noise": settings.read_noise, "gain": settings.electrons_per_count}
    )
    head = {} if trust is None else {"error_head": instrument.error_head, "factor": trust.factor}
    found = decode(instrument.decoder, frames, known, **head)
    image = crop(found.image, shape)
    quality = image_quality(image, example.specimen)
    figures = {"psnr": quality.psnr, "ssim": quality.ssim}
    if trust is not None and found.scale is not None:
        figures["covered"] = float(np.mean(np.abs(image - example.specimen) <= crop(found.scale, shape)))
        again = instrument.microscope(microscope.patterns.device).forward(torch.from_numpy(image).to(specimen))
        fit = consistency(counts, again.cpu().numpy(), known, tolerance=trust.tolerance)
        seen = _verdict_on(trust, fit, found, shape, instrument.header.decoder.stride, noise_of(known))
        figures["misfit"] = fit.misfit / seen.limit
        figures["flagged"] = float(seen.verdict in ("misfit", "unusual"))
    return figures


def _verdict_on(
    trust: Trust, fit: Consistency, found: Decoded, shape: tuple[int, ...], stride: int, noise: float
) -> PlaneAssessment:
    """What the user would be told of the plane; the imagined part plays no role in that and is left out."""
    features = FeatureMean(stride)
    features.add(found.features[0], *(slice(0, side) for side in shape))
    figures = PlaneAssessment(
        chi_square=fit.chi_square,
        expected_error=fit.standard_error,
        misfit=fit.misfit,
        limit=misfit_limit(trust, noise),
        imagined_fraction=0.0,
        spread=None,
        relative_spread=None,
        spread_limit=None,
        saturated=fit.saturated,
    )
    with_error = WithError(crop(found.image, shape), crop(found.scale, shape), features.value)
    return judged(figures, trust, with_error, noise)


def set_rows(
    s: SetSummary, own: Sequence[Example], other: Sequence[Example], device: torch.device
) -> dict[str, Figures]:
    """Mean figures of one set by condition."""
    instrument, rows = read_set(s.path).to(device), {}
    for condition in CONDITIONS:
        examples = other if condition.elsewhere else own
        if not examples:
            continue
        microscope = instrument.microscope(device, acquisition=condition.settings(instrument.acquisition))
        figures = [one(instrument, microscope, example, index) for index, example in enumerate(examples)]
        rows[condition.title] = _mean(figures)
        quiet = [f["covered"] for f in figures if f.get("flagged") == 0.0]
        if quiet:
            rows[condition.title]["covered_quiet"] = float(np.mean(quiet))
    if other:
        found = [image_quality(bicubic(example, s.ratio), example.specimen) for example in other]
        rows[THERE] = _mean([{"psnr": q.psnr, "ssim": q.ssim} for q in found])
    return rows


def _mean(figures: Sequence[Figures]) -> Figures:
    return {key: float(np.mean([f[key] for f in figures])) for key in figures[0]}


def markdown(results: Sequence[tuple[SetSummary, dict[str, Figures]]]) -> str:
    """One table a figure, one row a set; plain below learned at each ratio."""
    parts = []
    for title, key, decimals in TABLES:
        lines = []
        for s, rows in results:
            if key not in rows["nominal"]:
                continue
            cells = [rows.get(column, {}).get(key) for column in COLUMNS]
            lines.append([f"×{s.ratio:g} {s.name}", s.family, *(_figure(v, decimals) for v in cells)])
        if lines:
            parts += [f"### {title}", table(["set", "patterns", *COLUMNS], lines)]
    return "\n\n".join(parts)


def _figure(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def main() -> None:
    """Print the tables, and write them into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", type=Path, help="folder of pattern sets; those of the package by default")
    parser.add_argument("--write", type=Path, help="page with markers <!-- robustness --> … <!-- /robustness -->")
    parser.add_argument("--every", type=int, default=4, help="take every n-th image of each validation source")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    sets, device = pattern_sets(options.sets), torch.device(options.device)
    images = {
        name: [e for group in groups(options.data, domain, options.every) for e in group.examples]
        for name, domain in domains(sets).items()
    }
    results = []
    for s in sets:
        start = time.monotonic()
        other = [e for name, examples in images.items() if name != s.name for e in examples]
        results.append((s, set_rows(s, images[s.name], other, device)))
        print(f"{s.label}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    counts = ", ".join(f"{len(examples)} of {name}" for name, examples in images.items())
    text = f"On every {options.every}th validation image of each source: {counts}.\n\n{markdown(results)}"
    print(text)
    if options.json:
        rows = [{"set": s.path.name, "figures": rows} for s, rows in results]
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.write:
        write_between(options.write, "robustness", text)


if __name__ == "__main__":
    main()
