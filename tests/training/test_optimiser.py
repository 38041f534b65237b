"""Muon against its definition: updates without a preferred direction, of one size, whatever is taken together."""

from __future__ import annotations

import pytest
import torch

from napari_dmu.training.optimiser import SIZE, Muon, orthogonalised


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 8, 40), (2, 40, 8), (1, 16, 16)])
def test_singular_values_become_one_and_vectors_stay(shape: tuple[int, int, int]) -> None:
    matrices = _random(*shape)
    result = orthogonalised(matrices)
    values = torch.linalg.svdvals(result)
    assert result.shape == matrices.shape
    assert float(values.max()) < 1.3
    assert float(values[:, :-2].min()) > 0.5  # a square matrix may have a value of all but zero, which stays small
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    # uᵀ X v is a singular value where the vectors stayed.
    alike = torch.einsum("kmr,kmn,krn->kr", left, result, right)
    torch.testing.assert_close(alike.sort(dim=1).values, values.sort(dim=1).values, atol=0.05, rtol=0.05)


def test_weights_of_one_shape_are_independent_of_each_other() -> None:
    def trained(chosen: list[int]) -> list[torch.Tensor]:
        weights = [torch.nn.Parameter(_random(8, 4, 3, 3, seed=i)) for i in chosen]
        optimiser = Muon(weights, lr=0.1, weight_decay=0.0)
        for step in range(3):
            for seed, weight in zip(chosen, weights, strict=True):
                weight.grad = _random(8, 4, 3, 3, seed=100 * (step + 1) + seed)
            optimiser.step()
        return [weight.detach() for weight in weights]

    together, alone = trained([1, 2]), trained([2])
    torch.testing.assert_close(together[1], alone[0], atol=5e-3, rtol=5e-3)
    assert not torch.allclose(together[0], together[1], atol=0.1)


def test_update_does_not_depend_on_the_order_in_memory() -> None:
    start, gradient = _random(6, 5, 3, 3), _random(6, 5, 3, 3, seed=1)
    results = []
    for form in (torch.contiguous_format, torch.channels_last):
        weight = torch.nn.Parameter(start.clone(memory_format=form))
        weight.grad = gradient.clone(memory_format=form)
        Muon([weight], lr=0.1, weight_decay=0.0).step()
        results.append(weight.detach().contiguous())
    torch.testing.assert_close(results[0], results[1])
    change = (results[0] - start).flatten(1) / (0.1 * SIZE * 45**0.5)
    assert float(torch.linalg.svdvals(change)[0]) == pytest.approx(1.0, abs=0.3)


def test_weights_without_gradient_stay() -> None:
    weight = torch.nn.Parameter(_random(4, 2, 3, 3))
    Muon([weight], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(weight, _random(4, 2, 3, 3))
