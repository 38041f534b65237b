"""A matrix of recipes: in order, resumed, shared; nothing is trained twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import assert_sentence, quick_recipe

from napari_dmu.errors import Cancelled, FileError, SettingsError
from napari_dmu.training import content
from napari_dmu.training.lock import try_lock
from napari_dmu.training.matrix import Job, Outcome, plan, scaled, train_matrix
from napari_dmu.zoo.pattern_set import read_set

CPU = torch.device("cpu")
STEPS = 6
TESTS = Path(__file__).resolve().parents[1]


def quick(**changes: Any) -> dict[str, Any]:
    content = {"steps": STEPS, "batch": 2, "crop": 32, "lifting_crops": 16, "pattern_rate": 0.2}
    return quick_recipe(**{"head": None, "content": content, **changes}).model_dump(mode="json")


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A folder of three recipes, of which the order names two."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    for number, name in enumerate("abc"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(quick(seed=number)), encoding="utf-8")
    (folder / "discs-data.yaml").write_text("training: []", encoding="utf-8")
    (folder / "matrix.yaml").write_text("order: [c, a]", encoding="utf-8")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "sets"
    folder.mkdir()
    return folder


def states(outcomes: list[Outcome]) -> dict[str, str]:
    return {o.job.name: o.state for o in outcomes}


def by_itself(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own that runs the code with numpy's, torch's and the tests' modules at hand."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


# -- the plan --------------------------------------------------------------------------------------


def test_a_folder_is_taken_in_its_order_and_the_rest_by_name(recipes: Path, out: Path) -> None:
    jobs = plan([recipes], out)
    assert [j.name for j in jobs] == ["c", "a", "b"]
    assert [j.out.name for j in jobs] == [f"{n}.dmu.safetensors" for n in "cab"]
    assert [j.recipe.seed for j in jobs] == [2, 0, 1]
    assert [j.name for j in plan([recipes / "b.yaml", recipes], out)] == ["b", "c", "a"]


def test_a_plan_that_cannot_work_is_refused_before_anything_is_trained(recipes: Path, out: Path) -> None:
    def refused(kind: type[Exception], *paths: Path) -> str:
        with pytest.raises(kind) as refusal:
            plan(paths, out)
        assert_sentence(refusal.value)
        return str(refusal.value)

    assert "no recipes" in refused(FileError, out)
    assert "none.yaml" in refused(FileError, recipes / "none.yaml")
    (recipes / "deep").mkdir()
    (recipes / "deep" / "a.yaml").write_text((recipes / "a.yaml").read_text(), encoding="utf-8")
    assert "called a" in refused(SettingsError, recipes, recipes / "deep")
    (recipes / "matrix.yaml").write_text("order: [c, z]", encoding="utf-8")
    assert "names z" in refused(FileError, recipes)
    (recipes / "matrix.yaml").write_text("order: [c]", encoding="utf-8")
    (recipes / "b.yaml").write_text(yaml.safe_dump({**quick(), "seed": -1}), encoding="utf-8")
    assert "'b.yaml' cannot be used because a value of -1 is not possible for the seed" in refused(
        SettingsError, recipes
    )


def test_a_dry_run_scales_the_steps_of_every_stage_and_nothing_else() -> None:
    recipe = quick_recipe(settle=[{"steps": 100}, {"steps": 50}])
    assert recipe.head is not None
    short = scaled(recipe, 0.26)
    assert short.head is not None
    assert (short.content.steps, short.head.steps) == (5, 3)
    assert [stage.steps for stage in short.settle] == [26, 13]
    assert scaled(recipe, 1e-6).content.steps == 1
    back = short.model_copy(update={"content": recipe.content, "settle": recipe.settle, "head": recipe.head})
    assert back == recipe == scaled(recipe, 1.0)


# -- training --------------------------------------------------------------------------------------


def test_a_matrix_is_trained_once(recipes: Path, out: Path, images: Path) -> None:
    told: list[str] = []
    jobs = plan([recipes], out)
    first = train_matrix(jobs, images, device=CPU, report=lambda name, *_: told.append(name))
    assert states(first) == dict.fromkeys("cab", "trained")
    assert [o.job.name for o in first] == list("cab")
    assert list(dict.fromkeys(told)) == list("cab")
    assert sorted(p.name for p in out.iterdir()) == [f"{n}.dmu.safetensors" for n in "abc"]
    for outcome in first:
        assert outcome.header is not None
        assert outcome.header.provenance.recipe == outcome.job.recipe.model_dump(mode="json")
        assert read_set(outcome.job.out).header == outcome.header
    before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    again = train_matrix(jobs, images, device=CPU)
    assert states(again) == dict.fromkeys("cab", "was there")
    assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == before

    (recipes / "b.yaml").write_text(yaml.safe_dump(quick(seed=77)), encoding="utf-8")
    changed = train_matrix(plan([recipes], out), images, device=CPU)
    assert states(changed) == {"a": "was there", "b": "of another recipe", "c": "was there"}


def test_one_that_fails_does_not_stop_the_others(recipes: Path, out: Path, images: Path) -> None:
    (recipes / "a.yaml").write_text(yaml.safe_dump(quick(training=[{"folder": "nowhere"}])), encoding="utf-8")
    (out / "b.dmu.safetensors").write_bytes(b"broken")
    outcomes = train_matrix(plan([recipes], out), images, device=CPU)
    assert states(outcomes) == {"c": "trained", "a": "failed", "b": "failed"}
    assert "nowhere" in outcomes[1].error
    assert "damaged" in outcomes[2].error


def test_a_damaged_image_does_not_stop_the_others(recipes: Path, out: Path, images: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(images, data)
    shutil.copytree(data / "discs" / "train", data / "spoilt")
    first = next((data / "spoilt" / "images").iterdir())
    first.write_bytes(first.read_bytes()[:-1000])
    (recipes / "c.yaml").write_text(yaml.safe_dump(quick(training=[{"folder": "spoilt"}])), encoding="utf-8")
    outcomes = train_matrix(plan([recipes], out), data, device=CPU)
    assert states(outcomes) == {"c": "failed", "a": "trained", "b": "trained"}
    assert first.name in outcomes[0].error


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from napari_dmu.training import content
from napari_dmu.training.matrix import plan, train_matrix
torch.set_num_threads(1)
os.fsync = lambda handle: None
real, steps = content.content_step, []
def killed(*everything):
    steps.append(1)
    if len(steps) == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*everything)
content.content_step, content.CHECKPOINT_SECONDS = killed, -1.0
recipes, out, data = map(Path, sys.argv[1:])
train_matrix(plan([recipes], out), data, device=torch.device("cpu"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_after_a_kill_the_same_call_goes_on_and_ends_the_same(
    recipes: Path, out: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with by_itself(KILLED, recipes, out, images) as process:
        _out, err = process.communicate()
        assert process.returncode == -9, err
    names = {p.name for p in out.iterdir()}
    assert names == {"c.dmu.safetensors", "a.dmu.safetensors.checkpoint", "a.dmu.safetensors.lock"}

    real, steps = content.content_step, []
    monkeypatch.setattr(content, "content_step", lambda *a: steps.append(1) or real(*a))
    outcomes = train_matrix(plan([recipes], out), images, device=CPU)
    assert states(outcomes) == {"c": "was there", "a": "trained", "b": "trained"}
    # The kill came in the tenth step, the fourth of `a`: three of its steps were kept.
    assert len(steps) == (STEPS - 3) + STEPS
    assert sorted(p.name for p in out.iterdir()) == [f"{n}.dmu.safetensors" for n in "abc"]

    (tmp_path / "whole").mkdir()
    whole = train_matrix(plan([recipes], tmp_path / "whole"), images, device=CPU)
    for one, other in zip(outcomes, whole, strict=True):
        assert read_set(one.job.out).hash == read_set(other.job.out).hash


def test_an_interruption_keeps_the_checkpoint_and_a_changed_recipe_does_not_go_on_from_it(
    recipes: Path, out: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "CHECKPOINT_SECONDS", -1.0)
    checks: list[int] = []

    def stop() -> None:
        checks.append(1)
        if len(checks) == 4:
            raise Cancelled("Stopped: nothing more was written.")

    with pytest.raises(Cancelled):
        train_matrix(plan([recipes], out), images, device=CPU, check_cancelled=stop)
    assert (out / "c.dmu.safetensors.checkpoint").exists()
    (recipes / "c.yaml").write_text(yaml.safe_dump(quick(seed=9)), encoding="utf-8")
    outcomes = train_matrix(plan([recipes / "c.yaml"], out), images, device=CPU)
    assert states(outcomes) == {"c": "failed"}
    assert "another version of the recipe c" in outcomes[0].error
    (out / "c.dmu.safetensors.checkpoint").unlink()
    assert states(train_matrix(plan([recipes / "c.yaml"], out), images, device=CPU)) == {"c": "trained"}


# -- sharing ---------------------------------------------------------------------------------------

SHARED = """
import json, sys
from pathlib import Path
import torch
from napari_dmu.training import matrix
torch.set_num_threads(1)
recipes, out, data = map(Path, sys.argv[1:])
real, first = matrix.train, []
def meeting(*a, **k):
    if not first:
        first.append(1)
        print("first", flush=True)   # holds its first recipe until the other process has one, too
        sys.stdin.readline()
    return real(*a, **k)
