"""Scores: how close an image is to the truth, and how well cells were found and counted."""

from .image_quality import ImageQuality, frc_resolution, image_quality
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
    "SegmentationQuality",
    "frc_resolution",
    "image_quality",
    "matched_pairs",
    "pool",
    "segmentation_quality",
]
