"""Stage 2: the segmentation head on frozen patterns and decoder."""

from __future__ import annotations

import logging
import time

import torch

from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.training.checkpoint import load_checkpoint, save_checkpoint
from napari_dmu.training.data import CropSampler
from napari_dmu.training.optimiser import DecoderOptimiser
from napari_dmu.training.recipe import HeadStage
from napari_dmu.training.session import CHECKPOINT_SECONDS, Session, frozen
from napari_dmu.training.stages import Average, Draw, SpikeGuard, head_step, one_cycle

log = logging.getLogger(__name__)


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
    optimiser = DecoderOptimiser(head)
    average = Average(head, stage.ema)
    path = session.checkpoint.with_name(session.checkpoint.name + ".head")
    parts = {
        "head": head, "average": average.module, "muon": optimiser.muon, "adam": optimiser.adam,
        "random": session.generator,
    }  # fmt: skip
    guard = SpikeGuard()
    first = 0
    if path.exists():
        numbers = load_checkpoint(path, parts)
        first, session.seconds, guard.usual = numbers["step"], numbers["seconds"], numbers["usual"]
        average.steps = first
    before = recipe.content.steps + (recipe.settle.steps if recipe.settle is not None else 0)
    saved = mark = time.monotonic()
    for step in range(first, stage.steps):
        session.check_cancelled()
        optimiser.set_rate(stage.learning_rate * one_cycle(step, stage.steps))
        loss = head_step(microscope, decoder, head, sampler, draw, stage)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if guard.allows(head.parameters()):
            optimiser.step()
        average.update(head)
        if step % 20 == 0:
            session.report(before + step + 1, session.total, "segmentation head")
        now, last = time.monotonic(), step + 1 == stage.steps
        if (step + 1) % recipe.check_every == 0 or last:
            log.info("%s head step %d loss %.5f", recipe.name, step + 1, loss.item())
        if now - saved > CHECKPOINT_SECONDS or last:
            session.seconds, mark, saved = session.seconds + now - mark, now, now
            save_checkpoint(path, parts, {"step": step + 1, "seconds": session.seconds, "usual": guard.usual})
    return frozen(average.module)  # type: ignore[no-any-return]
