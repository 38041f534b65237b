"""Pattern families side by side at one short budget: same decoder, steps, data order and selection, several seeds.

    python benchmarks/families.py [--data ../shared/data] [--ratios 256,1024] [--seeds 0,1,2] [--write docs/results.md]

Trains what is not in ``--output`` yet (stage 1 of the shipped recipes, cut to ``--steps``), goes on after a kill, and
may be started several times at once to share the work. With ``--write`` the table goes between the markers
``<!-- families -->``. Reference families are trained with the first seed alone: their distance is large.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from common import FAMILIES, PROJECT, table, write_between

from napari_dmu.training.matrix import Job, train_matrix
from napari_dmu.training.recipe import Recipe, read_recipe
from napari_dmu.zoo.header import SUFFIX, SetHeader, read_header

# Families trained with every seed; the others with the first one.
CLOSE = ("learned", "plain")


def short(recipe: Recipe, steps: int, seed: int) -> Recipe:
    """Stage 1 of a recipe in ``steps`` steps, without settling, head and error bars."""
    unmasked = {
        part: tuple(s.model_copy(update={"masks": False}) for s in getattr(recipe, part))
        for part in ("training", "validation")
    }
    content = recipe.content.model_copy(update={"steps": steps})
    without = {"settle": (), "head": None, "error_bars": None}
    changes = {"seed": seed, "content": content, "check_every": 500, **without, **unmasked}
    return Recipe.model_validate(recipe.model_copy(update=changes).model_dump(mode="json"))


def jobs(options: argparse.Namespace) -> list[Job]:
    """One a ratio, family and seed; the closest comparisons first."""
    found = []
    for ratio in options.ratios:
        for family in FAMILIES:
            path = PROJECT / "recipes" / f"nuclei-x{ratio}-{family}.yaml"
            for seed in options.seeds if family in CLOSE else options.seeds[:1]:
                recipe, name = short(read_recipe(path), options.steps, seed), f"{path.stem}-s{seed}"
                found.append(Job(name, recipe, options.output / f"{name}-{options.steps}{SUFFIX}"))
    return found


def rows(headers: Sequence[SetHeader]) -> list[list[str]]:
    """A line each ratio and family: mean over seeds, ± their standard deviation."""
    lines = []
    for ratio in sorted({h.acquisition.ratio for h in headers}):
        for family in FAMILIES:
            own = [h for h in headers if h.acquisition.ratio == ratio and h.family == family]
            if own:
                a = own[0].acquisition
                figures = [_over_seeds([h.scores[source].psnr for h in own]) for source in own[0].scores]
                dose = f"{np.mean([h.dose_mean for h in own]):.2f}"
                lines.append([f"×{ratio:g}", family, str(a.exposures), str(a.bin), dose, str(len(own)), *figures])
    return lines


def _over_seeds(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"


def _numbers(text: str) -> list[int]:
    return [int(v) for v in text.split(",")]


def main() -> None:
    """Train what is missing, print the table, and write it between the markers of a Markdown page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=PROJECT / ".cache" / "families")
    parser.add_argument("--ratios", type=_numbers, default=[64, 256, 1024])
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", type=Path, help="page with markers <!-- families --> … <!-- /families -->")
    parser.add_argument("--table-only", action="store_true", help="train nothing: show the runs that are there")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    wanted = jobs(options)
    if not options.table_only:
        outcomes = train_matrix(wanted, options.data, device=torch.device(options.device))
        for outcome in outcomes:
            print(outcome.job.name, outcome.state, outcome.error, file=sys.stderr)
    headers = [read_header(job.out) for job in wanted if job.out.is_file()]
    if not headers:
        raise SystemExit(f"There are no runs in {options.output}: leave out --table-only to train them.")
    sources = list(headers[0].scores)
    text = f"{options.steps} steps each, PSNR (dB) on all validation images, mean ± standard deviation over seeds:\n\n"
    text += table(["ratio", "family", "T", "d", "dose", "seeds", *sources], rows(headers), left=2)
    print(text)
    if options.write:
        write_between(options.write, "families", text)


if __name__ == "__main__":
    main()
