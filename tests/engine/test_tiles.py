"""Tiles: every pixel once, the same result as the whole field, margins that are wide enough."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import header, randomise

from napari_dmu.engine import decoding
from napari_dmu.engine.decoding import decoded_plane, head_planes
from napari_dmu.engine.tiles import NUMBER, PIXEL, margin, plan, reach_of, tile_memory
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.measurement import MeasurementInfo
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.reconstruction.shapes import DecoderShape
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.segmentation.settings import HeadShape
from napari_dmu.zoo.pattern_set import PatternSet

SHAPES = {
    "one level": (Acquisition(bin=4, exposures=2, period=4), DecoderShape(2, (5,), (2,), 2), HeadShape((5,), (1,))),
    "two levels": (
        Acquisition(bin=2, exposures=2, period=4),
        DecoderShape(1, (4, 6), (1, 1), 2),
        HeadShape((4, 5), (1, 1)),
    ),
    "three levels": (
        Acquisition(bin=4, exposures=1, period=4),
        DecoderShape(2, (4, 5, 6), (1, 1, 1), 2),
        HeadShape((4, 5), (1, 2)),
    ),
    "wide period": (
        Acquisition(bin=3, exposures=2, period=12),
        DecoderShape(4, (4, 6), (1, 1), 2),
        HeadShape((4, 5), (1, 1)),
    ),
    "deeper head": (
        Acquisition(bin=4, exposures=1, period=4),
        DecoderShape(2, (4,), (1,), 2),
        HeadShape((4, 5, 5), (1, 1, 1)),
    ),
}


def random_set(name: str) -> PatternSet:
    """Random weights everywhere, also where training starts at zero, so that seams cannot hide."""
    acquisition, shape, head_shape = SHAPES[name]
    decoder = Decoder(acquisition.exposures, acquisition.bin, acquisition.period, shape).eval()
    head = SegmentationHead(shape.widths[0], shape.stride, head_shape).eval()
    randomise(decoder, 1)
    randomise(head, 2)
    patterns = np.ones((acquisition.exposures, acquisition.period, acquisition.period), dtype=np.uint8)
    return PatternSet(header(acquisition, shape, head_shape), patterns, decoder, head, "0" * 64)


def info(instrument: PatternSet, field: tuple[int, int]) -> MeasurementInfo:
    return MeasurementInfo(
        acquisition=instrument.acquisition, set_name="discs", family="random", ratio=instrument.ratio,
        set_hash=instrument.hash, field=field,
    )  # fmt: skip


@given(
    field=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    geometry=st.sampled_from([(1, 1, 1), (2, 4, 2), (3, 12, 4), (4, 4, 4), (16, 16, 4), (5, 15, 3)]),
    widths=st.sampled_from([(4,), (4, 6), (4, 6, 8), (4, 4, 4, 4)]),
    extra=st.integers(0, 20),
    side=st.sampled_from([1, 30, 64, 200]),
)
def test_every_pixel_is_in_exactly_one_tile(
    field: tuple[int, int], geometry: tuple[int, int, int], widths: tuple[int, ...], extra: int, side: int
) -> None:
    bin, period, stride = geometry
    acquisition = Acquisition(bin=bin, exposures=1, period=period)
    shape = DecoderShape(stride, widths, (1,) * len(widths), 2)
    times = np.zeros(field, dtype=int)
    reach = margin(acquisition, shape, extra=extra)
    for tile in plan(field, acquisition, shape, extra=extra, side=side):
        times[tile.keep] += 1
        for axis in (0, 1):
            keep, read, start = tile.keep[axis], tile.read[axis], tile.start[axis]
            assert 0 <= keep.start < keep.stop <= field[axis]
            assert start == read.start * bin
            assert start % period == 0
            assert start % (stride * 2 ** (len(widths) - 1)) == 0
            assert 0 <= read.start < read.stop <= acquisition.bins(field)[axis]
            # Either the margin is there, or the field ends.
            assert start <= max(0, keep.start - reach)
            assert read.stop * bin >= min(field[axis], keep.stop + reach)
    assert (times == 1).all()


def test_a_small_field_is_one_tile_and_a_large_one_is_many() -> None:
    acquisition, shape, _ = SHAPES["two levels"]
    assert len(plan((2048, 2048), acquisition, shape)) == 1
    assert len(plan((5000, 7000), acquisition, shape)) == 2 * 3
    # A network on a fine grid keeps many numbers a pixel, so its tiles are smaller.
    fine = DecoderShape(stride=2, widths=(32, 64, 96), blocks=(2, 2, 2))
    assert len(plan((3000, 3000), acquisition, fine)) == 2
    assert len(plan((3000, 3000), acquisition, replace(fine, stride=4))) == 1


@pytest.mark.parametrize("megabytes", [200, 500, 2000])
@pytest.mark.parametrize("stride", [2, 4])
def test_tiles_take_as_much_memory_as_they_may(megabytes: int, stride: int) -> None:
    acquisition = Acquisition(bin=4, exposures=1, period=8)
    shape = DecoderShape(stride=stride, widths=(32, 64, 96), blocks=(2, 2, 2))
    with tile_memory(megabytes):
        tiles = plan((20_000, 20_000), acquisition, shape)
    rows, columns = (max(t.read[axis].stop - t.read[axis].start for t in tiles) * acquisition.bin for axis in (0, 1))
    needed = rows * columns * (PIXEL + NUMBER * 32 / stride**2) / 1e6
    assert 0.7 * megabytes < needed <= megabytes


@given(
    field=st.tuples(st.integers(100, 9000), st.integers(100, 9000)),
    stride=st.sampled_from([1, 2, 4]),
    megabytes=st.sampled_from([1, 60, 300, 1000]),
)
def test_no_tile_takes_more_memory_than_it_may(field: tuple[int, int], stride: int, megabytes: int) -> None:
    acquisition = Acquisition(bin=4, exposures=1, period=8)
    shape = DecoderShape(stride=stride, widths=(8, 8), blocks=(1, 1))
    with tile_memory(megabytes):
        tiles = plan(field, acquisition, shape)
    areas = [math.prod((r.stop - r.start) * acquisition.bin for r in tile.read) for tile in tiles]
    largest = max(k.stop - k.start for tile in tiles for k in tile.keep)
    # A tile of the size of its margin is not divided, whatever the memory.
    floor = margin(acquisition, shape) + 16 * stride
    assert max(areas) * (PIXEL + NUMBER * 8 / stride**2) <= 1.05e6 * megabytes or largest <= floor
    assert sum(math.prod(k.stop - k.start for k in tile.keep) for tile in tiles) == math.prod(field)


def test_the_memory_of_a_tile_is_that_of_its_context() -> None:
    acquisition, shape, _ = SHAPES["two levels"]
    usual = plan((3000, 3000), acquisition, shape)
    with tile_memory(50):
        assert len(plan((3000, 3000), acquisition, shape)) > len(usual)
        # Less than a tile needs: tiles are still as large as their margins, or most would be computed many times.
        with tile_memory(0.001):
            tiles = plan((3000, 3000), acquisition, shape)
            assert sum(math.prod(2 * (r.stop - r.start) for r in tile.read) for tile in tiles) < 16 * 3000 * 3000
    assert plan((3000, 3000), acquisition, shape) == usual


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("field", [(211, 150), (97, 260)])
def test_tiles_give_what_the_whole_field_gives(
    monkeypatch: pytest.MonkeyPatch, name: str, field: tuple[int, int]
) -> None:
    instrument = random_set(name)
    # In double precision only a missing margin can differ; float32 rounding alone reaches 1e-5 in random networks.
    instrument.decoder.double()
    assert instrument.segmenter is not None
    instrument.segmenter.double()
    a = instrument.acquisition
    counts = np.random.default_rng(0).integers(100, 60_000, (a.exposures, *a.bins(field))).astype(np.uint16)
    about = info(instrument, field)

    def everything() -> list[np.ndarray]:
        return [
            decoded_plane(instrument, counts, about),
            decoded_plane(instrument, counts, about, linear=True),
            *head_planes(instrument, counts, about),
        ]

    whole = everything()
    monkeypatch.setattr(decoding, "plan", partial(plan, side=16))
    extra = reach_of(instrument.header.head.widths, instrument.header.head.blocks)
    for more in (0, extra):
        assert len(plan(field, a, instrument.header.decoder, extra=more, side=16)) > 1
    for tiled, expected in zip(everything(), whole, strict=True):
        assert expected.shape == field
        scale = np.abs(expected).max()
        assert expected.std() > 1e-3 * scale
        np.testing.assert_allclose(tiled, expected, atol=1e-6 * scale, rtol=0)


def test_without_margins_there_would_be_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above is sharp enough to see a margin that is missing."""
    from napari_dmu.engine import tiles

    instrument = random_set("two levels")
    field = (160, 160)
    counts = np.random.default_rng(0).integers(100, 60_000, (2, 80, 80)).astype(np.uint16)
    whole = decoded_plane(instrument, counts, info(instrument, field))
    monkeypatch.setattr(decoding, "plan", partial(plan, side=16))
    monkeypatch.setattr(tiles, "margin", lambda *arguments, **options: 0)
    seamed = decoded_plane(instrument, counts, info(instrument, field))
    assert np.abs(seamed - whole).max() > 1e-3 * np.abs(whole).max()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("with_head", [False, True])
