"""What one training carries along from stage to stage."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from napari_dmu.files.atomic import left_by_kills
from napari_dmu.training.checkpoint import load_checkpoint, save_checkpoint
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
    identity: str = ""  # of recipe, images and what is started from
    curve: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0

    def checkpoint_of(self, stage: str) -> Path:
        """Path of a stage's checkpoint; stage 1 (empty name) has the plain one."""
        return self.checkpoint.with_name(f"{self.checkpoint.name}.{stage}") if stage else self.checkpoint

    def save(self, stage: str, parts: dict[str, Any], numbers: dict[str, Any]) -> None:
        """Renew a stage's checkpoint; see ``save_checkpoint``."""
        save_checkpoint(self.checkpoint_of(stage), parts, numbers, training=self.identity)

    def load(self, stage: str, parts: dict[str, Any]) -> dict[str, Any] | None:
        """Restore a stage's checkpoint into the parts and give its numbers; None where there is none.

        Raises
        ------
        FileError
            Where it is damaged or of another training.
        """
        path = self.checkpoint_of(stage)
        return load_checkpoint(path, parts, training=self.identity) if path.exists() else None

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


def checkpoint_beside(out: Path) -> Path:
    """Checkpoint of stage 1 of the training that writes ``out``; the other stages' begin with its name."""
    return out.with_name(out.name + ".checkpoint")


def checkpoints_of(checkpoint: Path) -> list[Path]:
    """What there is of a training whose stage 1 has this checkpoint: those of all stages, and the interim set."""
    return sorted(checkpoint.parent.glob(glob.escape(checkpoint.name) + "*"))


def lock_beside(out: Path) -> Path:
    """Lock of the training that writes ``out``: two at once would write one checkpoint."""
    return out.with_name(out.name + ".lock")


def clear_up(out: Path) -> None:
    """Remove what the training that wrote ``out`` needs no more: checkpoints, and what kills left half written.

    The newest first: a kill in between leaves stages that fit together.
    """
    left = [*checkpoints_of(checkpoint_beside(out)), *left_by_kills(out)]
    for path in sorted(left, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        with contextlib.suppress(OSError):  # Windows removes no open file; the set is complete all the same
            path.unlink()


def frozen(module: Any) -> Any:
    """A network as it is shipped: evaluation mode, no gradients."""
    return module.eval().requires_grad_(False)
