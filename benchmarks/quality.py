"""Image and cell figures of every pattern set on validation images, beside what needs no trained network.

    python benchmarks/quality.py [--data ../shared/data] [--write docs/results.md] [--sets FOLDER] [--every 1]

Exact noise of (seed 0, image number), the sets' own settings, mean over images, the convention of
``evaluation.image_quality``; resolutions are medians. The images of a set are those that its model card names.

Baselines, each with as many samples: an ideal plain camera (no noise, no blur) enlarged by bicubic interpolation; the
plain camera with the sets' light and optics and a linear minimum mean square error estimate, in closed form from the
training images; the same camera with total variation (TV), on every ``--tv-every``-th image, because it is slow, with
the sets' own figures on the same images below it. Baselines are kept in .cache from run to run.

With ``--write`` the table goes between the markers ``<!-- quality -->``, the curves to ``images/rate_distortion.png``
and the pictures to ``images/panel.png`` beside the page.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import baselines
import numpy as np
import torch
from common import CACHE, Domain, Group, Kept, domains, groups, pattern_sets, print_of, table, write_between
from figures import rate_distortion
from pictures import panel

from napari_dmu.evaluation import sampling_limit, segmentation_quality
from napari_dmu.files.dmd import export_patterns
from napari_dmu.files.patterns import read_patterns
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import sample_counts
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.inference import Decoded, decode
from napari_dmu.segmentation.instances import instances
from napari_dmu.training.data import Example
from napari_dmu.training.validation import crop, head_maps
from napari_dmu.zoo.pattern_set import PatternSet, read_set
from napari_dmu.zoo.registry import SetSummary

Row = dict[str, Any]
# Column, key of a row, decimals.
COLUMNS = (
    ("PSNR (dB)", "psnr", 2), ("SSIM", "ssim", 3), ("MSE", "mse", 5), ("NRMSE", "nrmse", 3),
    ("FRC, two runs (px)", "frc", 1), ("FRC, truth (px)", "frc_truth", 1),
    ("linear part (dB)", "linear", 2), ("AP50", "ap50", 3), ("F1", "f1", 3),
)  # fmt: skip
MEDIANS = ("frc", "frc_truth")


def decoded(instrument: PatternSet, microscope: Microscope, example: Example, index: int, seed: int = 0) -> Decoded:
    """Measure an example with exact noise of (seed, index) and decode it."""
    specimen = torch.from_numpy(example.specimen).to(microscope.patterns)
    counts = sample_counts(microscope.forward(specimen).cpu().numpy(), instrument.acquisition, seed=seed, index=index)
    return decode(instrument.decoder, torch.from_numpy(counts.astype(np.float32))[None], instrument.acquisition)


@torch.inference_mode()
def set_figures(instrument: PatternSet, group: Group, device: torch.device) -> list[dict[str, float]]:
    """One entry an image."""
    microscope, found = instrument.to(device).microscope(device), []
    for index, example in enumerate(group.examples):
        field = example.specimen.shape
        first = decoded(instrument, microscope, example, index)
        again = crop(decoded(instrument, microscope, example, index, seed=1).image, field)
        figures = baselines.quality_figures(crop(first.image, field), example, again)
        figures["linear"] = baselines.image_quality(crop(first.lifted, field), example.specimen).psnr
        if instrument.segmenter is not None and example.labels is not None:
            labels = instances(*head_maps(instrument.segmenter, first, field), instrument.header.instances)
            match = segmentation_quality(labels, example.labels)
            figures |= {"ap50": match.ap50, "f1": match.f1}
        found.append(figures)
    return found


def row(group: Group, ratio: float, arm: str, figures: Sequence[dict[str, float]], **more: Any) -> Row:
    """Means over images; medians of the resolutions, where "nothing resolved" is infinite."""
    names = [key for _, key, _ in COLUMNS if key in figures[0]]
    means = {k: float((np.median if k in MEDIANS else np.mean)([f[k] for f in figures])) for k in names}
    where = {"group": group.title, "ratio": ratio, "limit": sampling_limit(ratio), "images": len(figures)}
    return {**where, "arm": arm, "T": 1, "dose": 1.0, **means, **more}


def baseline_rows(
    data: Path, domain: Domain, group: Group, ratio: float, like: Acquisition, kept: Kept, tv_every: int
) -> list[Row]:
    """Bicubic, LMMSE and, unless ``tv_every`` is 0, TV of one ratio."""
    light = like.model_dump(mode="json", exclude={"bin", "exposures", "period"})
    what = [print_of(group), ratio, light]
    trained = [s.model_dump(mode="json") for s in domain.training]

    def estimated() -> list[dict[str, float]]:
        return baselines.lmmse_figures(group, *baselines.lmmse(data, domain, ratio, like))

    def by_total_variation() -> list[dict[str, float]]:
        return baselines.total_variation_figures(group, baselines.plain_camera(ratio, like), tv_every)

    plain = kept.get(["bicubic", *what], lambda: baselines.bicubic_figures(group, ratio))
    linear = kept.get(["LMMSE", *what, trained], estimated)
    rows = [
        row(group, ratio, "ideal plain camera, bicubic", plain, family="bicubic"),
        row(group, ratio, "plain camera, LMMSE", linear, family="LMMSE"),
    ]
    if tv_every:
        figures = kept.get(["TV", *what, tv_every], by_total_variation)
        indices = [int(f["index"]) for f in figures]
        arm = f"plain camera, TV, {_images(indices)}"
        rows.append(row(group, ratio, arm, figures, family="TV", indices=indices))
    return rows


def set_rows(s: SetSummary, group: Group, figures: Sequence[dict[str, float]], few: Sequence[int]) -> list[Row]:
    """The row of a set, and that of the few images on which there is total variation."""
    about = {"set": s.path.name, "T": s.exposures, "dose": s.dose_mean}
    arm = f"{s.family}, our decoder"
    rows = [row(group, s.ratio, arm, figures, family=s.family, **about)]
    if few and s.family in ("learned", "plain"):
        part = [figures[i] for i in few]
        rows.append(row(group, s.ratio, f"{arm}, the same {_images(few)}", part, family=f"{s.family}, few", **about))
    return rows


def _images(indices: Sequence[int]) -> str:
    return f"{len(indices)} image" + ("s" if len(indices) != 1 else "")


def all_rows(options: argparse.Namespace, sets: Sequence[SetSummary]) -> list[Row]:
    """Every group, ratio and arm."""
    kept, device, rows = Kept(options.cache), torch.device(options.device), []
    for name, domain in domains(sets).items():
        own = [s for s in sets if s.name == name]
        for group in groups(options.data, domain, options.every) if own else ():
            for ratio in sorted({s.ratio for s in own}):
                start, arms = time.monotonic(), [s for s in own if s.ratio == ratio]
                like = arms[0].header.acquisition
                found = baseline_rows(options.data, domain, group, ratio, like, kept, options.tv_every)
                few = found[-1].get("indices", [])
                for s in arms:
                    found += set_rows(s, group, set_figures(read_set(s.path), group, device), few)
                rows += sorted(found, key=lambda r: "indices" in r or r["family"].endswith("few"))
                print(f"{group.title} ×{ratio:g}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    return rows


@torch.inference_mode()
def exported_difference(s: SetSummary, group: Group) -> float:
    """PSNR (dB) of one image with the patterns that were exported as 1-bit PNG and read back, less the set's own."""
    instrument, example = read_set(s.path), group.examples[0]
    with tempfile.TemporaryDirectory() as folder:
        export_patterns(instrument, Path(folder) / "dmd", format="png", orientation=False)
        patterns = read_patterns(Path(folder) / "dmd", bin=instrument.acquisition.bin)
    microscopes = (Microscope(torch.from_numpy(patterns).float(), instrument.acquisition), instrument.microscope())
    read, own = (
        baselines.image_quality(
            crop(decoded(instrument, m, example, 0).image, example.specimen.shape), example.specimen
        ).psnr
        for m in microscopes
    )
    return read - own


