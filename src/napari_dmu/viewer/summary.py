"""What an acquisition means, in plain words; and what the figures of a comparison are called."""

import math
from collections.abc import Sequence

from napari_dmu.engine.comparison import Comparison
from napari_dmu.microscope.digits import NARROW, grouped
from napari_dmu.zoo.registry import SetSummary

CHANNELS = 4  # an axis of a stack that is no longer may be one of colours or channels


def acquisition_summary(shape: Sequence[int] | None, chosen: SetSummary) -> str:
    """One line on what will be measured of a specimen of ``shape`` (..., Y, X), or of any where it is None."""
    exposures = f"{chosen.exposures} exposure{'' if chosen.exposures == 1 else 's'}"
    dose = f"Light dose: {chosen.dose_mean:.3g} full exposure{'' if chosen.dose_mean == 1 else 's'}."
    if shape is None:
        return f"{exposures} with detector pixels of {chosen.bin}{NARROW}×{NARROW}{chosen.bin} specimen pixels. {dose}"
    rows, columns = chosen.header.acquisition.bins((shape[-2], shape[-1]))
    samples, pixels = chosen.exposures * rows * columns, shape[-2] * shape[-1]
    planes = math.prod(shape[:-2])
    line = (
        f"{exposures} of {columns}{NARROW}×{NARROW}{rows} detector pixels: "
        f"{grouped(samples)} samples instead of {grouped(pixels)} pixels. {dose}"
    )
    if pixels < 0.75 * chosen.ratio * samples:  # the border costs as much as the image
        really = pixels / samples
        line += f" So small an image is compressed ×{really:.{0 if really >= 10 else 1}f} only."
    if len(shape) > 2 and shape[-1] <= CHANNELS:
        line += (
            f" The last axis, {shape[-1]} wide, is taken for the columns: if it holds colours or channels, move it to "
            "the front, or open the image as a colour image."
        )
    elif planes > 1 and min(n for n in shape[:-2] if n > 1) <= CHANNELS:
        line += " They share one intensity range: if they are channels, split them, and choose one."
    return line if planes == 1 else f"{grouped(planes)} planes, each measured by {line}"


# (row, what it means, name in the comparison, how it is written)
FIGURES: tuple[tuple[str, str, str, str], ...] = (
    ("PSNR (dB)", "Peak signal-to-noise ratio: 20 is coarse, 30 good, 40 hardly to be told apart.", "psnr", ".1f"),
    ("SSIM", "Structural similarity, from 0 to 1: 1 means the same structures.", "ssim", ".3f"),
    ("NRMSE", "Root-mean-square error relative to the specimen: 0 is perfect.", "nrmse", ".3f"),
    (
        "Cells (truth)",
        "Cells that were found (and those of the ground truth), over all planes.",
        "count",
        "d",
    ),
    ("F1", "Cells found and right, from 0 to 1: 1 means none missed and none invented (overlap ≥ half).", "f1", ".3f"),
    ("Precision", "Of the cells found, the share that is there, from 0 to 1 (overlap ≥ half).", "precision", ".3f"),
    ("Recall", "Of the cells there, the share that was found, from 0 to 1 (overlap ≥ half).", "recall", ".3f"),
    ("AP50", "Matched ÷ (matched + missed + invented) cells, from 0 to 1 (overlap ≥ half).", "ap50", ".3f"),
    ("AP 0.5–0.95", "The same, mean over overlaps from 0.5 to 0.95: how true the outlines are.", "ap", ".3f"),
    ("Mean Dice", "Overlap of the matched cells with the true ones, from 0 to 1.", "mean_dice", ".3f"),
    ("Count error", "Cells found less those of the ground truth, over all planes: 0 is right.", "count_error", "+d"),
)


def figures(comparison: Comparison) -> dict[str, str]:
    """Text of every figure by its row; an en dash where nothing was compared."""
    values = {row: getattr(comparison, name) for row, _, name, _ in FIGURES}
    forms = {row: form for row, _, _, form in FIGURES}
    texts = {row: "–" if value is None else format(value, forms[row]) for row, value in values.items()}
    if comparison.truth_count is not None:
        texts["Cells (truth)"] += f" ({comparison.truth_count})"
    return texts
