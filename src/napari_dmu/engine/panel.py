"""A run of the whole chain as a panel of pictures: specimen, measurement, reconstruction, cells."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_dmu.engine.comparison import Comparison
from napari_dmu.engine.stacks import plane
from napari_dmu.files.specimen import Specimen
from napari_dmu.microscope.digits import NARROW, grouped
from napari_dmu.microscope.measurement import Measurement, check_plane, normalise
from napari_dmu.zoo.header import SetHeader

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

Rgb = NDArray[np.uint8]

# Lay-out of the panel (pixels). Pictures are shown at most this wide, two beside each other.
TILE_WIDTH, GAP, MARGIN, CAPTION = 696, 28, 32, 74
INK, FAINT = (24, 28, 34), (92, 99, 110)
FILL = 0.38  # opacity of the colour inside a cell; its outline is opaque


@dataclass(frozen=True)
class DemoRun:
    """Everything that a report shows; of a stack its first plane is pictured.

    Attributes
    ----------
    specimen, image, labels
        (..., Y, X); ``labels`` is None where the set has no segmenter.
    seconds
        Duration of each step by its name.
    """

    specimen: Specimen
    measurement: Measurement
    image: NDArray[np.float32]
    labels: NDArray[np.int32] | None
    comparison: Comparison
    header: SetHeader
    seconds: dict[str, float]


@dataclass(frozen=True)
class Tile:
    """One picture of the panel with its two lines."""

    picture: Rgb
    title: str
    line: str


def demo_panel(run: DemoRun) -> Rgb:
    """Specimen, measurement, reconstruction and cells of the first plane, two by two, as (height, width, 3) uint8."""
    limits, info = run.measurement.info.intensity_range, run.measurement.info
    acquisition, found = info.acquisition, run.comparison
    field = info.field
    specimen = grey(normalise(check_plane(plane(run.specimen.data, 0)), limits))
    image = normalise(check_plane(plane(run.image, 0)), limits)
    frames = np.asarray(run.measurement.data[(0,) * (len(run.measurement.data.shape) - 3)])
    rows, columns = frames.shape[-2:]
    pixels, samples = math.prod(field), frames.size
    tiles = [
        Tile(_scale_bar(specimen, run.specimen), "Specimen", f"{field[1]} × {field[0]} pixels"),
        Tile(
            grey(stretch(enlarged(frames[0], acquisition.bin, field))),
            f"Measurement, ×{info.ratio:g} fewer samples",
            f"exposure 1 of {acquisition.exposures}, {columns} × {rows} detector pixels; "
            # Pillow's own font has no narrow space.
            f"{grouped(samples)} samples for {grouped(pixels)} pixels".replace(NARROW, " "),
        ),
        Tile(grey(image), "Reconstruction", f"PSNR {found.psnr:.1f} dB, SSIM {found.ssim:.3f}"),
    ]
    if run.labels is not None:
        line = f"{found.count} found, {found.truth_count} in truth, F1 {found.f1:.3f}"
        tiles.append(Tile(_cells(image, plane(run.labels, 0)), "Cells, from the measurement alone", line))
    return _panel(tiles)


def png(picture: Rgb) -> bytes:
    """A picture as a PNG file."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(picture).save(held, format="PNG", optimize=True)
    return held.getvalue()


# -- pictures --------------------------------------------------------------------------------------


def grey(density: NDArray[np.floating]) -> Rgb:
    """0 … 1 as grey, slightly lifted so that dim cells are seen."""
    values = np.clip(density, 0, 1) ** 0.8
    return np.repeat(np.rint(values * 255).astype(np.uint8)[..., None], 3, axis=-1)


def stretch(frame: NDArray[np.generic]) -> NDArray[np.float64]:
    """Counts as 0 … 1 from the darkest to the brightest sample."""
    values = frame.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def enlarged(frame: NDArray[np.generic], bin: int, field: tuple[int, int]) -> NDArray[np.generic]:
    """Every detector pixel as the square of specimen pixels that it saw, cut to the field."""
    return frame.repeat(bin, axis=0).repeat(bin, axis=1)[: field[0], : field[1]]


