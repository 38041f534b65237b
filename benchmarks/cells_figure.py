"""The picture of how well cells are found over compression ratio, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import FINE, GRID, TEXT, TITLE, ZERO, Point, Style, _line, _marker, _text, _width
from PIL import Image, ImageDraw

from napari_dmu.engine.panel import FAINT, INK

# Colours of Okabe and Ito, as in the other pictures; the route is told by marker and dash too.
STYLES = {
    ("learned", "task"): Style("learned patterns, task-aware", (0, 114, 178), "circle", ()),
    ("learned", "content"): Style("learned patterns, content-aware, then the head", (86, 180, 233), "diamond", (14, 7)),
    ("learned", "direct"): Style("learned patterns, direct, no reconstruction", (204, 121, 167), "triangle", (3, 6)),
    ("plain", "content"): Style("plain camera, content-aware, then the head", (213, 94, 0), "square", (7, 5), False),
    ("plain", "task"): Style("plain camera, task-aware", (213, 94, 0), "square", ()),
    ("hadamard", "content"): Style("Hadamard patterns, then the head", (0, 158, 115), "plus", (2, 4)),
    ("random", "content"): Style("random patterns, then the head", (148, 72, 130), "cross", (14, 6, 3, 6)),
}
PANELS = (("bbbc039", "f1", "F1 at IoU 0.5, BBBC039"), ("dsb2018", "ap50", "AP50, DSB2018"))
WIDTH, LEFT, TOP, TALL, GAP = 1560, 92, 92, 460, 80


def curves(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """One panel a data set; the uncompressed image is a level line. Figures run from 0 to 1."""
    compressed = [r for r in rows if r["ratio"] > 1]
    shown = [kind for kind in STYLES if any((r["family"], r["route"]) == kind for r in compressed)]
    ratios = sorted({r["ratio"] for r in compressed})
    legend_rows = -(-(len(shown) + 1) // 2)
    height = TOP + TALL + 100 + 36 * legend_rows
    canvas = Image.new("RGB", (WIDTH * FINE, height * FINE), "white")
    draw, side = ImageDraw.Draw(canvas), (WIDTH - LEFT - 24 - GAP) / 2
    for number, (place, key, title) in enumerate(PANELS):
        left = LEFT + number * (side + GAP)
        _text(draw, (left, 24), title, TITLE, INK)
        _panel(draw, (left, TOP, left + side, TOP + TALL), [r for r in rows if place in r["group"]], key, ratios, shown)
    _text(draw, (LEFT, TOP + TALL + 44), "compression ratio: specimen pixels per sample", TEXT, FAINT)
    for number, label in enumerate([*(STYLES[k].label for k in shown), "uncompressed image, the same head"]):
        x, y = LEFT + number % 2 * (WIDTH - LEFT) / 2, TOP + TALL + 100 + 36 * (number // 2)
        if number < len(shown):
            style = STYLES[shown[number]]
            _line(draw, [(x, y), (x + 66, y)], style.colour, 2.6, style.dash)
            _marker(draw, (x + 33, y), style)
        else:
            _line(draw, [(x, y), (x + 66, y)], INK, 2.0, (4, 4))
        _text(draw, (x + 80, y - 15), label, TEXT, INK)
    canvas.resize((WIDTH, height), Image.Resampling.LANCZOS).save(path, optimize=True)


def _panel(
    draw: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    rows: Sequence[dict[str, Any]],
    key: str,
    ratios: Sequence[float],
    shown: Sequence[tuple[str, str]],
) -> None:
    left, top, right, bottom = box

    def place(ratio: float, value: float) -> Point:
        across = ratios.index(ratio) / max(1, len(ratios) - 1)
        return left + 34 + across * (right - left - 68), bottom - value * (bottom - top)

    for tenth in range(0, 11, 2):
        level, text = place(ratios[0], tenth / 10)[1], f"{tenth / 10:g}"
        _line(draw, [(left, level), (right, level)], GRID, 1.0)
        _text(draw, (left - 12 - _width(text), level - 13), text, TEXT, INK)
    for ratio in ratios:
        text, x = f"×{ratio:g}", place(ratio, 0)[0]
        _line(draw, [(x, bottom), (x, bottom + 6)], ZERO, 1.0)
        _text(draw, (x - _width(text) / 2, bottom + 10), text, TEXT, INK)
    for row in (r for r in rows if r["ratio"] == 1):
        level = bottom - row[key] * (bottom - top)
        _line(draw, [(left, level), (right, level)], INK, 2.0, (4, 4))
    for kind in reversed(shown):
        style = STYLES[kind]
        own = sorted((r["ratio"], r[key]) for r in rows if (r["family"], r["route"]) == kind and r["ratio"] > 1)
        points = [place(*point) for point in own]
        if len(points) > 1:
            _line(draw, points, style.colour, 2.6, style.dash)
        for point in points:
            _marker(draw, point, style)
