"""How far a reconstruction is to be trusted, plane by plane: error bar, imagined part, χ² against the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dmu.engine.decoding import WithError, decoded_plane, image_and_error_planes
from napari_dmu.engine.device import memory_explained, resolve_device
from napari_dmu.engine.measured import instrument_of
from napari_dmu.engine.progress import CancelToken, Progress, check, report
from napari_dmu.engine.stacks import as_stack, plane
from napari_dmu.engine.verdict import PlaneAssessment, Verdict, goodness, statements, worst
from napari_dmu.errors import SpecimenError
from napari_dmu.evaluation.consistency import consistency
from napari_dmu.evaluation.typicality import LEAST_SIDE, distance, limit_at
from napari_dmu.files.planes import held
from napari_dmu.microscope.detector import saturation_count
from napari_dmu.microscope.measurement import ArrayLike, Measurement, MeasurementInfo, check_plane
from napari_dmu.reconstruction.error_bar import relative_spread
from napari_dmu.reconstruction.inference import noise_of
from napari_dmu.reconstruction.null_space import NullSpace, expected_variance

if TYPE_CHECKING:
    from napari_dmu.microscope.forward import Microscope
    from napari_dmu.zoo.header import Trust
    from napari_dmu.zoo.pattern_set import PatternSet

Image = NDArray[np.float32]
# Without a calibration: χ² may lie so many of its standard deviations above 1.
STANDARD_ERRORS = 4.0
# Largest difference (fluorescence density) between two computations of the same reconstruction on different devices.
SAME_IMAGE = 2e-3


@dataclass(frozen=True)
class Assessment:
    """How far a reconstruction is to be trusted.

    Attributes
    ----------
    error_bar
        (..., Y, X) half width of the interval that covers the specimen in ``level`` of the pixels, specimen units;
        None where the pattern set has none, or the image is not what it reconstructs.
    imagined
        (..., Y, X) the part of the contrast that the data do not determine, of either sign, specimen units; see
        ``reconstruction.null_space``.
    chi_square_map
        (..., y, x) χ² against noise alone of every detector pixel, mean over its exposures; NaN where all saturate.
    planes
        The figures of each plane, in C order.
    level
        Share of the pixels that the error bars are to cover; None where the pattern set is not calibrated.
    own
        Whether the image is what the pattern set itself reconstructs; an image given to a set without error bars is
        not compared with that, and counts as another.
    camera
        Whether the measurement is that of a real camera.
    """

    error_bar: Image | None
    imagined: Image
    chi_square_map: Image
    planes: tuple[PlaneAssessment, ...]
    level: float | None
    own: bool
    camera: bool = False

    @property
    def chi_square(self) -> float:
        """Reduced χ² against noise alone, mean over planes (those that can be judged)."""
        return _mean(self.planes, "chi_square")

    @property
    def misfit(self) -> float:
        """χ² with the decoder's usual error counted in, mean over planes."""
        return _mean(self.planes, "misfit")

    @property
    def limit(self) -> float:
        """Misfit up to which a plane counts as fitting, mean over planes."""
        return _mean(self.planes, "limit")

    @property
    def imagined_fraction(self) -> float:
        """Share of the contrast's energy that the data do not determine, mean over planes."""
        return _mean(self.planes, "imagined_fraction")

    @property
    def saturated(self) -> float:
        """Fraction of the samples that were left out."""
        return _mean(self.planes, "saturated")

    @property
    def verdict(self) -> Verdict:
        """On the worst plane."""
        return worst(self.planes)

    @property
    def fits(self) -> bool:
        """Whether every plane fits the data, and its error bars hold as far as can be told."""
        return self.verdict == "fits"

    @property
    def statements(self) -> list[str]:
        """What there is to say of it, the verdict first."""
        bars = self.error_bar is not None
        return statements(self.planes, level=self.level, own=self.own, bars=bars, camera=self.camera)

    @property
    def goodness(self) -> str:
        """χ² and what is usual; empty where it cannot be judged."""
        return goodness(self.planes, calibrated=self.level is not None)

    @property
    def sentence(self) -> str:
        """All of that in one sentence."""
        return "; ".join(part for part in (*self.statements, self.goodness) if part) + "."


