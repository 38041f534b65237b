"""Pages make the stack that they are, also where several threads and processes read files at a time."""

import logging
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_dmu.errors import FileError
from napari_dmu.files import read_specimen, tiff, write_image
from napari_dmu.files.pages import reading


def test_a_file_that_was_cut_is_refused_while_another_thread_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 65535, (6, 40, 40)).astype("u2"), metadata=None)
    path.write_bytes(path.read_bytes()[:-4000])
    inside, done = threading.Event(), threading.Event()
    seen: list[str] = []

    def read_something_else() -> None:
        with reading(tmp_path / "b.tif") as complaints:
            inside.set()
            done.wait(10)
            seen.extend(complaints)

    other = threading.Thread(target=read_something_else)
    other.start()
    assert inside.wait(10)
    try:
        with pytest.raises(FileError, match=r"cut short|damaged"):
            read_specimen(path)
    finally:
        done.set()
        other.join()
    assert not seen


def test_only_complaints_about_our_files_are_kept_from_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with reading(tmp_path / "a.tif") as complaints:
        logging.getLogger("tifffile").error("ours")
    logging.getLogger("tifffile").error("of another program")
    assert complaints == ["ours"]
    assert [r.getMessage() for r in caplog.records if r.name == "tifffile"] == ["of another program"]


def test_folded_axes_are_unfolded_in_another_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "LAZY_BYTES", 1000)
    path = tmp_path / "a.tif"
    full = np.random.default_rng(0).integers(0, 999, (2, 3, 2, 20, 30)).astype("u2")
    write_image(path, full, axes=("t", "position", "plane", "y", "x"), scale=(1,) * 5, units=("pixel",) * 5)
    lazy = read_specimen(path).data
    assert lazy.shape == full.shape
    sent = pickle.dumps(lazy)
    np.testing.assert_array_equal(pickle.loads(sent).compute(scheduler="synchronous"), full)
    write_image(path, full[:1], axes=("t", "position", "plane", "y", "x"), scale=(1,) * 5, units=("pixel",) * 5)
    with pytest.raises(FileError, match="has changed"):
        pickle.loads(sent).compute(scheduler="synchronous")


@pytest.mark.parametrize("limit", [1000, 10**9])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"contiguous": True}], ids=str)
def test_a_stack_that_was_written_frame_by_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, object], limit: int
) -> None:
    monkeypatch.setattr(tiff, "LAZY_BYTES", limit)
    path = tmp_path / "a.tif"
    frames = np.random.default_rng(0).integers(0, 65535, (5, 20, 30)).astype("u2")
    with tifffile.TiffWriter(path) as tif:
        for frame in frames:
            tif.write(frame, **how)
    back = read_specimen(path)
    assert back.axes == ("plane", "y", "x")
    np.testing.assert_array_equal(back.data, frames)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(back.data))[3], frames[3])
    assert all("read as a stack" in note for note in back.notes)
    path.write_bytes(path.read_bytes()[:-1300])
    with pytest.raises(FileError, match=r"cut short|damaged|lacks"):
        np.asarray(read_specimen(path).data)


def test_only_pages_that_are_alike_are_joined(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", np.arange(600, dtype="u2").reshape(20, 30)
    for other, options, says in (
        (image[:10], {}, "different size or type"),
        (image.astype("u1"), {}, "different size or type"),
        (image, {"photometric": "miniswhite"}, "2 separate images: only the first"),
    ):
        with tifffile.TiffWriter(path) as tif:
            tif.write(image)
            tif.write(other, **options)
        back = read_specimen(path)
        np.testing.assert_array_equal(back.data, image)
        assert [says in note for note in back.notes] == [True]