def export_sentence(options: argparse.Namespace, sets: Sequence[SetSummary]) -> str:
    """What is left of the figures when a DMD shows the exported patterns."""
    where = domains(sets)
    worst = max(abs(exported_difference(s, groups(options.data, where[s.name], options.every)[0])) for s in sets)
    return (
        f"Exported as 1-bit PNG frames and read back from them, the patterns of the {len(sets)} sets were scored again "
        f"on the first image: the largest difference of PSNR is {worst:.4f} dB."
    )


def repeatability_sentence(rows: Sequence[Row]) -> str:
    """What FRC between two acquisitions says; it is left out of the table where it says the same of all."""
    found = [r["frc"] for r in rows if "frc" in r]
    low, high = min(found), max(found)
    text = f"is {low:.1f} px in all rows" if high - low < 0.05 else f"lies between {low:.1f} and {high:.1f} px"
    return (
        f"FRC between the images from two acquisitions with independent noise (threshold 1/7) {text} (median over "
        "images; 2.0 px is the limit of the pixels): at this light an image is repeatable to its last pixel whether or "
        "not it is right, so only FRC against the truth tells them apart."
    )


def markdown(rows: Sequence[Row]) -> str:
    """One table a group of images."""
    parts = []
    differ = np.ptp([r["frc"] for r in rows if "frc" in r]) >= 0.05
    for group in dict.fromkeys(r["group"] for r in rows):
        own = [r for r in rows if r["group"] == group]
        columns = [c for c in COLUMNS if any(c[1] in r for r in own) and (differ or c[1] != "frc")]
        head = ["ratio", "arm", "T", "dose", "limit 2√C (px)", *(name for name, _, _ in columns)]
        lines = [
            [f"×{r['ratio']:g}", r["arm"], str(r["T"]), f"{r['dose']:.2f}", f"{r['limit']:g}"]
            + [_figure(r.get(key), decimals) for _, key, decimals in columns]
            for r in own
        ]
        parts += [f"### {group}", table(head, lines)]
    return "\n\n".join(parts)


def _figure(value: float | None, decimals: int) -> str:
    if value is None:
        return "–"
    return f"{value:.{decimals}f}" if np.isfinite(value) else "none"


def main() -> None:
    """Print the table; with ``--write``, also into a page, with its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", type=Path, help="folder of pattern sets; those of the package by default")
    parser.add_argument("--write", type=Path, help="Markdown page with markers <!-- quality --> … <!-- /quality -->")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    parser.add_argument("--tv-every", type=int, default=24, help="total variation on every n-th of them, 0 for none")
    parser.add_argument("--cache", type=Path, default=CACHE, help="file of the baselines' figures")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    sets = pattern_sets(options.sets)
    rows = all_rows(options, sets)
    text = "\n\n".join([markdown(rows), repeatability_sentence(rows), export_sentence(options, sets)])
    print(text)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.write:
        write_between(options.write, "quality", text)
        pictures = options.write.parent / "images"
        rate_distortion(rows, pictures / "rate_distortion.png")
        learned = [x for x in sets if (x.name, x.family) == ("nuclei", "learned")]
        if learned:
            fields = groups(options.data, domains(sets)["nuclei"])[0].examples
            panel(learned, fields[len(fields) // 6], pictures / "panel.png")


if __name__ == "__main__":
    main()
