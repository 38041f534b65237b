"""The error bar of a field in tiles: the same as in one piece, with margins for the head's own reach."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support import TRUST, header, make_set, randomise

from napari_dmu.engine import decoding
from napari_dmu.engine.decoding import decoded_plane, error_plane
from napari_dmu.engine.tiles import plan, reach_of
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.measurement import MeasurementInfo
from napari_dmu.reconstruction.error_bar import ErrorHead
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.reconstruction.shapes import DecoderShape, ErrorShape
from napari_dmu.zoo.pattern_set import PatternSet

SHAPES = {
    "one level": (Acquisition(bin=4, exposures=2, period=4), DecoderShape(2, (5,), (1,), 2), ErrorShape((5,), (1,))),
    "two levels": (
        Acquisition(bin=2, exposures=2, period=4),
        DecoderShape(1, (4, 6), (1, 1), 2),
        ErrorShape((4, 5), (1, 1)),
    ),
    "wide period": (
        Acquisition(bin=3, exposures=2, period=12),
        DecoderShape(4, (4, 6), (1, 1), 2),
        ErrorShape((4, 5), (1, 1)),
    ),
    "deeper head": (
        Acquisition(bin=4, exposures=1, period=4),
        DecoderShape(2, (4,), (1,), 2),
        ErrorShape((4, 5, 5), (1, 1, 1)),
    ),
}


def random_set(name: str) -> PatternSet:
    """Random weights everywhere, also where training starts at zero, in double precision."""
    acquisition, shape, error = SHAPES[name]
    decoder = Decoder(acquisition.exposures, acquisition.bin, acquisition.period, shape).eval()
    head = ErrorHead(shape.widths[0], shape.stride, error).eval()
    randomise(decoder, 1)
    randomise(head, 2)
    patterns = np.ones((acquisition.exposures, acquisition.period, acquisition.period), dtype=np.uint8)
    card = header(acquisition, shape, None, error=error, trust=TRUST)
    return PatternSet(card, patterns, decoder.double(), None, "0" * 64, head.double())


def info(instrument: PatternSet, field: tuple[int, int]) -> MeasurementInfo:
    return MeasurementInfo(
        acquisition=instrument.acquisition, set_name="discs", family="random", ratio=instrument.ratio,
        set_hash=instrument.hash, field=field,
    )  # fmt: skip


def counts_for(instrument: PatternSet, field: tuple[int, int]) -> np.ndarray:
    a = instrument.acquisition
    return np.random.default_rng(0).integers(100, 60_000, (a.exposures, *a.bins(field))).astype(np.uint16)


@pytest.mark.parametrize("name", SHAPES)
def test_tiles_give_the_error_bar_of_the_whole_field(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # A side that ends within a period, and tiles on one axis only for the widest reach: as few pixels as will do.
    instrument, field = random_set(name), (43, 261)
    counts, about = counts_for(instrument, field), info(instrument, field)
    whole = error_plane(instrument, counts, about)
    assert whole.shape == field
    assert whole.dtype == np.float32
    assert whole.std() > 1e-3 * whole.max()
    monkeypatch.setattr(decoding, "plan", partial(plan, side=16))
    error = SHAPES[name][2]
    extra = reach_of(error.widths, error.blocks)
    assert len(plan(field, instrument.acquisition, instrument.header.decoder, extra=extra, side=16)) > 1
    tiled = error_plane(instrument, counts, about)
    np.testing.assert_allclose(tiled, whole, atol=1e-6 * whole.max(), rtol=0)


def test_with_the_decoders_margin_alone_there_would_be_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above is sharp enough to see that the head's own reach is forgotten."""
    instrument, field = random_set("deeper head"), (211, 150)
    counts, about = counts_for(instrument, field), info(instrument, field)
    whole = error_plane(instrument, counts, about)
    monkeypatch.setattr(decoding, "plan", partial(plan, side=16))
    monkeypatch.setattr(decoding, "reach_of", lambda *shape: 0)
    assert np.abs(error_plane(instrument, counts, about) - whole).max() > 1e-5 * whole.max()


def test_the_error_bar_is_the_calibrated_one_and_the_image_is_as_without(tmp_path: Path) -> None:
    made = make_set(tmp_path / "a.dmu.safetensors", with_error_bars=True)
    bare = make_set(tmp_path / "b.dmu.safetensors")
    field = (40, 56)
    counts, about = counts_for(made, field), info(made, field)
    np.testing.assert_array_equal(decoded_plane(made, counts, about), decoded_plane(bare, counts, about))
    twice = PatternSet(
        made.header.model_copy(update={"trust": TRUST.model_copy(update={"factor": 2 * TRUST.factor})}),
        made.patterns, made.decoder, made.segmenter, made.hash, made.error_head,
    )  # fmt: skip
    np.testing.assert_allclose(error_plane(twice, counts, about), 2 * error_plane(made, counts, about), rtol=1e-5)
