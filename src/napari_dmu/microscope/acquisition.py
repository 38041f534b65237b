"""How a measurement is taken: the geometry, the light and the detector of one acquisition (docs/model.md)."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PsfKind = Literal["none", "gaussian", "born_wolf", "measured"]


class Psf(BaseModel):
    """Point spread function of one path; a unit-sum, centred kernel in specimen pixels.

    Attributes
    ----------
    kind
        ``"none"`` (a single pixel), ``"gaussian"``, ``"born_wolf"`` (scalar, from the objective) or
        ``"measured"`` (a kernel of the user's own).
    sigma
        Gaussian: standard deviation (specimen pixels).
    numerical_aperture, wavelength, pixel_size, index, defocus
        Born–Wolf: NA; wavelength in vacuum (nm); specimen pixel (µm); refractive index of the immersion;
        distance of the specimen from the focus (µm).
    kernel
        Measured: rows of a square kernel with an odd side, on the specimen's pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: PsfKind = "gaussian"
    sigma: float = Field(default=1.0, ge=0.0, le=64.0, description="Gaussian σ (specimen pixels)")
    numerical_aperture: float = Field(default=0.8, gt=0.0, le=2.0, description="Numerical aperture")
    wavelength: float = Field(default=520.0, ge=100.0, le=5000.0, description="Wavelength in vacuum (nm)")
    pixel_size: float = Field(default=0.325, gt=0.0, le=100.0, description="Specimen pixel (µm)")
    index: float = Field(default=1.0, ge=1.0, le=3.0, description="Refractive index of the immersion")
    defocus: float = Field(default=0.0, ge=-100.0, le=100.0, description="Defocus (µm)")
    kernel: tuple[tuple[float, ...], ...] | None = Field(default=None, description="Measured kernel")

    @model_validator(mode="after")
    def _check(self) -> Psf:
        if self.kind == "born_wolf" and self.numerical_aperture >= self.index:
            raise ValueError(
                f"the numerical aperture ({self.numerical_aperture:g}) must be below the immersion's index "
                f"({self.index:g}): raise the index or lower the aperture"
            )
        if self.kind == "measured":
            side = len(self.kernel or ())
            if side % 2 == 0 or any(len(row) != side for row in self.kernel or ()):
                raise ValueError("a measured kernel must be square with an odd side: read it from a file")
        return self


class Registration(BaseModel):
    """Where the DMD's image really lies on the specimen, against where it should.

    The illumination at specimen pixel r is that of the ideal one at scale·R(rotation)·(r − centre) + centre + shift.

    Attributes
    ----------
    shift
        (y, x) in specimen pixels.
    rotation
        Degrees about the centre of the field.
    scale
        Magnification error, 1 = none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shift: tuple[float, float] = Field(default=(0.0, 0.0), description="Shift y, x (specimen pixels)")
    rotation: float = Field(default=0.0, ge=-180.0, le=180.0, description="Rotation (degrees)")
    scale: float = Field(default=1.0, gt=0.5, lt=2.0, description="Scale")


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
        k, peak photons: those that reach the detector from one specimen pixel with specimen = 1, H = 1, in one
        exposure, before the quantum efficiency.
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
    excess_noise
        F², factor on the variance of the detected electrons: 1 for a camera, 2 for an EMCCD at high gain.
    dark_current
        Electrons per second per detector pixel.
    exposure_time, switching_time
        Seconds that one exposure takes, and that the DMD and the camera need between two.
    full_well
        Electrons at which a detector pixel saturates; ``None`` is the digitiser alone.
    contrast
        Light of a mirror that is on over light of one that is off; ``None`` is a perfect DMD.
    registration
        Where the patterns really lie on the specimen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
    excess_noise: float = Field(default=1.0, ge=1.0, le=10.0, description="Excess noise factor F²")
    dark_current: float = Field(default=0.0, ge=0.0, le=1e6, description="Dark current (electrons per second)")
    exposure_time: float = Field(default=0.1, gt=0.0, le=1e5, description="Exposure time (s)")
    switching_time: float = Field(default=0.0, ge=0.0, le=1e5, description="Time between exposures (s)")
    full_well: float | None = Field(default=None, gt=0.0, description="Full well (electrons)")
    contrast: float | None = Field(default=None, gt=1.0, description="DMD contrast (on : off)")
    registration: Registration = Registration()

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
        full_scale = self.quantum_efficiency * (self.photons * self.bin**2 + self.background) + self.dark_electrons
        head_room = 6.0 * math.sqrt(self.excess_noise * full_scale + self.read_noise**2)
        top = full_scale + head_room
        if self.full_well is not None:
            top = min(top, self.full_well + 6.0 * self.read_noise)
        # Half a count of room: what rounds to full scale would count as saturated.
        return max(1.0, top / (self.max_count - 0.5 - self.offset))

    @property
    def dark_electrons(self) -> float:
        """Mean electrons of dark current per detector pixel per exposure."""
        return self.dark_current * self.exposure_time

    def bins(self, field: tuple[int, int]) -> tuple[int, int]:
        """Detector pixels (y, x) that cover a field of (Y, X) specimen pixels."""
        return math.ceil(field[0] / self.bin), math.ceil(field[1] / self.bin)
