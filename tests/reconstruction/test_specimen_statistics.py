"""Mean and autocovariance against the definition, pooled, weighted, and with an image taken out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import assert_sentence

from napari_dmu.errors import SpecimenError
from napari_dmu.reconstruction.specimen_statistics import Moments, specimen_statistics


def image(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(5, 9), st.integers(5, 9), st.integers(0, 100))
def test_covariance_is_that_of_the_definition(rows: int, columns: int, seed: int) -> None:
    picture, reach = image((rows, columns), seed), 3
    found = specimen_statistics([picture], reach)
    assert found.mean == pytest.approx(float(picture.mean()))
    away = picture - picture.mean()

    def direct(down: int, across: int) -> float:
        pairs = [
            float(away[y, x] * away[y + down, x + across])
            for y in range(rows)
            for x in range(columns)
            if 0 <= y + down < rows and 0 <= x + across < columns
        ]
        return sum(pairs) / len(pairs)

    for down, across in ((0, 0), (1, 0), (2, 3)):
        turned = [
            direct(*((v, u) if swap else (u, v)))
            for u in {down, -down} for v in {across, -across} for swap in (False, True)
        ]  # fmt: skip
        assert float(found.covariance[reach + down, reach + across]) == pytest.approx(sum(turned) / len(turned))


def test_covariance_has_the_symmetries_of_the_square() -> None:
    covariance = specimen_statistics([image((20, 31))], 6).covariance
    for turned in (covariance.flip(0), covariance.flip(1), covariance.T):
        torch.testing.assert_close(turned, covariance)


def test_an_image_can_be_taken_out_again() -> None:
    pictures = [image((12, 15), seed) for seed in range(3)]
    moments = [Moments.of(p, 4) for p in pictures]
    without = moments[0].plus(moments[1]).plus(moments[2]).plus(moments[1], -1.0).statistics()
    direct = specimen_statistics([pictures[0], pictures[2]], 4)
    assert without.mean == pytest.approx(direct.mean)
    torch.testing.assert_close(without.covariance, direct.covariance)


def test_weights_are_repetitions() -> None:
    a, b = image((12, 12), 1), image((12, 12), 2)
    weighted, repeated = specimen_statistics([a, b], 3, weights=[2, 1]), specimen_statistics([a, a, b], 3)
    torch.testing.assert_close(weighted.covariance, repeated.covariance)


def test_pooling_splits_the_variance() -> None:
    pictures = [image((16, 24), seed) for seed in range(2)]
    whole, pooled = specimen_statistics(pictures, 3), specimen_statistics(pictures, 3, pixel=4)
    assert whole.lost == pytest.approx(0, abs=1e-12)
    assert pooled.lost + pooled.variance == pytest.approx(whole.variance)
    assert pooled.variance < 0.2 * whole.variance


def test_an_image_smaller_than_the_reach_goes_on_by_reflection() -> None:
    picture = image((5, 40))
    found = specimen_statistics([picture], 9)
    assert torch.isfinite(found.covariance).all()
    assert found.lost == pytest.approx(0, abs=0.02)
    # It counts by its own pixels: a large image beside it has nearly all the say.
    large = image((200, 200), 1)
    both = specimen_statistics([picture, large], 9)
    assert both.mean == pytest.approx(float((picture.sum() + large.sum()) / (200 + 40000)), abs=0.01)


@pytest.mark.parametrize("size", [8, 10])
def test_spectrum_is_never_negative_and_keeps_the_variance(size: int) -> None:
    found = specimen_statistics([image((30, 30))], 5)
    spectrum = found.grid(size)
    assert float(spectrum.min()) >= 0
    back = torch.fft.irfft2(spectrum, s=(size, size))
    assert float(back[0, 0]) >= found.variance - 1e-12


def test_refusals() -> None:
    for images in ([], [torch.full((4, 4), float("nan"))], [torch.zeros(2, 4, 4)]):
        with pytest.raises(SpecimenError) as error:
            specimen_statistics(images, 2)
        assert_sentence(error.value)
    with pytest.raises(SpecimenError) as error:
        specimen_statistics([image((9, 9))], 2).grid(12)
    assert_sentence(error.value)
