"""``napari-dmu compare``: how close a reconstruction, and its cells, are to the truth."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_dmu.cli.options import AsJson, Channel, Luminance

if TYPE_CHECKING:
    from napari_dmu.engine.comparison import Comparison

# Name in the comparison, what the table calls it, how it is written.
ROWS = (
    ("psnr", "PSNR (dB)", ".2f"),
    ("ssim", "SSIM", ".4f"),
    ("nrmse", "NRMSE", ".4f"),
    ("mse", "MSE", ".3g"),
    ("ap50", "AP50", ".3f"),
    ("f1", "F1", ".3f"),
    ("precision", "Precision", ".3f"),
    ("recall", "Recall", ".3f"),
    ("ap", "AP 0.5–0.95", ".3f"),
    ("mean_dice", "Mean Dice", ".3f"),
    ("count", "Cells found", "d"),
    ("truth_count", "Cells in truth", "d"),
    ("count_error", "Count error", "+d"),
)


def compare(
    reconstruction: Annotated[Path, typer.Argument(help="Image to judge.", show_default=False)],
    truth: Annotated[Path, typer.Argument(help="The specimen it should look like.", show_default=False)],
    labels: Annotated[Path | None, typer.Option(help="Cells to judge.", show_default=False)] = None,
    truth_labels: Annotated[Path | None, typer.Option(help="The true cells.", show_default=False)] = None,
    intensity_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Values of the truth that count as 0 and 1, in place of its 0.1 and 99.9 percentiles: what it was "
            "measured with.",
            show_default=False,
        ),
    ] = None,
    luminance: Luminance = False,
    channel: Channel = None,
    as_json: AsJson = False,
) -> None:
    """Compare an image with the truth.

    And cells with the true cells, where both are given. Figures are means over planes.
    """
    from napari_dmu.cli.reading import read_channel
    from napari_dmu.cli.running import Work, counted, note, notes_of, print_table, say
    from napari_dmu.errors import SettingsError
    from napari_dmu.files.specimen import read_mask, shared_range

    if (labels is None) != (truth_labels is None):
        raise SettingsError("Cells are compared in pairs: give both --labels and --truth-labels, or neither.")
    images = {path: read_channel(path, luminance=luminance, channel=channel) for path in (reconstruction, truth)}
    cells = {path: read_mask(path, channel) for path in (labels, truth_labels) if path is not None}

    from napari_dmu.engine import verbs

    with Work() as work:
        found = verbs.compare(
            images[reconstruction].data,
            images[truth].data,
            labels=None if labels is None else cells[labels].data,
            truth_labels=None if truth_labels is None else cells[truth_labels].data,
            intensity_range=intensity_range,
            progress=work.progress,
            cancel=work.cancel,
        )
    for path, image in {**images, **cells}.items():
        notes_of(image, path)
    for line in (*shared_range(images[truth], "--channel"), *found.notes):
        note(line)
    if as_json:
        say(json.dumps(flat(found), indent=2))
        return
    planes = counted(found.plane_count, "plane")
    print_table(f"{reconstruction.name} against {truth.name} ({planes})", ("", "value"), figures(found))


def flat(found: Comparison) -> dict[str, Any]:
    """The figures by name; None where there is none or it is not finite (JSON knows no infinity)."""
    values = found.model_dump(exclude={"planes", "notes"})
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def figures(found: Comparison) -> list[tuple[str, str]]:
    """Rows of name and value; what was not compared is left out."""
    values = found.model_dump(exclude={"planes", "notes"})
    return [(title, format(values[key], form)) for key, title, form in ROWS if values.get(key) is not None]
