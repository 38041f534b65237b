"""A file is there whole or not at all."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_dmu.errors import FileError
from napari_dmu.files import atomic_path, write_image


def test_success_puts_the_file_in_place(tmp_path: Path) -> None:
    target = tmp_path / "näme with spaces.tif"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".tif"
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="there a whole path must be shorter than such a name")
@pytest.mark.parametrize("name", ["a" * 251 + ".tif", "ä" * 125 + ".tif", "x." + "細" * 84])
def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.suffix == (".tif" if name.endswith(".tif") else "")
        temporary.write_bytes(b"new")
    assert (tmp_path / name).read_bytes() == b"new"


def test_the_new_file_takes_the_place_of_the_old_one_which_is_never_written_to(tmp_path: Path) -> None:
    target, also = tmp_path / "a.tif", tmp_path / "also.tif"
    target.write_bytes(b"old")
    os.link(target, also)  # a second name of the old file, as a reader who has it open
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
    assert (target.read_bytes(), also.read_bytes()) == (b"new", b"old")


@pytest.mark.skipif(sys.platform == "win32", reason="there links are for administrators")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "a.tif", tmp_path / "link.tif"
    link.symlink_to(target)
    for text in (b"first", b"second"):  # to a file that is not there yet, and to one that is
        with atomic_path(link) as temporary:
            assert temporary.parent == target.parent
            temporary.write_bytes(text)
        assert link.is_symlink()
        assert target.read_bytes() == text


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, kind: type[BaseException]) -> None:
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise kind

    with pytest.raises(kind):
        interrupted()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_disk_error_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No space left"), atomic_path(tmp_path / "a.tif"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nothing to write"), atomic_path(tmp_path / "a.tif"):
        pass


def test_missing_folder_and_folder_as_target(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"), atomic_path(tmp_path / "no" / "a.tif"):
        pass
    with pytest.raises(FileError, match="is a folder"), atomic_path(tmp_path):
        pass


def test_a_plane_that_fails_leaves_no_file(tmp_path: Path) -> None:
    da = pytest.importorskip("dask.array")

    def broken(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
        if block_info and block_info[0]["chunk-location"][0] == 2:
            raise RuntimeError("no such plane")
        return block

    stack = da.zeros((4, 16, 16), chunks=(1, 16, 16), dtype="u2").map_blocks(broken, dtype="u2")
    with pytest.raises(RuntimeError, match="no such plane"):
        write_image(tmp_path / "a.tif", stack, axes="zyx", scale=(1, 1, 1), units=("pixel",) * 3)
    assert not list(tmp_path.iterdir())
