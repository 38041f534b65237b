"""Where sets are found, which one wins, and what is said when there is none."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import assert_sentence, make_set

import napari_dmu
from napari_dmu.errors import PatternSetError
from napari_dmu.files.camera import set_of_run
from napari_dmu.files.camera_run import CameraRun
from napari_dmu.microscope.patterns import make_patterns
from napari_dmu.zoo import preferred, registry
from napari_dmu.zoo.header import SCHEMA_VERSION
from napari_dmu.zoo.pattern_set import write_header
from napari_dmu.zoo.registry import available_sets, load_by_hash, load_set

SETS = ("env", "extra", "shipped")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Folders of the environment, the preference and the package, all empty."""
    folders = {name: tmp_path / name for name in SETS}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setenv(registry.FOLDER_VARIABLE, str(folders["env"]))
    monkeypatch.setattr(preferred, "_told", [folders["extra"]])
    monkeypatch.setattr(registry, "SHIPPED", folders["shipped"])
    return folders


def test_the_users_folders_come_before_the_package(places: dict[str, Path]) -> None:
    for name in reversed(SETS):
        made = make_set(places[name] / "discs.dmu.safetensors", seed=SETS.index(name))
        (found,) = available_sets()
        assert found.path.parent == places[name]
        assert load_set("discs", ratio=4, family="raster").hash == made.hash


def test_several_folders_in_the_environment_are_searched_in_order(
    places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_set(places["shipped"] / "a.dmu.safetensors")
    make_set(places["extra"] / "a.dmu.safetensors", name="others")
    listed = os.pathsep.join(["", str(tmp_path / "nowhere"), str(places["shipped"]), str(places["extra"])])
    monkeypatch.setenv(registry.FOLDER_VARIABLE, listed)
    assert [s.name for s in available_sets()] == ["discs", "others"]
    assert registry.folders()[:3] == (tmp_path / "nowhere", places["shipped"], places["extra"])


@pytest.mark.parametrize("wanted", [{"name": None}, {"name": 5}, {"ratio": None}, {"ratio": "many"}, {"family": None}])
def test_what_names_no_set_is_refused_in_a_sentence(places: dict[str, Path], wanted: dict[str, Any]) -> None:
    make_set(places["extra"] / "a.dmu.safetensors")
    with pytest.raises(PatternSetError) as refusal:
        napari_dmu.load(**{"name": "discs", "ratio": 4, "family": "raster", **wanted})
    assert_sentence(refusal.value)


def test_sets_are_sorted_and_summarised(places: dict[str, Path]) -> None:
    made = make_set(places["extra"] / "z.dmu.safetensors")
    make_set(places["env"] / "b.dmu.safetensors", exposures=1, with_head=False)
    make_set(places["env"] / "a.dmu.safetensors", name="atoms")
    found = available_sets()
    assert [(s.name, s.ratio) for s in found] == [("atoms", 4), ("discs", 4), ("discs", 16)]
    summary = found[1]
    assert (summary.family, summary.exposures, summary.bin, summary.period) == ("raster", 4, 4, 8)
    assert (summary.dose_mean, summary.dose_max) == (1.0, 1.0)
    assert summary.bytes == summary.path.stat().st_size
    assert summary.header == made.header
    assert summary.label == "×4 discs, raster"
    assert [s.has_segmenter for s in found] == [True, True, False]
    assert summary.psnr is summary.ssim is summary.ap50 is None


def test_a_set_may_stand_for_another_family_too(places: dict[str, Path]) -> None:
    path = places["shipped"] / "a.dmu.safetensors"
    made = make_set(path)
    write_header(path, path, made.header.model_copy(update={"also": ("learned",)}))
    assert [(s.family, s.path) for s in available_sets()] == [("learned", path), ("raster", path)]
    found = load_set("discs", ratio=4, family="learned")
    assert (found.family, found.hash) == ("learned", made.hash)
    assert load_set("discs", ratio=4, family="raster").family == "raster"
    assert load_by_hash(made.hash, "×4 discs, learned").hash == made.hash
    # One of its own goes before it, also where its name comes later.
    own = make_set(places["shipped"] / "b.dmu.safetensors", family="learned", seed=5)
    assert load_set("discs", ratio=4, family="learned").hash == own.hash


def test_a_broken_file_does_not_hide_the_others(places: dict[str, Path]) -> None:
    good = make_set(places["env"] / "m.dmu.safetensors")
    (places["env"] / "a.dmu.safetensors").write_bytes(b"rubbish")
    (places["env"] / "z.dmu.safetensors").write_bytes((places["env"] / "m.dmu.safetensors").read_bytes()[:100])
    (places["env"] / "d.dmu.safetensors").mkdir()
    (places["env"] / "readme.txt").write_text("no set")
    assert [s.name for s in available_sets()] == ["discs"]
    assert load_set("discs", ratio=4, family="raster").hash == good.hash


def newer(path: Path) -> None:
    """A set of a version that is still to come."""
    make_set(path, name="future")
    now, then = (f'\\"schema_version\\":{version}'.encode() for version in (SCHEMA_VERSION, 9))
    assert now in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(now, then))


