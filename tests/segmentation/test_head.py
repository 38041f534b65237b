"""The segmentation head: sizes, inputs, its loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import THRESHOLD, discs, randomise, threshold_head

from napari_dmu.segmentation.head import SegmentationHead, head_loss
from napari_dmu.segmentation.instances import distance_target
from napari_dmu.segmentation.settings import HeadShape


@pytest.mark.parametrize("grid", [(1, 1), (3, 7), (8, 8)])
def test_maps_have_the_size_of_the_image(grid: tuple[int, int]) -> None:
    head = SegmentationHead(5, 4, HeadShape(widths=(6, 8), blocks=(1, 1)))
    with torch.no_grad():
        maps = head(torch.rand(2, 1, 4 * grid[0], 4 * grid[1]), torch.rand(2, 5, *grid))
    assert maps.shape == (2, 2, 4 * grid[0], 4 * grid[1])


def test_both_the_image_and_the_features_are_read() -> None:
    head = SegmentationHead(5, 2, HeadShape(widths=(6, 8), blocks=(1, 1)))
    randomise(head, 0)
    image, features = torch.rand(1, 1, 8, 8), torch.rand(1, 5, 4, 4)
    with torch.no_grad():
        maps = head(image, features)
        assert (head(image + 1, features) - maps).abs().max() > 1e-3
        assert (head(image, features + 1) - maps).abs().max() > 1e-3


def test_pixels_of_the_maps_lie_on_those_of_the_image() -> None:
    """The hand-made head thresholds its image, so a wrong order of pixels shows."""
    image = torch.rand(1, 1, 12, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = threshold_head(3, 4)(image, torch.rand(1, 3, 3, 2))
    torch.testing.assert_close(maps[:, 1:], image)
    assert torch.equal(maps[:, :1] > 0, image > THRESHOLD)


def _target() -> torch.Tensor:
    labels = discs((48, 48), seed=1, count=3)[1]
    return torch.from_numpy(np.stack([labels > 0, distance_target(labels)]).astype(np.float32))[None]


def test_the_loss_is_near_zero_for_the_truth_and_large_for_its_contrary() -> None:
    target = _target()
    right = torch.cat([40 * target[:, :1] - 20, target[:, 1:]], dim=1)
    wrong = torch.cat([-right[:, :1], 1 - target[:, 1:]], dim=1)
    assert 0 <= head_loss(right, target) < 1e-3
    assert head_loss(wrong, target) > 5


@pytest.mark.parametrize("channel", [0, 1])
def test_each_map_counts(channel: int) -> None:
    target = _target()
    prediction = torch.cat([40 * target[:, :1] - 20, target[:, 1:]], dim=1)
    best = head_loss(prediction, target)
    prediction[:, channel] = prediction[:, channel].mean()
    assert head_loss(prediction, target) > best + 0.1


def test_a_field_without_cells_has_a_finite_loss_and_gradient() -> None:
    prediction = torch.zeros(1, 2, 8, 8, requires_grad=True)
    head_loss(prediction, torch.zeros(1, 2, 8, 8)).backward()
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()
