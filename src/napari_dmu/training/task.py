"""Stage 3: patterns, decoder and head together at small rates, for the cells."""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead, head_loss
from napari_dmu.segmentation.settings import InstanceSettings
from napari_dmu.training.data import CropSampler
from napari_dmu.training.losses import content_loss
from napari_dmu.training.optimiser import DecoderOptimiser
from napari_dmu.training.precision import autocast
from napari_dmu.training.recipe import HeadStage, TaskStage
from napari_dmu.training.session import CHECKPOINT_SECONDS, Session
from napari_dmu.training.stages import (
    Average,
    BinaryPatterns,
    Draw,
    SpikeGuard,
    cells_to_learn,
    one_cycle,
    within,
)
from napari_dmu.training.validation import score

log = logging.getLogger(__name__)


Network = TypeVar("Network", Decoder, SegmentationHead)


def _trainable(network: Network, device: torch.device) -> Network:
    return copy.deepcopy(network).to(device).train().requires_grad_(True)


@dataclass
class Chain:
    """What leads from the specimen to cells, all of it trainable."""

    patterns: BinaryPatterns
    decoder: Decoder
    head: SegmentationHead

    @classmethod
    def of(cls, patterns: Patterns, decoder: Decoder, head: SegmentationHead, device: torch.device) -> Chain:
        """Trainable copies on ``device``; what is given stays as it is."""
        return cls(BinaryPatterns(patterns).to(device), _trainable(decoder, device), _trainable(head, device))


Result = tuple[Patterns, Decoder, SegmentationHead, str]


def task_stage(session: Session, patterns: Patterns, decoder: Decoder, head: SegmentationHead, chosen: str) -> Result:
    """Train patterns, decoder and head together; the result of stage 2 stays where validation prefers it.

    Parameters
    ----------
    session
        Of a recipe with the entries ``head`` and ``task``.
    patterns, decoder, head
        Result of stages 1 and 2, left as they are.
    chosen
        Checkpoint that won stage 1.

    Returns
    -------
    tuple
        Patterns, decoder and head of whichever has the better mean F1 on the watched validation images, and a
        sentence for the model card that says which.
    """
    stage = session.recipe.task
    assert stage is not None
    before = watched_f1(session, patterns, decoder, head)
    found = train_chain(session, Chain.of(patterns, decoder, head, session.device), stage, to_beat=before)
    if found.best is None:
        note = f"head alone, F1 {before:.4f} (task-aware {found.last_f1:.4f})"
        return patterns, decoder, head, f"{chosen}, {note}"
    note = f"task step {found.best.step}, F1 {found.best.f1:.4f} (head alone {before:.4f})"
    return found.best.patterns, found.best.decoder, found.best.head, f"{chosen}, {note}"


@torch.no_grad()
def watched_f1(session: Session, patterns: Patterns, decoder: Decoder, head: SegmentationHead) -> float:
    """Mean over sources of the mean F1 on the watched validation images, with the usual instance settings."""
    acquisition = session.recipe.acquisition
    microscope = Microscope(torch.from_numpy(patterns).float().to(session.device), acquisition)
    scores = [
        score(examples, microscope, decoder, acquisition, head=head, settings=InstanceSettings()).f1
        for examples in session.watched().values()
    ]
    return float(np.mean([f1 for f1 in scores if f1 is not None]))


def task_step(chain: Chain, sampler: CropSampler, draw: Draw, stage: TaskStage, session: Session) -> Tensor:
    """One draw of stage 3: cells' loss + ``stage.content`` · reconstruction loss, with gradients to everything."""
    recipe, head_stage = session.recipe, session.recipe.head
    assert isinstance(head_stage, HeadStage)
    specimen, target = cells_to_learn(draw, chain.decoder, chain.head, sampler, stage.batch, stage.crop, head_stage)
    signal, level = draw.signal(specimen, draw.microscope(chain.patterns()))
    with autocast(specimen.device):
        image, lifted, features = chain.decoder(signal, level)
        prediction = chain.head(image, features)
    loss = head_loss(within(prediction, target), target)
    if stage.content and not stage.direct:
        like = recipe.content
        loss = loss + stage.content * content_loss(
            within(image, specimen),
            within(lifted, specimen),
            specimen,
            ssim=like.ssim,
            lifting=like.lifting,
            rms=like.rms,
        )
    return loss


