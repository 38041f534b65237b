"""Validation images that are reproduced exactly: their PSNR is infinite, which no set's header can hold."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support import discs, make_set

from napari_dmu.evaluation.image_quality import image_quality
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.inference import Decoded
from napari_dmu.training import validation
from napari_dmu.training.data import Example
from napari_dmu.zoo.header import Scores
from napari_dmu.zoo.pattern_set import PatternSet

BLANK = Example("blank", np.zeros((24, 24), np.float32), None)
DISCS = [Example(str(seed), discs((24, 24), seed=seed, count=2)[0], None) for seed in range(3)]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PatternSet:
    """A set whose decoder gives back 0.9 of every specimen, so that blank ones are exact."""

    def decoded(example: Example, *_: object) -> Decoded:
        image = 0.9 * torch.from_numpy(example.specimen)[None, None]
        return Decoded(image, image, image)

    monkeypatch.setattr(validation, "decode_example", decoded)
    return make_set(tmp_path / "discs.dmu.safetensors")


def scored(examples: list[Example], known: PatternSet) -> Scores:
    microscope: Microscope = known.microscope()
    return validation.score(examples, microscope, known.decoder, known.acquisition)


def test_they_do_not_count_for_the_mean_psnr(known: PatternSet) -> None:
    alone, together = scored(DISCS, known), scored([BLANK, *DISCS], known)
    assert (together.psnr, together.lifted_psnr) == pytest.approx((alone.psnr, alone.lifted_psnr))
    assert together.images == 4
    assert together.mse == pytest.approx(0.75 * alone.mse)


def test_where_there_are_no_others_the_figure_is_finite(known: PatternSet) -> None:
    found = scored([BLANK, BLANK], known)
    assert found.psnr == found.lifted_psnr == validation.EXACT
    assert Scores.model_validate_json(found.model_dump_json()) == found


def test_finite_figures_are_plain_means(known: PatternSet) -> None:
    each = [image_quality(0.9 * e.specimen, e.specimen) for e in DISCS]
    assert all(math.isfinite(one.psnr) for one in each)
    assert scored(DISCS, known).psnr == np.mean([[one.psnr] for one in each], axis=0)[0]
