"""The yardstick: how far a pattern set is from what its samples, its light and a linear decoder allow.

Every line is a mean over the same images, each measured with the exact detector. Statistics of the specimens come from
other images than the one that is scored: from training images where they are given, else by leaving that image out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict

from napari_dmu.evaluation.limit_lines import Arm, Image, Line, Scene, all_lines
from napari_dmu.microscope.acquisition import Acquisition

CLOSE_EFFICIENCY, CLOSE_GAIN = 0.98, 0.1


class Limits(BaseModel):
    """What is reached, what could be, and what is left.

    Attributes
    ----------
    lines
        From the mean image up to the full-resolution exposure.
    images, statistics
        How many images were scored, and where the specimens' statistics came from.
    linear_efficiency
        (MSE_mean − MSE_LMMSE of ours) / (MSE_mean − MSE of the linear optimum), which is the best of the grey ones, the
        binary ones and ours.
    pattern_gain
        PSNR of ours − PSNR of the plain set with the same decoder (dB).
    headroom
        PSNR of the full-resolution exposure with the same light − PSNR of ours (dB); of that exposure without blur,
        background and read noise, so that shot noise alone is left, and denoised by the linear estimate.
    doubling_gain, seed_spread
        Given by the user: what twice the decoder gained, and the spread over training seeds (dB).
    sentence
        Whether the set may be called close to the limit, and why not.
    """

    model_config = ConfigDict(frozen=True)

    ratio: float
    exposures: int
    bin: int
    period: int
    photons: float
    read_noise: float
    images: int
    statistics: str
    lines: list[Line]
    linear_efficiency: float | None
    pattern_gain: float | None
    headroom: float | None
    doubling_gain: float | None
    seed_spread: float | None
    sentence: str


def limits(
    images: Sequence[Image],
    acquisition: Acquisition,
    *,
    ours: Arm | None = None,
    plain: Arm | None = None,
    training: Sequence[Image] = (),
    doubling_gain: float | None = None,
    seed_spread: float | None = None,
    seed: int = 0,
    steps: int = 150,
    progress: Callable[[int, int, str], None] | None = None,
) -> Limits:
    """Draw up the yardstick.

    Parameters
    ----------
    images
        Specimens (Y, X), 0 … 1.
    acquisition
        Geometry, PSFs and noise that all lines share.
    ours, plain
        The set in question, and the plain camera with the same decoder, where there are any.
    training
        Other images (Y, X), 0 … 1, for the specimens' statistics. Without them each image is judged with the
        statistics of the others, so at least two are needed; the patterns are then searched on all of them, which
        favours the optimum and so understates the efficiency.
    doubling_gain, seed_spread
        Figures from trainings, in dB; without them no set is called close to the limit.
    seed
        Noise of image i depends on (seed, i) alone.
    steps
        Gradient steps of each search.

    Raises
    ------
    SpecimenError
        There are too few images, or one is no plane of finite numbers.
    SettingsError
        The geometry does not fit: the ratio must be the square of a whole number.
    """
    scene = Scene(images, acquisition, training, seed)
    lines = list(all_lines(scene, ours=ours, plain=plain, steps=steps, progress=progress))
    found = {line.key: line for line in lines}
    efficiency = None
    if ours:
        # Whichever turned out best on these images: what was searched was searched on others.
        optimum = min(found[key].mse for key in ("grey", "binary", "own_lmmse"))
        efficiency = linear_efficiency(found["mean"].mse, found["own_lmmse"].mse, optimum)
    gain = found["ours"].psnr - found["plain_set"].psnr if ours and plain else None
    a = acquisition
    return Limits(
        ratio=a.ratio,
        exposures=a.exposures,
        bin=a.bin,
        period=a.period,
        photons=a.photons,
        read_noise=a.read_noise,
        images=len(images),
        statistics=scene.source,
        lines=lines,
        linear_efficiency=efficiency,
        pattern_gain=gain,
        headroom=found["shot_noise"].psnr - found["ours"].psnr if ours else None,
        doubling_gain=doubling_gain,
        seed_spread=seed_spread,
        sentence=verdict(efficiency, doubling_gain, seed_spread),
    )


def linear_efficiency(mean: float, own: float, optimum: float) -> float | None:
    """Part of the error that linear design can take away which these patterns take away; None where there is none."""
    return (mean - own) / (mean - optimum) if mean > optimum else None


def verdict(efficiency: float | None, doubling_gain: float | None, seed_spread: float | None) -> str:
    """The rule for "close to the limit" as one sentence; what is not known counts against it."""
    missing = []
    if efficiency is None:
        return "No pattern set was judged, so nothing is said about how close one comes to the limit."
    if efficiency < CLOSE_EFFICIENCY:
        missing.append(f"the linear efficiency is {efficiency:.3f}, below {CLOSE_EFFICIENCY:g}")
    if doubling_gain is None:
        missing.append("what doubling the decoder gains is not known")
    elif doubling_gain >= CLOSE_GAIN:
        missing.append(f"doubling the decoder still gains {doubling_gain:.2f} dB")
    if seed_spread is None:
        missing.append("the spread over seeds is not known")
    if missing:
        return f"The set must not be called close to the limit: {', and '.join(missing)}."
    return (
        f"The set is close to the limit: linear efficiency {efficiency:.3f}, doubling the decoder gains "
        f"{doubling_gain:.2f} dB, spread over seeds {seed_spread:.2f} dB."
    )
