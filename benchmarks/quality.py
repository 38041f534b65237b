"""Image and cell figures of every shipped pattern set on validation images, against a plain camera's picture.

    python benchmarks/quality.py --data ../shared/data [--write docs/results.md] [--every 1] [--json FILE]

Exact noise of (seed 0, image number), the sets' own settings, mean over images, the convention of
``evaluation.image_quality``. The baseline needs no training: an ideal plain camera with as many samples (one full
exposure, bins of √C pixels, without noise and without blur), enlarged by bicubic interpolation.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from napari_dmu.evaluation import image_quality
from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.microscope.forward import Microscope
from napari_dmu.training.data import Example, read_examples
from napari_dmu.training.validation import score
from napari_dmu.zoo.registry import SHIPPED, available_sets, load_set

FOLDERS = ("nuclei_bbbc039/val", "nuclei_dsb2018/val")
COLUMNS = ("PSNR (dB)", "SSIM", "MSE", "linear part (dB)", "AP50", "F1")


def plain_picture(example: Example, ratio: float) -> np.ndarray:
    """Noise-free, blur-free plain camera at a ratio, enlarged to the specimen's pixels by bicubic interpolation."""
    side, sharp = math.isqrt(int(ratio)), Psf(kind="none")
    ideal = Acquisition(bin=side, exposures=1, period=side, excitation=sharp, emission=sharp)
    camera = Microscope(torch.ones(1, side, side), ideal)
    frame = camera.forward(torch.from_numpy(example.specimen)) / side**2
    whole = functional.interpolate(frame[None], scale_factor=side, mode="bicubic", align_corners=False)[0, 0]
    rows, columns = example.specimen.shape
    return whole[:rows, :columns].numpy()


def bicubic_row(ratio: float, examples: list[Example]) -> dict[str, Any]:
    """Figures of the baseline."""
    scores = [image_quality(plain_picture(e, ratio), e.specimen) for e in examples]
    psnr, ssim, mse = (float(np.mean([getattr(s, n) for s in scores])) for n in ("psnr", "ssim", "mse"))
    return {"PSNR (dB)": psnr, "SSIM": ssim, "MSE": mse}


def set_row(name: str, family: str, ratio: float, examples: list[Example], device: torch.device) -> dict[str, Any]:
    """Figures of a shipped set."""
    instrument = load_set(name, ratio=ratio, family=family).to(device)
    result = score(
        examples,
        instrument.microscope(device),
        instrument.decoder,
        instrument.acquisition,
        head=instrument.segmenter,
        settings=instrument.header.instances,
    )
    figures = (result.psnr, result.ssim, result.mse, result.lifted_psnr, result.ap50, result.f1)
    return dict(zip(COLUMNS, figures, strict=True))


def table(data: Path, every: int, device: torch.device) -> list[dict[str, Any]]:
    """One row a folder, ratio and arm."""
    sets = [s for s in available_sets() if s.path.parent == SHIPPED]
    rows = []
    for folder in FOLDERS:
        examples = read_examples(data / folder, masks=True)[::every]
        for ratio in sorted({s.ratio for s in sets}):
            arms: list[dict[str, Any]] = [
                {"arm": "ideal plain camera, bicubic", "T": 1, "dose": 1.0, **bicubic_row(ratio, examples)}
            ]
            for s in (s for s in sets if s.ratio == ratio):
                row = set_row(s.name, s.family, ratio, examples, device)
                arms.append({"arm": f"{s.name}, {s.family}", "T": s.exposures, "dose": s.dose_mean, **row})
            rows += [{"images": f"{folder} ({len(examples)})", "ratio": ratio, **arm} for arm in arms]
            print(f"{folder} ×{ratio:g} done", file=sys.stderr)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as one Markdown table a folder."""
    lines: list[str] = []
    for folder in dict.fromkeys(row["images"] for row in rows):
        lines += ["", f"### {folder}", "", "| ratio | arm | T | dose | " + " | ".join(COLUMNS) + " |"]
        lines.append("|---|---|---|---|" + "---|" * len(COLUMNS))
        for row in (r for r in rows if r["images"] == folder):
            figures = " | ".join(_figure(name, row.get(name)) for name in COLUMNS)
            lines.append(f"| ×{row['ratio']:g} | {row['arm']} | {row['T']} | {row['dose']:.2f} | {figures} |")
    return "\n".join(lines) + "\n"


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.5f}" if name == "MSE" else f"{value:.2f}" if "dB" in name else f"{value:.3f}"


def main() -> None:
    """Print the table, and write it between the markers of a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--write", type=Path, help="Markdown file with markers <!-- quality --> … <!-- /quality -->")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = table(options.data, options.every, torch.device(options.device))
    text = markdown(rows)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        before, rest = page.split("<!-- quality -->", 1)
        after = rest.split("<!-- /quality -->", 1)[1]
        options.write.write_text(f"{before}<!-- quality -->\n{text}<!-- /quality -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
