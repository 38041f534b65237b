"""A folder is there whole or not at all, also where somebody presses Ctrl+C."""

import sys
from pathlib import Path

import pytest

from napari_dmu.errors import FileError
from napari_dmu.files.folders import atomic_folder


def write(target: Path, text: str) -> None:
    with atomic_folder(target, ours=lambda _: ("a.txt",)) as temporary:
        (temporary / "a.txt").write_text(text)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, OSError])
def test_the_older_folder_outlives_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], number: int, done: bool
) -> None:
    """Stopped right before or after the older folder is moved out of the way (1), and the new one to its place (2)."""
    target = tmp_path / "out"
    write(target, "old")
    rename, calls = Path.rename, []

    def interrupted(path: Path, to: Path) -> None:
        calls.append(path)
        if len(calls) != number or done:
            rename(path, to)
        if len(calls) == number:
            raise kind

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(FileError if kind is OSError else kind):
        write(target, "new")
    assert (target / "a.txt").read_text() == ("new" if number == 2 and done else "old")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("there", [False, True])
def test_what_is_put_there_in_the_meantime_is_kept(tmp_path: Path, there: bool) -> None:
    target = tmp_path / "out"
    if there:
        write(target, "old")

    def interrupted() -> None:
        with atomic_folder(target, ours=lambda _: ("a.txt",)) as temporary:
            (temporary / "a.txt").write_text("new")
            target.mkdir(exist_ok=True)
            (target / "thesis.txt").write_text("years of work")

    with pytest.raises(FileError, match=r"holds 'thesis\.txt'"):
        interrupted()
    assert (target / "thesis.txt").read_text() == "years of work"
    assert (target / "a.txt").exists() == there
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="there a whole path must be shorter than such a name")
def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 125 + ".zarr")
    write(target, "old")
    write(target, "new")
    assert (target / "a.txt").read_text() == "new"
