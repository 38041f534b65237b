"""Binary patterns by search on the closed-form error of the linear estimate: no network, no training.

What a linear decoder can get out of T masks has a closed form (`LinearEstimate`), so the masks can be searched on it
in seconds: gradient steps through a straight-through or an annealed sigmoid, then exact flips of whole blocks and of
single mirrors. Grey masks give the bound that binary ones are held against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.patterns import Patterns, check_binary
from napari_dmu.reconstruction.linear_estimate import LinearEstimate
from napari_dmu.reconstruction.linear_starts import Start, dithered, start_patterns
from napari_dmu.reconstruction.specimen_statistics import specimen_statistics

Method = Literal["straight", "annealed", "dithered", "flips"]
_BOTH: tuple[Method, ...] = ("annealed", "dithered")


@dataclass
class Design:
    """Patterns that a search found and how it got there.

    Attributes
    ----------
    patterns
        (T, P, P) uint8: the best ones met, never worse than the start.
    error
        Their mean squared error by the closed form.
    start_error
        That of the start.
    curve
        Mean squared error of the best patterns after every evaluation of binary patterns.
    """

    patterns: Patterns
    error: float
    start_error: float
    curve: list[float] = field(default_factory=list)


class _Best:
    """Keeps the best binary patterns that were met."""

    def __init__(self, estimate: LinearEstimate, start: Patterns, between: Callable[[], None] | None) -> None:
        self.estimate = estimate
        self.between = between or (lambda: None)
        self.patterns = torch.from_numpy(start).double()
        self.error = self.start_error = self.measure(self.patterns)
        self.curve = [self.error]

    @torch.no_grad()
    def measure(self, patterns: Tensor) -> float:
        self.between()
        return float(self.estimate.error(patterns))

    def offer(self, patterns: Tensor) -> bool:
        """Take binary patterns (T, P, P) if they are better."""
        error = self.measure(patterns)
        better = error < self.error
        if better:
            self.error, self.patterns = error, patterns.clone()
        self.curve.append(self.error)
        return better

    def result(self) -> Design:
        return Design(self.patterns.to(torch.uint8).numpy(), self.error, self.start_error, self.curve)


def search(
    estimate: LinearEstimate,
    start: Patterns,
    *,
    method: Method = "annealed",
    steps: int = 150,
    rounds: int = 60,
    between: Callable[[], None] | None = None,
) -> Design:
    """Search from binary patterns.

    Parameters
    ----------
    estimate
        The closed form to search on.
    start
        (T, P, P), 0/1.
    method
        ``"straight"``: Adam on logits, binary forward, sigmoid gradient; ``"annealed"``: Adam on a sigmoid whose slope
        rises; ``"dithered"``: the grey optimum, dithered by error diffusion; each followed by flips. ``"flips"``:
        flips alone.
    steps, rounds
        Gradient steps, and most rounds of flips at each block size.
    between
        Called between evaluations; may raise to stop the search.
    """
    best = _Best(estimate, check_binary(start), between)
    if method == "straight":
        _straight(best, steps)
    elif method == "annealed":
        _annealed(best, steps)
    elif method == "dithered":
        best.offer(dithered(grey_optimum(estimate, start, steps=steps)[0]))
    elif method != "flips":
        raise SettingsError(f"There is no method {method!r}: use straight, annealed, dithered or flips.")
    _flip(best, rounds)
    return best.result()


def _straight(best: _Best, steps: int, *, rate: float = 0.05) -> None:
    """Adam through hard 0/1 patterns with the gradient of a sigmoid (Y. Bengio et al., arXiv:1308.3432)."""
    logits = (best.patterns * 2 - 1).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=rate)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        soft = torch.sigmoid(2.0 * logits)
        hard = (logits > 0).to(soft) + (soft - soft.detach())
        error = best.estimate.error(hard)
        if (value := float(error.detach())) < best.error:
            best.error, best.patterns = value, (logits.detach() > 0).double()
        best.curve.append(best.error)
        best.between()
        optimiser.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            logits.clamp_(-1.5, 1.5)


def _annealed(best: _Best, steps: int, *, rate: float = 0.05) -> None:
    """Adam on a sigmoid whose slope rises from 1 to 16; what its threshold gives is offered now and then."""
    logits = (best.patterns * 2 - 1).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=rate)
    for step in range(steps):
        slope = 16.0 ** (step / max(1, steps - 1))
        error = best.estimate.error(torch.sigmoid(slope * logits))
        best.between()
        optimiser.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % 10 == 9 or step == steps - 1:
            best.offer((logits.detach() > 0).double())


def grey_optimum(estimate: LinearEstimate, start: Patterns, *, steps: int = 150) -> tuple[Tensor, float]:
    """Grey patterns 0 … 1 with the least error that Adam finds from a start: (T, P, P) float64 and their error."""
    logits = (torch.from_numpy(start).double() * 4 - 2).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.2)
    best = torch.from_numpy(start).double()
    with torch.no_grad():
        error = float(estimate.error(best))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.2 * 0.5 * (1 + math.cos(math.pi * step / steps))
        grey = torch.sigmoid(logits)
        now = estimate.error(grey)
        if (value := float(now.detach())) < error:
            best, error = grey.detach().clone(), value
        optimiser.zero_grad()
        now.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return best, error


def _flip(best: _Best, rounds: int) -> None:
    """Exact descent by flips of blocks, from large ones to single mirrors.

    The gradient says what each flip changes to first order. Flipping the 1, 2, 4, … most promising ones together is
    then evaluated exactly and the best taken if it improves; where none does, promising blocks are tried one by one.
    """
    period = best.patterns.shape[-1]
    sizes = [s for s in (8, 4, 2, 1) if s <= max(1, period // 4) and period % s == 0]
    for size in sizes:
        for _ in range(rounds):
            if not _flip_round(best, size):
                break


def _flip_round(best: _Best, size: int, *, singles: int = 24) -> bool:
    current = best.patterns.clone().requires_grad_()
    best.estimate.error(current).backward()  # type: ignore[no-untyped-call]
    assert current.grad is not None
    exposures, period, _ = current.shape
    # A flip changes a mirror by 1 − 2h.
    change = (current.grad * (1 - 2 * current.detach())).reshape(exposures, period // size, size, period // size, size)
    gain = -change.sum((2, 4)).flatten()
    order = torch.argsort(gain, descending=True)
    promising = int((gain > 0).sum())
    if promising == 0:
        return False
    here = best.patterns.clone()

    def flipped(places: Tensor) -> Tensor:
        mask = torch.zeros_like(gain)
        mask[places] = 1
        mask = mask.reshape(exposures, period // size, 1, period // size, 1)
        mask = mask.expand(-1, -1, size, -1, size).reshape(here.shape)
        return torch.where(mask > 0, 1 - here, here)

    improved, count = False, 1
    while count <= promising:
        improved |= best.offer(flipped(order[:count]))
        count *= 2
    if improved:
        return True
    return any(best.offer(flipped(order[k : k + 1])) for k in range(1, min(singles, promising)))


def design(
    acquisition: Acquisition,
    crops: Iterable[Tensor],
    start: Start = "raster",
    *,
    method: Method = "annealed",
    pixel: int | None = None,
    steps: int = 150,
    rounds: int = 60,
    seed: int = 0,
) -> Design:
    """Patterns for an acquisition and specimens like the crops.

    Parameters
    ----------
    acquisition
        Geometry, PSFs and noise that the patterns are for.
    crops
        (N, Y, X), or planes (Y, X) of any size, 0 … 1: what the statistics are taken from.
    start, seed
        See `start_patterns`.
    method, steps, rounds
        See `search`.
    pixel
        Pooling of the specimen during the search, by ``coarse_pixel`` where not given.

    Returns
    -------
    Design
        Never worse than its start by the closed form.
    """
    pixel = pixel or coarse_pixel(acquisition)
    reach = LinearEstimate.reach(acquisition, pixel=pixel)
    estimate = LinearEstimate(acquisition, specimen_statistics(crops, reach, pixel=pixel), pixel=pixel)
    begin = start_patterns(start, acquisition, estimate, seed=seed)
    return search(estimate, begin, method=method, steps=steps, rounds=rounds)


def designed_patterns(
    acquisition: Acquisition, crops: Iterable[Tensor], *, seed: int = 0, steps: int = 150
) -> Patterns:
    """The best binary patterns that searches from several starts find: (T, P, P) uint8; seconds to a minute.

    For the crops see `design`.
    """
    pixel = coarse_pixel(acquisition)
    reach = LinearEstimate.reach(acquisition, pixel=pixel)
    estimate = LinearEstimate(acquisition, specimen_statistics(crops, reach, pixel=pixel), pixel=pixel)
    return designed_on(estimate, seed=seed, steps=steps).patterns


def designed_on(
    estimate: LinearEstimate,
    *,
    also: Sequence[Patterns] = (),
    seed: int = 0,
    steps: int = 150,
    between: Callable[[], None] | None = None,
) -> Design:
    """The best of the searches from the raster, the Walsh patterns, the principal components, and ``also``.

    A start that the geometry does not allow (a raster of two exposures, Walsh patterns of an odd period) is left out;
    what is returned is no worse by the closed form than any of the others.
    """
    begins = list(also)
    starts: tuple[Start, ...] = ("raster", "components", "hadamard")
    for start in starts:
        with suppress(SettingsError):
            begins.append(start_patterns(start, estimate.acquisition, estimate, seed=seed))
    found = [search(estimate, b, method=m, steps=steps, between=between) for b in begins for m in _BOTH]
    return min(found, key=lambda design: design.error)


def coarse_pixel(acquisition: Acquisition) -> int:
    """Pooling for the search: at most 16 pooled pixels a bin and 32 a period, which loses less than 0.02 dB."""
    a = acquisition
    return next(
        (p for p in (1, 2, 4, 8) if a.bin % p == 0 and a.bin <= 16 * p and a.period <= 32 * p),
        max(p for p in (1, 2, 4, 8) if a.bin % p == 0),
    )
