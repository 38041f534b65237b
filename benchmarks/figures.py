"""The pictures of docs/results.md, drawn with Pillow: curves of quality over ratio, and a panel of reconstructions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from napari_dmu.engine.panel import FAINT, INK, write_text

Point = tuple[float, float]
Colour = tuple[int, int, int]

# Everything is drawn this much larger and scaled down, which smooths lines and letters.
FINE = 3
WIDTH, LEFT, TOP, GAP = 1560, 92, 112, 46
HEIGHTS = (420, 260)
BETWEEN = 104
TEXT, TITLE = 21, 23
GRID, ZERO = (225, 229, 235), (140, 147, 158)


class Style(NamedTuple):
    """How a series looks; told apart by marker and dash as well as by colour."""

    label: str
    colour: Colour
    marker: str
    dash: tuple[int, ...]
    filled: bool = True


# Colours of Okabe and Ito, which those who see red and green alike can tell apart.
STYLES = {
    "learned": Style("learned patterns, our decoder", (0, 114, 178), "circle", ()),
    "plain": Style("plain camera, our decoder", (213, 94, 0), "square", (14, 7), False),
    "hadamard": Style("Hadamard patterns, our decoder", (0, 158, 115), "triangle", (3, 6)),
    "random": Style("random patterns, our decoder", (148, 72, 130), "cross", (14, 6, 3, 6)),
    "LMMSE": Style("plain camera, LMMSE alone", (110, 116, 126), "diamond", (7, 5), False),
    "bicubic": Style("ideal plain camera, bicubic", (40, 44, 52), "plus", (2, 4)),
}


def rate_distortion(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """PSNR over ratio, one column a group of images; below it the same less the ideal plain camera's."""
    names = list(dict.fromkeys(r["group"] for r in rows))
    shown = [s for s in STYLES if any(r["family"] == s for r in rows)]
    ratios = sorted({r["ratio"] for r in rows})
    curves = {n: _curves([r for r in rows if r["group"] == n], shown) for n in names}
    gains = {
        n: {s: {c: v - own["bicubic"][c] for c, v in points.items()} for s, points in own.items()}
        for n, own in curves.items()
    }
    legend_rows = math.ceil(len(shown) / 3)
    height = TOP + sum(HEIGHTS) + BETWEEN + 96 + 34 * legend_rows
    canvas = Image.new("RGB", (WIDTH * FINE, height * FINE), "white")
    draw, side = ImageDraw.Draw(canvas), (WIDTH - LEFT - 24 - GAP * (len(names) - 1)) / len(names)
    tops = (TOP, TOP + HEIGHTS[0] + BETWEEN)
    texts = ("PSNR (dB)", "PSNR above the ideal plain camera, bicubic (dB)")
    for values, top, tall, text in zip((curves, gains), tops, HEIGHTS, texts, strict=True):
        axis = _axis([v for own in values.values() for points in own.values() for v in points.values()])
        for number, name in enumerate(names):
            box = (LEFT + number * (side + GAP), top, LEFT + number * (side + GAP) + side, top + tall)
            _chart(draw, box, axis, ratios, values[name], labelled=number == 0)
            if values is curves:
                _text(draw, (box[0], 22), name, TITLE, INK)
        _text(draw, (10, top - 46), text, TEXT, FAINT)
    _text(draw, (LEFT, tops[1] + HEIGHTS[1] + 42), "compression ratio: specimen pixels per sample", TEXT, FAINT)
    for number, family in enumerate(shown):
        place = (LEFT + number % 3 * (WIDTH - LEFT) / 3, tops[1] + HEIGHTS[1] + 96 + 34 * (number // 3))
        _sample(draw, place, STYLES[family])
    canvas.resize((WIDTH, height), Image.Resampling.LANCZOS).save(path, optimize=True)


def _curves(rows: Sequence[dict[str, Any]], shown: Sequence[str]) -> dict[str, dict[float, float]]:
    return {s: {r["ratio"]: r["psnr"] for r in rows if r["family"] == s} for s in reversed(shown)}


def _axis(values: Sequence[float]) -> tuple[float, float, float]:
    """Low end, high end and step of round numbers around the values."""
    span = max(values) - min(values)
    step = next(s for s in (0.5, 1, 2, 5, 10, 20) if span / s <= 6)
    return math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step, step


def _chart(
    draw: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    axis: tuple[float, float, float],
    ratios: Sequence[float],
    curves: dict[str, dict[float, float]],
    *,
    labelled: bool,
) -> None:
    left, top, right, bottom = box
    low, high, step = axis
    inset = 34

    def place(ratio: float, value: float) -> Point:
        across = ratios.index(ratio) / max(1, len(ratios) - 1)
        return left + inset + across * (right - left - 2 * inset), bottom - (value - low) / (high - low) * (
            bottom - top
        )

    for k in range(round((high - low) / step) + 1):
        value = low + k * step
        level = place(ratios[0], value)[1]
        at_zero = value == 0
        _line(draw, [(left, level), (right, level)], ZERO if at_zero else GRID, 1.6 if at_zero else 1.0)
        if labelled:
            text = f"{value:g}"
            _text(draw, (left - 12 - _width(text), level - 13), text, TEXT, INK)
    for ratio in ratios:
        text, x = f"×{ratio:g}", place(ratio, low)[0]
        _line(draw, [(x, bottom), (x, bottom + 6)], ZERO, 1.0)
        _text(draw, (x - _width(text) / 2, bottom + 10), text, TEXT, INK)
    for family, points in curves.items():
        style = STYLES[family]
        line = [place(ratio, points[ratio]) for ratio in sorted(points)]
        _line(draw, line, style.colour, 2.6, style.dash)
        for point in line:
            _marker(draw, point, style)


def _sample(draw: ImageDraw.ImageDraw, place: Point, style: Style) -> None:
    x, y = place
    _line(draw, [(x, y), (x + 66, y)], style.colour, 2.6, style.dash)
    _marker(draw, (x + 33, y), style)
    _text(draw, (x + 80, y - 15), style.label, TEXT, INK)


def _line(
    draw: ImageDraw.ImageDraw, points: Sequence[Point], colour: Colour, width: float, dash: tuple[int, ...] = ()
) -> None:
    if len(points) < 2:  # a family without a single set here
        return
    thick = round(width * FINE)
    if not dash:
        draw.line([(x * FINE, y * FINE) for x, y in points], fill=colour, width=thick, joint="curve")
        return
    # Pieces of the whole curve, so that the dashes go on round its corners.
    lengths = [math.dist(a, b) for a, b in itertools.pairwise(points)]
    at, number = 0.0, 0
    while at < sum(lengths):
        end = min(at + dash[number % len(dash)], sum(lengths))
        if number % 2 == 0:
            piece = [_along(points, lengths, at), _along(points, lengths, end)]
            draw.line([(x * FINE, y * FINE) for x, y in piece], fill=colour, width=thick)
        at, number = end, number + 1


def _along(points: Sequence[Point], lengths: Sequence[float], at: float) -> Point:
    """The point at a distance from the start of a curve."""
    for (a, b), length in zip(itertools.pairwise(points), lengths, strict=True):
        if at <= length:
            share = at / length if length else 0.0
            return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
        at -= length
    return points[-1]


def _marker(draw: ImageDraw.ImageDraw, point: Point, style: Style) -> None:
    (x, y), r = (point[0] * FINE, point[1] * FINE), 7 * FINE
    thick, fill = round(2.6 * FINE), style.colour if style.filled else (255, 255, 255)
    shapes: dict[str, Callable[[], list[Point]]] = {
        "square": lambda: [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        "diamond": lambda: [(x, y - 1.3 * r), (x + 1.3 * r, y), (x, y + 1.3 * r), (x - 1.3 * r, y)],
        "triangle": lambda: [(x, y - 1.25 * r), (x + 1.15 * r, y + 0.9 * r), (x - 1.15 * r, y + 0.9 * r)],
    }
    if style.marker == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline=style.colour, width=thick)
    elif style.marker == "cross":
        draw.line((x - r, y - r, x + r, y + r), fill=style.colour, width=thick)
        draw.line((x - r, y + r, x + r, y - r), fill=style.colour, width=thick)
    elif style.marker == "plus":
        draw.line((x - 1.2 * r, y, x + 1.2 * r, y), fill=style.colour, width=thick)
        draw.line((x, y - 1.2 * r, x, y + 1.2 * r), fill=style.colour, width=thick)
    else:
        draw.polygon(shapes[style.marker](), fill=fill, outline=style.colour, width=thick)


def _text(draw: ImageDraw.ImageDraw, place: Point, text: str, size: int, fill: Colour) -> None:
    write_text(draw, (place[0] * FINE, place[1] * FINE), text, size * FINE, fill)


def _width(text: str) -> float:
    return write_text(None, (0, 0), text, TEXT * FINE, INK) / FINE
