"""What the figures of an assessment mean, in words; the same words at every door."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# fits: the image explains the data. unusual: it does, but the specimen is unlike the training images, or its error bars
# are wider than theirs. misfit: it does not explain them. unknown: there is nothing to judge by.
Verdict = Literal["fits", "unusual", "misfit", "unknown"]
# With more of the samples lost, the rest says too little about the image.
MOST_SATURATED = 0.5
# What else it may be where the frames are those of a real camera.
_SETUP = ", or the order of the frames, their orientation, roi, camera_bin, gain or registration is wrong"
_WORST: tuple[Verdict, ...] = ("misfit", "unknown", "unusual", "fits")


@dataclass(frozen=True)
class PlaneAssessment:
    """The figures of one plane.

    Attributes
    ----------
    chi_square, expected_error
        Reduced χ² against noise alone, and the standard deviation of the 1 that is expected of the specimen itself.
    misfit, limit
        χ² with the usual error of the decoder counted in, and up to which value that is usual.
    imagined_fraction
        Energy of what the data do not determine over the image's variance, 0 … 1.
    spread
        Mean error bar, fluorescence density; None without error bars.
    relative_spread, spread_limit
        Mean error bar over mean density, and up to which value that is usual; None without error bars.
    saturated
        Fraction of the samples that were left out because they are saturated.
    distance, distance_limit
        How far the measurement lies from those of the training images, see ``evaluation.typicality``, and up to which
        value that is usual; None where that is not known, or the image is not the pattern set's own.
    """

    chi_square: float
    expected_error: float
    misfit: float
    limit: float
    imagined_fraction: float
    spread: float | None
    relative_spread: float | None
    spread_limit: float | None
    saturated: float
    distance: float | None = None
    distance_limit: float | None = None

    @property
    def unlike(self) -> bool:
        """Whether the measurement is unlike those of the training images: error bars say nothing of it."""
        return self.distance is not None and self.distance_limit is not None and self.distance > self.distance_limit

    @property
    def verdict(self) -> Verdict:
        """Whether the plane fits its data."""
        if math.isnan(self.misfit) or self.saturated > MOST_SATURATED:
            return "unknown"
        if self.misfit > self.limit:
            return "misfit"
        return "unusual" if self.unlike or self._wide else "fits"

    @property
    def _wide(self) -> bool:
        if self.relative_spread is None or self.spread_limit is None:
            return False
        return self.relative_spread > self.spread_limit


def worst(planes: Sequence[PlaneAssessment]) -> Verdict:
    """The verdict on a stack is that on its worst plane."""
    found = {plane.verdict for plane in planes}
    return next(verdict for verdict in _WORST if verdict in found)


def statements(
    planes: Sequence[PlaneAssessment], *, level: float | None, own: bool, bars: bool, camera: bool = False
) -> list[str]:
    """What there is to say in words, the verdict first; see ``goodness`` for the figure behind it.

    Parameters
    ----------
    level
        Share of the pixels that the error bars are to cover; None where the pattern set is not calibrated.
    own
        Whether the image is what the pattern set itself reconstructs; error bars are for that alone.
    bars
        Whether there are error bars.
    camera
        Whether the measurement is that of a real camera, where there is more that can be wrong.
    """
    parts = [_judgement(planes, calibrated=level is not None, setup=_SETUP if camera else "")]
    if level is None:
        parts.append("the pattern set is not calibrated, so its usual error is not known and there is no error bar")
    elif bars:
        spread = _mean([plane.spread for plane in planes])
        doubtful = any(plane.unlike or plane.verdict == "misfit" for plane in planes)
        doubt = ", not to be relied on" if doubtful else ""
        parts.append(f"{100 * level:.0f} % error bar ±{spread:.2g} of the intensity range on average{doubt}")
    elif not own:
        parts.append("no error bar, because it is known for the learned reconstruction alone")
    imagined = _mean([plane.imagined_fraction for plane in planes])
    parts.append(f"{_percent(imagined)} of the contrast is imagined")
    saturated = _mean([plane.saturated for plane in planes])
    if saturated > 0.0:
        parts.append(f"{_percent(saturated)} of the samples are saturated and were left out")
    return parts


def goodness(planes: Sequence[PlaneAssessment], *, calibrated: bool) -> str:
    """χ² of the planes that the verdict is on, and what is usual; empty where it cannot be judged."""
    verdict = worst(planes)
    if verdict == "unknown":
        return ""
    values = [plane.misfit for plane in planes if plane.verdict == verdict]
    misfit = figure(max(values) if verdict == "misfit" else _mean(values))
    return f"χ² {misfit}, usual up to {figure(planes[0].limit)}" if calibrated else f"χ² {misfit}, 1 expected"


def _judgement(planes: Sequence[PlaneAssessment], *, calibrated: bool, setup: str) -> str:
    verdict = worst(planes)
    concerned = [plane for plane in planes if plane.verdict == verdict]
    where = _where(len(concerned), len(planes), every=verdict == "fits")
    if verdict == "unknown":
        return f"Cannot be judged{where}: most samples are saturated"
    if not calibrated:
        return f"{'Fits' if verdict == 'fits' else 'Does not fit'} the data within the noise{where}"
    if verdict == "misfit":
        return f"Does not fit the data{where}: the specimen is unlike the training images or the optics differ{setup}"
    words = f"Fits the data{where}"
    if any(plane.unlike for plane in concerned):
        return f"{words}, but is unlike the specimens this set was trained on{setup}: its error bars do not hold here"
    if verdict == "unusual":
        return f"{words}, but with wider error bars than usual: the specimen is unlike the training images or too dim"
    return words


def _where(count: int, planes: int, *, every: bool) -> str:
    if planes == 1:
        return ""
    return f" in all {planes} planes" if every or count == planes else f" in {count} of {planes} planes"


def _mean(values: Sequence[float | None]) -> float:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else 0.0


def figure(value: float) -> str:
    """χ² for people: two digits, more where it is large."""
    return f"{value:.2f}" if value < 1.0 else f"{value:.1f}" if value < 10.0 else f"{value:.0f}"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
