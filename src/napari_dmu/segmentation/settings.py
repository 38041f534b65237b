"""Settings of the segmentation, apart from torch so that a set's header reads without it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class HeadShape:
    """Hyper-parameters of a segmentation head; stored in the pattern set's header.

    Attributes
    ----------
    widths, blocks
        Channels and residual blocks of each level of its U shape.
    """

    widths: tuple[int, ...] = (32, 64, 96)
    blocks: tuple[int, ...] = (1, 1, 2)


class InstanceSettings(BaseModel):
    """How cells are read off the head's two maps; chosen on training images and stored with the set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    foreground: float = Field(default=0.5, gt=0, lt=1, description="Probability above which a pixel is in a cell")
    core: float = Field(default=0.35, gt=0, lt=1, description="Normalised distance above which a cell has its core")
    prominence: float = Field(
        default=0.1, ge=0, lt=1, description="Rise of a core above the saddle to a deeper one; 0 parts at core alone"
    )
    smoothing: float = Field(default=1.0, ge=0, le=10, description="Smoothing of the distance map σ (pixels)")
    min_area: int = Field(default=25, ge=1, description="Smallest cell (pixels)")
    confidence: float = Field(default=0.0, ge=0, lt=1, description="Mean probability in a cell below which it is none")
