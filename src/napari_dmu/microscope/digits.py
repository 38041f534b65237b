"""How numbers are written for people."""

from __future__ import annotations

NARROW = "\u202f"  # groups digits without a line break


def grouped(number: int) -> str:
    """A whole number with its digits in groups of three."""
    return f"{number:,}".replace(",", NARROW)


def written(value: float, figures: int = 4) -> str:
    """So many significant figures, the digits in groups of three; exponents for the very large and the very small."""
    return f"{float(f'{value:.{figures}g}'):,.12g}".replace(",", NARROW)
