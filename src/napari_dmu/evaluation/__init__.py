"""Scores: how close an image is to the truth, and how well cells were found and counted."""

from .image_quality import ImageQuality, image_quality
from .resolution import RingCorrelation, frc_resolution, ring_correlation, sampling_limit
from .segmentation_quality import (
    Matching,
    SegmentationQuality,
    matched_pairs,
    pool,
    segmentation_quality,
)

__all__ = [
    "ImageQuality",
    "Matching",
    "RingCorrelation",
    "SegmentationQuality",
    "frc_resolution",
    "image_quality",
    "matched_pairs",
    "pool",
    "ring_correlation",
    "sampling_limit",
    "segmentation_quality",
]
