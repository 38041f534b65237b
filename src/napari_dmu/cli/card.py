"""The model card of a pattern set, to be read by people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dmu.errors import SettingsError

if TYPE_CHECKING:
    from napari_dmu.zoo.header import Scores
    from napari_dmu.zoo.registry import SetSummary


def named(wanted: str) -> SetSummary:
    """The set of a name, ratio and family with strokes between.

    Raises
    ------
    SettingsError, PatternSetError
    """
    import typer

    from napari_dmu.cli.options import parse_ratio
    from napari_dmu.zoo.registry import find_set

    try:
        name, written, family = wanted.split("/")
        ratio = parse_ratio(written)
    except (ValueError, typer.BadParameter) as error:
        raise SettingsError(f"'{wanted}' names no pattern set: write it like nuclei/64/learned.") from error
    return find_set(name, ratio=ratio, family=family)


def print_card(one: SetSummary) -> None:
    """What a set was trained on, how, and how well it does: a line each, on stdout."""
    from napari_dmu.cli.running import say

    for label, value in card(one):
        say(f"{label + ':':<18}{value}")


def card(one: SetSummary) -> list[tuple[str, str]]:
    """Names and values, in the order in which they are shown."""
    made = one.header.provenance
    return [
        ("pattern set", one.label),
        ("file", str(one.path)),
        ("tensors", one.header.tensors_sha256),
        ("trained on", ", ".join(entry["folder"] for entry in made.recipe.get("training", [])) or "–"),
        ("data", made.data_fingerprint),
        ("licence", made.data_licence or "–"),
        ("training", f"{made.steps} steps, {made.minutes:.0f} minutes on {made.device}, seed {made.seed}"),
        ("chosen", made.chosen),
        ("versions", ", ".join(f"{name} {version}" for name, version in made.versions.items()) or "–"),
        *(("validation", f"{folder}: {_figures(scores)}") for folder, scores in one.header.scores.items()),
    ]


def _figures(scores: Scores) -> str:
    from napari_dmu.cli.running import counted

    cells = "" if scores.ap50 is None else f", AP50 {scores.ap50:.3f}"
    return f"{counted(scores.images, 'image')}, PSNR {scores.psnr:.2f} dB, SSIM {scores.ssim:.3f}{cells}"
