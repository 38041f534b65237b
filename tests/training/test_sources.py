"""Which images a recipe's source stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from support import assert_sentence

from napari_dmu.errors import FileError, SettingsError
from napari_dmu.training import sources
from napari_dmu.training.data import image_names, matching
from napari_dmu.training.recipe import Source
from napari_dmu.training.sources import read_source, remembered

NAMES = ["a1.tif", "a2.tif", "b1.tif", "[c].tif", "deep/a1.tif", "deep/er/a1.tif"]


@pytest.mark.parametrize(
    ("files", "skip", "expected"),
    [
        (None, (), ["[c].tif", "a1.tif", "a2.tif", "b1.tif"]),
        (None, ("a*",), ["[c].tif", "b1.tif"]),
        (("a?.tif",), ("a2.tif",), ["a1.tif"]),
        (("*",), (), ["[c].tif", "a1.tif", "a2.tif", "b1.tif"]),
        (("[c].tif",), (), ["[c].tif"]),  # a name that looks like a pattern is a name
        (("*/*",), (), ["deep/a1.tif"]),
        (("deep/er/a1.tif", "b1.tif"), (), ["b1.tif", "deep/er/a1.tif"]),
        (("*", "*/*"), ("deep/*",), ["[c].tif", "a1.tif", "a2.tif", "b1.tif"]),
    ],
)
def test_files_let_in_and_skip_leaves_out(
    files: tuple[str, ...] | None, skip: tuple[str, ...], expected: list[str]
) -> None:
    assert matching(NAMES, files, skip) == expected


words = st.text("ab1", min_size=1, max_size=3)


@given(names=st.sets(words, min_size=1), data=st.data())
def test_what_is_skipped_and_what_is_left_make_up_the_whole(names: set[str], data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(sorted(names)), unique=True))
    left = matching(names, None, some)
    taken = matching(names, some) if some else []
    assert sorted(left + taken) == sorted(names)
    assert left == sorted(left)


@pytest.mark.parametrize(("files", "skip"), [(("a1.tif", "a9.tif"), ()), (None, ("z*",)), (("er/a1.tif",), ())])
def test_an_entry_that_fits_nothing_is_refused(files: tuple[str, ...] | None, skip: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="fits no image") as refusal:
        matching(NAMES, files, skip)
    assert_sentence(refusal.value)


def test_a_source_reads_what_it_names(images: Path) -> None:
    whole = read_source(images, Source(folder="discs/train"), masks=True)
    one = read_source(images, Source(folder="discs/train", files=("3.tif",)), masks=True)
    rest = read_source(images, Source(folder="discs/train", skip=("3.tif",)), masks=True)
    assert [e.name for e in one] == ["3.tif"]
    assert [e.name for e in rest] == [e.name for e in whole if e.name != "3.tif"]
    np.testing.assert_array_equal(one[0].specimen, whole[3].specimen)
    assert one[0].labels is not None
    with pytest.raises(FileError) as refusal:
        read_source(images, Source(folder="discs/train", files=("3.tif",), skip=("3.tif",)), masks=True)
    assert_sentence(refusal.value)


def test_subfolders_are_read_where_they_are_named(tmp_path: Path) -> None:
    for name in ("x/a.tif", "y/a.tif", "y/b.TIFF", "c.tif", "y/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if not name.endswith("txt"):
            tifffile.imwrite(tmp_path / name, np.arange(12, dtype=np.uint8).reshape(3, 4))
    assert image_names(tmp_path) == ["c.tif", "x/a.tif", "y/a.tif", "y/b.TIFF"]
    root = tmp_path.parent
    found = read_source(root, Source(folder=tmp_path.name, files=("y/*",), masks=False), masks=False)
    assert [e.name for e in found] == ["y/a.tif", "y/b.TIFF"]


@pytest.mark.parametrize("values", [(0, 255), (0, 65535), (32768, 36000), (0, 65535 // 257 * 257)])
def test_offsets_and_depths_make_no_difference(tmp_path: Path, values: tuple[int, int]) -> None:
    ramp = np.linspace(0, 1, 50 * 40).reshape(50, 40)
    low, high = values
    kind = np.uint8 if high < 256 else np.uint16
    tifffile.imwrite(tmp_path / "a.tif", np.rint(low + (high - low) * ramp).astype(kind))
    (example,) = read_source(tmp_path.parent, Source(folder=tmp_path.name, masks=False), masks=False)
    tifffile.imwrite(tmp_path / "a.tif", (low + (high - low) * ramp).astype(np.float32))
    (floating,) = read_source(tmp_path.parent, Source(folder=tmp_path.name, masks=False), masks=False)
    np.testing.assert_allclose(example.specimen, floating.specimen, atol=1.1 / (high - low))
    np.testing.assert_allclose(example.specimen, np.clip((ramp - 0.001) / 0.998, 0, 1), atol=3e-3)


def test_a_matrix_reads_every_source_once(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    real = sources.read_examples
    monkeypatch.setattr(sources, "read_examples", lambda *a, **k: read.append(a) or real(*a, **k))
    source = Source(folder="discs/val")
    with remembered():
        first = read_source(images, source, masks=True)
        assert read_source(images, source.model_copy(update={"weight": 3.0}), masks=True) is first
        read_source(images, source, masks=False)
        assert len(read) == 2
    read_source(images, source, masks=True)
    assert len(read) == 3
