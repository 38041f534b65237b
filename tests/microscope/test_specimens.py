"""Simulated specimens look like a camera's images and know their truth."""

from collections.abc import Callable

import numpy as np
import pytest

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.specimens import (
    simulated_filaments,
    simulated_nuclei,
    simulated_time_series,
    simulated_z_stack,
)

MAKERS = [
    (simulated_nuclei, (150, 170)),
    (simulated_filaments, (150, 170)),
    (simulated_time_series, (4, 130, 140)),
    (simulated_z_stack, (5, 130, 140)),
]


@pytest.mark.parametrize(("make", "shape"), MAKERS)
def test_seeded_12_bit_and_labelled(make: Callable, shape: tuple[int, ...]) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002  the global state must not move
    image, labels = make(shape, seed=5)
    again, labels_again = make(shape, seed=5)
    other, _ = make(shape, seed=6)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert image.shape == labels.shape == shape
    assert image.dtype == labels.dtype == np.uint16
    assert image.max() <= 4095
    assert 100 < np.percentile(image, 1) < 200  # offset and background
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert (image != other).any()
    assert image[labels > 0].mean() > 1.5 * image[labels == 0].mean()


def test_nuclei_are_of_the_size_and_brightness_of_real_ones() -> None:
    image, labels = simulated_nuclei((512, 512), seed=1)
    sizes = np.bincount(labels.ravel())[1:]
    widths = np.sqrt(4 * sizes[sizes > 0] / np.pi)
    assert 24 < np.median(widths) < 34
    assert 60 < labels.max() < 100
    # Noise of the background, by differences of neighbours: 10 to 14 counts in real fields.
    pairs = (labels[:, 1:] == 0) & (labels[:, :-1] == 0)
    noise = np.diff(image.astype(float), axis=1)[pairs].std() / np.sqrt(2)
    assert 6 < noise < 15


def test_count_is_kept_and_every_label_is_there() -> None:
    _, labels = simulated_nuclei((300, 300), count=12, touching=0.0, seed=3)
    assert labels.max() == 12
    assert set(np.unique(labels)) == set(range(13))


def test_a_full_field_ends() -> None:
    image, labels = simulated_nuclei((60, 60), count=40, seed=0)
    assert image.shape == (60, 60)
    assert 1 <= labels.max() < 40


def test_no_nuclei_give_background() -> None:
    image, labels = simulated_nuclei((40, 50), count=0)
    assert labels.max() == 0
    assert image.std() < 20


def test_nuclei_keep_their_label_in_time_and_divide() -> None:
    image, labels = simulated_time_series((8, 200, 200), count=12, divisions=2, seed=4)
    first, last = (set(np.unique(frame)) - {0} for frame in (labels[0], labels[-1]))
    assert len(last - first) >= 2  # daughters
    assert len(first - last) >= 1  # their parents
    for label in first & last:  # nobody jumps
        spots = [np.argwhere(frame == label).mean(0) for frame in labels if (frame == label).any()]
        assert np.linalg.norm(np.diff(spots, axis=0), axis=1).max() < 12
    assert image[-1].mean() < image[0].mean()  # bleaching


def test_planes_out_of_focus_are_blurred() -> None:
    image, labels = simulated_z_stack((9, 160, 160), count=8, seed=2)
    sharpness = [np.abs(np.diff(plane.astype(float), axis=0)).mean() for plane in image]
    assert sharpness[4] > 1.2 * sharpness[0]
    assert (labels[4] > 0).sum() > (labels[0] > 0).sum()


@pytest.mark.parametrize("bad", [(10,), (0, 5), (3, 4, 5)])
def test_bad_shapes_are_refused(bad: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="positive sides"):
        simulated_nuclei(bad)


def test_impossible_diameter_is_refused() -> None:
    with pytest.raises(SettingsError, match="8 to 60"):
        simulated_nuclei((50, 50), diameter=200)
