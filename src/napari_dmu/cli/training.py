"""What ``napari-dmu train`` does: one recipe, a matrix of them, or a data pack."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_dmu.cli.running import Work, check_folder, check_output, figure, note, print_table, say
from napari_dmu.errors import Cancelled, FileError

if TYPE_CHECKING:
    from napari_dmu.training.matrix import Outcome
    from napari_dmu.zoo.header import Scores

# Seconds between two lines of progress where nobody looks at a bar.
LINE_SECONDS = 30.0
HEADINGS = ("images", "PSNR (dB)", "linear (dB)", "SSIM", "AP50", "F1")


def train_one(
    recipe: Path, data: Path, output: Path, *, device: str, start: Path | None, steps_scale: float = 1.0
) -> None:
    """Train one recipe into one file."""
    from napari_dmu.engine.device import resolve_device
    from napari_dmu.training.loop import train
    from napari_dmu.training.matrix import scaled
    from napari_dmu.training.recipe import read_recipe
    from napari_dmu.training.session import checkpoint_beside, checkpoints_of
    from napari_dmu.zoo.header import SUFFIX
    from napari_dmu.zoo.pattern_set import read_set

    if not output.name.endswith(SUFFIX) or output.name == SUFFIX:
        raise FileError(f"'{output}' is no name of a pattern set: end it with {SUFFIX}.")
    check_output(output, recipe, data, *(() if start is None else (start,)))
    chosen, where = scaled(read_recipe(recipe), steps_scale), resolve_device(device)
    kept = None if start is None else read_set(start)
    checkpoint = checkpoint_beside(output)
    with _alone(output):
        if left := checkpoints_of(checkpoint):  # that of stage 1 only where it is trained
            note(f"Going on from {left[0].name}.")
        try:
            with Work() as work:
                trained = train(
                    chosen,
                    data,
                    output,
                    device=where,
                    start=kept,
                    report=work.progress,
                    check_cancelled=work.cancel.check,
                )
        except (Cancelled, KeyboardInterrupt) as error:
            if not (left := checkpoints_of(checkpoint)):
                raise
            raise Cancelled(f"Stopped: the same command goes on from {left[0].name}.") from error
    rows = [(name, *_figures(scores)) for name, scores in trained.header.scores.items()]
    print_table(f"×{trained.ratio:g} {trained.name}, {trained.family}", ("validation", *HEADINGS), rows)
    say(f"Wrote {output}.")


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Keep others from training into the same file: they would share its checkpoints, which the first clears up."""
    from napari_dmu.training.lock import try_lock
    from napari_dmu.training.session import checkpoint_beside, checkpoints_of, lock_beside

    with try_lock(lock_beside(output)) as lock:
        if lock is None:
            raise FileError(f"'{output}' is in training already: wait for that, or give another name with -o.")
        try:
            yield
        finally:
            if not checkpoints_of(checkpoint_beside(output)):
                lock.remove_at_end()


def train_many(
    recipes: Sequence[Path], data: Path, output: Path, *, device: str, start: Path | None, steps_scale: float
) -> None:
    """Train recipes into a folder, one set each, and print what became of them."""
    from napari_dmu.engine.device import resolve_device
    from napari_dmu.training.matrix import plan, train_matrix

    if start is not None:
        raise FileError("--start keeps one set's patterns and decoder: name one recipe and one file to write.")
    if output.suffix and not output.is_dir():
        raise FileError(f"Several recipes make several sets: name a folder with -o, '{output}' looks like a file.")
    jobs, where = plan(recipes, output, steps_scale=steps_scale), resolve_device(device)
    if not output.exists() and output.absolute().parent.is_dir():
        output.mkdir(exist_ok=True)
    check_folder(output)
    lines = ProgressLines([job.name for job in jobs])
    try:
        with Work() as work:
            bar = work.progress

            def report(name: str, done: int, total: int, what: str) -> None:
                lines.told(name, done, total, what, silent=bar is not None)
                if bar is not None:
                    bar(done, total, f"{lines.place(name)} {name}, {what}")

            outcomes = train_matrix(jobs, data, device=where, report=report, check_cancelled=work.cancel.check)
    except (Cancelled, KeyboardInterrupt) as error:
        raise Cancelled(f"Stopped: the same command goes on from the checkpoints in '{output}'.") from error
    _summary(outcomes)


def pack_data(recipes: Sequence[Path], data: Path, pack: Path) -> None:
    """Write the images that the recipes name to one file."""
    from napari_dmu.training.matrix import plan
    from napari_dmu.training.pack import write_pack

    if pack.suffix != ".safetensors":
        raise FileError(f"'{pack}' is no name of a data pack: end it with .safetensors.")
    check_output(pack, data)
    if not data.is_dir():
        raise FileError(f"'{data}' is no folder: a data pack is made of the folders that the recipes name.")
    jobs = plan(recipes, pack.parent)
    with Work() as work:
        made = write_pack(pack, data, [j.recipe for j in jobs], report=work.progress, check_cancelled=work.cancel.check)
    exact = f"{made.images - made.inexact} of them without loss, the others to {100 * made.error:.2g} % of their range"
    say(f"Wrote {pack} ({made.size / 2**20:.1f} MiB: {made.images} images, {exact}; {made.masks} masks).")


class ProgressLines:
    """Where stderr is no terminal: a line when a recipe begins, and one every half minute."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._current = ""
        self._begun = self._said = 0.0

    def place(self, name: str) -> str:
        """``[3/30]``"""
        return f"[{self._names.index(name) + 1}/{len(self._names)}]"

    def told(self, name: str, done: int, total: int, what: str, *, silent: bool) -> None:
        """Say it, if it is time to and not ``silent``."""
        now = time.monotonic()
        if name != self._current:
            self._current, self._begun, self._said = name, now, -LINE_SECONDS
        if now - self._said < LINE_SECONDS or silent:
            return
        self._said = now
        minutes = (now - self._begun) / 60
        typer.echo(f"{self.place(name)} {name}: step {done} of {total}, {what}, {minutes:.1f} min", err=True)


def _figures(scores: Scores) -> tuple[str, ...]:
    return (
        str(scores.images),
        f"{scores.psnr:.2f}",
        f"{scores.lifted_psnr:.2f}",
        f"{scores.ssim:.4f}",
        figure(scores.ap50, ".3f"),
        figure(scores.f1, ".3f"),
    )


def _summary(outcomes: Sequence[Outcome]) -> None:
    rows: list[tuple[str, ...]] = []
    for outcome in outcomes:
        card = outcome.header
        minutes = "–" if card is None else f"{card.provenance.minutes:.1f}"
        scores = dict(card.scores) if card is not None else {}
        first = (outcome.job.name, outcome.state)
        rows += [(*first, source, *_figures(s), minutes) for source, s in scores.items()]
        if not scores:
            rows.append((*first, *("–",) * (len(HEADINGS) + 1), minutes))
    print_table("Trained", ("recipe", "", "validation", *HEADINGS, "minutes"), rows, left=3)
    other = [o.job.name for o in outcomes if o.state == "of another recipe"]
    if other:
        note(f"Made with another version of their recipe, delete them to train anew: {', '.join(other)}.")
    failed = [o for o in outcomes if o.state == "failed"]
    for outcome in failed:
        note(f"{outcome.job.name}: {outcome.error}")
    if failed:
        raise FileError(f"{len(failed)} of {len(outcomes)} recipes failed: see the notes above.")
