"""``napari-dmu segment``: the table of cells, other segmenters, and what is refused."""

import csv
from pathlib import Path

import pytest
import tifffile
from cli_support import Command

from napari_dmu.files.samples import sample_folder
from napari_dmu.files.table import write_table


def test_a_stack_gives_a_table_of_its_cells(command: Command, tmp_path: Path) -> None:
    measured, labels, table = (tmp_path / name for name in ("m.ome.tif", "l.ome.tif", "cells.csv"))
    assert command("simulate", sample_folder() / "nuclei_time_series.tif", "-o", measured).status == 0
    run = command("segment", measured, "-o", labels, "--table", table)
    assert run.status == 0, run.err
    found = tifffile.imread(labels)
    with table.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == [
        *("t", "label", "area (pixels)", "area (µm²)", "mean intensity", "centroid y (µm)", "centroid x (µm)"),
        "eccentricity",
    ]
    assert len(rows) == found.max(axis=(1, 2)).sum()
    for row in rows[:: len(rows) // 7]:
        inside = found[int(row["t"])] == int(row["label"])
        assert int(row["area (pixels)"]) == inside.sum()
        assert float(row["area (µm²)"]) == pytest.approx(inside.sum() * 0.65**2)
    assert f"Found {len(rows)} cells in {len(found)} planes" in run.out
    assert "Wrote" in run.out


def test_another_segmenter_reads_the_reconstruction(command: Command, measurement: Path, tmp_path: Path) -> None:
    labels = tmp_path / "l.ome.tif"
    run = command("segment", measurement, "-o", labels, "--segmenter", "otsu-watershed")
    assert run.status == 0, run.err
    assert tifffile.imread(labels).max() > 5


def test_the_segmenters_are_listed(command: Command) -> None:
    run = command("segment", "--list")
    assert run.status == 0
    names = [line.split("  ")[0] for line in run.out.splitlines()]
    assert names[0] == "pattern set"
    assert "otsu-watershed" in names
    assert "otsu-watershed" in command("info").out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--segmenter", "nobody's"), "There is no segmenter"),
        (("--table", "cells.txt"), "ends in .csv"),
        (("--table", "nowhere/cells.csv"), "does not exist"),
    ],
)
def test_wrong_use_is_one_sentence_and_nothing_is_written(
    command: Command, measurement: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    labels = tmp_path / "l.ome.tif"
    run = command("segment", measurement, "-o", labels, *options)
    assert words in run.sentence()
    assert not labels.exists()


def test_the_table_does_not_take_the_place_of_the_measurement(
    command: Command, measurement: Path, tmp_path: Path
) -> None:
    path = measurement.rename(tmp_path / "m.csv")
    before = path.read_bytes()
    assert "the input itself" in command("segment", path, "-o", tmp_path / "l.ome.tif", "--table", path).sentence()
    assert path.read_bytes() == before


def test_an_empty_table_has_its_heading_and_blanks_are_blank(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "t.csv"
    write_table(path, {"label": np.zeros(0, int), "area (µm²)": np.zeros(0)})
    assert path.read_text(encoding="utf-8").splitlines() == ["label,area (µm²)"]
    write_table(path, {"label": np.array([3]), "a": np.array([np.nan]), "b": np.array([1 / 3])})
    assert path.read_text(encoding="utf-8").splitlines() == ["label,a,b", "3,,0.333333333"]
