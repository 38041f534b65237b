"""Calibration on validation images with exact noise: what a set can be trusted with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dmu.evaluation.consistency import Residuals, residuals, usual_limit, usual_tolerance
from napari_dmu.evaluation.coverage import Curve, conformal_factor, coverage_curve, held_back_coverage
from napari_dmu.evaluation.typicality import FeatureMean, distance
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.error_bar import ErrorHead, relative_spread
from napari_dmu.reconstruction.inference import decode, noise_of
from napari_dmu.training.data import Example
from napari_dmu.training.validation import crop, measure_example
from napari_dmu.zoo.header import Trust, Typical
from napari_dmu.zoo.pattern_set import PatternSet

# Limits lie this far above what all but a twentieth of the validation images show. Of fewer than a hundred images a
# higher quantile would be the single worst one, and one odd image would blind the check. Misfits scatter most: they
# have more room in each light, but not more than the least allowance leaves over all of them.
ALLOWANCE = 1.2
MISFIT_ALLOWANCE = 2.0
QUANTILE = 0.95
# Light in which the limits are measured, in units of the set's own. The decoder's own error is seen in the brightest,
# where there is little noise; in the dimmest, noise moves the features most.
LIGHTS = (0.01, 1.0, 10.0)
OWN, BRIGHTEST = 1, 2


class _Seen(NamedTuple):
    """One validation image in one light.

    Attributes
    ----------
    image, scale
        (Y, X), fluorescence density: the reconstruction and its uncalibrated error bar.
    features
        (C,), mean features.
    samples
        How the image measured again differs from the data.
    """

    image: NDArray[np.float32]
    scale: NDArray[np.float32]
    features: NDArray[np.float64]
    samples: Residuals


@dataclass(frozen=True)
class _Outcome:
    """One validation image.

    Attributes
    ----------
    curve
        Coverage over factors, in the set's own light.
    spread, samples, features
        Mean uncalibrated error bar over mean density, what the samples say, and the mean features (C,), in each of
        ``LIGHTS``.
    """

    curve: Curve
    spread: tuple[float, ...]
    samples: tuple[Residuals, ...]
    features: tuple[NDArray[np.float64], ...]


def measure_trust(
    instrument: PatternSet,
    head: ErrorHead,
    validation: Mapping[str, Sequence[Example]],
    *,
    typical: Typical | None = None,
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
    typical
        What is typical of the training images; it is given its limits here.
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
    tolerance = usual_tolerance([outcome.samples[BRIGHTEST] for outcome in every])
    misfits = _limits(
        instrument, lambda light: [o.samples[light].chi_square(tolerance) for o in every], MISFIT_ALLOWANCE, least=1.0
    )
    highest = max(limit for _, limit in misfits) * ALLOWANCE / MISFIT_ALLOWANCE
    spreads = _limits(instrument, lambda light: [factor * o.spread[light] for o in every])
    return Trust(
        level=level,
        factor=factor,
        coverage=held_back_coverage(curves, level),
        tolerance=tolerance,
        chi_square={name: float(np.mean([o.samples[OWN].chi_square() for o in g])) for name, g in outcomes.items()},
        chi_square_limit=highest,
        chi_square_limits=tuple((noise, min(limit, highest)) for noise, limit in misfits),
        spread_limit=spreads[OWN][1],
        spread_limits=spreads,
        typical=typical and typical.model_copy(update={"limits": _distance_limits(instrument, every, typical)}),
    )


def _in_light(instrument: PatternSet, light: float) -> Acquisition:
    own = instrument.acquisition
    return own.model_copy(update={"photons": light * own.photons})


def _limits(
    instrument: PatternSet,
    figures: Callable[[int], Sequence[float]],
    allowance: float = ALLOWANCE,
    *,
    least: float = 0.0,
) -> tuple[tuple[float, float], ...]:
    """(relative noise level, limit) in each of ``LIGHTS``; ``figures`` of a light's number are those of the images."""
    return tuple(
        (
            noise_of(_in_light(instrument, light)),
            allowance * usual_limit(figures(number), quantile=QUANTILE, least=least),
        )
        for number, light in enumerate(LIGHTS)
    )


def _distance_limits(
    instrument: PatternSet, outcomes: Sequence[_Outcome], typical: Typical
) -> tuple[tuple[float, float], ...]:
    """(relative noise level, distance up to which a measurement is usual) in each light."""

    def distances(light: int) -> list[float]:
        noise = noise_of(_in_light(instrument, LIGHTS[light]))
        return [distance(typical, outcome.features[light], noise) for outcome in outcomes]

    return _limits(instrument, distances)


def _outcome(example: Example, index: int, microscope: Microscope, instrument: PatternSet, head: ErrorHead) -> _Outcome:
    seen = [_seen(example, index, microscope, instrument, head, _in_light(instrument, light)) for light in LIGHTS]
    return _Outcome(
        coverage_curve(seen[OWN].image - example.specimen, seen[OWN].scale),
        tuple(relative_spread(one.scale, one.image) for one in seen),
        tuple(one.samples for one in seen),
        tuple(one.features for one in seen),
    )


@torch.inference_mode()
def _seen(
    example: Example,
    index: int,
    microscope: Microscope,
    instrument: PatternSet,
    head: ErrorHead,
    acquisition: Acquisition,
) -> _Seen:
    counts = measure_example(example, index, microscope, acquisition)
    frames = torch.from_numpy(counts.astype(np.float32))[None]
    decoded = decode(instrument.decoder, frames, acquisition, error_head=head)
    assert decoded.scale is not None
    image, scale = (crop(maps, example.specimen.shape) for maps in (decoded.image, decoded.scale))
    features = FeatureMean(instrument.header.decoder.stride)
    features.add(decoded.features[0], *(slice(0, side) for side in example.specimen.shape))
    again = microscope.forward(torch.from_numpy(image).to(microscope.patterns.device)).cpu().numpy()
    return _Seen(image, scale, features.value, residuals(counts, again, acquisition))