def test_the_margin_covers_everything_that_a_pixel_depends_on(name: str, with_head: bool) -> None:
    instrument = random_set(name)
    a, shape, head_shape = SHAPES[name]
    extra = reach_of(head_shape.widths, head_shape.blocks) if with_head else 0
    reach = margin(a, shape, extra=extra)
    decoder, head = instrument.decoder.double(), instrument.segmenter.double()
    cells = 2 * (-(-reach // a.period)) + 9
    bins = cells * a.period // a.bin
    signal = torch.rand(1, a.exposures, bins, bins, dtype=torch.float64, requires_grad=True)
    image, _, features = decoder(signal, torch.zeros(1, 1, 1, 1, dtype=torch.float64))
    maps = head(image, features) if with_head else image
    furthest = 0
    middle = cells // 2 * a.period
    for offset in {0, 1, a.period - 1}:
        pixel = middle + offset
        (gradient,) = torch.autograd.grad(maps[0, :, pixel, pixel].sum(), signal, retain_graph=True)
        rows = torch.nonzero(gradient[0].abs().sum((0, 2)))[:, 0]
        assert len(rows) < bins  # the window is larger than the reach
        first, last = int(rows.min()) * a.bin, int(rows.max() + 1) * a.bin - 1
        furthest = max(furthest, pixel - first, last - pixel)
    assert furthest <= reach
    assert furthest > a.period  # the network looks beyond its own cell at all


def test_a_far_sample_changes_nothing_and_a_near_one_does(tmp_path: Path) -> None:
    instrument = random_set("two levels")
    field = (240, 240)
    counts = np.random.default_rng(0).integers(100, 60_000, (2, 120, 120)).astype(np.uint16)
    reach = margin(instrument.acquisition, instrument.header.decoder)
    before = decoded_plane(instrument, counts, info(instrument, field))
    counts[:, 60, 60] ^= 0x3FFF
    change = np.abs(decoded_plane(instrument, counts, info(instrument, field)) - before)
    y, x = np.indices(field)
    distance = np.maximum(np.abs(y - 120.5), np.abs(x - 120.5))
    assert change[distance < 4].min() > 0
    assert change[distance > reach + 1].max() == 0
