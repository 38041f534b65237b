"""Give pattern sets calibrated error bars, from the images that their own model cards name.

    python tools/add_error_bars.py SET [SET ...] --data DIR [-o DIR] [--steps 3000] [--device cpu] [--json FILE]
    python tools/add_error_bars.py SET [SET ...] --data DIR --calibrate-only [-o DIR]

SET is a file or a folder of files. Each is replaced in place (whole or not at all), or written to the folder of -o.
Patterns, decoder and segmenter stay as they are. With --calibrate-only the error head stays too, and what the header
says about trust is measured anew: the factor of the error bars, the limits on the misfit, and what specimens like the
training images look like to the decoder. Prints what was measured on the validation images.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from napari_dmu.errors import DmuError, FileError, SettingsError
from napari_dmu.training.data import Example
from napari_dmu.training.error_stage import add_error_bars, calibrate_again
from napari_dmu.training.recipe import ErrorStage, Recipe
from napari_dmu.training.sources import read_source, remembered
from napari_dmu.zoo.header import SUFFIX, read_header
from napari_dmu.zoo.pattern_set import PatternSet, read_set


def files_of(named: list[Path]) -> list[Path]:
    """The sets themselves, and all sets of folders, in order."""
    found = [p for path in named for p in (sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path])]
    if not found:
        raise FileError(f"There is no pattern set in {', '.join(map(str, named))}: name a file or its folder.")
    return found


@dataclass(frozen=True)
class Task:
    """What a set's own model card says of its images and its error bars."""

    training: list[list[Example]]
    validation: dict[str, list[Example]]
    weights: list[float]
    stage: ErrorStage
    seed: int


def task_of(path: Path, data: Path, steps: int | None) -> Task:
    """Read a set's recipe and its images."""
    try:
        recipe = Recipe.model_validate(read_header(path).provenance.recipe)
    except ValueError as error:
        raise SettingsError(f"The model card of {path.name} holds no valid recipe: train the set again.") from error
    stage = recipe.error_bars or ErrorStage()
    return Task(
        [read_source(data, source, masks=False) for source in recipe.training],
        {source.folder: read_source(data, source, masks=False) for source in recipe.validation},
        [source.weight for source in recipe.training],
        stage if steps is None else stage.model_copy(update={"steps": steps}),
        recipe.seed,
    )


def with_error_bars(path: Path, out: Path, task: Task, device: torch.device) -> PatternSet:
    """Read a set, add error bars, write the set to ``out``."""
    return add_error_bars(
        read_set(path),
        task.training,
        task.validation,
        out,
        weights=task.weights,
        stage=task.stage,
        seed=task.seed,
        device=device,
    )


def calibrated(path: Path, out: Path, task: Task, device: torch.device) -> PatternSet:
    """Read a set with error bars, measure its trust anew, write it to ``out``."""
    return calibrate_again(
        path,
        task.training,
        task.validation,
        out,
        weights=task.weights,
        stage=task.stage,
        seed=task.seed,
        device=device,
    )


def main() -> int:
    """Exit status: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--data", type=Path, required=True, help="root of the folders that the recipes name")
    parser.add_argument("-o", "--output", type=Path, help="folder to write to; in place where not given")
    parser.add_argument("--calibrate-only", action="store_true", help="keep the error heads that there are")
    parser.add_argument("--steps", type=int, help="of training; the stage's own where not given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    figures = {}
    make = calibrated if options.calibrate_only else with_error_bars
    try:
        with remembered():
            for path in files_of(options.sets):
                out = path if options.output is None else options.output / path.name
                begin = time.monotonic()
                task = task_of(path, options.data, options.steps)
                trust = make(path, out, task, torch.device(options.device)).header.trust
                assert trust is not None
                figures[path.name] = trust.model_dump(exclude={"typical": {"whitening", "usual", "known"}})
                print(f"{path.name}: {time.monotonic() - begin:.0f} s\n  {trust!r}", flush=True)
    except DmuError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
