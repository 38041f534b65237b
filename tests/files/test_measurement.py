"""A measurement file is a normal stack for others and enough to reconstruct for us."""

import json
from pathlib import Path
from xml.etree import ElementTree

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_dmu.errors import FileError
from napari_dmu.files import measurement as module
from napari_dmu.files import read_measurement, read_specimen, tiff, write_image, write_measurement
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.measurement import Measurement, MeasurementInfo

T, D = 4, 8


def make(
    axes: tuple[str, ...], leading: tuple[int, ...] = (), dtype: str = "u2", field: tuple[int, int] = (35, 50)
) -> Measurement:
    rank = len(axes)
    info = MeasurementInfo(
        acquisition=Acquisition(bin=D, exposures=T, period=D),
        set_name="nuclei", family="learned", ratio=16.0, set_hash="0" * 64, field=field,
        intensity_range=(120.5, 3000.25), seed=7,
        axes=axes, scale=(*[2.0] * (rank - 2), 0.65, 0.65), translate=(0.0,) * (rank - 2) + (10.0, -3.0),
        units=("second",) * (rank - 2) + ("micrometer",) * 2, dtype="uint16", version="0.1",
    )  # fmt: skip
    shape = (*leading, T, -(-field[0] // D), -(-field[1] // D))
    return Measurement(np.random.default_rng(0).integers(0, 4000, shape).astype(dtype), info)


CASES = [
    (("y", "x"), ()),
    (("t", "y", "x"), (3,)),
    (("t", "z", "c", "y", "x"), (2, 3, 2)),
    (("plane0", "plane1", "y", "x"), (2, 1)),
]


@pytest.mark.parametrize(("axes", "leading"), CASES)
@pytest.mark.parametrize("dtype", ["u2", "u4"])
def test_round_trip(tmp_path: Path, axes: tuple[str, ...], leading: tuple[int, ...], dtype: str) -> None:
    m = make(axes, leading, dtype)
    write_measurement(tmp_path / "m.ome.tif", m)
    back = read_measurement(tmp_path / "m.ome.tif")
    assert back.info == m.info
    assert back.axes == m.axes
    assert back.data.dtype == m.data.dtype
    np.testing.assert_array_equal(back.data, m.data)


def test_other_programs_see_channels_and_the_detectors_pixels(tmp_path: Path) -> None:
    write_measurement(tmp_path / "m.tif", make(("t", "c", "y", "x"), (3, 2)))
    with tifffile.TiffFile(tmp_path / "m.tif") as tif:
        assert tif.series[0].axes == "TCYX"
        assert tif.series[0].shape == (3, 2 * T, 5, 7)
        root = ElementTree.fromstring(tif.ome_metadata)
    pixels = next(e for e in root.iter() if e.tag.endswith("}Pixels"))
    assert float(pixels.get("PhysicalSizeX", "0")) == pytest.approx(D * 0.65)
    assert pixels.get("SizeC") == str(2 * T)
    note = next(e for e in root.iter() if e.tag.endswith("}CommentAnnotation"))
    assert json.loads("".join(note.itertext()))["measurement"]["set_name"] == "nuclei"


def test_it_opens_as_an_image_that_lies_on_the_specimen(tmp_path: Path) -> None:
    m = make(("y", "x"))
    write_measurement(tmp_path / "m.tif", m)
    image = read_specimen(tmp_path / "m.tif")
    assert image.axes == ("pattern", "y", "x")
    assert image.scale == pytest.approx((1.0, D * 0.65, D * 0.65))
    assert image.translate == pytest.approx((0.0, 10.0 + 3.5 * 0.65, -3.0 + 3.5 * 0.65))


def test_dask_is_written_plane_by_plane_and_read_lazily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m = make(("t", "y", "x"), (6,))
    computed: list[int] = []

    def watch(block: np.ndarray) -> np.ndarray:
        computed.append(block.shape[0])
        return block

    lazy = da.from_array(m.data, chunks=(2, T, -1, -1)).map_blocks(watch, meta=m.data)
    write_measurement(tmp_path / "m.tif", m.with_data(lazy))
    assert computed == [2, 2, 2]  # each block once
    monkeypatch.setattr(tiff, "LAZY_BYTES", 100)
    back = read_measurement(tmp_path / "m.tif")
    assert isinstance(back.data, da.Array)
    np.testing.assert_array_equal(back.data.compute(), m.data)


def test_what_is_no_measurement(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with pytest.raises(FileError, match="does not exist"):
        read_measurement(path)
    write_image(path, np.zeros((4, 5, 7), "u2"), axes=("pattern", "y", "x"), scale=(1,) * 3, units=("pixel",) * 3)
    with pytest.raises(FileError, match=r"no napari-dmu measurement.* YAML file of a camera run"):
        read_measurement(path)
    tifffile.imwrite(path, np.zeros((5, 7), "u2"))
    with pytest.raises(FileError, match="no napari-dmu measurement"):
        read_measurement(path)


def test_newer_and_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    m = make(("y", "x"))
    write_measurement(path, m)
    good = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(module, "SCHEMA_VERSION", 0)
        with pytest.raises(FileError, match="newer napari-dmu"):
            read_measurement(path)
    for old, new in (
        (b"&quot;", b"&quot:"),
        (b"&quot;seed&quot;: 7", b"&quot;seed&quot;:-7"),
        (b"exposures", b"exposurez"),
    ):
        assert old in good
        path.write_bytes(good.replace(old, new))
        with pytest.raises(FileError):
            read_measurement(path)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(FileError):
        read_measurement(path)


def test_data_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    m = make(("y", "x"))
    for data in (m.data[:2], m.data[0], m.data.astype(float)):
        with pytest.raises(FileError, match="cannot be written"):
            write_measurement(tmp_path / "a.tif", m.with_data(data))
    assert not list(tmp_path.iterdir())
