"""Training of one pattern set from a recipe: stages, checkpoints, selection, model card."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import Patterns, make_patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.training.checkpoint import load_checkpoint, save_checkpoint
from napari_dmu.training.data import CropSampler, Example, read_examples
from napari_dmu.training.finish import finish
from napari_dmu.training.recipe import HeadStage, Recipe, Source
from napari_dmu.training.session import Report, Session
from napari_dmu.training.stages import (
    Average,
    BinaryPatterns,
    Draw,
    SpikeGuard,
    content_step,
    fit_lifting,
    head_step,
    one_cycle,
)
from napari_dmu.training.validation import score
from napari_dmu.zoo.pattern_set import PatternSet

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120.0


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    device: torch.device,
    start: PatternSet | None = None,
    report: Report | None = None,
    check_cancelled: Callable[[], None] | None = None,
) -> PatternSet:
    """Train a pattern set and write it to ``out``.

    A checkpoint beside ``out`` is renewed every two minutes; the same call goes on from it after a kill.

    Parameters
    ----------
    recipe
        What to train.
    data
        Root of the folders that the recipe names.
    out
        Pattern set file to write.
    start
        Take patterns and decoder from this set and train the segmentation head alone.
    report
        Called with (steps done, all steps, what is going on).
    check_cancelled
        Called at every step; raises to stop.
    """
    session = Session(
        recipe,
        device,
        [_examples(data, s, recipe) for s in recipe.training],
        {s.folder: _examples(data, s, recipe) for s in recipe.validation},
        torch.Generator().manual_seed(recipe.seed),
        out.with_name(out.name + ".checkpoint"),
        report or (lambda done, total, what: None),
        check_cancelled or (lambda: None),
    )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        patterns, decoder, chosen = _content(session) if start is None else _taken(session, start)
        head = _head(session, patterns, decoder) if recipe.head else None
    return finish(session, out, patterns, decoder, head, chosen)


def _examples(data: Path, source: Source, recipe: Recipe) -> list[Example]:
    return read_examples(data / source.folder, masks=source.masks and recipe.head is not None)


def _start(recipe: Recipe) -> Patterns:
    a = recipe.acquisition
    kind = recipe.start if recipe.family == "learned" else recipe.family
    return make_patterns(kind, exposures=a.exposures, period=a.period, bin=a.bin, seed=recipe.seed)


def _content(session: Session) -> tuple[Patterns, Decoder, str]:
    """Stage 1: patterns and decoder; the averaged decoder, chosen among interim checks by validation."""
    recipe, stage = session.recipe, session.recipe.content
    a, weights = recipe.acquisition, [s.weight for s in recipe.training]
    patterns = BinaryPatterns(_start(recipe)).to(session.device)
    decoder = Decoder(a.exposures, a.bin, a.period, recipe.decoder).to(session.device)
    decoder = decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sampler = CropSampler(session.training, weights, device=session.device)
    draw = Draw(a, recipe.noise, session.generator)
    learns = recipe.family == "learned" and stage.pattern_rate > 0
    network = torch.optim.AdamW(decoder.parameters(), lr=stage.learning_rate, weight_decay=1e-4)
    mirrors = torch.optim.Adam(patterns.parameters(), lr=max(stage.pattern_rate, 1e-9), betas=(0.9, 0.99))
    average = Average(decoder, stage.ema)
    best = Average(decoder, 0.0)
    best_patterns = BinaryPatterns(patterns.binary()).to(session.device)
    parts = {
        "patterns": patterns, "decoder": decoder, "average": average.module, "best": best.module,
        "best_patterns": best_patterns, "network": network, "mirrors": mirrors, "random": session.generator,
    }  # fmt: skip
    guard = SpikeGuard()
    first, best_psnr, chosen = 0, -np.inf, "start"
    if session.checkpoint.exists():
        numbers = load_checkpoint(session.checkpoint, parts)
        first, best_psnr, chosen = numbers["step"], numbers["best"], numbers["chosen"]
        guard.usual = numbers["usual"]
        average.steps, session.seconds = first, numbers["seconds"]
        session.curve = [(int(s), float(p)) for s, p in numbers["curve"]]
    else:
        with torch.no_grad():
            fit_lifting(decoder, patterns(), sampler, draw, stage)
        average.module.load_state_dict(decoder.state_dict())
    saved = mark = time.monotonic()
    for step in range(first, stage.steps):
        session.check_cancelled()
        moving = learns and step < stage.patterns_until * stage.steps
        patterns.logits.requires_grad_(moving)
        _set_rate(network, stage.learning_rate * one_cycle(step, stage.steps))
        _set_rate(mirrors, stage.pattern_rate * one_cycle(step, max(1, round(stage.patterns_until * stage.steps))))
        loss = content_step(patterns, decoder, sampler, draw, stage)
        network.zero_grad(set_to_none=True)
        mirrors.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if guard.allows(decoder.parameters()):
            network.step()
            if moving:
                mirrors.step()
        average.update(decoder)
        last = step + 1 == stage.steps
        if (step + 1) % recipe.check_every == 0 or last:
            scores = _interim(session, patterns.binary(), average.module)
            session.curve.append((step + 1, scores))
            if scores > best_psnr:
                best_psnr, chosen = scores, f"content step {step + 1}"
                best.module.load_state_dict(average.module.state_dict())
                best_patterns.load_state_dict(patterns.state_dict())
            log.info("%s step %d loss %.5f validation %.3f dB", recipe.name, step + 1, loss.item(), scores)
            session.report(step + 1, session.total, f"patterns and decoder: {scores:.2f} dB on validation")
        elif step % 20 == 0:
            session.report(step + 1, session.total, "patterns and decoder")
        now = time.monotonic()
        if now - saved > CHECKPOINT_SECONDS or last:
            session.seconds, mark, saved = session.seconds + now - mark, now, now
            numbers = {
                "step": step + 1, "best": best_psnr, "chosen": chosen, "curve": session.curve,
                "seconds": session.seconds, "usual": guard.usual,
            }  # fmt: skip
            save_checkpoint(session.checkpoint, parts, numbers)
    return best_patterns.binary(), _frozen(best.module), chosen


def _taken(session: Session, start: PatternSet) -> tuple[Patterns, Decoder, str]:
    """Patterns and decoder of an existing set, in place of stage 1."""
    recipe, card = session.recipe, start.header
    if recipe.head is None or (recipe.acquisition, recipe.decoder) != (card.acquisition, card.decoder):
        raise SettingsError(
            "The set to start from has other acquisition or decoder settings than the recipe, or the recipe trains "
            "no head: use the recipe that the set was made with."
        )
    session.curve, session.seconds = card.provenance.curve, 60 * card.provenance.minutes
    return start.patterns, _frozen(start.to(session.device).decoder), card.provenance.chosen


def _frozen(module: Any) -> Any:
    return module.eval().requires_grad_(False)


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _interim(session: Session, patterns: Patterns, decoder: Any) -> float:
    """Mean over sources of the PSNR on the watched validation images."""
    microscope = Microscope(torch.from_numpy(patterns).float().to(session.device), session.recipe.acquisition)
    acquisition = session.recipe.acquisition
    groups = session.watched().values()
    return float(np.mean([score(group, microscope, decoder, acquisition).psnr for group in groups]))


def _head(session: Session, patterns: Patterns, decoder: Decoder) -> SegmentationHead:
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
    optimiser = torch.optim.AdamW(head.parameters(), lr=stage.learning_rate, weight_decay=1e-4)
    average = Average(head, stage.ema)
    path = session.checkpoint.with_name(session.checkpoint.name + ".head")
    parts = {"head": head, "average": average.module, "optimiser": optimiser, "random": session.generator}
    guard = SpikeGuard()
    first = 0
    if path.exists():
        numbers = load_checkpoint(path, parts)
        first, session.seconds, guard.usual = numbers["step"], numbers["seconds"], numbers["usual"]
        average.steps = first
    saved = mark = time.monotonic()
    for step in range(first, stage.steps):
        session.check_cancelled()
        _set_rate(optimiser, stage.learning_rate * one_cycle(step, stage.steps))
        loss = head_step(microscope, decoder, head, sampler, draw, stage)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if guard.allows(head.parameters()):
            optimiser.step()
        average.update(head)
        if step % 20 == 0:
            session.report(recipe.content.steps + step + 1, session.total, "segmentation head")
        now, last = time.monotonic(), step + 1 == stage.steps
        if (step + 1) % recipe.check_every == 0 or last:
            log.info("%s head step %d loss %.5f", recipe.name, step + 1, loss.item())
        if now - saved > CHECKPOINT_SECONDS or last:
            session.seconds, mark, saved = session.seconds + now - mark, now, now
            save_checkpoint(path, parts, {"step": step + 1, "seconds": session.seconds, "usual": guard.usual})
    return _frozen(average.module)  # type: ignore[no-any-return]
