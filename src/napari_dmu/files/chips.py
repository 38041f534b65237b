"""Digital micromirror devices (DMD): how many mirrors, how far apart, how they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass

from napari_dmu.errors import SettingsError


@dataclass(frozen=True)
class Chip:
    """Mirrors of a DMD.

    Attributes
    ----------
    name
        Of the chip, or ``"1920x1080"`` where only its size is known.
    columns, rows
        Mirrors, as the controller takes an image.
    pitch
        Distance of neighbouring mirrors (µm); None where it is not known.
    diamond
        Mirrors stand on their corners: odd rows lie half a column to the right, and a row is half as high as a
        column is wide.
    source
        Where the figures are from.
    """

    name: str
    columns: int
    rows: int
    pitch: float | None = None
    diamond: bool = False
    source: str = ""

    @property
    def row_factor(self) -> int:
        """Rows that are as high as one column is wide."""
        return 2 if self.diamond else 1

    @property
    def column_pitch(self) -> float | None:
        """Distance of neighbouring columns (µm)."""
        return None if self.pitch is None else self.pitch * (2**0.5 if self.diamond else 1.0)


def _ti(name: str, columns: int, rows: int, pitch: float, *, diamond: bool = False) -> Chip:
    return Chip(name, columns, rows, pitch, diamond, f"Texas Instruments, data sheet of the {name} DMD (nominal pitch)")


CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        _ti("DLP3000", 608, 684, 7.6, diamond=True),
        _ti("DLP3010", 1280, 720, 5.4),
        _ti("DLP4500", 912, 1140, 7.6, diamond=True),
        _ti("DLP4710", 1920, 1080, 5.4),
        _ti("DLP5500", 1024, 768, 10.8),
        _ti("DLP6500", 1920, 1080, 7.6),
        _ti("DLP7000", 1024, 768, 13.7),
        _ti("DLP9000", 2560, 1600, 7.6),
        _ti("DLP9500", 1920, 1080, 10.8),
    )
}


def chip_of(dmd: str) -> Chip:
    """A chip by its name (``"DLP6500"``) or size in columns × rows (``"1920x1080"``).

    Raises
    ------
    SettingsError
        Neither a known chip nor a size.
    """
    if (known := CHIPS.get(dmd.strip().upper())) is not None:
        return known
    size = re.fullmatch(r"\s*(\d{1,5})\s*[x×]\s*(\d{1,5})\s*", dmd.lower())
    if size is None or not 1 <= min(map(int, size.groups())) <= max(map(int, size.groups())) <= 16384:
        raise SettingsError(
            f"There is no DMD {dmd!r}: give its columns and rows (1920x1080) or one of {', '.join(CHIPS)}."
        )
    columns, rows = map(int, size.groups())
    return Chip(f"{columns}x{rows}", columns, rows)
