"""Stage 2: the segmentation head on frozen patterns and decoder."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.training.data import CropSampler
from napari_dmu.training.recipe import HeadStage
from napari_dmu.training.session import Session, frozen
from napari_dmu.training.single import train_network
from napari_dmu.training.stages import Draw, head_step


def head_stage(session: Session, patterns: Patterns, decoder: Decoder) -> SegmentationHead:
    """Stage 2: the segmentation head on frozen patterns and decoder; the averaged head at the end."""
    recipe, stage = session.recipe, session.recipe.head
    assert isinstance(stage, HeadStage)
    head = SegmentationHead(recipe.decoder.widths[0], recipe.decoder.stride, stage.shape).to(session.device)
    head = head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sampler = CropSampler(
        session.training, [s.weight for s in recipe.training], device=session.device, with_targets=True
    )
    draw = Draw(recipe.acquisition, recipe.noise, session.generator)
    microscope = Microscope(torch.from_numpy(patterns).float().to(session.device), recipe.acquisition)

    def loss_at(step: int) -> Tensor:
        return head_step(microscope, decoder, head, sampler, draw, stage)

    average = train_network(
        session, head, loss_at, name="head", what="segmentation head",
        before=session.settled(), steps=stage.steps, rate=stage.learning_rate, ema=stage.ema,
    )  # fmt: skip
    return frozen(average)  # type: ignore[no-any-return]
