"""The folder preferred in napari: found by other processes, replaced by another one, and written only where it must."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import make_set

from napari_dmu.zoo import preferred, registry
from napari_dmu.zoo.library import add_set
from napari_dmu.zoo.preferred import note_file, prefer_folder, preferred_folders

LISTED = "from napari_dmu.zoo.registry import available_sets as sets; print(*(s.name for s in sets()))"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data: nothing yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data" / "napari-dmu")
    monkeypatch.setattr(preferred, "_told", [])
    return tmp_path / "data"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG_DATA_HOME is meant for Linux")
def test_another_process_finds_its_sets(tmp_path: Path) -> None:
    (tmp_path / "Größe 1").mkdir()
    make_set(tmp_path / "Größe 1" / "a.dmu.safetensors", name="fibres")
    prefer_folder(tmp_path / "Größe 1")
    run = subprocess.run([sys.executable, "-c", LISTED], capture_output=True, text=True, check=True)
    assert "fibres" in run.stdout.split()


def test_another_folder_takes_the_place_of_the_former(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        prefer_folder(tmp_path / name)
    assert preferred_folders() == [tmp_path / "two"]
    monkeypatch.setattr(preferred, "_told", [])
    assert preferred_folders() == [tmp_path / "two"]
    assert tmp_path / "one" not in registry.folders()
    prefer_folder(None)
    assert preferred_folders() == []
    assert not note_file().exists()


def test_nothing_is_written_without_need(tmp_path: Path, data: Path) -> None:
    prefer_folder(None)
    assert not data.exists()
    prefer_folder(tmp_path / "one")
    before = note_file().stat().st_ino
    prefer_folder(tmp_path / "one")
    assert note_file().stat().st_ino == before
    assert list(note_file().parent.iterdir()) == [note_file()]


def test_where_nothing_can_be_written_this_process_knows_it(tmp_path: Path, data: Path) -> None:
    data.write_text("no folder")
    prefer_folder(tmp_path / "one")
    assert preferred_folders() == [tmp_path / "one"]


def test_a_note_that_is_none_is_passed_over(data: Path) -> None:
    note_file().parent.mkdir(parents=True)
    for content in (b"", b" \n", b"\xff\xfe\x00"):
        note_file().write_bytes(content)
        assert preferred_folders() == []


def test_the_environment_comes_before_the_preference_and_that_before_the_data(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer_folder(tmp_path / "preferred")
    monkeypatch.setenv(registry.FOLDER_VARIABLE, str(tmp_path / "named"))
    own = data / "napari-dmu" / "sets"
    assert registry.folders() == (tmp_path / "named", tmp_path / "preferred", own, registry.SHIPPED)
    make_set(tmp_path / "a.dmu.safetensors")
    assert add_set(str(tmp_path / "a.dmu.safetensors")).summary.path.parent == tmp_path / "named"
    monkeypatch.delenv(registry.FOLDER_VARIABLE)
    assert add_set(str(tmp_path / "a.dmu.safetensors")).summary.path.parent == tmp_path / "preferred"
