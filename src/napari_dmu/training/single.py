"""Training of one network while all the others stay as they are: the loop that the head and settling share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from torch import Tensor, nn

from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.training.optimiser import DecoderOptimiser
from napari_dmu.training.session import CHECKPOINT_SECONDS, Session
from napari_dmu.training.stages import Average, SpikeGuard, one_cycle

log = logging.getLogger(__name__)


def train_network(
    session: Session,
    network: Decoder | SegmentationHead,
    loss_at: Callable[[int], Tensor],
    *,
    name: str,
    what: str,
    before: int,
    steps: int,
    rate: float,
    ema: float,
) -> nn.Module:
    """Train ``network`` in place for ``steps`` steps of one cycle; its average over the steps is returned.

    Resumes from a checkpoint of its own, the session's with ``name`` as suffix.

    Parameters
    ----------
    loss_at
        The loss (scalar) at a step 0 … ``steps`` − 1, with gradients to ``network``; its chance comes from the
        session's generator.
    name, what
        For the checkpoint and the log; for who watches the progress.
    before
        Steps of the stages that came first.
    rate, ema
        Largest learning rate; decay of the average.
    """
    optimiser, average, guard = DecoderOptimiser(network), Average(network, ema), SpikeGuard()
    parts = {
        name: network, "average": average.module, "muon": optimiser.muon, "adam": optimiser.adam,
        "random": session.generator,
    }  # fmt: skip
    first = 0
    if (numbers := session.load(name, parts)) is not None:
        first, session.seconds, guard.usual = numbers["step"], numbers["seconds"], numbers["usual"]
        average.steps = first
    saved = mark = time.monotonic()
    for step in range(first, steps):
        session.check_cancelled()
        optimiser.set_rate(rate * one_cycle(step, steps))
        loss = loss_at(step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if guard.allows(network.parameters()):
            optimiser.step()
        average.update(network)
        if step % 20 == 0:
            session.report(before + step + 1, session.total, what)
        now, last = time.monotonic(), step + 1 == steps
        if (step + 1) % session.recipe.check_every == 0 or last:
            log.info("%s %s step %d loss %.5f", session.recipe.name, name, step + 1, loss.item())
        if now - saved > CHECKPOINT_SECONDS or last:
            session.seconds, mark, saved = session.seconds + now - mark, now, now
            session.save(name, parts, {"step": step + 1, "seconds": session.seconds, "usual": guard.usual})
    return average.module
