"""The end of a training: a set appears when it is complete, whenever the training before it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import make_set, quick_recipe

from napari_dmu.errors import Cancelled
from napari_dmu.training import finish
from napari_dmu.training.loop import train
from napari_dmu.training.matrix import Job, train_matrix
from napari_dmu.training.recipe import Recipe
from napari_dmu.zoo.pattern_set import PatternSet, read_set, write_set

CPU = torch.device("cpu")
NAME = "discs.dmu.safetensors"


def quick(**changes: Any) -> Recipe:
    """Seconds with everything that comes after the last step: scores and error bars."""
    content = {**quick_recipe().content.model_dump(), "steps": 3}
    bars = {"steps": 5, "batch": 2, "crop": 32, "shape": {"widths": [4, 4], "blocks": [1, 1]}}
    return quick_recipe(**{"head": None, "content": content, "error_bars": bars, **changes})


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    """The set of a training that nothing stopped."""
    return train(quick(), images, tmp_path_factory.mktemp("whole") / NAME, device=CPU)


def stop_at(*moments: str) -> Callable[[int, int, str], None]:
    """A report that stops the training when it comes to one of these."""

    def report(done: int, total: int, what: str) -> None:
        if what in moments:
            raise Cancelled("Stopped: nothing was changed.")

    return report


def no_scores(*everything: object) -> None:
    raise KeyboardInterrupt


def assert_whole(path: Path, whole: PatternSet) -> None:
    made = read_set(path)
    assert made.hash == whole.hash
    assert (made.header.scores, made.header.trust) == (whole.header.scores, whole.header.trust)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("moment", ["scores", "validation", "error bars", "calibration of the error bars"])
def test_stopped_after_the_last_step_a_training_leaves_no_set_and_goes_on(
    images: Path, tmp_path: Path, whole: PatternSet, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    out = tmp_path / NAME
    with monkeypatch.context() as patch:
        if moment == "scores":
            patch.setattr(finish, "_final_scores", no_scores)
        with pytest.raises((Cancelled, KeyboardInterrupt)):
            train(quick(), images, out, device=CPU, report=stop_at(moment))
    assert not list(tmp_path.glob("*.dmu.safetensors"))
    seen: list[str] = []
    train(quick(), images, out, device=CPU, report=lambda done, total, what: seen.append(what))
    assert "patterns and decoder" not in seen  # no step is made twice
    assert_whole(out, whole)


def test_a_set_of_the_same_name_stays_until_the_new_one_is_complete(
    images: Path, tmp_path: Path, whole: PatternSet
) -> None:
    out = tmp_path / NAME
    make_set(out)
    before = out.read_bytes()
    with pytest.raises(Cancelled):
        train(quick(), images, out, device=CPU, report=stop_at("error bars"))
    assert out.read_bytes() == before
    train(quick(), images, out, device=CPU)
    assert_whole(out, whole)


def test_stopping_is_heard_while_the_set_is_scored(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the set would be written, and the user told that nothing was changed."""
    stopped: list[int] = []
    real = finish.score

    def scored(*everything: Any, **named: Any) -> Any:
        stopped.append(1)
        return real(*everything, **named)

    def check() -> None:
        if stopped:
            raise Cancelled("Stopped: nothing was changed.")

    monkeypatch.setattr(finish, "score", scored)
    with pytest.raises(Cancelled):
        train(quick(error_bars=None), images, tmp_path / NAME, device=CPU, check_cancelled=check)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("moment", ["validation", "error bars"])
def test_in_a_matrix_the_next_call_finishes_it(images: Path, tmp_path: Path, whole: PatternSet, moment: str) -> None:
    job = Job("discs", quick(), tmp_path / NAME)
    with pytest.raises(Cancelled):
        train_matrix([job], images, device=CPU, report=lambda name, *told: stop_at(moment)(*told))
    assert [outcome.state for outcome in train_matrix([job], images, device=CPU)] == ["trained"]
    assert_whole(job.out, whole)


@pytest.mark.parametrize("missing", [{"scores": {}}, {"error": None, "trust": None}])
def test_a_set_that_lacks_what_its_recipe_asks_for_is_not_done(
    images: Path, tmp_path: Path, whole: PatternSet, missing: dict[str, Any]
) -> None:
    job = Job("discs", quick(), tmp_path / NAME)
    header = whole.header.model_copy(update=missing)
    error_head = whole.error_head if header.error else None
    write_set(job.out, header, whole.patterns, whole.decoder, error_head=error_head)
    assert [outcome.state for outcome in train_matrix([job], images, device=CPU)] == ["trained"]
    assert_whole(job.out, whole)
    other = Job("discs", quick(seed=5), tmp_path / NAME)
    assert [outcome.state for outcome in train_matrix([other], images, device=CPU)] == ["of another recipe"]


def test_a_matrix_clears_up_what_a_kill_left_beside_a_finished_set(
    images: Path, tmp_path: Path, whole: PatternSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(out: Path) -> None:
        raise KeyboardInterrupt

    job = Job("discs", quick(), tmp_path / NAME)
    with monkeypatch.context() as patch:
        patch.setattr(finish, "clear_up", killed)
        with pytest.raises(KeyboardInterrupt):
            train_matrix([job], images, device=CPU)
    assert (tmp_path / f"{NAME}.checkpoint").exists()
    assert [outcome.state for outcome in train_matrix([job], images, device=CPU)] == ["was there"]
    assert_whole(job.out, whole)


def test_files_that_a_kill_left_half_written_are_cleared_up(images: Path, tmp_path: Path) -> None:
    out = tmp_path / NAME
    half = [f".0123456789ab.{NAME}", f".abcdef012345.{NAME}.checkpoint.head"]
    kept = [f".0123456789ab.other.{NAME}", f".notes.{NAME}"]
    for name in (*half, *kept):
        (tmp_path / name).write_bytes(b"half")
    train(quick(error_bars=None), images, out, device=CPU)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([NAME, *kept])


def test_checkpoints_are_found_whatever_the_set_is_called(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "discs[1].dmu.safetensors"
    train(quick(error_bars=None), images, out, device=CPU)
    assert list(tmp_path.iterdir()) == [out]
