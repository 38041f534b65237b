"""The table of cells: against scikit-image, in the world, over stacks, and where there is nothing."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import regionprops_table
from support import assert_sentence, discs

from napari_dmu.errors import SpecimenError
from napari_dmu.segmentation.features import label_features

FROM_SKIMAGE = {
    "label": "label",
    "area (pixels)": "area",
    "mean intensity": "intensity_mean",
    "centroid y (pixels)": "centroid-0",
    "centroid x (pixels)": "centroid-1",
    "eccentricity": "eccentricity",
}


@given(seed=st.integers(0, 500))
def test_every_figure_is_that_of_scikit_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = discs((48, 64), seed=seed, count=6, radius=(0.5, 9.0))[1]
    labels[rng.random(labels.shape) < 0.2] = 0  # ragged, in pieces, down to one pixel
    labels *= 7  # with gaps between the ids
    image = rng.normal(100, 30, labels.shape).astype(np.float32)
    table = label_features(labels, image)
    assert list(table) == list(FROM_SKIMAGE)
    wanted = regionprops_table(
        labels, image, properties=("label", "area", "intensity_mean", "centroid", "eccentricity")
    )
    for ours, theirs in FROM_SKIMAGE.items():
        np.testing.assert_allclose(table[ours], wanted[theirs], rtol=1e-5, atol=1e-6, err_msg=ours)


def test_a_stack_has_a_column_for_each_leading_axis_and_may_be_lazy() -> None:
    planes = [discs((40, 40), seed=seed, count=3)[1] for seed in range(6)]
    planes[2] = np.zeros_like(planes[2])
    labels = np.stack(planes).reshape(2, 3, 40, 40)
    image = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    lazy = (da.from_array(values, chunks=(1, 1, 40, 40)) for values in (labels, image))
    table = label_features(*lazy, axes=("t", "z", "y", "x"))
    assert list(table)[:3] == ["t", "z", "label"]
    assert len({len(column) for column in table.values()}) == 1
    assert not ((table["t"] == 0) & (table["z"] == 2)).any()
    for number, (t, z, label) in enumerate(zip(table["t"], table["z"], table["label"], strict=True)):
        inside = labels[t, z] == label
        assert table["area (pixels)"][number] == inside.sum() > 0
        assert table["mean intensity"][number] == pytest.approx(image[t, z][inside].mean(), rel=1e-6)
    assert len(table["label"]) == sum(len(np.unique(plane)) - 1 for plane in planes)


def test_places_and_areas_are_in_the_unit_of_the_world() -> None:
    labels = np.zeros((2, 20, 30), np.int32)
    labels[1, 4:8, 10:20] = 5
    table = label_features(
        labels, scale=(60, 0.5, 0.25), translate=(7, 100, -3),
        units=("second", "micrometer", "micrometer"), axes=("t", "y", "x"),
    )  # fmt: skip
    assert table["t"].tolist() == [1]
    assert table["area (pixels)"].tolist() == [40]
    assert table["area (µm²)"].tolist() == [pytest.approx(40 * 0.125)]
    assert table["centroid y (µm)"].tolist() == [pytest.approx(100 + 5.5 * 0.5)]
    assert table["centroid x (µm)"].tolist() == [pytest.approx(-3 + 14.5 * 0.25)]
    # 4 × 0.5 by 10 × 0.25: moments (n² − 1)/12 of n pixels, times the pixel's side squared.
    small, large = sorted([(4**2 - 1) * 0.5**2, (10**2 - 1) * 0.25**2])
    assert table["eccentricity"].tolist() == [pytest.approx(np.sqrt(1 - small / large))]
    assert "mean intensity" not in table


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_large_ids_are_not_rounded(kind: type[np.integer]) -> None:
    labels = np.zeros((2, 4, 5), kind)
    labels[0, 0, :2], labels[1, 0], labels[1, 2] = 2**53 + 1, 2**53 + 1, 2**63 - 1
    table = label_features(labels)
    assert table["label"].tolist() == [2**53 + 1, 2**53 + 1, 2**63 - 1]
    assert table["label"].dtype == np.int64
    assert table["area (pixels)"].tolist() == [2, 5, 5]


def test_ids_that_no_table_holds_are_refused() -> None:
    with pytest.raises(SpecimenError) as refusal:
        label_features(np.full((2, 2), 2**63, np.uint64))
    assert_sentence(refusal.value)


def test_a_scale_without_a_unit_is_that_of_the_world() -> None:
    table = label_features(np.ones((2, 2), np.uint8), scale=(2, 2), units=("pixel", "pixel"))
    assert table["area (world²)"].tolist() == [16]
    assert table["centroid y (world)"].tolist() == [1]


def test_a_turned_plane_keeps_its_areas_and_shapes() -> None:
    labels = discs((50, 60), seed=3, count=4)[1]
    labels[:, 30:] = 0
    turn = np.deg2rad(30)
    affine = np.eye(3)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[:2, 2] = 5, 6
    plain, turned = label_features(labels), label_features(labels, affine=affine)
    np.testing.assert_allclose(turned["area (world²)"], plain["area (pixels)"])
    np.testing.assert_allclose(turned["eccentricity"], plain["eccentricity"])
    centres = np.column_stack(
        [plain["centroid y (pixels)"], plain["centroid x (pixels)"], np.ones(len(plain["label"]))]
    )
    np.testing.assert_allclose(turned["centroid y (world)"], centres @ affine[0])
    np.testing.assert_allclose(turned["centroid x (world)"], centres @ affine[1])


def test_a_sheared_plane_has_the_areas_and_shapes_of_the_world() -> None:
    labels = discs((50, 60), seed=3, count=4)[1]
    labels[::3] = 0
    affine = np.eye(3)
    affine[:2, :2] = [[0.5, 0.9], [-0.2, 0.7]]
    table = label_features(labels, affine=affine)
    np.testing.assert_allclose(table["area (world²)"], table["area (pixels)"] * (0.5 * 0.7 + 0.9 * 0.2))
    for label, found in zip(table["label"], table["eccentricity"], strict=True):
        small, large = np.linalg.eigvalsh(np.cov(affine[:2, :2] @ np.nonzero(labels == label)))
        assert found == pytest.approx(np.sqrt(1 - small / large))


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (0, 8, 8)])
def test_nothing_gives_a_table_without_rows(shape: tuple[int, ...]) -> None:
    table = label_features(np.zeros(shape, np.uint16), np.zeros(shape))
    assert {"label", "area (pixels)", "mean intensity", "eccentricity"} < set(table)
    assert all(len(column) == 0 for column in table.values())


def test_a_far_and_tiny_cell_is_exact() -> None:
    labels = np.zeros((3000, 4), np.int64)
    labels[2990:2998, 1] = 2**40
    table = label_features(labels)
    assert table["label"].tolist() == [2**40]
    assert table["eccentricity"].tolist() == [1.0]  # a line
    labels[2991:] = 0
    assert label_features(labels)["eccentricity"].tolist() == [0.0]  # a single pixel


def test_axes_that_hide_a_column_are_numbered() -> None:
    labels = np.ones((2, 3, 3), np.int32)
    assert list(label_features(labels, axes=("label", "y", "x")))[:2] == ["axis 0", "label"]


@pytest.mark.parametrize(
    ("labels", "image", "options"),
    [
        (np.zeros((4, 4)), None, {}),
        (np.zeros(4, np.int32), None, {}),
        (np.zeros((4, 4), np.int32), np.zeros((4, 5)), {}),
        (np.full((4, 4), -1), None, {}),
        (np.zeros((4, 4), np.int32), None, {"scale": (1.0,)}),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(labels, image, options) -> None:
    with pytest.raises(SpecimenError) as caught:
        label_features(labels, image, **options)
    assert_sentence(caught.value)
