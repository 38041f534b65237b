"""Detector presets, with the source of each figure.

A detector pixel of an acquisition is *one* physical pixel that sees d×d specimen pixels (lower magnification), and the
figures are per physical pixel. Where N camera pixels are summed afterwards instead, multiply read noise by √N and
dark current and full well by N. Everything is referred to the input: photo-electrons before multiplication.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.checking import checked_update


class DetectorPreset(BaseModel):
    """Figures of one kind of detector.

    Attributes
    ----------
    name, title
        For options and for people.
    quantum_efficiency
        Electrons per photon at the peak, 0 … 1.
    gain
        Input electrons per count; ``None``: the smallest gain ≥ 1 at which full scale fits the digitiser.
    offset
        Counts.
    bits
        Bit depth.
    read_noise
        Input electrons.
    dark_current
        Electrons per second per detector pixel.
    full_well
        Input electrons, or ``None``: the digitiser alone.
    excess_noise
        F², factor on the variance of the electrons.
    source
        Where each figure comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    quantum_efficiency: float = Field(gt=0.0, le=1.0, description="Quantum efficiency (electrons per photon)")
    gain: float | None = Field(gt=0.0, description="Gain (electrons per count)")
    offset: int = Field(ge=0, description="Offset (counts)")
    bits: int = Field(ge=1, le=32, description="Bit depth")
    read_noise: float = Field(ge=0.0, description="Read noise (electrons)")
    dark_current: float = Field(ge=0.0, description="Dark current (electrons per second)")
    full_well: float | None = Field(gt=0.0, description="Full well (electrons)")
    excess_noise: float = Field(ge=1.0, description="Excess noise factor F²")
    source: str


_ALL = (
    DetectorPreset(
        name="ideal",
        title="Ideal photon counter",
        quantum_efficiency=1.0,
        gain=1.0,
        offset=0,
        bits=32,
        read_noise=0.0,
        dark_current=0.0,
        full_well=None,
        excess_noise=1.0,
        source="By definition: every photon is counted and nothing else; what is left is photon shot noise.",
    ),
    DetectorPreset(
        name="scmos",
        title="sCMOS camera",
        quantum_efficiency=0.82,
        gain=0.46,
        offset=100,
        bits=16,
        read_noise=1.6,
        dark_current=0.06,
        full_well=30_000.0,
        excess_noise=1.0,
        source=(
            "QE (peak), read noise (rms, fast scan), dark current (air cooled) and full well: as published for the "
            "Hamamatsu ORCA-Flash4.0 V3 (C13440-20CU), "
            "https://www.hamamatsu.com/us/en/product/cameras/cmos-cameras/C13440-20CU.html. "
            "Gain: that full well on 16 bits. Offset: typical of the class; measure it with a dark frame. "
            "The spread of these figures from pixel to pixel is not modelled."
        ),
    ),
    DetectorPreset(
        name="emccd",
        title="EMCCD camera, gain ×100",
        quantum_efficiency=0.95,
        gain=0.12,
        offset=200,
        bits=16,
        read_noise=0.45,
        dark_current=0.001,
        full_well=7_000.0,
        excess_noise=2.0,
        source=(
            "Read noise: 45 electrons at 10 MHz over a gain of 100, Andor iXon Ultra 888, "
            "https://andor.oxinst.com/learning/view/article/dynamic-range-emccds. "
            "F² = 2: M. S. Robbins, B. J. Hadwen, IEEE Trans. Electron Devices 50 (2003) 1227. "
            "Dark current at −85 °C: SOFIA Observer's Handbook §8.1.6 (FPI+ camera), "
            "https://www.sofia.usra.edu/science/proposing-and-observing/sofia-observers-handbook-cycle-4/"
            "8-instruments-v-fpi/81-instrument-3. Offset: the manual of the iXon Ultra (baseline of 200 counts). "
            "QE (peak): typical of back-illuminated chips. Full well: typical, the last stage of the register over the "
            "gain, and the gain setting puts it on 16 bits; see the data sheet of your camera. Clock-induced charge is "
            "not modelled."
        ),
    ),
    DetectorPreset(
        name="pmt_array",
        title="Photomultiplier array",
        quantum_efficiency=0.40,
        gain=None,
        offset=100,
        bits=16,
        read_noise=0.1,
        dark_current=100.0,
        full_well=None,
        excess_noise=1.25,
        source=(
            "Typical of the class, no particular tube. QE: peak of a GaAsP cathode. F² = δ/(δ − 1) at a secondary "
            "emission ratio δ = 5, dark counts per second of a cooled tube, and amplifier noise that is small behind a "
            "gain of 10⁶: see Hamamatsu, Photomultiplier Tubes: Basics and Applications, chapter 4, and "
            "https://hub.hamamatsu.com/us/en/technical-notes/pmts/head-on-pmt-product-selection.html. "
            "Spread between anodes, crosstalk and the limit of the anode current are not modelled."
        ),
    ),
    DetectorPreset(
        name="spad_array",
        title="SPAD array",
        quantum_efficiency=0.50,
        gain=1.0,
        offset=0,
        bits=12,
        read_noise=0.0,
        dark_current=25.0,
        full_well=4_095.0,
        excess_noise=1.0,
        source=(
            "Detection probability (520 nm), dark counts (upper bound of the typical rate), no read noise and up to "
            "12 bits: Pi Imaging SPAD512S, https://axiomoptics.com/products/spad512s. Full well: 12 bits of single "
            "counts. The fill factor without microlenses is lower, and pile-up, afterpulses and crosstalk are not "
            "modelled; see C. Bruschini et al., Light: Science & Applications 8 (2019) 87, "
            "https://doi.org/10.1038/s41377-019-0191-5."
        ),
    ),
)

PRESETS: dict[str, DetectorPreset] = {preset.name: preset for preset in _ALL}


def apply_preset(acquisition: Acquisition, name: str) -> Acquisition:
    """The same acquisition with another detector.

    Raises
    ------
    SettingsError
        Where there is no preset of that name.
    """
    preset = PRESETS.get(name)
    if preset is None:
        raise SettingsError(f"There is no detector {name!r}: choose {', '.join(PRESETS)}.")
    figures = preset.model_dump(exclude={"name", "title", "source"})
    # Written over, not merged: a preset without a full well takes the old one away.
    return checked_update(acquisition.model_copy(update=figures), {})