def test_where_a_set_is_missing_a_file_that_cannot_be_read_is_named(places: dict[str, Path]) -> None:
    make_set(places["env"] / "m.dmu.safetensors")
    newer(places["env"] / "future-x4.dmu.safetensors")
    for ask in (lambda: load_set("future", ratio=4, family="raster"), lambda: load_by_hash("0" * 64, "×4 future")):
        with pytest.raises(PatternSetError) as refusal:
            ask()
        assert_sentence(refusal.value)
        assert "future-x4.dmu.safetensors was written by a newer napari-dmu (schema 9" in str(refusal.value)
    (places["env"] / "another.dmu.safetensors").write_bytes(b"rubbish")
    with pytest.raises(PatternSetError) as refusal:
        load_set("future", ratio=4, family="raster")
    assert_sentence(refusal.value)
    assert "schema 9" in str(refusal.value)
    assert "(and 1 more: see 'napari-dmu info')" in str(refusal.value)
    assert [sentence.split()[0] for sentence in registry.broken_sets("another")] == [
        "another.dmu.safetensors",
        "future-x4.dmu.safetensors",
    ]


def test_a_set_that_is_being_written_is_none_yet(places: dict[str, Path]) -> None:
    make_set(places["env"] / ".0123456789ab.discs.dmu.safetensors")
    (places["env"] / ".ba9876543210.discs.dmu.safetensors").write_bytes(b"half")
    assert available_sets() == []
    assert registry.broken_sets() == []


def test_a_set_that_is_put_there_or_taken_away_is_noticed(places: dict[str, Path]) -> None:
    path = places["env"] / "a.dmu.safetensors"
    assert available_sets() == []
    first = make_set(path)
    assert [s.header.tensors_sha256 for s in available_sets()] == [first.hash]
    second = make_set(path, seed=5)
    os.utime(path, ns=(1, 1))
    assert [s.header.tensors_sha256 for s in available_sets()] == [second.hash]
    path.unlink()
    assert available_sets() == []


def test_an_unknown_set_is_refused_with_what_there_is(places: dict[str, Path]) -> None:
    make_set(places["env"] / "a.dmu.safetensors")
    make_set(places["env"] / "b.dmu.safetensors", name="blobs", exposures=1)
    cases = (("nuclei", 4, "raster"), ("discs", 64, "raster"), ("discs", 4, "learned"), ("discs", math.inf, "raster"))
    for name, ratio, family in cases:
        with pytest.raises(PatternSetError) as refusal:
            load_set(name, ratio=ratio, family=family)
        assert_sentence(refusal.value)
        for there in ("×4 discs, raster", "×16 blobs, raster", f"×{ratio} {name}, {family}"):
            assert there in str(refusal.value)


