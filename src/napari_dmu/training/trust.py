"""Calibration on validation images with exact noise: what a set can be trusted with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dmu.evaluation.consistency import Residuals, residuals, usual_limit, usual_tolerance
from napari_dmu.evaluation.coverage import Curve, conformal_factor, coverage_curve, held_back_coverage
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.error_bar import ErrorHead, relative_spread
from napari_dmu.reconstruction.inference import decode
from napari_dmu.training.data import Example
from napari_dmu.training.validation import crop, measure_example
from napari_dmu.zoo.header import Trust
from napari_dmu.zoo.pattern_set import PatternSet

# Limits lie this far above what all but a twentieth of the validation images show. Of fewer than a hundred images a
# higher quantile would be the single worst one, and one odd image would blind the check.
ALLOWANCE = 1.2
QUANTILE = 0.95
# The decoder's own error is seen where light leaves little noise: it is measured with so many times the photons.
BRIGHTER = 10.0


@dataclass(frozen=True)
class _Outcome:
    """One validation image.

    Attributes
    ----------
    curve
        Coverage over factors.
    usual, bright
        What the samples say in the set's own light, and in ``BRIGHTER`` times as much.
    spread
        Mean uncalibrated error bar over mean density.
    """

    curve: Curve
    usual: Residuals
    bright: Residuals
    spread: float


def measure_trust(
    instrument: PatternSet,
    head: ErrorHead,
    validation: Mapping[str, Sequence[Example]],
    *,
    level: float = 0.9,
    check_cancelled: Callable[[], None] = lambda: None,
) -> Trust:
    """Calibrate an error head and find what is usual for the decoder, on images that nothing was trained on.

    Parameters
    ----------
    instrument
        The set that the head belongs to, on the head's device.
    validation
        Examples by source.
    level
        Share of the pixels that an error bar is to cover.
    check_cancelled
        Called before every image; may raise.
    """
    microscope = instrument.microscope(next(head.parameters()).device)
    outcomes: dict[str, list[_Outcome]] = {}
    for name, examples in validation.items():
        outcomes[name] = []
        for index, example in enumerate(examples):
            check_cancelled()
            outcomes[name].append(_outcome(example, index, microscope, instrument, head))
    every = [outcome for group in outcomes.values() for outcome in group]
    curves = {name: [outcome.curve for outcome in group] for name, group in outcomes.items()}
    factor = conformal_factor(curves, level)
    tolerance = usual_tolerance([outcome.bright for outcome in every])
    misfits = [max(o.usual.chi_square(tolerance), o.bright.chi_square(tolerance)) for o in every]
    return Trust(
        level=level,
        factor=factor,
        coverage=held_back_coverage(curves, level),
        tolerance=tolerance,
        chi_square={name: float(np.mean([o.usual.chi_square() for o in group])) for name, group in outcomes.items()},
        chi_square_limit=ALLOWANCE * usual_limit(misfits, quantile=QUANTILE),
        spread_limit=ALLOWANCE * factor * float(np.quantile([o.spread for o in every], QUANTILE, method="higher")),
    )


def _outcome(example: Example, index: int, microscope: Microscope, instrument: PatternSet, head: ErrorHead) -> _Outcome:
    own = instrument.acquisition
    bright = own.model_copy(update={"photons": BRIGHTER * own.photons})
    image, scale, usual = _decoded(example, index, microscope, instrument, head, own)
    return _Outcome(
        coverage_curve(image - example.specimen, scale),
        usual,
        _decoded(example, index, microscope, instrument, head, bright)[2],
        relative_spread(scale, image),
    )


@torch.inference_mode()
def _decoded(
    example: Example,
    index: int,
    microscope: Microscope,
    instrument: PatternSet,
    head: ErrorHead,
    acquisition: Acquisition,
) -> tuple[NDArray[np.float32], NDArray[np.float32], Residuals]:
    """Image and uncalibrated error bar (Y, X) of an example, and how the image measured again differs from the data."""
    counts = measure_example(example, index, microscope, acquisition)
    frames = torch.from_numpy(counts.astype(np.float32))[None]
    decoded = decode(instrument.decoder, frames, acquisition, error_head=head)
    assert decoded.scale is not None
    image, scale = (crop(maps, example.specimen.shape) for maps in (decoded.image, decoded.scale))
    again = microscope.forward(torch.from_numpy(image).to(microscope.patterns.device)).cpu().numpy()
    return image, scale, residuals(counts, again, acquisition)
