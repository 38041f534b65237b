"""Tables out: CSV in UTF-8, whole or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError
from napari_dmu.files.atomic import atomic_path

DIGITS = ".9g"  # of a figure that is no whole number: enough for stage coordinates in µm


def check_table_name(path: str | os.PathLike[str]) -> None:
    """Refuse a name that is no table's.

    Raises
    ------
    FileError
    """
    if Path(path).suffix.lower() != ".csv":
        raise FileError(f"'{path}' is no name of a table: give one that ends in .csv.")


def write_table(path: str | os.PathLike[str], table: Mapping[str, NDArray[np.generic]]) -> None:
    """Write columns of one length under their names; figures that do not exist (NaN) are left blank.

    Raises
    ------
    FileError
        The name does not end in .csv, or the disk refused.
    """
    check_table_name(path)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(table)
        for row in zip(*(column.tolist() for column in table.values()), strict=True):
            writer.writerow(["" if value != value else _text(value) for value in row])


def _text(value: object) -> str:
    return format(value, DIGITS) if isinstance(value, float) else str(value)