def test_a_ratio_that_is_not_whole_is_taken_as_it_is_shown(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = make_patterns("random", exposures=6, period=16, bin=8)
    monkeypatch.setattr("support.make_patterns", lambda *_, **__: random)  # there is no such raster
    made = make_set(places["env"] / "a.dmu.safetensors", bin=8, exposures=6, period=16)
    (found,) = available_sets()
    assert found.label.startswith("×10.6667 ")
    camera = {"frames": "a.tif", "gain": 1, "offset": 0, "read_noise": 1, "photons": "auto"}
    run = CameraRun.model_validate({**camera, "set": "discs", "ratio": 10.6667, "family": "raster"})
    assert set_of_run(run) == found
    for ratio in (10.6667, 10.667, 64 / 6):
        assert load_set("discs", ratio=ratio, family="raster").hash == made.hash
    for ratio in (10.67, 10.66, math.nan, math.inf):
        with pytest.raises(PatternSetError):
            load_set("discs", ratio=ratio, family="raster")


def test_no_sets_at_all_is_said(places: dict[str, Path]) -> None:
    with pytest.raises(PatternSetError, match="none"):
        load_set("nuclei", ratio=64)


def test_the_public_verb_loads_learned_nuclei_by_default(places: dict[str, Path]) -> None:
    make_set(places["env"] / "a.dmu.safetensors", name="nuclei")
    with pytest.raises(PatternSetError, match="nuclei, learned"):
        napari_dmu.load(ratio=4)
    assert napari_dmu.load("nuclei", ratio=4, family="raster").ratio == 4


def test_a_measurements_own_set_is_found_by_hash_also_behind_another_of_the_same_name(places: dict[str, Path]) -> None:
    new = make_set(places["env"] / "a.dmu.safetensors", seed=1)
    old = make_set(places["shipped"] / "a.dmu.safetensors", seed=2)
    for made in (new, old):
        assert load_by_hash(made.hash, "×4 discs, raster").hash == made.hash
    with pytest.raises(PatternSetError, match="×4 discs, raster, 0123456789ab") as refusal:
        load_by_hash("0123456789ab" + 52 * "0", "×4 discs, raster")
    assert_sentence(refusal.value)


def test_the_newest_of_a_folder_comes_first(places: dict[str, Path]) -> None:
    for number, name in enumerate("bca"):
        path = places["env"] / f"{name}.dmu.safetensors"
        made = make_set(path, seed=number)
        os.utime(path, ns=(10**18 + number, 10**18 + number))
        assert load_set("discs", ratio=4, family="raster").hash == made.hash


def test_a_set_is_known_by_its_header_and_not_by_its_file_name(places: dict[str, Path]) -> None:
    make_set(places["env"] / "a.dmu.safetensors")
    shutil.move(places["env"] / "a.dmu.safetensors", places["env"] / "Übung 1.dmu.safetensors")
    assert [s.label for s in available_sets()] == ["×4 discs, raster"]


def test_the_nearest_sets_are_named_first(places: dict[str, Path]) -> None:
    make_set(places["env"] / "a.dmu.safetensors", name="aardvarks")
    make_set(places["env"] / "b.dmu.safetensors", name="nuclei")
    make_set(places["env"] / "c.dmu.safetensors", name="nuclei", exposures=1)
    for name, ratio, first in (("Nuclie", 4, "×4 nuclei"), ("nuclei", 15, "×16 nuclei"), ("nuclei", 5, "×4 nuclei")):
        with pytest.raises(PatternSetError, match=f"choose {first}, raster; "):
            load_set(name, ratio=ratio, family="raster")


def test_four_sets_are_named_and_the_command_that_lists_all(places: dict[str, Path]) -> None:
    for number in range(6):
        make_set(places["env"] / f"{number}.dmu.safetensors", name=f"nuclei{number}")
    with pytest.raises(PatternSetError, match="'napari-dmu sets' lists") as refusal:
        load_set("cells", ratio=64, family="learned")
    assert_sentence(refusal.value)
    assert str(refusal.value).count("×4 nuclei") == 4
