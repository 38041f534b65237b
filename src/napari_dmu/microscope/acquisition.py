"""How a measurement is taken: the geometry, the light and the detector of one acquisition (DESIGN §2, §3)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PsfKind = Literal["none", "gaussian"]


class Psf(BaseModel):
    """Point spread function of one path; a unit-sum, centred kernel.

    Attributes
    ----------
    kind
        ``"none"`` (a single pixel) or ``"gaussian"``.
    sigma
        Standard deviation of the Gaussian in specimen pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: PsfKind = "gaussian"
    sigma: float = Field(default=1.0, ge=0.0, le=64.0, description="Gaussian σ (specimen pixels)")


class Acquisition(BaseModel):
    """Geometry, light and detector of one compressed acquisition.

    Attributes
    ----------
    bin
        d, side of the detector pixel in specimen pixels.
    exposures
        T, number of illumination patterns, one camera frame each.
    period
        P, side of the pattern's repeating tile in specimen pixels; a multiple of ``bin``.
    photons
        k, peak photons: detected from one specimen pixel with specimen = 1, H = 1, in one exposure.
    background
        Photons per detector pixel per exposure.
    read_noise
        Standard deviation in electrons per detector pixel.
    quantum_efficiency
        Electrons per photon, 0 … 1.
    gain
        Electrons per count. ``None`` chooses the smallest gain ≥ 1 at which full scale fits the digitiser.
    offset
        Counts added before digitising, so that read noise is never cut off at zero.
    bits
        Bit depth of the digitiser.
    excitation, emission
        Point spread functions of the two paths.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bin: int = Field(ge=1, le=1024, description="Binning d (specimen pixels)")
    exposures: int = Field(ge=1, le=4096, description="Exposures T")
    period: int = Field(ge=1, le=4096, description="Pattern period P (specimen pixels)")
    photons: float = Field(default=1000.0, gt=0.0, le=1e9, description="Peak photons k (per specimen pixel)")
    background: float = Field(default=2.0, ge=0.0, le=1e9, description="Background (photons per detector pixel)")
    read_noise: float = Field(default=2.0, ge=0.0, le=1e6, description="Read noise (electrons)")
    quantum_efficiency: float = Field(default=1.0, gt=0.0, le=1.0, description="Quantum efficiency")
    gain: float | None = Field(default=None, gt=0.0, description="Gain (electrons per count)")
    offset: int = Field(default=100, ge=0, description="Offset (counts)")
    bits: int = Field(default=16, ge=1, le=32, description="Bit depth")
    excitation: Psf = Psf()
    emission: Psf = Psf()

    @model_validator(mode="after")
    def _check(self) -> Acquisition:
        if self.period % self.bin:
            raise ValueError(
                f"the pattern period ({self.period}) must be a multiple of the binning ({self.bin}): "
                f"choose {self.bin}, {2 * self.bin} or {4 * self.bin}"
            )
        if self.offset >= 2**self.bits - 1:
            raise ValueError(
                f"the offset ({self.offset}) leaves no room in {self.bits} bits: lower it or raise the bits"
            )
        return self

    @property
    def ratio(self) -> float:
        """Compression ratio C = d² / T: specimen pixels per detector sample."""
        return self.bin**2 / self.exposures

    @property
    def max_count(self) -> int:
        """Largest number that the digitiser can give (counts)."""
        return int(2**self.bits - 1)

    @property
    def electrons_per_count(self) -> float:
        """Gain in use (electrons per count); see ``gain``."""
        if self.gain is not None:
            return self.gain
        full_scale = self.quantum_efficiency * (self.photons * self.bin**2 + self.background)
        head_room = 6.0 * math.sqrt(full_scale + self.read_noise**2)
        return max(1.0, (full_scale + head_room) / (self.max_count - self.offset))

    def bins(self, field: tuple[int, int]) -> tuple[int, int]:
        """Detector pixels (y, x) that cover a field of (Y, X) specimen pixels."""
        return math.ceil(field[0] / self.bin), math.ceil(field[1] / self.bin)
