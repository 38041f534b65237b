"""Losses, learning-rate schedule, averaged weights, straight-through patterns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity as oracle
from support import discs

from napari_dmu.training.losses import content_loss, structural_similarity
from napari_dmu.training.stages import Average, BinaryPatterns, one_cycle


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
def test_ssim_is_that_of_scikit_image(noise: float) -> None:
    truth = discs((60, 70), seed=1)[0].astype(np.float64)
    image = truth + noise * np.random.default_rng(0).standard_normal(truth.shape)
    expected = oracle(truth, image, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0)
    found = structural_similarity(*(torch.from_numpy(i)[None, None] for i in (image, truth)))
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_ssim_has_a_finite_gradient_on_black_images() -> None:
    image = torch.zeros(1, 1, 20, 20, requires_grad=True)
    structural_similarity(image, torch.zeros(1, 1, 20, 20)).backward()
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()


def test_the_content_loss_is_the_sum_of_its_parts() -> None:
    rng = torch.Generator().manual_seed(0)
    image, lifted, truth = (torch.rand(2, 1, 24, 24, generator=rng) for _ in range(3))
    plain = (image - truth).abs().mean()
    lifting = (lifted - truth).abs().mean()
    likeness = 1 - structural_similarity(image, truth)
    torch.testing.assert_close(content_loss(image, lifted, truth, ssim=0.0, lifting=0.0), plain)
    torch.testing.assert_close(
        content_loss(image, lifted, truth, ssim=0.4, lifting=0.3), plain + 0.3 * lifting + 0.4 * likeness
    )
    assert float(content_loss(truth, truth, truth, ssim=0.1, lifting=0.3)) == pytest.approx(0.0, abs=1e-6)


@given(steps=st.integers(1, 5000), data=st.data())
def test_one_cycle_rises_falls_and_stays_between_0_and_1(steps: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < one_cycle(step, steps) <= 1
    assert 0 <= one_cycle(steps, steps) <= 1  # also where a stage ends before the training does


def test_one_cycle_reaches_the_full_rate_and_ends_near_zero() -> None:
    factors = [one_cycle(step, 1000) for step in range(1000)]
    top = int(np.argmax(factors))
    assert max(factors) > 0.99
    assert 90 <= top <= 110
    assert factors[0] < 0.02
    assert factors[-1] < 1e-4
    assert (np.diff(factors[:top]) > 0).all()
    assert (np.diff(factors[top:]) <= 0).all()


def test_patterns_in_training_are_exactly_binary_and_have_a_gradient_everywhere() -> None:
    start = (np.random.default_rng(0).random((3, 16, 16)) < 0.5).astype(np.uint8)
    patterns = BinaryPatterns(start)
    np.testing.assert_array_equal(patterns.binary(), start)
    with torch.no_grad():
        patterns.logits.add_(torch.randn(patterns.logits.shape, generator=torch.Generator().manual_seed(0)))
    shown = patterns()
    assert set(shown.unique().tolist()) == {0.0, 1.0}  # to the last bit
    np.testing.assert_array_equal(shown.detach().numpy(), patterns.binary())
    weights = torch.rand(shown.shape, generator=torch.Generator().manual_seed(1)) + 0.1
    (shown * weights).sum().backward()
    soft = torch.sigmoid(2 * patterns.logits.detach())
    torch.testing.assert_close(patterns.logits.grad, weights * 2 * soft * (1 - soft))


def test_the_average_follows_the_weights_and_smooths_them() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    average = Average(module, 0.9)
    with torch.no_grad():
        module.weight.fill_(1.0)
    previous = 0.0
    average.update(module)
    assert 0 < average.module.weight.item() < 1
    for _ in range(100):
        average.update(module)
        value = average.module.weight.item()
        assert previous <= value <= 1
        previous = value
    assert previous > 0.99
    with torch.no_grad():
        module.weight.fill_(2.0)
    average.update(module)
    assert average.module.weight.item() == pytest.approx(0.9 * previous + 0.1 * 2.0, abs=1e-4)
    assert not average.module.weight.requires_grad