@memory_explained()
def assess_planes(
    measurement: Measurement,
    image: ArrayLike | None,
    *,
    instrument: PatternSet | None,
    device: str,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> Assessment:
    """See ``engine.verbs.assess``."""
    info, lead = measurement.info, measurement.data.shape[:-3]
    given = None if image is None else as_stack(image)
    if given is not None and tuple(given.shape) != (*lead, *info.field):
        raise SpecimenError(
            f"The reconstruction has shape {tuple(given.shape)}, the measurement is of {(*lead, *info.field)}: "
            "give the reconstruction of this measurement."
        )
    where = resolve_device(device)
    used = instrument_of(measurement, instrument).to(where)
    microscope = used.microscope(where, acquisition=info.acquisition)
    low, high = info.intensity_range
    bars = np.empty((*lead, *info.field), dtype=np.float32) if used.error_head and used.header.trust else None
    imagined = np.empty((*lead, *info.field), dtype=np.float32)
    maps = np.empty((*lead, *info.acquisition.bins(info.field)), dtype=np.float32)
    own, planes, frames = True, [], held(measurement.data, trailing=3)
    for number, index in enumerate(np.ndindex(*lead)):
        check(cancel)
        counts = np.asarray(frames[index])
        density = None if given is None else (check_plane(plane(given, number), number) - low) / (high - low)
        density, with_error, same = _with_error(used, counts, info, density, bars is not None, cancel)
        own = own and same
        if bars is not None and with_error is not None:
            bars[index] = with_error.error * (high - low)
        checked = _checked(microscope, counts, density, info, used.header.trust, with_error, _stop(cancel))
        imagined[index], maps[index] = checked.imagined * (high - low), checked.chi_square_map
        planes.append(checked.figures)
        report(progress, number + 1, measurement.planes, "Checking")
    if not own:  # error bars for some planes of a stack would be read as error bars for all
        bars, planes = None, [replace(figures, spread=None, relative_spread=None, distance=None) for figures in planes]
    trust = used.header.trust
    level = None if trust is None else trust.level
    return Assessment(bars, imagined, maps, tuple(planes), level, own, info.camera)


def _with_error(
    used: PatternSet,
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    given: Image | None,
    bars: bool,
    cancel: CancelToken | None,
) -> tuple[Image, WithError | None, bool]:
    """The image to judge; the set's own with its error bar, None where that is another; whether it is the same."""
    if not bars:
        return decoded_plane(used, counts, info, cancel=cancel) if given is None else given, None, given is None
    decoded = image_and_error_planes(used, counts, info, cancel=cancel)
    if given is None:
        return decoded.image, decoded, True
    same = float(np.abs(given - decoded.image).max()) < SAME_IMAGE
    return given, decoded if same else None, same


@dataclass(frozen=True)
class _Checked:
    """What is found out about one plane; (Y, X) in fluorescence density, (y, x)."""

    imagined: Image
    chi_square_map: Image
    figures: PlaneAssessment


def _checked(
    microscope: Microscope,
    counts: NDArray[np.generic],
    density: Image,
    info: MeasurementInfo,
    trust: Trust | None,
    decoded: WithError | None,
    stop: Callable[[int, int], None],
) -> _Checked:
    image = torch.from_numpy(np.ascontiguousarray(density, dtype=np.float32)).to(microscope.patterns.device)
    with torch.inference_mode():
        signal = microscope.forward(image).cpu().numpy()
    tolerance = 0.0 if trust is None else trust.tolerance
    found = consistency(counts, signal, info.acquisition, tolerance=tolerance)
    lost = torch.from_numpy(np.asarray(counts) >= saturation_count(info.acquisition))
    with torch.no_grad():
        space = NullSpace(microscope, expected_variance(microscope, image, lost), info.field)
        split = space.contrast_of(image, report=stop)
    noise = noise_of(info.acquisition)
    figures = PlaneAssessment(
        chi_square=found.chi_square,
        expected_error=found.standard_error,
        misfit=found.misfit,
        limit=1.0 + STANDARD_ERRORS * found.standard_error if trust is None else misfit_limit(trust, noise),
        imagined_fraction=split.fraction,
        spread=None,
        relative_spread=None,
        spread_limit=None,
        saturated=found.saturated,
    )
    if trust is not None and decoded is not None:
        figures = judged(figures, trust, decoded, noise)
    return _Checked(split.imagined.cpu().numpy(), found.chi_square_map, figures)


def misfit_limit(trust: Trust, noise: float) -> float:
    """Misfit up to which an image is usual at a relative noise level; older sets know one for every light."""
    return limit_at(trust.chi_square_limits or ((noise, trust.chi_square_limit),), noise)


def spread_limit(trust: Trust, noise: float) -> float:
    """Mean error bar over mean density up to which an image is usual, in the same way."""
    return limit_at(trust.spread_limits or ((noise, trust.spread_limit),), noise)


def judged(figures: PlaneAssessment, trust: Trust, decoded: WithError, noise: float) -> PlaneAssessment:
    """With the figures that error bars are judged by; ``noise`` is the relative noise level."""
    is_small = decoded.image.size < LEAST_SIDE**2
    known = None if is_small or trust.typical is None or not trust.typical.limits else trust.typical
    return replace(
        figures,
        spread=float(decoded.error.mean()),
        relative_spread=relative_spread(decoded.error, decoded.image),
        spread_limit=spread_limit(trust, noise),
        distance=None if known is None else distance(known, decoded.features, noise),
        distance_limit=None if known is None else limit_at(known.limits, noise),
    )


def _stop(cancel: CancelToken | None) -> Callable[[int, int], None]:
    def stop(done: int, total: int) -> None:
        check(cancel)

    return stop


def _mean(planes: tuple[PlaneAssessment, ...], name: str) -> float:
    values = [value for value in (getattr(plane, name) for plane in planes) if not math.isnan(value)]
    return float(np.mean(values)) if values else math.nan
