"""A panel for docs/results.md: one field at every ratio, from the specimen to the error of its reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from baselines import bicubic
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_dmu.engine.panel import FAINT, INK, Rgb, enlarged, grey, stretch, write_text
from napari_dmu.evaluation import image_quality
from napari_dmu.microscope.detector import sample_counts
from napari_dmu.reconstruction.inference import decode
from napari_dmu.training.data import Example
from napari_dmu.training.validation import crop
from napari_dmu.zoo.pattern_set import PatternSet, read_set
from napari_dmu.zoo.registry import SetSummary

# The error's white.
ERROR_TOP = 0.3
SIDE, GAP, LEFT, HEAD, FOOT, MARGIN = 256, 14, 118, 62, 34, 24
HEADS = (
    ("Specimen", "truth"),
    ("Plain picture", "ideal camera, bicubic"),
    ("Measurement", "first exposure, stretched"),
    ("Reconstruction", "from the measurement"),
    ("Error", f"black 0, white {ERROR_TOP:g} or more"),
)
Part = tuple[slice, slice]


def panel(sets: Sequence[SetSummary], example: Example, path: Path, *, corner: tuple[int, int] = (0, 0)) -> None:
    """Draw a square part of one image at the ratios of the sets given, a row each."""
    part = (slice(corner[0], corner[0] + SIDE), slice(corner[1], corner[1] + SIDE))
    rows = [_row(read_set(s.path), example, part) for s in sets]
    size = (LEFT + len(HEADS) * SIDE + (len(HEADS) - 1) * GAP + MARGIN, HEAD + MARGIN + len(rows) * (SIDE + FOOT + GAP))
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for column, (title, line) in enumerate(HEADS):
        left = LEFT + column * (SIDE + GAP)
        write_text(draw, (left, 14), title, 23, INK)
        write_text(draw, (left, 44), line, 17, FAINT)
    for number, (s, tiles) in enumerate(zip(sets, rows, strict=True)):
        top = HEAD + 18 + number * (SIDE + FOOT + GAP)
        write_text(draw, (MARGIN, top), f"×{s.ratio:g}", 28, INK)
        for k, text in enumerate((f"T = {s.exposures}", f"d = {s.bin} px", f"dose {s.dose_mean:.2f}")):
            write_text(draw, (MARGIN, top + 44 + 24 * k), text, 17, FAINT)
        for column, (picture, line) in enumerate(tiles):
            left = LEFT + column * (SIDE + GAP)
            canvas.paste(Image.fromarray(picture), (left, top))
            write_text(draw, (left, top + SIDE + 6), line, 18, INK)
    canvas.save(path, optimize=True)


@torch.inference_mode()
def _row(instrument: PatternSet, example: Example, part: Part) -> list[tuple[Rgb, str]]:
    """Pictures with a line each."""
    truth, field, a = example.specimen, example.specimen.shape, instrument.acquisition
    signal = instrument.microscope().forward(torch.from_numpy(truth)).numpy()
    counts = sample_counts(signal, a, seed=0)
    image = crop(decode(instrument.decoder, torch.from_numpy(counts.astype(np.float32))[None], a).image, field)
    plain = bicubic(example, instrument.ratio)
    samples = f"{SIDE // a.bin} × {SIDE // a.bin} samples" + (f", {a.exposures} times" if a.exposures > 1 else "")
    error = np.abs(image - truth)[part]
    return [
        (grey(truth[part]), f"{SIDE} × {SIDE} pixels"),
        (grey(plain[part]), _quality(plain, truth, part)),
        (grey(stretch(enlarged(counts[0], a.bin, (field[0], field[1]))[part])), samples),
        (grey(image[part]), _quality(image, truth, part)),
        (_linear_grey(error / ERROR_TOP), f"mean error {error.mean():.3f}"),
    ]


def _quality(image: NDArray[np.float32], truth: NDArray[np.float32], part: Part) -> str:
    """Figures of the part that is shown."""
    found = image_quality(image[part], truth[part], limits=(0.0, 1.0))
    return f"{found.psnr:.1f} dB, SSIM {found.ssim:.3f}"


def _linear_grey(values: NDArray[np.floating]) -> Rgb:
    """0 … 1 as grey, without the lift of dim values that pictures have."""
    return np.repeat(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=-1)