matrix.train = meeting
found = matrix.train_matrix(matrix.plan([recipes], out), data, device=torch.device("cpu"))
print(json.dumps({o.job.name: o.state for o in found}))
"""


def test_two_processes_share_a_matrix_and_train_nothing_twice(recipes: Path, out: Path, images: Path) -> None:
    with by_itself(SHARED, recipes, out, images) as one, by_itself(SHARED, recipes, out, images) as other:
        for process in (one, other):
            assert process.stdout is not None
            assert process.stdout.readline() == "first\n"
        # Both are at work now: the lock has given them different recipes.
        answers = []
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in (one, other):
            said, err = process.communicate()
            assert process.returncode == 0, err
            answers.append(json.loads(said.splitlines()[-1]))
    trained = [name for answer in answers for name, state in answer.items() if state == "trained"]
    assert sorted(trained) == list("abc")
    assert all("trained" in answer.values() for answer in answers)
    assert {s for answer in answers for s in answer.values()} <= {"trained", "was there", "in work elsewhere"}
    assert sorted(p.name for p in out.iterdir()) == [f"{n}.dmu.safetensors" for n in "abc"]


def test_what_another_process_holds_is_left_to_it(recipes: Path, out: Path, images: Path) -> None:
    jobs: list[Job] = plan([recipes], out)
    held = "import sys\nfrom pathlib import Path\nfrom napari_dmu.training.lock import try_lock\n"
    held += "with try_lock(Path(sys.argv[1])) as lock:\n    print(lock is not None, flush=True)\n    input()\n"
    with by_itself(held, out / "a.dmu.safetensors.lock") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert states(train_matrix(jobs, images, device=CPU)) == {
            "c": "trained",
            "a": "in work elsewhere",
            "b": "trained",
        }
        process.communicate("\n")
    assert states(train_matrix(jobs, images, device=CPU))["a"] == "trained"


def test_a_lock_carries_a_text_to_its_next_holder(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with try_lock(path) as lock:
        assert lock is not None
        assert lock.read() == ""
        lock.write("first")
        lock.write("second")
    with try_lock(path) as lock:
        assert lock is not None
        assert lock.read() == "second"
        lock.remove_at_end()
    assert not path.exists()
    with pytest.raises(FileError) as refusal, try_lock(tmp_path / "no" / "a.lock"):
        pass
    assert_sentence(refusal.value)
