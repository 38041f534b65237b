"""``napari-dmu sets``: the pattern sets there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_dmu.cli.options import AsJson

if TYPE_CHECKING:
    from napari_dmu.zoo.registry import SetSummary

HEADINGS = ("set", "family", "ratio", "T", "d", "P", "dose", "max dose", "PSNR (dB)", "SSIM", "AP50", "cells", "MB")

KEYS = (
    *("name", "family", "ratio", "exposures", "bin", "period", "dose_mean", "dose_max"),
    *("psnr", "ssim", "ap50", "has_segmenter", "bytes"),
)


def sets(
    as_json: AsJson = False,
    card: Annotated[
        str | None,
        typer.Option(metavar="NAME/RATIO/FAMILY", help="Print the model card of one set.", show_default=False),
    ] = None,
) -> None:
    """List the pattern sets.

    Exposures T, binning d and period P in specimen pixels, light dose, figures on validation images. A model card says
    on which data, with which licence, how and how well a set was trained; the JSON holds them too, with the recipes.
    """
    from napari_dmu.cli.card import named, print_card
    from napari_dmu.cli.running import figure, note, print_table, say
    from napari_dmu.zoo.registry import FOLDER_VARIABLE, available_sets, broken_sets

    found = available_sets() if card is None else [named(card)]
    for sentence in broken_sets():
        note(sentence)
    if as_json:
        say(json.dumps([entry(one) for one in found], indent=2))
        return
    if card is not None:
        print_card(found[0])
        return
    if not found:
        say(f"There are no pattern sets: put some into a folder named by {FOLDER_VARIABLE}.")
        return
    rows = [
        (
            one.name,
            one.family,
            f"×{one.ratio:g}",
            str(one.exposures),
            str(one.bin),
            str(one.period),
            f"{one.dose_mean:.2f}",
            f"{one.dose_max:.2f}",
            figure(one.psnr, ".2f"),
            figure(one.ssim, ".3f"),
            figure(one.ap50, ".3f"),
            "yes" if one.has_segmenter else "no",
            f"{one.bytes / 1e6:.1f}",
        )
        for one in found
    ]
    print_table("Pattern sets (figures: validation images, dose: full-on exposures)", HEADINGS, rows, left=2)


def entry(one: SetSummary) -> dict[str, Any]:
    """A pattern set as JSON: what the table says, None where a figure is not known, and its model card.

    That is ``scores``, by validation set, and ``provenance``: recipe, data, licence, versions, learning curve.
    """
    card = one.header.model_dump(mode="json", include={"scores", "provenance"})
    return {**{key: getattr(one, key) for key in KEYS}, "path": str(one.path), **card}
