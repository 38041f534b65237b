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
from napari_dmu.training.recipe import SettleStage
from napari_dmu.training.session import Session, frozen
from napari_dmu.training.single import train_network
from napari_dmu.training.stages import BinaryPatterns, Draw, content_step


def settle_stage(session: Session, patterns: Patterns, decoder: Decoder) -> Decoder:
    """A short round with fixed patterns: (T, P, P) and the decoder of stage 1, left as it is → the averaged decoder.

    Validation chooses nothing here: what is gained shows on other scenes.
    """
    recipe, stage = session.recipe, session.recipe.settle
    assert isinstance(stage, SettleStage)
    fixed = BinaryPatterns(patterns).to(session.device).requires_grad_(False)
    network = copy.deepcopy(decoder).train().requires_grad_(True)
    sampler = CropSampler(session.training, [s.weight for s in recipe.training], device=session.device)
    draw = Draw(recipe.acquisition, recipe.noise, session.generator)
    with_scenes = recipe.content.model_copy(update={"scenes": stage.scenes})
    without = recipe.content.model_copy(update={"scenes": 0.0})

    def loss_at(step: int) -> Tensor:
        like = with_scenes if stage.scenes_from <= step / stage.steps < stage.scenes_until else without
        return content_step(fixed, network, sampler, draw, like)

    average = train_network(
        session, network, loss_at, name="settle", what="the decoder settles", before=recipe.content.steps,
        steps=stage.steps, rate=stage.learning_rate, ema=recipe.content.ema,
    )  # fmt: skip
    return frozen(average)  # type: ignore[no-any-return]
