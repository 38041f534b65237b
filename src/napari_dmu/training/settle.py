"""End of stage 1: the decoder settles on the patterns, and stays sober before what no specimen resembles.

Drawn scenes cost the decoder 0.1 to 0.2 dB on specimens where they are among the crops from the start, and hardly
anything here: the rate is small, and the last steps see specimens alone again.
"""

from __future__ import annotations

import copy
import logging
import time

from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.training.checkpoint import load_checkpoint, save_checkpoint
from napari_dmu.training.data import CropSampler
from napari_dmu.training.optimiser import DecoderOptimiser
from napari_dmu.training.recipe import SettleStage
from napari_dmu.training.session import CHECKPOINT_SECONDS, Session, frozen
from napari_dmu.training.stages import Average, BinaryPatterns, Draw, SpikeGuard, content_step, one_cycle

log = logging.getLogger(__name__)


def settle_stage(session: Session, patterns: Patterns, decoder: Decoder) -> Decoder:
    """A short round with fixed patterns: (T, P, P) and the decoder of stage 1, left as it is → the averaged decoder.

    Resumes from a checkpoint of its own. Validation chooses nothing here: what is gained shows on other scenes.
    """
    recipe, stage = session.recipe, session.recipe.settle
    assert isinstance(stage, SettleStage)
    fixed = BinaryPatterns(patterns).to(session.device).requires_grad_(False)
    network = copy.deepcopy(decoder).train().requires_grad_(True)
    sampler = CropSampler(session.training, [s.weight for s in recipe.training], device=session.device)
    draw = Draw(recipe.acquisition, recipe.noise, session.generator)
    optimiser = DecoderOptimiser(network)
    average = Average(network, recipe.content.ema)
    path = session.checkpoint.with_name(session.checkpoint.name + ".settle")
    parts = {
        "decoder": network, "average": average.module, "muon": optimiser.muon, "adam": optimiser.adam,
        "random": session.generator,
    }  # fmt: skip
    guard = SpikeGuard()
    first = 0
    if path.exists():
        numbers = load_checkpoint(path, parts)
        first, session.seconds, guard.usual = numbers["step"], numbers["seconds"], numbers["usual"]
        average.steps = first
    saved = mark = time.monotonic()
    for step in range(first, stage.steps):
        session.check_cancelled()
        optimiser.set_rate(stage.learning_rate * one_cycle(step, stage.steps))
        scenes = stage.scenes if step < stage.scenes_until * stage.steps else 0.0
        loss = content_step(fixed, network, sampler, draw, recipe.content.model_copy(update={"scenes": scenes}))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if guard.allows(network.parameters()):
            optimiser.step()
        average.update(network)
        if step % 20 == 0:
            session.report(recipe.content.steps + step + 1, session.total, "the decoder settles")
        now, last = time.monotonic(), step + 1 == stage.steps
        if now - saved > CHECKPOINT_SECONDS or last:
            session.seconds, mark, saved = session.seconds + now - mark, now, now
            save_checkpoint(path, parts, {"step": step + 1, "seconds": session.seconds, "usual": guard.usual})
            log.info("%s settling step %d loss %.5f", recipe.name, step + 1, loss.item())
    return frozen(average.module)  # type: ignore[no-any-return]
