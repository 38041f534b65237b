"""What a GPU may round, and that nobody else's settings are changed by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from napari_dmu.microscope.precision import full_precision


@pytest.mark.parametrize("allowed", [True, False])
def test_convolutions_are_not_rounded_inside_and_settings_are_as_before_outside(allowed: bool) -> None:
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=True, allow_tf32=allowed):
        with full_precision(torch.device("cuda")):
            assert not torch.backends.cudnn.allow_tf32
            assert torch.backends.cudnn.benchmark
            assert torch.backends.cudnn.deterministic
            assert torch.backends.cudnn.enabled
        assert torch.backends.cudnn.allow_tf32 is allowed


def test_settings_come_back_after_an_error() -> None:
    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(ValueError, match="on purpose"), full_precision(torch.device("cuda")):
        raise ValueError("on purpose")
    assert torch.backends.cudnn.allow_tf32 == before


def test_who_comes_last_turns_it_back() -> None:
    """Two threads in turn: a cancelled job may still be at work when the next one begins."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        first, second = full_precision(torch.device("cuda")), full_precision(torch.device("cuda"))
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert not torch.backends.cudnn.allow_tf32
        second.__exit__(None, None, None)
        assert torch.backends.cudnn.allow_tf32


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    yield
    torch.backends.fp32_precision = "none"
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = True


@pytest.mark.skipif(
    not hasattr(torch.backends.cudnn, "conv"), reason="this PyTorch has no switch for convolutions alone"
)
@pytest.mark.usefixtures("_as_it_was")
@pytest.mark.parametrize("switch", ["conv", "everything"])
@pytest.mark.parametrize("precision", ["ieee", "tf32"])
def test_the_newer_switches_are_known_too(switch: str, precision: str) -> None:
    conv = torch.backends.cudnn.conv
    where = conv if switch == "conv" else torch.backends
    where.fp32_precision = precision
    before = conv.fp32_precision
    with full_precision(torch.device("cuda")):
        assert conv.fp32_precision != "tf32"
    assert conv.fp32_precision == before
    assert where.fp32_precision == precision


def test_a_cpu_has_nothing_to_set() -> None:
    before = torch.backends.cudnn.allow_tf32
    with full_precision(torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.gpu
def test_a_convolution_on_the_device_is_as_exact_as_on_the_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 32, 64, 64, generator=generator)
    kernel = torch.rand(32, 32, 3, 3, generator=generator)
    expected = torch.nn.functional.conv2d(image.double(), kernel.double())
    with full_precision(torch.device("cuda")):
        found = torch.nn.functional.conv2d(image.cuda(), kernel.cuda()).cpu().double()
    assert (found - expected).norm() < 1e-6 * expected.norm()
