"""Segmentation head: reads the decoder's features, predicts foreground and distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_dmu.reconstruction.refinement import UShape
from napari_dmu.segmentation.settings import HeadShape

# Normalised distance below which a pixel of a cell is its rim: two pixels of a large cell.
RIM = 0.26


class SegmentationHead(nn.Module):
    """From the decoder's features and the reconstructed image to foreground and normalised distance.

    Parameters
    ----------
    features
        Channels of the decoder's features.
    stride
        Specimen pixels per pixel of the feature grid.
    shape
        Hyper-parameters.
    """

    def __init__(self, features: int, stride: int, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.stride = stride
        self.enter = nn.Conv2d(features + stride**2, shape.widths[0], 3, padding=1)
        self.body = UShape(shape.widths, shape.blocks)
        self.leave = nn.Conv2d(shape.widths[0], 2 * stride**2, 3, padding=1)

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        """Predict.

        Parameters
        ----------
        image
            (N, 1, Y, X), the decoder's image.
        features
            (N, C, Y/stride, X/stride), the decoder's features.

        Returns
        -------
        Tensor
            (N, 2, Y, X): logit of "in a cell", and the distance to the cell's border over its largest value
            in that cell (0 … 1).
        """
        grid = functional.pixel_unshuffle(image, self.stride)
        inputs = torch.cat([features, grid], dim=1).contiguous(memory_format=torch.channels_last)
        return functional.pixel_shuffle(self.leave(self.body(self.enter(inputs))), self.stride)


def head_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Dice + cross-entropy on the foreground and L1 on the distance.

    Parameters
    ----------
    prediction
        (N, 2, Y, X), see ``SegmentationHead``.
    target
        (N, 2, Y, X): foreground 0/1 and normalised distance 0 … 1.

    Returns
    -------
    Tensor
        Scalar.
    """
    logit, distance = prediction[:, 0], prediction[:, 1]
    inside, true_distance = target[:, 0], target[:, 1]
    # Twice the weight on the rim, where cells that touch are told apart.
    rim = 1 + inside * (true_distance < RIM)
    entropy = (rim * functional.binary_cross_entropy_with_logits(logit, inside, reduction="none")).sum() / rim.sum()
    probability = logit.sigmoid()
    overlap = 2 * (probability * inside).sum() + 1.0
    dice = 1 - overlap / (probability.sum() + inside.sum() + 1.0)
    weight = rim * (inside + 0.1)
    regression = (weight * (distance - true_distance).abs()).sum() / weight.sum()
    return entropy + 0.5 * dice + 2.0 * regression
