"""What one training carries along from stage to stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from napari_dmu.training.data import Example
from napari_dmu.training.recipe import Recipe

Report = Callable[[int, int, str], None]

CHECKPOINT_SECONDS = 120.0


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
        """Steps of all stages."""
        recipe = self.recipe
        if recipe.task is not None and recipe.task.direct:
            return recipe.task.steps
        later = (recipe.head, recipe.task)
        return self.settled() + sum(stage.steps for stage in later if stage is not None)

    def settled(self, rounds: int | None = None) -> int:
        """Steps of stage 1 with its first ``rounds`` rounds of settling; with all of them by default."""
        return self.recipe.content.steps + sum(stage.steps for stage in self.recipe.settle[:rounds])

    def watched(self) -> dict[str, list[Example]]:
        """Every n-th validation image, the same ones at every interim check."""
        count = self.recipe.watched_images
        return {k: v[:: max(1, len(v) // count)][:count] for k, v in self.validation.items()}


def frozen(module: Any) -> Any:
    """A network as it is shipped: evaluation mode, no gradients."""
    return module.eval().requires_grad_(False)
