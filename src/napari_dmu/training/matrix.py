"""Many recipes, one after the other: in the order of importance, resumable, shared by several processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError

from napari_dmu.errors import Cancelled, DmuError, FileError, SettingsError
from napari_dmu.training.lock import try_lock
from napari_dmu.training.loop import train
from napari_dmu.training.recipe import Recipe, read_order, read_recipe
from napari_dmu.training.session import checkpoint_beside, checkpoints_of, clear_up, lock_beside
from napari_dmu.training.sources import remembered
from napari_dmu.zoo.header import SUFFIX, SetHeader, read_header

ORDER = "matrix.yaml"
State = Literal["trained", "was there", "of another recipe", "in work elsewhere", "failed"]
# Name of the recipe, steps done, all steps, what is going on.
MatrixReport = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Job:
    """One recipe of a matrix: its name, the recipe as it is to be trained, and the set to write."""

    name: str
    recipe: Recipe
    out: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job; ``error`` is the sentence where it failed, ``header`` the card where there is a set."""

    job: Job
    state: State
    header: SetHeader | None = None
    error: str = ""


def plan(paths: Sequence[Path], folder: Path, *, steps_scale: float = 1.0) -> list[Job]:
    """Jobs of recipe files and of folders with recipes, in the order of importance; every recipe is checked.

    A folder's order is that of its ``matrix.yaml``; recipes that it does not name follow by their names. Files come
    in the order given. Each set is written to ``folder`` under its recipe's name.

    Raises
    ------
    FileError, SettingsError
        Where a recipe or the order is not valid, or there is none.
    """
    files = [file for path in paths for file in (_of_folder(path) if path.is_dir() else [path])]
    files = list(dict.fromkeys(files))
    if not files:
        raise FileError(f"There are no recipes in {', '.join(map(str, paths))}: name YAML files or their folder.")
    names = [file.stem for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"Two recipes are called {twice}: their sets would overwrite each other, rename one.")
    return [Job(f.stem, scaled(read_recipe(f), steps_scale), folder / (f.stem + SUFFIX)) for f in files]


def _of_folder(folder: Path) -> list[Path]:
    # A *-data.yaml is what recipes include.
    found = [p for p in sorted(folder.glob("*.yaml")) if p.name != ORDER and not p.stem.endswith("-data")]
    order = read_order(folder / ORDER) if (folder / ORDER).is_file() else ()
    missing = next((name for name in order if folder / f"{name}.yaml" not in found), None)
    if missing is not None:
        raise FileError(f"{folder / ORDER} names {missing}, but there is no {missing}.yaml: correct the list.")
    first = [folder / f"{name}.yaml" for name in order]
    return first + [path for path in found if path not in first]


def scaled(recipe: Recipe, factor: float) -> Recipe:
    """The recipe with every stage's number of steps times ``factor``, one at least: for dry runs."""
    if factor == 1.0:
        return recipe
    changes: dict[str, Any] = {
        name: _shorter(part, factor) for name, part in recipe if isinstance(getattr(part, "steps", None), int)
    }
    changes["settle"] = tuple(_shorter(part, factor) for part in recipe.settle)
    return recipe.model_copy(update=changes)


def _shorter(stage: Any, factor: float) -> Any:
    """A stage of any kind with fewer steps."""
    return stage.model_copy(update={"steps": max(1, round(factor * stage.steps))})


def train_matrix(
    jobs: Sequence[Job],
    data: Path,
    *,
    device: torch.device,
    report: MatrixReport | None = None,
    check_cancelled: Callable[[], None] | None = None,
) -> list[Outcome]:
    """Train every job that is not done; the same call goes on after a kill, and several processes may share it.

    A lock beside each set keeps two processes from one recipe: each takes the next that is free. A set that is there
    counts as done if it has all that its recipe asks for. A recipe that fails is passed over, so that one missing
    folder does not cost the night.

    Parameters
    ----------
    jobs
        In the order in which to take them.
    data
        Root of the folders that the recipes name, or a data pack.
    device
        Where to train.
    report
        Called with (job's name, steps done, all steps, what is going on).
    check_cancelled
        Called at every step; raises ``Cancelled`` to stop.

    Returns
    -------
    list of Outcome
        One a job, in the same order.
    """
    outcomes: dict[str, Outcome] = {}
    with remembered():
        progress = True
        while progress:  # once more, where another process has meanwhile given a recipe back
            progress = False
            for job in jobs:
                if job.name in outcomes:
                    continue
                outcome = _take(job, data, device, report, check_cancelled)
                if outcome is not None:
                    outcomes[job.name] = outcome
                    progress = progress or outcome.state in ("trained", "failed")
    return [outcomes.get(job.name) or _done(job) or Outcome(job, "in work elsewhere") for job in jobs]


def _take(
    job: Job,
    data: Path,
    device: torch.device,
    report: MatrixReport | None,
    check_cancelled: Callable[[], None] | None,
) -> Outcome | None:
    """Train one job, or find it done; None where another process has it."""
    with contextlib.ExitStack() as stack:
        try:
            # A kill while it cleared up leaves checkpoints beside a set that is done; another recipe's are not ours.
            clear = not checkpoints_of(checkpoint_beside(job.out))
            if (there := _done(job)) is not None and (clear or there.state != "was there"):
                return there
            lock = stack.enter_context(try_lock(lock_beside(job.out)))
            if lock is None:
                return None
            if (there := _done(job)) is not None:  # finished between the two looks, or not cleared up
                if there.state == "was there":
                    clear_up(job.out)
                lock.remove_at_end()
                return there
            _same_recipe(job, lock.read())
            lock.write(_digest(job.recipe))

            def told(done: int, total: int, what: str) -> None:
                if report is not None:
                    report(job.name, done, total, what)

            trained = train(job.recipe, data, job.out, device=device, report=told, check_cancelled=check_cancelled)
            lock.remove_at_end()
            return Outcome(job, "trained", trained.header)
        except Cancelled:
            raise
        except DmuError as error:
            return Outcome(job, "failed", error=str(error))
        except (MemoryError, torch.OutOfMemoryError):
            return Outcome(job, "failed", error=f"{device} ran out of memory: make the batch of the recipe smaller.")


def _done(job: Job) -> Outcome | None:
    """The set that is there; None where there is none, or one without scores or error bars that the recipe asks for.

    Versions that wrote sets before they were complete may have left such ones behind.
    """
    if not job.out.exists():
        return None
    header = read_header(job.out)
    try:
        same = Recipe.model_validate(header.provenance.recipe) == job.recipe  # entries that are newer have defaults
    except ValidationError:
        same = False
    complete = header.scores and (job.recipe.error_bars is None or header.trust is not None)
    if same and not complete:
        return None
    return Outcome(job, "was there" if same else "of another recipe", header)


def _same_recipe(job: Job, digest: str) -> None:
    """A checkpoint of the recipe before it was changed must not be gone on with: the card would not be true."""
    checkpoint = checkpoint_beside(job.out)
    if checkpoint.exists() and digest not in ("", _digest(job.recipe)):
        raise SettingsError(
            f"{checkpoint.name} belongs to another version of the recipe {job.name}: delete it to start anew."
        )


def _digest(recipe: Recipe) -> str:
    return hashlib.sha256(json.dumps(recipe.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
