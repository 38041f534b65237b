"""What one training carries along from stage to stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from napari_dmu.training.data import Example
from napari_dmu.training.recipe import Recipe

Report = Callable[[int, int, str], None]


@dataclass
class Session:
    """What one training carries along."""

    recipe: Recipe
    device: torch.device
    training: list[list[Example]]
    validation: dict[str, list[Example]]
    generator: torch.Generator
    checkpoint: Path
    report: Report
    check_cancelled: Callable[[], None]
    curve: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return self.recipe.content.steps + (self.recipe.head.steps if self.recipe.head else 0)

    def watched(self) -> dict[str, list[Example]]:
        """Every n-th validation image, the same ones at every interim check."""
        count = self.recipe.watched_images
        return {k: v[:: max(1, len(v) // count)][:count] for k, v in self.validation.items()}
