"""The decoder: sizes, what it listens to, and the path from counts to image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import randomise

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import counts_to_signal
from napari_dmu.reconstruction.error_bar import ErrorHead
from napari_dmu.reconstruction.inference import decode
from napari_dmu.reconstruction.refinement import READABLE, Decoder, UShape, noise_level
from napari_dmu.reconstruction.shapes import DecoderShape, ErrorShape

SMALL = DecoderShape(stride=2, widths=(4, 6), blocks=(1, 1), lifted=2)


def decoder(bin: int = 4, period: int = 8, exposures: int = 2, shape: DecoderShape = SMALL) -> Decoder:
    made = Decoder(exposures, bin, period, shape).eval()
    randomise(made, 0)
    return made


@given(
    field=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    geometry=st.sampled_from([(2, 2, 2), (4, 4, 4), (4, 8, 2), (3, 12, 4)]),
    widths=st.sampled_from([(4,), (4, 6), (4, 6, 8)]),
)
def test_any_field_gives_whole_period_cells(
    field: tuple[int, int], geometry: tuple[int, int, int], widths: tuple[int, ...]
) -> None:
    bin, period, stride = geometry
    shape = DecoderShape(stride=stride, widths=widths, blocks=(1,) * len(widths), lifted=2)
    acquisition = Acquisition(bin=bin, period=period, exposures=2)
    with torch.no_grad():
        signal = torch.rand(1, 2, *acquisition.bins(field))
        image, lifted, features = decoder(bin, period, 2, shape)(signal, torch.zeros(1, 1, 1, 1))
    whole = tuple(-(-size // period) * period for size in field)
    assert image.shape == lifted.shape == (1, 1, *whole)
    assert features.shape == (1, widths[0], whole[0] // stride, whole[1] // stride)
    assert torch.isfinite(image).all()


def test_a_new_decoder_is_its_lifting() -> None:
    made = Decoder(2, 4, 8, SMALL)
    with torch.no_grad():
        image, lifted, _ = made(torch.rand(1, 2, 6, 6), torch.zeros(1, 1, 1, 1))
    assert torch.equal(image, lifted)


def test_a_coarse_lifting_is_enlarged_to_the_specimen_without_steps() -> None:
    made = decoder(8, 8, 2, replace(SMALL, lifting_stride=4))
    signal = torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        coarse, lifted = made.lifting(signal / made.scale), made.lift(signal)
        image = made(signal, torch.zeros(1, 1, 1, 1))[0]
    assert coarse.shape == (1, 1, 6, 6)
    assert image.shape == lifted.shape == (1, 1, 24, 24)
    # Straight lines between the centres of coarse pixels, along the rows and then along the columns.
    centres, places = 4 * np.arange(6) + 1.5, np.arange(24)
    rows = np.stack([np.interp(places, centres, column) for column in coarse[0, 0].numpy().T], axis=1)
    expected = np.stack([np.interp(places, centres, row) for row in rows])
    np.testing.assert_allclose(lifted[0, 0].numpy(), expected, atol=1e-5)


def test_the_noise_level_matters_to_the_image_and_not_to_the_lifting() -> None:
    made = decoder()
    signal = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        quiet, loud = (made(signal, torch.full((1, 1, 1, 1), level)) for level in (-0.5, 0.5))
    assert (quiet[0] - loud[0]).abs().max() > 1e-3
    assert torch.equal(quiet[1], loud[1])


def test_what_is_far_outside_any_specimen_does_not_grow_the_correction() -> None:
    made, corrections = decoder(), []
    signal = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    for density in (READABLE[1], 100.0):
        with torch.no_grad():
            made.lifting.linear.weight.zero_()
            made.lifting.linear.bias.fill_(density)  # type: ignore[union-attr]
            image, lifted, _ = made(signal, torch.zeros(1, 1, 1, 1))
        assert float(lifted.mean()) == pytest.approx(density)
        corrections.append(image - lifted)
    torch.testing.assert_close(*corrections, atol=1e-4, rtol=0)


def test_every_exposure_matters() -> None:
    made = decoder()
    signal = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    level = torch.zeros(1, 1, 1, 1)
    with torch.no_grad():
        image = made(signal, level)[0]
        for t in range(2):
            changed = signal.clone()
            changed[:, t] += 1
            assert (made(changed, level)[0] - image).abs().max() > 1e-3


def test_gradients_reach_the_samples_and_every_weight() -> None:
    made = decoder()
    signal = torch.rand(2, 2, 6, 6, requires_grad=True)
    made(signal, torch.zeros(2, 1, 1, 1))[0].square().mean().backward()
    assert signal.grad is not None
    assert (signal.grad != 0).all()
    assert all(w.grad is not None and bool((w.grad != 0).any()) for w in made.parameters())


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (1, 13)])
def test_the_u_shape_keeps_any_size(size: tuple[int, int]) -> None:
    body = UShape((4, 6, 8), (1, 1, 1))
    with torch.no_grad():
        assert body(torch.rand(2, 4, *size)).shape == (2, 4, *size)


def test_noise_level_falls_with_light_and_rises_with_read_noise() -> None:
    def level(photons: float, read: float, bin: int = 16) -> float:
        return float(noise_level(torch.tensor(photons), torch.tensor(read), 2.0, bin))

    assert level(10.0, 2.0) > level(100.0, 2.0) > level(1000.0, 2.0)
    assert level(100.0, 200.0) > level(100.0, 2.0)
    assert level(100.0, 2.0, 4) > level(100.0, 2.0, 32)
    assert all(abs(level(k, 2.0)) < 1.5 for k in (10.0, 1e3, 1e5))


def test_decode_takes_batches_and_each_image_is_decoded_by_itself() -> None:
    made, acquisition = decoder(), Acquisition(bin=4, period=8, exposures=2, photons=300, gain=2.5)
    counts = torch.randint(100, 4000, (3, 2, 5, 7), generator=torch.Generator().manual_seed(1)).float()
    head = ErrorHead(made.shape.widths[0], made.shape.stride, ErrorShape(widths=(4, 6)))
    randomise(head, 3)
    together = decode(made, counts, acquisition, error_head=head, factor=2.0)
    assert together.image.shape == (3, 1, 24, 32)
    for index in range(3):
        alone = decode(made, counts[index : index + 1], acquisition, error_head=head, factor=2.0)
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(all_of_them[index], one[0], rtol=1e-4, atol=1e-5)
    assert not together.image.requires_grad


def test_decode_gives_the_decoder_the_linear_signal_and_the_noise_of_the_acquisition() -> None:
    made, acquisition = decoder(), Acquisition(bin=4, period=8, exposures=2, photons=300, quantum_efficiency=0.5)
    counts = torch.randint(100, 4000, (1, 2, 4, 4), generator=torch.Generator().manual_seed(1)).float()
    level = noise_level(torch.tensor(150.0), torch.tensor(2.0), 1.0, 4)  # half of the light and of the background
    with torch.no_grad():
        expected = made(counts_to_signal(counts, acquisition), level.reshape(1, 1, 1, 1))[0]
    torch.testing.assert_close(decode(made, counts, acquisition).image, expected)
