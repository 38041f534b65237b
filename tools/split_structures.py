#!/usr/bin/env python3
"""Split the images of `structures` into training and validation by field; print recipes/structures-data.yaml.

Tiles, planes, channels and time points of one field stay on one side, and so do the fields of one well. About 15 % of
the fields of every folder go to validation, one at least; folders with fewer than three fields stay in training.
A folder's share of the crops grows with the square root of its training area. The training images of `nuclei` come in
addition, in a fifth of the crops: they help (docs/results.md).

    python tools/split_structures.py --data ../shared/data --seed 0 > recipes/structures-data.yaml
"""

from __future__ import annotations

import argparse
import random
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import tifffile

ROOT = "structures"
SHARE = 0.15
LICENCE = (
    "BSD-3-Clause and CC BY 3.0 (BBBC016), MIT (Syn_Bot), Apache-2.0 (In Silico Labeling), BSD-3-Clause and CC0 "
    "(CytoDataFrame, JUMP-CP, cellfinder, CellProfiler examples, faim-ipa), CC BY 4.0 and CC0 (NEUBIAS, "
    "BioImageAnalysisNotebooks, BBBC022), CC0 (BBBC039, BBBC038)"
)
ALSO = ("nuclei_bbbc039/train", "nuclei_dsb2018/train")
ALSO_WEIGHT = 2.5

# Per folder: what of a file's name (without suffix) is the field. Replaced one after the other.
FIELD_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    # A well's fields share cells' treatment, illumination and focus: the well is the unit.
    "transfluor_gfp_bbbc016": ((r"f\d+d\d+$", ""),),
    "neurons_synbot": ((r"_(green|red)_", "_"),),
    # DAPI, MAP2 and NFH are stains of one confocal field; the TuJ1 tiles are cut from one image.
    "neurons_isl": ((r"^.*_(confocal|widefield)_.*$", r"\1"),),
    # well_site_channel_field_stain
    "cellpainting_cytodataframe": ((r"^(NF1_[A-Z]\d+_\d+)_\d+_(\d+)_.*$", r"\1_\2"), (r"_ch\d+.*$", "")),
    # Both channels of one volume; planes of one volume.
    "brain_tissue_cellfinder": ((r"_\d+$", ""), (r"_ch\d+$", "")),
    "cellprofiler_examples_misc": (
        (r"(POS\d+)_[A-Z]$", r"\1"),
        (r"(f\d\d)d\d$", r"\1"),
        (r"_w\d$", ""),
        (r"Channel_\d_", ""),
    ),
    "cells_faim_ipa": ((r"_w\d_z\d$", ""),),
    "structures_neubias": (
        (r"_ch\d+$", ""),
        (r"^.*nuclei_tubulin.*$", "nuclei_tubulin"),
        # Correlation 0.98 where one lies in the other: the same image twice.
        (r"^.*(membranes_nuclei|cyto_nuclei)$", "membranes_nuclei"),
    ),
    "structures_bian": ((r"_ch\d+$", ""), (r"_t\d+$", ""), (r"^(BPAE)_.*$", r"\1")),
}


def field(folder: str, name: str) -> str:
    """The field that a file shows; files of one field must not be on both sides."""
    stem = Path(name).stem
    for pattern, replacement in FIELD_RULES.get(folder, ()):
        stem = re.sub(pattern, replacement, stem)
    return stem


def held_back(folder: str, names: Iterable[str], seed: int) -> list[str]:
    """Names that go to validation. The choice depends on the seed and this folder alone."""
    fields: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        fields[field(folder, name)].append(name)
    count = max(1, round(SHARE * len(fields))) if len(fields) >= 3 else 0
    chosen = random.Random(f"{seed} {folder}").sample(sorted(fields), count)
    return sorted(name for key in chosen for name in fields[key])


def main() -> None:
    """Print the YAML."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds 'structures'")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    training: list[tuple[str, float, list[str]]] = []
    validation: list[str] = []
    kept_count = 0
    for folder in sorted(p for p in (options.data / ROOT).iterdir() if p.is_dir()):
        names = sorted(p.name for p in folder.glob("*.tif"))
        skip = held_back(folder.name, names, options.seed)
        kept = [name for name in names if name not in skip]
        area = sum(_area(folder / n) for n in kept)
        training.append((folder.name, max(0.1, round((area / 1e6) ** 0.5, 1)), skip))
        validation += [f"{folder.name}/{name}" for name in skip]
        kept_count += len(kept)
    print(
        f"# {kept_count} images to train on and {len(validation)} to validate on, split by field: "
        f"tools/split_structures.py --seed {options.seed}."
    )
    print("# Weights are square roots of the area in megapixels, and the training images of nuclei come in addition.")
    print("# Recipes name this file under `include`.")
    print("training:")
    for name, weight, skip in training:
        print(f"  - folder: {ROOT}/{name}\n    masks: false\n    weight: {weight}")
        if skip:
            print("    skip:\n" + "\n".join(f"      - {s}" for s in skip))
    for also in ALSO:
        print(f"  - folder: {also}\n    masks: false\n    weight: {ALSO_WEIGHT}")
    print(f"validation:\n  - folder: {ROOT}\n    masks: false\n    files:")
    print("\n".join(f"      - {name}" for name in validation))
    print(f'data_licence: "{LICENCE}"')


def _area(path: Path) -> int:
    with tifffile.TiffFile(path) as file:
        return int(file.pages[0].size)


if __name__ == "__main__":
    main()
