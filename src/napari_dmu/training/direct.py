"""The direct route, for comparison: from the measurement to cells without ever asking for an image.

The same patterns, the same networks, the same number of weights; only the loss differs. The decoder starts from the
closed-form lifting, as in stage 1, and what it calls an image is then whatever helps the head.
"""

from __future__ import annotations

import torch

from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.training.data import CropSampler
from napari_dmu.training.session import Session
from napari_dmu.training.stages import BinaryPatterns, Draw, fit_lifting
from napari_dmu.training.task import Chain, Result, train_chain


def direct_stage(session: Session, start: Patterns) -> Result:
    """Train patterns, decoder and head from the start with the cells' loss alone.

    Parameters
    ----------
    session
        Of a recipe whose entry ``task`` has ``direct: true``.
    start
        (T, P, P), binary patterns to start from.

    Returns
    -------
    tuple
        As from ``task_stage``; the checkpoint with the best mean F1 on the watched validation images.
    """
    recipe, device, stage, head_stage = session.recipe, session.device, session.recipe.task, session.recipe.head
    assert stage is not None
    assert head_stage is not None
    a = recipe.acquisition
    decoder = Decoder(a.exposures, a.bin, a.period, recipe.decoder).to(device)
    head = SegmentationHead(recipe.decoder.widths[0], recipe.decoder.stride, head_stage.shape).to(device)
    for network in (decoder, head):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not session.checkpoint_of("task").exists():
        sampler = CropSampler(session.training, [s.weight for s in recipe.training], device=device)
        draw = Draw(a, recipe.noise, session.generator)
        with torch.no_grad():
            fit_lifting(decoder, BinaryPatterns(start).to(device)(), sampler, draw, recipe.content)
    best = train_chain(session, Chain.of(start, decoder, head, device), stage).best
    assert best is not None
    return best.patterns, best.decoder, best.head, f"direct step {best.step}, F1 {best.f1:.4f}"