@dataclass
class Best:
    """The best averaged chain so far."""

    step: int
    f1: float
    patterns: Patterns
    decoder: Decoder
    head: SegmentationHead


@dataclass
class Found:
    """How ``train_chain`` ended: what beat the figure to beat, and the figure at the last step."""

    best: Best | None
    last_f1: float


def train_chain(session: Session, chain: Chain, stage: TaskStage, *, to_beat: float = -math.inf) -> Found:
    """Train all parts with ``task_step``; checked on validation every so often, resumed from its own checkpoint."""
    recipe, device = session.recipe, session.device
    sampler = CropSampler(session.training, [s.weight for s in recipe.training], device=device, with_targets=True)
    draw = Draw(recipe.acquisition, recipe.noise, session.generator)
    learns = recipe.family == "learned" and stage.pattern_rate > 0
    chain.patterns.logits.requires_grad_(learns)
    network = DecoderOptimiser(chain.decoder, chain.head)
    mirrors = torch.optim.Adam(chain.patterns.parameters(), lr=max(stage.pattern_rate, 1e-9), betas=(0.9, 0.99))
    decoder, head = Average(chain.decoder, stage.ema), Average(chain.head, stage.ema)
    best = Chain.of(chain.patterns.binary(), chain.decoder, chain.head, device)
    weights = [*chain.decoder.parameters(), *chain.head.parameters()]
    parts = {
        "patterns": chain.patterns, "decoder": chain.decoder, "head": chain.head, "decoder_average": decoder.module,
        "head_average": head.module, "best_patterns": best.patterns, "best_decoder": best.decoder,
        "best_head": best.head, "muon": network.muon, "adam": network.adam, "mirrors": mirrors,
        "random": session.generator,
    }  # fmt: skip
    guard = SpikeGuard()
    state: dict[str, Any] = {"step": 0, "best_step": 0, "best_f1": to_beat, "last_f1": to_beat, "usual": None}
    if (saved_state := session.load("task", parts)) is not None:
        state = saved_state
        session.seconds, guard.usual = state["seconds"], state["usual"]
        decoder.steps = head.steps = state["step"]
    offset = session.total - stage.steps
    saved = mark = time.monotonic()
    for step in range(state["step"], stage.steps):
        session.check_cancelled()
        pace = one_cycle(step, stage.steps)
        network.set_rate(stage.learning_rate * pace)
        mirrors.param_groups[0]["lr"] = stage.pattern_rate * pace
        loss = task_step(chain, sampler, draw, stage, session)
        network.zero_grad()
        mirrors.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if guard.allows(weights):
            network.step()
            if learns:
                mirrors.step()
        decoder.update(chain.decoder)
        head.update(chain.head)
        last = step + 1 == stage.steps
        if (step + 1) % recipe.check_every == 0 or last:
            averaged: tuple[Any, Any] = decoder.module, head.module
            state["last_f1"] = watched_f1(session, chain.patterns.binary(), *averaged)
            if state["last_f1"] > state["best_f1"]:
                state["best_step"], state["best_f1"] = step + 1, state["last_f1"]
                best.patterns.load_state_dict(chain.patterns.state_dict())
                best.decoder.load_state_dict(decoder.module.state_dict())
                best.head.load_state_dict(head.module.state_dict())
            log.info("%s task step %d loss %.5f F1 %.4f", recipe.name, step + 1, loss.item(), state["last_f1"])
        if step % 20 == 0:
            session.report(offset + step + 1, session.total, "patterns, decoder and head for the cells")
        now = time.monotonic()
        if now - saved > CHECKPOINT_SECONDS or last:
            session.seconds, mark, saved = session.seconds + now - mark, now, now
            numbers = {**state, "step": step + 1, "seconds": session.seconds, "usual": guard.usual}
            session.save("task", parts, numbers)
    if not state["best_step"]:
        return Found(None, state["last_f1"])
    for network_of_best in (best.decoder, best.head):
        network_of_best.eval().requires_grad_(False)
    shipped = Best(state["best_step"], state["best_f1"], best.patterns.binary(), best.decoder, best.head)
    return Found(shipped, state["last_f1"])
