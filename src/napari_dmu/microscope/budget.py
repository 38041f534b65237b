"""What an acquisition costs and yields before anything is measured: samples, light, time, noise, and warnings.

All figures about light are for a mid-grey specimen (density 0.5 everywhere) unless they say otherwise, and the bins
are those of one pattern period under the illumination that really arrives (leakage, excitation and emission PSF).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.cautions import Caution, cautions
from napari_dmu.microscope.digits import grouped, written

if TYPE_CHECKING:
    from torch import Tensor

MID_GREY = 0.5
MEGAPIXEL = 1_000_000


class Noise(BaseModel):
    """Standard deviations in one sample of mean light, in electrons referred to the input.

    Photon noise includes the excess noise of a multiplication.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shot: float = Field(description="Photon noise of the specimen's light (electrons)")
    background: float = Field(description="Photon noise of the background (electrons)")
    dark: float = Field(description="Noise of the dark current (electrons)")
    read: float = Field(description="Read noise (electrons)")
    quantisation: float = Field(description="Rounding to whole counts (electrons)")

    @property
    def total(self) -> float:
        """All of them together, added in squares (electrons)."""
        return math.hypot(self.shot, self.background, self.dark, self.read, self.quantisation)


class Budget(BaseModel):
    """The card of an acquisition with its patterns; see the module for the specimen it assumes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: float = Field(description="Compression ratio C: specimen pixels per detector sample")
    bin: int = Field(description="Binning d (specimen pixels)")
    exposures: int = Field(description="Exposures T")
    samples_per_megapixel: float = Field(description="Detector samples for a million specimen pixels, all exposures")
    camera_samples_per_megapixel: int = Field(description="The same for a camera at full resolution, one exposure")
    dose_mean: float = Field(description="Mean light dose of the sequence (full-on exposures)")
    dose_max: float = Field(description="Largest light dose of any pixel (full-on exposures)")
    fill_factor: float = Field(description="Fraction of the mirrors that are on, mean over the exposures")
    photons_per_bin: float = Field(description="Photons from a mid-grey specimen in a bin and exposure, mean")
    photons_per_bin_peak: float = Field(description="The same in the brightest bin and exposure")
    noise: Noise = Field(description="Noise in a sample of mean light (electrons)")
    snr: float = Field(description="Signal over noise of a sample of mean light, mid-grey specimen, no saturation")
    camera_snr: float = Field(description="The same for a pixel of a full-resolution camera, one full-on exposure")
    acquisition_time: float = Field(description="T exposures and the T − 1 switches between them (s)")
    full_scale_fraction: float = Field(description="Brightest bin of a white specimen over the largest that is read")
    pattern_contrast: float = Field(description="Contrast of the patterns on the specimen over that on the DMD, 0 … 1")
    finest_feature: int = Field(description="Narrowest stripes that keep half their contrast (specimen pixels)")
    warnings: tuple[Caution, ...] = Field(default=(), description="What physics will not allow, with a suggestion each")

    def lines(self) -> list[tuple[str, str]]:
        """The card as (label, value with its unit), in reading order; ``MEANINGS`` explains the labels."""
        n, saturates = self.noise, self.full_scale_fraction > 1.0
        pixels = f"detector pixels of {self.bin}×{self.bin}"
        return [
            ("Compression", f"×{self.ratio:g} ({pixels}, {_count(self.exposures)})"),
            ("Samples", f"{grouped(round(self.samples_per_megapixel))} per megapixel of specimen"),
            (
                "Full-resolution camera",
                f"{grouped(round(self.camera_samples_per_megapixel))} samples, SNR {written(self.camera_snr, 3)}",
            ),
            ("Light dose", f"{written(self.dose_mean, 3)} mean, {written(self.dose_max, 3)} max (full-on exposures)"),
            ("Fill factor", f"{100 * self.fill_factor:.3g} % of the mirrors on"),
            ("Pattern contrast", f"{100 * self.pattern_contrast:.3g} % reaches the specimen"),
            ("Finest feature", f"{self.finest_feature} pixels keep half their contrast"),
            (
                "Light per detector pixel",
                f"{written(self.photons_per_bin)} photons mean, {written(self.photons_per_bin_peak)} peak",
            ),
            ("Noise per sample", f"{written(n.total, 3)} electrons"),
            ("  of the light", f"{written(n.shot, 3)} electrons"),
            ("  of the background", f"{written(n.background, 3)} electrons"),
            ("  of the dark current", f"{written(n.dark, 3)} electrons"),
            ("  of the read-out", f"{written(n.read, 3)} electrons"),
            ("  of the rounding", f"{written(n.quantisation, 3)} electrons"),
            (
                "SNR per sample",
                f"{written(self.snr, 3)} (mid-grey specimen{', if nothing saturated' if saturates else ''})",
            ),
            ("Full scale", f"{written(100 * self.full_scale_fraction, 3)} % used by the brightest detector pixel"),
            ("Acquisition time", _seconds(self.acquisition_time)),
        ]


# What the labels of the card mean, for people who measure; see the fields of the budget for the definitions.
MEANINGS: dict[str, str] = {
    "Compression": "Specimen pixels for each sample; how many of them one detector pixel covers; and the exposures.",
    "Samples": "Numbers that the detector delivers for a million specimen pixels, all exposures together.",
    "Full-resolution camera": "For comparison, a camera with a pixel for every specimen pixel: samples and SNR.",
    "Light dose": "Light on the specimen, mean and worst place, in exposures with all mirrors on: for bleaching.",
    "Fill factor": "Share of the mirrors that are on, mean over the exposures.",
    "Pattern contrast": "What is left of the contrast of the patterns after leakage and the blur of the excitation.",
    "Finest feature": "Narrowest stripes, in specimen pixels, that the excitation projects with half their contrast.",
    "Light per detector pixel": "Photons from a mid-grey specimen in a detector pixel and an exposure.",
    "Noise per sample": "Standard deviation of one sample of mean light: the parts below, added in squares.",
    "of the light": "Photon noise of the specimen's light, with the excess noise of the detector.",
    "of the background": "Photon noise of the stray light.",
    "of the dark current": "Noise of the electrons that come without light.",
    "of the read-out": "Read noise: added to every sample when it is read.",
    "of the rounding": "The detector rounds to whole counts: the error of that.",
    "SNR per sample": "Signal of a mid-grey specimen over the noise above.",
    "Full scale": "What a white specimen uses of the largest signal the detector can read: above 100 % it saturates.",
    "Acquisition time": "All exposures of a plane and the switches between them.",
}


def light_budget(acquisition: Acquisition, patterns: NDArray[np.generic] | Tensor) -> Budget:
    """The budget of an acquisition with its patterns.

    Parameters
    ----------
    acquisition
        Geometry, light, detector and times.
    patterns
        (T, P, P), 0 … 1.

    Raises
    ------
    SettingsError
        Where the patterns do not belong to the acquisition.
    """
    import torch

    from napari_dmu.microscope.detector import rounding_variance
    from napari_dmu.microscope.illumination import excited
    from napari_dmu.microscope.optics import convolve_periodic, psf_kernel

    shown = torch.as_tensor(patterns).detach().to(device="cpu", dtype=torch.float64)
    a, expected = acquisition, (acquisition.exposures, acquisition.period, acquisition.period)
    if tuple(shown.shape) != expected:
        raise SettingsError(
            f"The patterns have shape {tuple(shown.shape)} but the acquisition needs (T, P, P) = {expected}: "
            "use patterns and settings that belong together."
        )
    light = excited(shown, a)
    image = convolve_periodic(light, psf_kernel(a.emission, dtype=torch.float64))
    # Signal of a white specimen in every bin of the period, in fully lit specimen pixels.
    signal = torch.nn.functional.avg_pool2d(image[:, None], a.bin)[:, 0] * a.bin**2
    mean, peak = float(signal.mean()), float(signal.max())
    rounding = float(rounding_variance(a))
    noise = _noise(a, MID_GREY * a.photons * mean, rounding)
    camera = _noise(a, MID_GREY * a.photons, rounding)
    limit = readable_electrons(a)
    white = a.quantum_efficiency * (a.photons * peak + a.background) + a.dark_electrons
    total = shown.sum(0)
    budget = Budget(
        ratio=a.ratio,
        bin=a.bin,
        exposures=a.exposures,
        samples_per_megapixel=MEGAPIXEL / a.ratio,
        camera_samples_per_megapixel=MEGAPIXEL,
        dose_mean=float(total.mean()),
        dose_max=float(total.max()),
        fill_factor=float(shown.mean()),
        photons_per_bin=MID_GREY * a.photons * mean,
        photons_per_bin_peak=MID_GREY * a.photons * peak,
        noise=noise,
        snr=_ratio(a.quantum_efficiency * MID_GREY * a.photons * mean, noise.total),
        camera_snr=_ratio(a.quantum_efficiency * MID_GREY * a.photons, camera.total),
        acquisition_time=a.exposures * a.exposure_time + (a.exposures - 1) * a.switching_time,
        full_scale_fraction=white / limit,
        pattern_contrast=_kept_contrast(shown, light),
        finest_feature=_finest_feature(psf_kernel(a.excitation, dtype=torch.float64).numpy(), a.period),
    )
    return budget.model_copy(update={"warnings": cautions(a, budget, peak_signal=peak, limit=limit)})


def readable_electrons(acquisition: Acquisition) -> float:
    """Largest number of electrons in a detector pixel that is read as it is: full well or full scale."""
    digitised = (acquisition.max_count - acquisition.offset) * acquisition.electrons_per_count
    return digitised if acquisition.full_well is None else min(digitised, acquisition.full_well)


def _noise(acquisition: Acquisition, photons: float, rounding: float) -> Noise:
    """Noise of a sample with so many photons from the specimen."""
    a = acquisition
    per_photon = a.excess_noise * a.quantum_efficiency
    return Noise(
        shot=math.sqrt(per_photon * photons),
        background=math.sqrt(per_photon * a.background),
        dark=math.sqrt(a.excess_noise * a.dark_electrons),
        read=a.read_noise,
        # Negative where rounding to whole electrons takes a small read noise away; that is no noise of its own.
        quantisation=math.sqrt(max(0.0, rounding)),
    )


def _kept_contrast(shown: Tensor, light: Tensor) -> float:
    """Standard deviation of the light over that of the patterns; 1 where the patterns have no structure."""
    before, after = (float((t - t.mean(dim=(1, 2), keepdim=True)).square().mean()) for t in (shown, light))
    return math.sqrt(after / before) if before > 1e-12 else 1.0


def _finest_feature(kernel: NDArray[Any], period: int) -> int:
    """Width of the narrowest stripes that come through a PSF with half their contrast, at most the period."""
    profile = kernel.sum(axis=1)
    at = np.arange(profile.size) - profile.size // 2
    for width in range(1, period):
        # Stripes of this width repeat after two of them; their fundamental is the transfer function there.
        if abs(float(profile @ np.cos(math.pi * at / width))) >= 0.5:
            return width
    return period


def _ratio(signal: float, noise: float) -> float:
    return signal / noise if noise > 0.0 else 0.0


def _count(exposures: int) -> str:
    return "1 exposure" if exposures == 1 else f"{exposures} exposures"


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1.0 else f"{seconds:.4g} s"
