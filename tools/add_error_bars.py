"""Give pattern sets calibrated error bars, from the images that their own model cards name.

    python tools/add_error_bars.py SET [SET ...] --data DIR [-o DIR] [--steps 800] [--device cpu] [--json FILE]

SET is a file or a folder of files. Each is replaced in place (whole or not at all), or written to the folder of -o.
Patterns, decoder and segmenter stay as they are. Prints what was measured on the validation images.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from napari_dmu.errors import DmuError, FileError, SettingsError
from napari_dmu.training.error_stage import add_error_bars
from napari_dmu.training.recipe import ErrorStage, Recipe
from napari_dmu.training.sources import read_source
from napari_dmu.zoo.header import SUFFIX
from napari_dmu.zoo.pattern_set import PatternSet, read_set


def files_of(named: list[Path]) -> list[Path]:
    """The sets themselves, and all sets of folders, in order."""
    found = [p for path in named for p in (sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path])]
    if not found:
        raise FileError(f"There is no pattern set in {', '.join(map(str, named))}: name a file or its folder.")
    return found


def with_error_bars(path: Path, out: Path, data: Path, steps: int | None, device: torch.device) -> PatternSet:
    """Read a set and its images, add error bars, write the set to ``out``."""
    instrument = read_set(path)
    try:
        recipe = Recipe.model_validate(instrument.header.provenance.recipe)
    except ValueError as error:
        raise SettingsError(f"The model card of {path.name} holds no valid recipe: train the set again.") from error
    stage = recipe.error_bars or ErrorStage()
    stage = stage if steps is None else stage.model_copy(update={"steps": steps})
    return add_error_bars(
        instrument,
        [read_source(data, source, masks=False) for source in recipe.training],
        {source.folder: read_source(data, source, masks=False) for source in recipe.validation},
        out,
        weights=[source.weight for source in recipe.training],
        stage=stage,
        seed=recipe.seed,
        device=device,
    )


def main() -> int:
    """Exit status: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--data", type=Path, required=True, help="root of the folders that the recipes name")
    parser.add_argument("-o", "--output", type=Path, help="folder to write to; in place where not given")
    parser.add_argument("--steps", type=int, help="of training; the stage's own where not given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    figures = {}
    try:
        for path in files_of(options.sets):
            out = path if options.output is None else options.output / path.name
            begin = time.monotonic()
            made = with_error_bars(path, out, options.data, options.steps, torch.device(options.device))
            assert made.header.trust is not None
            figures[path.name] = made.header.trust.model_dump()
            print(f"{path.name}: {time.monotonic() - begin:.0f} s\n  {made.header.trust!r}", flush=True)
    except DmuError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
