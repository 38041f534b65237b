"""Validation with the exact detector: the figures by which a checkpoint is chosen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dmu.evaluation.image_quality import image_quality
from napari_dmu.evaluation.segmentation_quality import segmentation_quality
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import sample_counts
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.inference import Decoded, decode
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.segmentation.head import SegmentationHead
from napari_dmu.segmentation.instances import instances, parted, sure_cells
from napari_dmu.segmentation.settings import InstanceSettings
from napari_dmu.training.data import Example
from napari_dmu.zoo.header import Scores

# PSNR (dB) in place of an infinite one, which the header of a set cannot hold; no measurement comes near it.
EXACT = 100.0


@torch.inference_mode()
def measure_example(
    example: Example, index: int, microscope: Microscope, acquisition: Acquisition
) -> NDArray[np.unsignedinteger]:
    """Counts (T, y, x) of an example with exact noise of (seed 0, index)."""
    specimen = torch.from_numpy(example.specimen).to(microscope.patterns.device)
    signal = microscope.forward(specimen).cpu().numpy()
    return sample_counts(signal, acquisition, seed=0, index=index)


def decode_example(
    example: Example, index: int, microscope: Microscope, decoder: Decoder, acquisition: Acquisition
) -> Decoded:
    """Measure an example with exact noise of (seed 0, index) and decode it."""
    counts = measure_example(example, index, microscope, acquisition)
    return decode(decoder, torch.from_numpy(counts.astype(np.float32))[None], acquisition)


def crop(image: torch.Tensor, field: tuple[int, ...]) -> NDArray[np.float32]:
    """First image of (N, 1, Y', X') cut to a field of (Y, X), as numpy."""
    return image[0, 0, : field[0], : field[1]].float().cpu().numpy()


@torch.inference_mode()
def head_maps(
    head: SegmentationHead, decoded: Decoded, field: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Foreground probability and normalised distance of one field, (Y, X) each."""
    maps = head(decoded.image, decoded.features)
    return crop(maps[:, :1].sigmoid(), field), crop(maps[:, 1:], field)


def choose_instances(
    examples: Sequence[Example],
    microscope: Microscope,
    decoder: Decoder,
    acquisition: Acquisition,
    head: SegmentationHead,
) -> InstanceSettings:
    """Settings of the instance step with the best mean F1 on the examples given; training images, so that
    validation stays untouched."""
    maps = []
    for index, example in enumerate(examples):
        assert example.labels is not None
        decoded = decode_example(example, index, microscope, decoder, acquisition)
        maps.append((*head_maps(head, decoded, example.specimen.shape), example.labels))
    best, highest = InstanceSettings(), -1.0
    for foreground, prominence in itertools.product((0.4, 0.5, 0.6), (0.1, 0.15, 0.2)):
        settings = InstanceSettings(foreground=foreground, prominence=prominence)
        pieces = [parted(fg, distance, settings) for fg, distance, _ in maps]
        for area, confidence in itertools.product((12, 20, 30), (0.75, 0.8, 0.85)):
            settings = settings.model_copy(update={"min_area": area, "confidence": confidence})
            found = (sure_cells(labels, fg, settings) for labels, (fg, _, _) in zip(pieces, maps, strict=True))
            f1 = float(np.mean([segmentation_quality(f, m[2]).f1 for f, m in zip(found, maps, strict=True)]))
            if f1 > highest:
                best, highest = settings, f1
    return best


def score(
    examples: Sequence[Example],
    microscope: Microscope,
    decoder: Decoder,
    acquisition: Acquisition,
    *,
    head: SegmentationHead | None = None,
    settings: InstanceSettings | None = None,
) -> Scores:
    """Mean over images of the image metrics, and of the instance metrics where there is a head.

    Images that are reproduced exactly, as only blank ones are, have no finite PSNR and do not count for its mean;
    where all are, it is ``EXACT``.
    """
    rows: list[tuple[float, ...]] = []
    cells: list[tuple[float, float]] = []
    for index, example in enumerate(examples):
        decoded = decode_example(example, index, microscope, decoder, acquisition)
        field = example.specimen.shape
        quality = image_quality(crop(decoded.image, field), example.specimen)
        lifted = image_quality(crop(decoded.lifted, field), example.specimen)
        rows.append((quality.psnr, quality.ssim, quality.mse, lifted.psnr))
        if head is not None and example.labels is not None:
            found = instances(*head_maps(head, decoded, field), settings or InstanceSettings())
            match = segmentation_quality(found, example.labels)
            cells.append((match.ap50, match.f1))
    table = np.array(rows)
    table[:, np.isinf(table).all(axis=0)] = EXACT
    psnr, ssim, mse, lifted_psnr = (float(v) for v in np.mean(table, axis=0, where=np.isfinite(table)))
    ap50, f1 = (float(v) for v in np.mean(cells, axis=0)) if cells else (None, None)
    return Scores(images=len(examples), psnr=psnr, ssim=ssim, mse=mse, lifted_psnr=lifted_psnr, ap50=ap50, f1=f1)
