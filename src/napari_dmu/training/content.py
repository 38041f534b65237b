"""Stage 1: patterns and decoder, for the image."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import torch

from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import Patterns, make_patterns, patterns_from_text
from napari_dmu.reconstruction.linear_design import designed_patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.training.data import CropSampler
from napari_dmu.training.optimiser import DecoderOptimiser
from napari_dmu.training.recorded import RecordedDecoder
from napari_dmu.training.session import CHECKPOINT_SECONDS, Session, frozen
from napari_dmu.training.stages import Average, BinaryPatterns, Draw, SpikeGuard, content_step, fit_lifting, one_cycle
from napari_dmu.training.validation import score

log = logging.getLogger(__name__)

# Crops whose statistics designed patterns are found on, and their side in specimen pixels.
DESIGN_CROPS, DESIGN_SIDE = 96, 384


def start_patterns(session: Session) -> Patterns:
    """Patterns that stage 1 starts from: (T, P, P); designed ones take a search on the training images' statistics."""
    recipe = session.recipe
    a = recipe.acquisition
    if recipe.patterns is not None:
        return patterns_from_text(recipe.patterns)
    kind = recipe.start if recipe.family == "learned" else recipe.family
    if kind != "designed":
        return make_patterns(kind, exposures=a.exposures, period=a.period, bin=a.bin, seed=recipe.seed)
    session.report(0, session.total, "designing the patterns")
    weights = [s.weight for s in recipe.training]
    sampler = CropSampler(session.training, weights, device=torch.device("cpu"))
    crops = sampler.draw(DESIGN_CROPS, DESIGN_SIDE, torch.Generator().manual_seed(recipe.seed))[:, 0]
    return designed_patterns(a, crops, seed=recipe.seed)


def content_stage(session: Session) -> tuple[Patterns, Decoder, str]:
    """Stage 1: patterns and decoder; the averaged decoder, chosen among interim checks by validation."""
    recipe, stage = session.recipe, session.recipe.content
    a, weights = recipe.acquisition, [s.weight for s in recipe.training]
    patterns = BinaryPatterns(_first_patterns(session)).to(session.device)
    decoder = Decoder(a.exposures, a.bin, a.period, recipe.decoder).to(session.device)
    decoder = decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sampler = CropSampler(session.training, weights, device=session.device)
    draw = Draw(a, recipe.noise, session.generator)
    learns = recipe.family == "learned" and stage.pattern_rate > 0
    network, passes = DecoderOptimiser(decoder), RecordedDecoder(decoder)
    mirrors = torch.optim.Adam(patterns.parameters(), lr=max(stage.pattern_rate, 1e-9), betas=(0.9, 0.99))
    average = Average(decoder, stage.ema)
    best = Average(decoder, 0.0)
    best_patterns = BinaryPatterns(patterns.binary()).to(session.device)
    parts = {
        "patterns": patterns, "decoder": decoder, "average": average.module, "best": best.module,
        "best_patterns": best_patterns, "muon": network.muon, "adam": network.adam, "mirrors": mirrors,
        "random": session.generator,
    }  # fmt: skip
    guard = SpikeGuard()
    first, best_psnr, chosen = 0, -np.inf, "start"
    numbers = session.load("", parts)
    if numbers is not None:
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
        network.set_rate(stage.learning_rate * one_cycle(step, stage.steps))
        pace = one_cycle(step, max(1, round(stage.patterns_until * stage.steps)))
        mirrors.param_groups[0]["lr"] = stage.pattern_rate * pace
        loss = content_step(patterns, passes, sampler, draw, stage)
        network.zero_grad()
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
            session.save("", parts, numbers)
    return best_patterns.binary(), frozen(best.module), chosen


def _first_patterns(session: Session) -> Patterns:
    """As ``start_patterns``; where a checkpoint will replace them anyway, any of the right shape."""
    a = session.recipe.acquisition
    if session.checkpoint.exists():
        return make_patterns("plain", exposures=a.exposures, period=a.period, bin=a.bin)
    return start_patterns(session)


def _interim(session: Session, patterns: Patterns, decoder: Any) -> float:
    """Mean over sources of the PSNR on the watched validation images."""
    microscope = Microscope(torch.from_numpy(patterns).float().to(session.device), session.recipe.acquisition)
    acquisition = session.recipe.acquisition
    groups = session.watched().values()
    return float(np.mean([score(group, microscope, decoder, acquisition).psnr for group in groups]))
