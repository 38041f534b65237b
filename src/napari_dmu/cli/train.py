"""``napari-dmu train``: pattern sets from recipes and a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_dmu.cli.options import Device


def train(
    recipes: Annotated[
        list[Path],
        typer.Argument(help="YAML files, or a folder of them: see recipes/.", show_default=False, metavar="RECIPE…"),
    ],
    data: Annotated[
        Path, typer.Option(help="Folder that holds the folders of the recipe, or a data pack.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Pattern set to write: NAME.dmu.safetensors; for several recipes the folder for their sets.",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    start: Annotated[
        Path | None,
        typer.Option(
            help="Pattern set whose patterns and decoder to keep: trains the cells alone.", show_default=False
        ),
    ] = None,
    pack: Annotated[
        Path | None,
        typer.Option(
            help="Instead of training, write the recipes' images to this one file, for --data elsewhere.",
            show_default=False,
        ),
    ] = None,
    steps_scale: Annotated[
        float, typer.Option(help="Factor on the steps of every stage; 0.01 for a dry run.", min=1e-6)
    ] = 1.0,
    threads: Annotated[
        int, typer.Option(help="CPU threads; for more speed rather start the command once more.", min=1)
    ] = 1,
) -> None:
    """Train pattern sets.

    After an interruption the same command goes on from the checkpoints beside the output. Started twice with several
    recipes, both processes share the work.
    """
    from napari_dmu.cli.training import pack_data, train_many, train_one
    from napari_dmu.errors import FileError

    if not data.exists():
        raise FileError(f"The data folder '{data}' does not exist: name the one that holds the recipe's folders.")
    if pack is not None:
        pack_data(recipes, data, pack)
        return
    if output is None:
        raise FileError("There is nowhere to write to: name a pattern set or a folder with -o.")
    _use_threads(threads)
    if len(recipes) > 1 or recipes[0].is_dir() or output.is_dir():
        train_many(recipes, data, output, device=device, start=start, steps_scale=steps_scale)
    else:
        train_one(recipes[0], data, output, device=device, start=start, steps_scale=steps_scale)


def _use_threads(number: int) -> None:
    import torch

    torch.set_num_threads(number)