def _cells(image: NDArray[np.floating], labels: NDArray[np.generic]) -> Rgb:
    """Cells tinted and outlined on the dimmed image; neighbours differ in hue, all outlines are bright."""
    ids = labels.astype(np.int64)
    hues = (ids * 0.61803398875) % 1.0
    shift = (hues[..., None] * 6 + np.array([0.0, 4.0, 2.0])) % 6
    colour = 0.35 + 0.65 * np.clip(np.abs(shift - 3) - 1, 0, 1)
    base = grey(image).astype(np.float64) / 255
    picture = np.where((ids > 0)[..., None], (1 - FILL) * base + FILL * colour, base * 0.8)
    padded = np.pad(ids, 1, mode="edge")
    edge = np.zeros(ids.shape, dtype=bool)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        edge |= padded[dy : dy + ids.shape[0], dx : dx + ids.shape[1]] != ids
    outlined: NDArray[np.float64] = np.where((edge & (ids > 0))[..., None], colour, picture)
    return np.asarray(np.rint(outlined * 255), dtype=np.uint8)


def _scale_bar(picture: Rgb, specimen: Specimen) -> Rgb:
    """A bar of a round length near a sixth of the width, where the pixel size is known."""
    from PIL import Image, ImageDraw

    if specimen.units[-1] != "micrometer":
        return picture
    height, width = picture.shape[:2]
    wanted = width * specimen.scale[-1] / 6
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    right, bottom, thick, pad = width - 18, height - 18, 5, 9
    shaded = picture.copy()
    ground = shaded[bottom - 34 : bottom + pad, max(0, int(right - length / specimen.scale[-1]) - pad) : right + pad]
    ground //= 3  # the bar is read on bright cells too
    drawn = Image.fromarray(shaded)
    draw, side = ImageDraw.Draw(drawn), length / specimen.scale[-1]
    draw.rectangle((right - side, bottom - thick, right, bottom), fill=(255, 255, 255))
    text, white = f"{length:g} µm", (255, 255, 255)
    write_text(
        draw, (right - (side + write_text(None, (0, 0), text, 17, white)) / 2, bottom - 2 * thick - 20), text, 17, white
    )
    return np.asarray(drawn)


def _panel(tiles: Sequence[Tile]) -> Rgb:
    from PIL import Image, ImageDraw

    height, width = tiles[0].picture.shape[:2]
    scale = TILE_WIDTH / width
    size = (TILE_WIDTH, max(1, round(height * scale)))
    columns, rows = min(2, len(tiles)), -(-len(tiles) // 2)
    canvas = Image.new(
        "RGB",
        (
            2 * MARGIN + columns * size[0] + (columns - 1) * GAP,
            2 * MARGIN + rows * (size[1] + CAPTION) + (rows - 1) * GAP,
        ),
        "white",
    )
    draw = ImageDraw.Draw(canvas)
    for number, tile in enumerate(tiles):
        left = MARGIN + number % 2 * (size[0] + GAP)
        top = MARGIN + number // 2 * (size[1] + CAPTION + GAP)
        write_text(draw, (left, top), tile.title, 25, INK)
        write_text(draw, (left, top + 37), tile.line, 19, FAINT)
        picture = Image.fromarray(tile.picture)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
        canvas.paste(picture, (left, top + CAPTION))
    return np.asarray(canvas)


def write_text(
    draw: ImageDraw | None, place: tuple[float, float], text: str, size: int, fill: tuple[int, int, int]
) -> float:
    """Write a line from its top left corner, or only measure it without ``draw``; returns its width (pixels).

    The font that comes with Pillow has neither × nor µ: these two are drawn.
    """
    font, (left, top) = _font(size), place
    base, height, thick = top + 0.95 * size, 0.48 * size, max(1, round(size / 13))
    for part in re.split("([×µ])", text):
        if part == "×":
            if draw is not None:
                x, side = left + 0.1 * size, 0.4 * size
                draw.line((x, base - side, x + side, base), fill=fill, width=thick)
                draw.line((x, base, x + side, base - side), fill=fill, width=thick)
            left += 0.6 * size
            continue
        if draw is not None:
            draw.text((left, base), "u" if part == "µ" else part, font=font, fill=fill, anchor="ls")
            if part == "µ":
                x = left + 0.11 * size
                draw.line((x, base - height, x, base + 0.25 * size), fill=fill, width=thick)
        left += font.getlength("u" if part == "µ" else part)
    return left - place[0]


def _font(size: int) -> FreeTypeFont | ImageFont:
    """The font that Pillow brings along; Pillow without FreeType has it in one size only."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError):
        return ImageFont.load_default()
