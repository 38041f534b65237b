"""Drawn scenes among the crops, and where crops end: what they look like, and how many there are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_dmu.training.augment import drawn_scenes, ended_anywhere, with_scenes


def _seed(value: int) -> torch.Generator:
    return torch.Generator().manual_seed(value)


@given(st.integers(0, 100), st.integers(8, 80))
def test_a_scene_has_two_levels_within_the_range(seed: int, side: int) -> None:
    scenes = drawn_scenes(4, side, _seed(seed))
    assert scenes.shape == (4, 1, side, side)
    assert float(scenes.min()) >= 0
    assert float(scenes.max()) <= 1
    assert all(scene.unique().numel() <= 2 for scene in scenes)


def test_scenes_differ_in_kind_size_and_contrast() -> None:
    scenes = drawn_scenes(64, 64, _seed(0))
    lit = (scenes > scenes.mean(dim=(2, 3), keepdim=True)).float()
    changes = (lit[..., 1:] != lit[..., :-1]).float().mean(dim=(1, 2, 3))
    assert float(changes.max()) > 0.2  # fine ones
    assert float(changes.min()) < 0.02  # coarse ones
    assert scenes.flatten(1).std(dim=1).std() > 0.05


def test_the_share_is_kept_and_the_others_stay() -> None:
    specimen = torch.full((400, 1, 8, 8), 0.123)
    result = with_scenes(specimen, 0.25, _seed(3))
    kept = (result == 0.123).flatten(1).all(dim=1)
    assert 60 < int((~kept).sum()) < 140
    assert torch.equal(with_scenes(specimen, 0.25, _seed(3)), result)


def test_scenes_among_the_crops_are_up_to_four_times_as_bright() -> None:
    brightest = with_scenes(torch.zeros(400, 1, 32, 32), 0.999, _seed(0)).amax(dim=(1, 2, 3))
    assert 3.5 < float(brightest.max()) <= 4
    assert 0.2 < float((brightest < 1.5).float().mean()) < 0.6  # every other factor of two is as likely


def test_without_scenes_no_chance_is_spent() -> None:
    specimen, generator = torch.zeros(2, 1, 8, 8), _seed(1)
    before = generator.get_state()
    assert with_scenes(specimen, 0.0, generator) is specimen
    assert torch.equal(generator.get_state(), before)


def test_fields_end_anywhere_within_a_step_below_and_to_the_right() -> None:
    images, generator = torch.rand(2, 3, 40, 48, generator=_seed(1)), _seed(0)
    shapes = set()
    for _ in range(4000):
        cut = ended_anywhere(images, 4, generator)
        assert torch.equal(cut, images[..., : cut.shape[-2], : cut.shape[-1]])
        shapes.add(tuple(cut.shape[-2:]))
    assert shapes == {(rows, columns) for rows in range(37, 41) for columns in range(45, 49)}
    assert all(ended_anywhere(images, 1, generator).shape == images.shape for _ in range(20))


@pytest.mark.parametrize(("side", "least"), [(16, 16), (24, 24), (40, 24), (64, 33)])
def test_enough_of_a_small_crop_is_left(side: int, least: int) -> None:
    images, generator = torch.zeros(1, 1, side, side), _seed(0)
    sides = {size for _ in range(1000) for size in ended_anywhere(images, 32, generator).shape[-2:]}
    assert min(sides) == least
    assert max(sides) == side
