"""End of stage 1: the decoder settles on the patterns, and stays sober before what no specimen resembles.

Drawn scenes cost the decoder 0.1 to 0.2 dB on specimens where they are among the crops from the start, and hardly
anything here: the rate is small, and the last steps see specimens alone again.
"""

from __future__ import annotations

import copy

from torch import Tensor

from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.training.data import CropSampler
from napari_dmu.training.recorded import RecordedDecoder
from napari_dmu.training.session import Session, frozen
from napari_dmu.training.single import train_network
from napari_dmu.training.stages import BinaryPatterns, Draw, content_step


def settle_stage(session: Session, patterns: Patterns, decoder: Decoder, number: int) -> Decoder:
    """Round ``number`` (from 0) with fixed patterns: (T, P, P) and the decoder so far → the decoder's average over it.

    The decoder given is left as it is. Validation chooses nothing here: what is gained shows on other scenes.
    """
    recipe, stage = session.recipe, session.recipe.settle[number]
    fixed = BinaryPatterns(patterns).to(session.device).requires_grad_(False)
    network = copy.deepcopy(decoder).train().requires_grad_(True)
    passes = RecordedDecoder(network)
    sampler = CropSampler(session.training, [s.weight for s in recipe.training], device=session.device)
    spread = recipe.noise if stage.share is None else recipe.noise.model_copy(update={"share": stage.share})
    draw = Draw(recipe.acquisition, spread, session.generator)
    with_scenes = recipe.content.model_copy(update={"scenes": stage.scenes})
    without = recipe.content.model_copy(update={"scenes": 0.0})

    def loss_at(step: int) -> Tensor:
        like = with_scenes if stage.scenes_from <= step / stage.steps < stage.scenes_until else without
        return content_step(fixed, passes, sampler, draw, like)

    average = train_network(
        session, network, loss_at, name=f"settle{number}", what="the decoder settles",
        before=session.settled(number), steps=stage.steps, rate=stage.learning_rate, ema=recipe.content.ema,
    )  # fmt: skip
    return frozen(average)  # type: ignore[no-any-return]
