"""How far the shipped sets are from what their samples, their light and a linear decoder allow.

    python benchmarks/limits.py [--data ../shared/data] [--every 3] [--write docs/results.md]

Asks ``napari-dmu limits`` for every ratio on every n-th validation image of BBBC039, with statistics from its training
images; about a minute a ratio. With ``--write`` the table goes between the markers ``<!-- limits -->``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import pattern_sets, table, write_between

SOURCE = "nuclei_bbbc039"
FIGURES = (("linear efficiency", "linear_efficiency", ".3f"), ("pattern gain (dB)", "pattern_gain", "+.2f"))
FIGURES += (("headroom (dB)", "headroom", ".2f"),)


def asked(ratio: float, images: Sequence[Path], training: Path) -> dict[str, Any]:
    """What ``napari-dmu limits`` says of the learned nuclei set at this ratio."""
    command = [str(Path(sys.executable).with_name("napari-dmu")), "limits", *map(str, images), "--ratio", f"{ratio:g}"]
    command += ["--set", "nuclei", "--train", str(training), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    print(f"×{ratio:g}", file=sys.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def markdown(answers: Sequence[dict[str, Any]]) -> str:
    """One column a ratio: the lines in dB, then the three numbers."""
    titles = list(dict.fromkeys(line["title"] for answer in answers for line in answer["lines"]))
    rows = []
    for title in titles:
        cells = [next((f"{x['psnr']:.2f}" for x in a["lines"] if x["title"] == title), "–") for a in answers]
        rows.append([title, *cells])
    for name, key, form in FIGURES:
        rows.append([f"**{name}**", *("–" if a[key] is None else format(a[key], form) for a in answers)])
    head = f"PSNR (dB) on {answers[0]['images']} validation images; statistics from {answers[0]['statistics']}:\n\n"
    return head + table(["", *(f"×{a['ratio']:g}" for a in answers)], rows, left=1)


def main() -> None:
    """Print the table, and write it between the markers of a Markdown page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--every", type=int, default=3, help="take every n-th image")
    parser.add_argument("--write", type=Path, help="page with markers <!-- limits --> … <!-- /limits -->")
    options = parser.parse_args()
    folder = options.data / SOURCE / "val" / "images"
    images = sorted(folder.glob("*.tif"))[:: options.every]
    if not images:
        raise SystemExit(f"There are no images in {folder}: name the folder above with --data.")
    ratios = [s.ratio for s in pattern_sets() if (s.name, s.family) == ("nuclei", "learned")]
    text = markdown([asked(ratio, images, options.data / SOURCE / "train" / "images") for ratio in ratios])
    print(text)
    if options.write:
        write_between(options.write, "limits", text)


if __name__ == "__main__":
    main()
