"""Training of one pattern set from a recipe: which stages, in which order, and what they start from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.training.content import content_stage, start_patterns
from napari_dmu.training.data import Example, fingerprint
from napari_dmu.training.direct import direct_stage
from napari_dmu.training.finish import finish
from napari_dmu.training.head_stage import head_stage
from napari_dmu.training.recipe import Recipe, Source
from napari_dmu.training.session import Report, Session, checkpoint_beside, frozen
from napari_dmu.training.settle import settle_stage
from napari_dmu.training.sources import read_source
from napari_dmu.training.task import task_stage
from napari_dmu.zoo.pattern_set import PatternSet


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    device: torch.device,
    start: PatternSet | None = None,
    keep_head: bool = False,
    report: Report | None = None,
    check_cancelled: Callable[[], None] | None = None,
) -> PatternSet:
    """Train a pattern set and write it to ``out``.

    A checkpoint beside ``out`` is renewed every two minutes; the same call goes on from it after a kill. A file that is
    at ``out`` already stays until the new set is complete, with its scores and error bars.

    Parameters
    ----------
    recipe
        What to train.
    data
        Root of the folders that the recipe names.
    out
        Pattern set file to write.
    start
        Take patterns and decoder from this set and go on with stage 2 (head) and, where the recipe has it, 3 (task).
    keep_head
        Take the segmentation head from ``start`` too and go on with stage 3.
    report
        Called with (steps done, all steps, what is going on).
    check_cancelled
        Called at every step; raises to stop.
    """
    training = [_examples(data, s, recipe) for s in recipe.training]
    validation = {s.folder: _examples(data, s, recipe) for s in recipe.validation}
    session = Session(
        recipe,
        device,
        training,
        validation,
        torch.Generator().manual_seed(recipe.seed),
        checkpoint_beside(out),
        report or (lambda done, total, what: None),
        check_cancelled or (lambda: None),
        _identity(recipe, (*training, *validation.values()), start, keep_head),
    )
    with torch.random.fork_rng(devices=[]):
        # Networks are made on the CPU. torch.manual_seed would set the generators of all GPUs too, for good.
        torch.default_generator.manual_seed(recipe.seed)
        if recipe.task is not None and recipe.task.direct:
            return finish(session, out, *direct_stage(session, start_patterns(session)))
        if start is None:
            patterns, decoder, chosen = content_stage(session)
            for number in range(len(recipe.settle)):
                decoder = settle_stage(session, patterns, decoder, number)
        else:
            patterns, decoder, chosen = _taken(session, start)
        head = _taken_head(session, start) if start is not None and keep_head else None
        if head is None and recipe.head is not None:
            head = head_stage(session, patterns, decoder)
        if head is not None and recipe.task is not None:
            patterns, decoder, head, chosen = task_stage(session, patterns, decoder, head, chosen)
    return finish(session, out, patterns, decoder, head, chosen)


def _identity(recipe: Recipe, images: Iterable[Sequence[Example]], start: PatternSet | None, keep_head: bool) -> str:
    """sha256 of all that decides what a training makes: only its own checkpoints are gone on with."""
    digest = hashlib.sha256(json.dumps([recipe.model_dump(mode="json"), keep_head], sort_keys=True).encode())
    digest.update(fingerprint([example for group in images for example in group]).encode())
    # Of the start what is taken, not its file: error bars that were added to it since change nothing.
    for network in () if start is None else (start.decoder, start.segmenter if keep_head else None):
        for weights in () if network is None else network.state_dict().values():
            digest.update(weights.detach().cpu().contiguous().numpy().tobytes())
    digest.update(b"" if start is None else start.patterns.tobytes())
    return digest.hexdigest()


def _examples(data: Path, source: Source, recipe: Recipe) -> list[Example]:
    return read_source(data, source, masks=source.masks and recipe.head is not None)


def _taken(session: Session, start: PatternSet) -> tuple[Patterns, Decoder, str]:
    """Patterns and decoder of an existing set, in place of stage 1."""
    recipe, card = session.recipe, start.header
    if recipe.head is None or (recipe.acquisition, recipe.decoder) != (card.acquisition, card.decoder):
        raise SettingsError(
            "The set to start from has other acquisition or decoder settings than the recipe, or the recipe trains "
            "no head: use the recipe that the set was made with."
        )
    session.curve, session.seconds = card.provenance.curve, 60 * card.provenance.minutes
    return start.patterns, frozen(start.to(session.device).decoder), card.provenance.chosen


def _taken_head(session: Session, start: PatternSet) -> SegmentationHead:
    """Head of an existing set, in place of stage 2."""
    if start.segmenter is None or session.recipe.head is None or start.header.head != session.recipe.head.shape:
        raise SettingsError(
            "The set to start from has no head of the recipe's shape: leave keep_head out to train one."
        )
    return frozen(start.segmenter)  # type: ignore[no-any-return]
