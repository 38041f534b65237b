"""Training images: what is read, and that crops come from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import assert_sentence, discs

from napari_dmu.errors import FileError, SpecimenError
from napari_dmu.files import read_specimen, write_image
from napari_dmu.segmentation.instances import DEEP, distance_target
from napari_dmu.training.augment import image_crops
from napari_dmu.training.data import (
    DEPTH,
    LEVELS,
    CropSampler,
    Example,
    as_example,
    fingerprint,
    image_names,
    jitter,
    read_examples,
)

CPU = torch.device("cpu")


def numbered(shape: tuple[int, int], first: int = 0) -> Example:
    """An image in which every pixel has a value of its own."""
    size = shape[0] * shape[1]
    values = (np.arange(first, first + size) / LEVELS).astype(np.float32).reshape(shape)
    return Example("numbered", values, None)


def seed(value: int) -> torch.Generator:
    return torch.Generator().manual_seed(value)


@given(
    shape=st.tuples(st.integers(8, 40), st.integers(8, 40)), side=st.sampled_from([4, 8]), number=st.integers(0, 999)
)
def test_a_crop_is_a_window_of_the_image_turned_or_mirrored(shape: tuple[int, int], side: int, number: int) -> None:
    example = numbered(shape)
    crops = CropSampler([[example]], [1.0], device=CPU).draw(4, side, seed(number))
    assert crops.shape == (4, 1, side, side)
    whole = np.rint(example.specimen * LEVELS).astype(int)
    for crop in np.rint(crops[:, 0].numpy() * LEVELS).astype(int):
        top, left = np.unravel_index(crop.min(), shape)
        window = whole[top : top + side, left : left + side]
        poses = [np.rot90(w, turn) for w in (window, window.T) for turn in range(4)]
        assert any(np.array_equal(crop, pose) for pose in poses)


def test_every_pose_and_every_place_occurs() -> None:
    sampler = CropSampler([[numbered((9, 9))]], [1.0], device=CPU)
    crops = np.rint(sampler.draw(600, 8, seed(0))[:, 0].numpy() * LEVELS).astype(int)
    assert len({tuple(c.ravel()) for c in crops}) == 4 * 8


def test_the_generator_decides_and_the_global_one_is_left_alone() -> None:
    sampler = CropSampler([[numbered((30, 40))], [numbered((20, 20), 5000)]], [1.0, 2.0], device=CPU)
    before = torch.random.get_rng_state()
    first = sampler.draw(8, 16, seed(3))
    assert torch.equal(first, sampler.draw(8, 16, seed(3)))
    assert not torch.equal(first, sampler.draw(8, 16, seed(4)))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("shape", [(1, 50), (5, 7), (50, 3)])
def test_small_images_are_extended_by_reflection(shape: tuple[int, int]) -> None:
    example = numbered(shape, 100)
    crop = CropSampler([[example]], [1.0], device=CPU).draw(6, 16, seed(1))
    values = np.rint(crop.numpy() * LEVELS).astype(int)
    assert np.isin(values, np.rint(example.specimen * LEVELS)).all()
    # Reflection never jumps: neighbours in the crop are neighbours in the image, or the same pixel.
    rows, columns = np.unravel_index(values - 100, shape)
    for axis in (-1, -2):
        assert (np.abs(np.diff(rows, axis=axis)) + np.abs(np.diff(columns, axis=axis)) <= 1).all()


def test_groups_are_drawn_by_weight_and_images_by_the_root_of_their_area() -> None:
    groups = [[numbered((10, 10))], [numbered((10, 10), 1000), numbered((20, 20), 2000)]]
    crops = CropSampler(groups, [1.0, 3.0], device=CPU).draw(4000, 8, seed(0))
    first = np.rint(crops[:, 0, 0, 0].numpy() * LEVELS)
    shares = [(first < 1000).mean(), ((first >= 1000) & (first < 2000)).mean(), (first >= 2000).mean()]
    np.testing.assert_allclose(shares, [1 / 4, 1 / 4, 1 / 2], atol=4 * 0.5 / 4000**0.5)


def test_targets_move_with_their_image() -> None:
    image, labels = discs((40, 48), seed=3, count=4)
    sampler = CropSampler([[Example("discs", image, labels)]], [1.0], device=CPU, with_targets=True)
    crops = sampler.draw(12, 40, seed(2))
    assert crops.shape == (12, 3, 40, 40)
    bright, depth, deepest = crops.unbind(1)
    inside, distance = (depth > 0).float(), (depth * DEPTH / (deepest * DEPTH).clamp(1, DEEP)).clamp_max(1)
    assert set(inside.unique().tolist()) == {0.0, 1.0}
    assert bright[inside > 0].mean() > 0.6 > 0.2 > bright[inside == 0].mean()
    assert (distance[inside == 0] == 0).all()
    for crop, one in zip(distance.numpy(), inside.numpy(), strict=True):
        poses = [np.rot90(w, turn) for w in (distance_target(labels), distance_target(labels).T) for turn in range(4)]
        windows = [p[i : i + 40, j : j + 40] for p in poses for i in range(9) for j in range(9)]
        assert any(w.shape == crop.shape and np.abs(w - crop).max() < 5e-3 for w in windows)
        assert ((one > 0) == (crop > 0)).all()


def test_cells_may_have_any_numbers() -> None:
    image, labels = discs((40, 48), seed=3, count=4)
    large = np.where(labels > 0, 2_000_000_000 + 7 * labels, 0).astype(np.int32)
    ours, theirs = (
        CropSampler([[Example("discs", image, numbers)]], [1.0], device=CPU, with_targets=True).pixels
        for numbers in (labels, large)
    )
    assert torch.equal(ours, theirs)


def test_crops_for_images_are_enlarged_and_reduced() -> None:
    stripes = np.tile(np.sin(np.arange(256) * 2 * np.pi / 16) / 2 + 0.5, (256, 1)).astype(np.float32)
    sampler = CropSampler([[Example("stripes", stripes, None)]], [1.0], device=CPU)
    as_they_are = image_crops(sampler, 3, 64, 1.0, seed(2))
    assert torch.equal(as_they_are, sampler.draw(3, 64, seed(2))[:, :1])  # and no chance is used up
    periods, generator = [], seed(0)
    for _ in range(200):
        crops = image_crops(sampler, 2, 64, 1.5, generator)
        assert crops.shape == (2, 1, 64, 64)
        assert 0 <= crops.min() <= crops.max() <= 1
        spectrum = torch.fft.rfft2(crops[0, 0] - crops[0, 0].mean(), s=(512, 512)).abs()
        peak = divmod(int(spectrum.argmax()), spectrum.shape[1])
        periods.append(512 / np.hypot(min(peak[0], 512 - peak[0]), peak[1]))
    assert 16 / 1.6 < min(periods) < 12
    assert 22 < max(periods) < 16 * 1.6
    assert 0.3 < np.mean(np.isclose(periods, 16, atol=0.3)) < 0.6


def test_jitter_dims_half_of_the_examples_and_never_brightens() -> None:
    factor = jitter(torch.ones(4000, 1, 1, 1), seed(0), low=0.5).flatten()
    assert factor.min() >= 0.5
    assert factor.max() == 1
    assert (factor == 1).float().mean() == pytest.approx(0.5, abs=0.04)


# -- reading ---------------------------------------------------------------------------------------


def test_a_folder_of_images_and_masks_is_read_in_order(images: Path) -> None:
    examples = read_examples(images / "discs" / "train", masks=True)
    assert [e.name for e in examples] == [f"{i}.tif" for i in range(6)]
    for example in examples:
        assert example.specimen.dtype == np.float32
        assert example.specimen.min() == 0
        assert example.specimen.max() == 1
        assert example.labels is not None
        assert example.labels.shape == example.specimen.shape
    assert all(e.labels is None for e in read_examples(images / "discs" / "train" / "images", masks=False))


def test_the_fingerprint_follows_pixels_masks_names_and_order(images: Path) -> None:
    examples = read_examples(images / "discs" / "train", masks=True)
    first = fingerprint(examples)
    assert first == fingerprint(read_examples(images / "discs" / "train", masks=True))
    one = examples[0]
    assert one.labels is not None
    changed = one.specimen.copy()
    changed[5, 5] = 1 - changed[5, 5]
    others = [
        Example(one.name, changed, one.labels),
        Example("other.tif", one.specimen, one.labels),
        Example(one.name, one.specimen, one.labels + 1),
        Example(one.name, one.specimen, None),
    ]
    prints = [first, fingerprint(examples[::-1]), *(fingerprint([other, *examples[1:]]) for other in others)]
    assert len(set(prints)) == len(prints)


def test_unusable_folders_are_refused_with_a_sentence(tmp_path: Path) -> None:
    def refused(kind: type[Exception] = FileError, *, masks: bool = True) -> None:
        with pytest.raises(kind) as refusal:
            read_examples(tmp_path, masks=masks)
        assert "\n" not in str(refusal.value)
        assert str(refusal.value).endswith(".")

    refused()
    (tmp_path / "images").mkdir()
    refused()
    tifffile.imwrite(tmp_path / "images" / "a.tif", np.ones((8, 8), dtype=np.uint8))
    refused()
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "masks" / "a.tif", np.ones((8, 9), dtype=np.uint8))
    refused()
    tifffile.imwrite(tmp_path / "images" / "a.tif", np.ones((3, 8, 8), dtype=np.uint8), photometric="minisblack")
    refused(masks=False)
    tifffile.imwrite(tmp_path / "images" / "a.tif", np.eye(8, 3)[None].repeat(8, 0).astype(np.uint8), photometric="rgb")
    with pytest.raises(SpecimenError, match="save it as one grey channel") as refusal:
        read_examples(tmp_path, masks=False)
    assert_sentence(refusal.value)
    assert "luminance" not in str(refusal.value)
    tifffile.imwrite(tmp_path / "images" / "a.tif", np.full((8, 8), np.nan, dtype=np.float32))
    refused(SpecimenError, masks=False)


def test_what_macos_hides_beside_an_image_is_no_image(tmp_path: Path) -> None:
    for name in ("images", "images/more", "masks"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", np.ones((8, 8), dtype=np.uint8))
        (tmp_path / name / "._a.tif").write_bytes(b"\0\5\26\7 no image")
    assert image_names(tmp_path) == ["a.tif", "more/a.tif"]
    assert [one.name for one in read_examples(tmp_path, masks=True)] == ["a.tif"]


@pytest.mark.parametrize("numbers", [(5, 3_000_000_000), (1, 2)])
def test_cells_keep_their_pixels_whatever_their_numbers(tmp_path: Path, numbers: tuple[int, int]) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    mask = np.zeros((20, 40), np.uint32)
    mask[2:12, 2:12], mask[2:12, 20:30] = numbers
    tifffile.imwrite(tmp_path / "images" / "a.tif", mask.astype(np.uint8))
    tifffile.imwrite(tmp_path / "masks" / "a.tif", mask)
    (example,) = read_examples(tmp_path, masks=True)
    assert example.labels is not None
    assert sorted(np.bincount(np.unique(example.labels, return_inverse=True)[1].ravel())) == [100, 100, 600]
    assert example.labels.min() == 0


@pytest.mark.parametrize("kind", ["negative", "fractions"])
def test_masks_that_number_no_cells_are_refused(tmp_path: Path, kind: str) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    mask = np.zeros((20, 40), np.int16 if kind == "negative" else np.float32)
    mask[3, 3] = -1 if kind == "negative" else 0.5
    tifffile.imwrite(tmp_path / "images" / "a.tif", np.eye(20, 40, dtype=np.uint8))
    tifffile.imwrite(tmp_path / "masks" / "a.tif", mask)
    with pytest.raises(FileError, match="whole number") as refusal:
        read_examples(tmp_path, masks=True)
    assert_sentence(refusal.value)


def test_masks_of_whole_floating_numbers_are_masks(tmp_path: Path) -> None:
    """Fiji saves labels as 32-bit floating point."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    mask = np.zeros((20, 40), np.float32)
    mask[2:12, 2:12] = 7
    tifffile.imwrite(tmp_path / "images" / "a.tif", np.eye(20, 40, dtype=np.uint8))
    tifffile.imwrite(tmp_path / "masks" / "a.tif", mask)
    (example,) = read_examples(tmp_path, masks=True)
    np.testing.assert_array_equal(example.labels, mask)


@pytest.mark.parametrize("photometric", ["miniswhite", "minisblack"])
def test_images_and_masks_are_read_as_those_that_are_measured(tmp_path: Path, photometric: str) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(
            tmp_path / name / "a.tif", np.arange(48, dtype=np.uint8).reshape(6, 8), photometric=photometric
        )
    (example,) = read_examples(tmp_path, masks=True)
    measured = read_specimen(tmp_path / "images" / "a.tif").data
    np.testing.assert_array_equal(example.specimen, as_example("", measured, None).specimen)
    np.testing.assert_array_equal(example.labels, measured)


def test_images_and_masks_may_be_grey_in_files_for_colours(tmp_path: Path) -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", np.stack([grey] * 3, axis=-1), photometric="rgb")
    (example,) = read_examples(tmp_path, masks=True)
    np.testing.assert_array_equal(example.specimen, as_example("", grey, None).specimen)
    np.testing.assert_array_equal(example.labels, grey)


def test_an_image_with_axes_of_one_entry_is_a_plane(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", np.eye(6, 8)[None], axes="zyx", scale=(1,) * 3, units=("pixel",) * 3)
    (example,) = read_examples(tmp_path, masks=False)
    assert example.specimen.shape == (6, 8)
