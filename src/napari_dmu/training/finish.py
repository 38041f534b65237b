"""The end of a training: settings of the instance step, scores, model card, file."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch

from napari_dmu._version import __version__
from napari_dmu.microscope.forward import Microscope, dose
from napari_dmu.microscope.patterns import Patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.segmentation.settings import InstanceSettings
from napari_dmu.training.data import fingerprint
from napari_dmu.training.error_stage import add_error_bars
from napari_dmu.training.session import Session, clear_up
from napari_dmu.training.validation import choose_instances, score
from napari_dmu.zoo.header import Provenance, Scores, SetHeader
from napari_dmu.zoo.pattern_set import PatternSet, write_set

# Training images per source on which the instance settings are chosen.
CHOICE_IMAGES = 32


def finish(
    session: Session,
    out: Path,
    patterns: Patterns,
    decoder: Decoder,
    head: SegmentationHead | None,
    chosen: str,
) -> PatternSet:
    """Score the set as a file holds it on all validation images, add its error bars, and write it with both to ``out``.

    At ``out`` nothing appears before all is done, since a set that is there counts as done; until then the set lies
    among the checkpoints.
    """
    recipe = session.recipe
    mean, largest = dose(torch.from_numpy(patterns))
    session.report(session.total, session.total, "validation")
    header = SetHeader(
        name=recipe.name,
        family=recipe.family,
        acquisition=recipe.acquisition,
        decoder=recipe.decoder,
        head=recipe.head.shape if recipe.head else None,
        instances=_instances(session, patterns, decoder, head) if head else InstanceSettings(),
        dose_mean=mean,
        dose_max=largest,
        provenance=Provenance(
            recipe=recipe.model_dump(mode="json"),
            data_fingerprint=fingerprint([e for group in session.training for e in group]),
            data_licence=recipe.data_licence,
            seed=recipe.seed,
            device=str(session.device),
            versions={
                "napari-dmu": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            minutes=round(session.seconds / 60, 1),
            steps=session.total,
            chosen=chosen,
            curve=session.curve,
        ),
    )
    # Scored is what the file holds, with its weights in fewer bits.
    interim = session.checkpoint_of("set")
    scores = _final_scores(session, write_set(interim, header, patterns, decoder, head).to(session.device))
    complete = header.model_copy(update={"scores": scores})
    session.check_cancelled()
    if recipe.error_bars is None:
        written = write_set(out, complete, patterns, decoder, head)
    else:
        written = add_error_bars(
            write_set(interim, complete, patterns, decoder, head),
            session.training,
            session.validation,
            out,
            weights=[source.weight for source in recipe.training],
            stage=recipe.error_bars,
            seed=recipe.seed,
            device=session.device,
            report=session.report,
            check_cancelled=session.check_cancelled,
        )
    clear_up(out)
    return written


def _instances(session: Session, patterns: Patterns, decoder: Decoder, head: SegmentationHead) -> InstanceSettings:
    """Instance settings chosen on every n-th training image, the same number from each source."""
    chosen = [e for group in session.training for e in group[:: max(1, len(group) // CHOICE_IMAGES)][:CHOICE_IMAGES]]
    microscope = Microscope(torch.from_numpy(patterns).float().to(session.device), session.recipe.acquisition)
    return choose_instances(chosen, microscope, decoder, session.recipe.acquisition, head)


def _final_scores(session: Session, written: PatternSet) -> dict[str, Scores]:
    microscope = written.microscope(session.device)
    scores: dict[str, Scores] = {}
    for name, examples in session.validation.items():
        session.check_cancelled()
        scores[name] = score(
            examples,
            microscope,
            written.decoder,
            written.acquisition,
            head=written.segmenter,
            settings=written.header.instances,
        )
    return scores
