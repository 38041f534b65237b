"""What goes to the DMD is the set's patterns, bit for bit, and says how it is to be shown."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import assert_sentence, make_set

from napari_dmu.errors import DmuError, FileError
from napari_dmu.files.chips import CHIPS, Chip, chip_of
from napari_dmu.files.dmd import (
    PLANES,
    export_patterns,
    orientation_frame,
    pack_planes,
    read_export,
    tiled,
    unpack_planes,
)
from napari_dmu.files.manifest import read_manifest
from napari_dmu.files.patterns import read_patterns
from napari_dmu.microscope.registration import dot_spacing
from napari_dmu.zoo.pattern_set import PatternSet


@pytest.fixture(scope="module")
def instrument(tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    made = make_set(tmp_path_factory.mktemp("sets") / "discs.dmu.safetensors", with_head=False)
    # raster patterns alone would hide a transposed or mirrored export
    made.patterns[:] = np.random.default_rng(0).integers(0, 2, made.patterns.shape)
    return made


@pytest.mark.parametrize("format", ["png", "bmp", "tiff"])
@pytest.mark.parametrize(("dmd", "mirrors"), [("100x70", 1), ("101x67", 3), ("24x24", 3), ("DLP3000", 2)])
def test_no_binarisation_gap(tmp_path: Path, instrument: PatternSet, format: str, dmd: str, mirrors: int) -> None:
    manifest = export_patterns(instrument, tmp_path / "out", format=format, dmd=dmd, mirrors_per_pixel=mirrors)
    np.testing.assert_array_equal(read_export(tmp_path / "out"), instrument.patterns)
    np.testing.assert_array_equal(read_patterns(tmp_path / "out", bin=4), instrument.patterns)
    # and without our reader: cut one period out where the manifest says that a tile begins
    (top, left), (tall, wide), period = manifest.tile_centre, manifest.mirrors, manifest.period
    for pattern, entry in zip(instrument.patterns, manifest.frames, strict=False):
        with Image.open(tmp_path / "out" / entry.file) as picture:
            assert picture.mode == "1"
            frame = np.asarray(picture)
        assert frame.shape == (manifest.rows, manifest.columns)
        rows = np.arange(top, min(top + period * tall, manifest.rows))
        columns = np.arange(left, min(left + period * wide, manifest.columns))
        cut = pattern[np.ix_((rows - top) // tall, (columns - left) // wide)]
        np.testing.assert_array_equal(frame[np.ix_(rows, columns)], cut > 0)
        first_row, first_column = manifest.tile_origin
        assert frame[first_row, first_column] == bool(pattern[0, 0])


def test_the_manifest_says_everything(tmp_path: Path, instrument: PatternSet) -> None:
    export_patterns(instrument, tmp_path / "out", dmd="DLP6500", mirrors_per_pixel=2)
    raw = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    manifest = read_manifest(tmp_path / "out")
    assert [e.role for e in manifest.frames] == ["exposure"] * 4 + ["all_on", "all_off", "orientation", "dots"]
    assert [e.exposure for e in manifest.frames] == [0, 1, 2, 3, None, None, None, None]
    assert (raw["set_hash"], raw["exposures"], raw["period"], raw["bin"]) == (instrument.hash, 4, 8, 4)
    assert (raw["columns"], raw["rows"], raw["pitch"], raw["pixel_pitch"]) == (1920, 1080, 7.6, 15.2)
    assert "Texas Instruments" in raw["chip_source"]
    for entry in manifest.frames:
        assert hashlib.sha256((tmp_path / "out" / entry.file).read_bytes()).hexdigest() == entry.sha256
    assert {e.file for e in manifest.frames} | {"manifest.json", "run.yaml"} == {
        p.name for p in (tmp_path / "out").iterdir()
    }
    dots = np.asarray(Image.open(tmp_path / "out" / manifest.frames[-1].file))
    assert manifest.dot_spacing == dot_spacing(8, 4) == 64
    row, column = (centre + 2 * 32 for centre in manifest.tile_centre)  # the middle of a tile, two mirrors a pixel
    assert dots[row - 16 : row + 16, column - 16 : column + 16].all()
    assert dots[row - 64 : row + 64, column - 64 : column + 64].sum() == 32**2
    on, off = (e.on_fraction for e in manifest.frames[4:6])
    assert (on, off) == (1.0, 0.0)


def test_bit_planes_are_packed_green_red_blue_and_come_back(tmp_path: Path, instrument: PatternSet) -> None:
    assert PLANES[:9] == ("G0", "G1", "G2", "G3", "G4", "G5", "G6", "G7", "R0")
    frames = [np.random.default_rng(k).integers(0, 2, (6, 9)).astype(bool) for k in range(24)]
    rgb = pack_planes(frames)
    np.testing.assert_array_equal(unpack_planes(rgb), np.stack(frames))
    np.testing.assert_array_equal(rgb[..., 1] & 1, frames[0])
    np.testing.assert_array_equal(rgb[..., 0] & 1, frames[8])
    np.testing.assert_array_equal(rgb[..., 2] >> 7, frames[23])
    manifest = export_patterns(instrument, tmp_path / "out", dmd="64x48", packed=True, format="bmp")
    (packed,) = manifest.packed
    assert packed.planes == tuple(e.file for e in manifest.frames)
    with Image.open(tmp_path / "out" / packed.file) as picture:
        assert picture.mode == "RGB"
        planes = unpack_planes(np.asarray(picture))
    for plane, name in zip(planes, packed.planes, strict=False):
        np.testing.assert_array_equal(plane, np.asarray(Image.open(tmp_path / "out" / name)))
    assert not planes[len(packed.planes) :].any()


def test_more_frames_than_planes_fill_more_pictures(tmp_path: Path) -> None:
    many = make_set(tmp_path / "s.dmu.safetensors", bin=6, exposures=36, period=12, with_head=False)
    manifest = export_patterns(many, tmp_path / "out", dmd="40x30", packed=True)
    assert [len(p.planes) for p in manifest.packed] == [24, 16]
    assert [name for p in manifest.packed for name in p.planes] == [e.file for e in manifest.frames]
    np.testing.assert_array_equal(read_export(tmp_path / "out"), many.patterns)


def test_orientation_frame_tells_all_eight_orientations_apart() -> None:
    for chip in (Chip("a", 200, 120), CHIPS["DLP4500"]):
        frame = orientation_frame(chip)
        assert frame.shape == (chip.rows, chip.columns)
        square = frame[:: chip.row_factor]
        side = min(square.shape)
        square = square[(square.shape[0] - side) // 2 :, (square.shape[1] - side) // 2 :][:side, :side]
        turned = [np.rot90(view, k) for view in (square, square[:, ::-1]) for k in range(4)]
        assert all(np.any(a != b) for i, a in enumerate(turned) for b in turned[:i])


def test_a_pattern_pixel_is_square_on_diamond_mirrors() -> None:
    chip = CHIPS["DLP4500"]
    assert chip.column_pitch == pytest.approx(10.75, abs=0.01)
    pattern = np.eye(4, dtype=np.uint8)
    frame = tiled(pattern, chip, 3)
    top, left = chip.rows // 2, chip.columns // 2
    assert frame[top : top + 6, left : left + 3].all()
    assert not frame[top + 6, left]
    assert not frame[top, left + 3]


def test_chips_by_name_and_size() -> None:
    assert chip_of("dlp9000").columns == 2560
    assert (chip_of("1280 x 800").columns, chip_of("1280×800").rows) == (1280, 800)


@pytest.mark.parametrize(
    "options",
    [{"dmd": "DLP1"}, {"dmd": "0x10"}, {"dmd": "99999x10"}, {"dmd": "1920"}, {"format": "gif"},
     {"mirrors_per_pixel": 0}, {"dmd": "20x20", "mirrors_per_pixel": 3}],
)  # fmt: skip
def test_what_is_not_possible_is_refused(tmp_path: Path, instrument: PatternSet, options: dict[str, object]) -> None:
    with pytest.raises(DmuError) as caught:
        export_patterns(instrument, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert_sentence(caught.value)
    assert not list(tmp_path.iterdir())


def test_only_an_older_export_is_replaced(tmp_path: Path, instrument: PatternSet) -> None:
    out = tmp_path / "out"
    out.mkdir()  # an empty folder will do
    export_patterns(instrument, out, dmd="64x48", packed=True)
    manifest = export_patterns(instrument, out, dmd="32x32", orientation=False)
    assert {p.name for p in out.iterdir()} == {"manifest.json", "run.yaml", *(e.file for e in manifest.frames)}
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for wrong in (other, tmp_path / "file", tmp_path / "none" / "out"):
        with pytest.raises(FileError) as caught:
            export_patterns(instrument, wrong, dmd="32x32")
        assert_sentence(caught.value)
    assert (other / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("added", ["notes.txt", "camera_frames/0.tif", "pattern_000_seen.png"])
def test_an_export_with_anything_else_in_its_folder_is_kept(tmp_path: Path, instrument: PatternSet, added: str) -> None:
    out = tmp_path / "out"
    export_patterns(instrument, out, dmd="32x32")
    (out / added).parent.mkdir(exist_ok=True)
    (out / added).write_text("years of work")
    before = (out / "manifest.json").read_bytes()
    with pytest.raises(FileError, match=added.split("/")[0]) as caught:
        export_patterns(instrument, out, dmd="64x48")
    assert_sentence(caught.value)
    assert (out / added).read_text() == "years of work"
    assert (out / "manifest.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_file_browser_leaves_behind_keeps_no_export_from_being_replaced(
    tmp_path: Path, instrument: PatternSet
) -> None:
    out = tmp_path / "out"
    export_patterns(instrument, out, dmd="32x32")
    for name in (".DS_Store", "Thumbs.db"):
        (out / name).write_bytes(b"view")
    assert export_patterns(instrument, out, dmd="64x48").columns == 64


def test_a_failure_leaves_the_older_export_and_no_rubbish(
    tmp_path: Path, instrument: PatternSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_patterns(instrument, tmp_path / "out", dmd="32x32")
    before = (tmp_path / "out" / "manifest.json").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(FileError, match="No space left") as caught:
        export_patterns(instrument, tmp_path / "out", dmd="64x48")
    assert_sentence(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


def test_a_changed_or_lost_frame_is_noticed(tmp_path: Path, instrument: PatternSet) -> None:
    out = tmp_path / "out"
    export_patterns(instrument, out, dmd="32x32")
    Image.fromarray(np.zeros((32, 32), bool)).save(out / "pattern_001.png")
    for action in (lambda: None, (out / "pattern_000.png").unlink, lambda: (out / "manifest.json").write_text("{}"),
                   (out / "manifest.json").unlink):  # fmt: skip
        action()
        with pytest.raises(FileError) as caught:
            read_export(out)
        assert_sentence(caught.value)
