"""``napari-dmu train``: a pattern set from a recipe and a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_dmu.cli.options import Device


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML file, see recipes/.", show_default=False)],
    data: Annotated[Path, typer.Option(help="Folder that holds the folders of the recipe.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Pattern set to write: NAME.dmu.safetensors.")],
    device: Device = "auto",
    start: Annotated[
        Path | None,
        typer.Option(
            help="Pattern set whose patterns and decoder to keep: trains the cells alone.", show_default=False
        ),
    ] = None,
) -> None:
    """Train a pattern set.

    After an interruption the same command goes on from the checkpoint beside the output.
    """
    from napari_dmu.cli.running import Work, check_output, figure, note, print_table, say
    from napari_dmu.errors import Cancelled, FileError
    from napari_dmu.zoo.header import SUFFIX

    if not output.name.endswith(SUFFIX) or output.name == SUFFIX:
        raise FileError(f"'{output}' is no name of a pattern set: end it with {SUFFIX}.")
    check_output(output, recipe)
    if not data.is_dir():
        raise FileError(f"The data folder '{data}' does not exist: name the one that holds the recipe's folders.")

    from napari_dmu.engine.device import resolve_device
    from napari_dmu.training.loop import train as run
    from napari_dmu.training.recipe import read_recipe
    from napari_dmu.zoo.pattern_set import read_set

    chosen, where = read_recipe(recipe), resolve_device(device)
    kept = None if start is None else read_set(start)
    checkpoint = output.with_name(output.name + ".checkpoint")
    if checkpoint.exists():
        note(f"Going on from {checkpoint.name}.")
    try:
        with Work() as work:
            trained = run(
                chosen,
                data,
                output,
                device=where,
                start=kept,
                report=work.progress,
                check_cancelled=work.cancel.check,
            )
    except (Cancelled, KeyboardInterrupt) as error:
        if not checkpoint.exists():
            raise
        raise Cancelled(f"Stopped: the same command goes on from {checkpoint.name}.") from error
    rows = [
        (
            name,
            str(scores.images),
            f"{scores.psnr:.2f}",
            f"{scores.lifted_psnr:.2f}",
            f"{scores.ssim:.4f}",
            figure(scores.ap50, ".3f"),
            figure(scores.f1, ".3f"),
        )
        for name, scores in trained.header.scores.items()
    ]
    headings = ("validation", "images", "PSNR (dB)", "linear (dB)", "SSIM", "AP50", "F1")
    print_table(f"×{trained.ratio:g} {trained.name}, {trained.family}", headings, rows)
    say(f"Wrote {output}.")
