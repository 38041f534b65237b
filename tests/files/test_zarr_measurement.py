"""OME-Zarr: valid NGFF for others, the same measurement for us, lazily, whole or not at all."""

import json
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from support import assert_sentence
from test_measurement import CASES, D, T, make

from napari_dmu.engine.stacks import as_stack, plane, plane_count
from napari_dmu.errors import DmuError, FileError, SpecimenError
from napari_dmu.files import planes, read_measurement, read_specimen, write_image, write_measurement, zarr_measurement
from napari_dmu.files.ome import iter_planes
from napari_dmu.files.pictures import luminance_of
from napari_dmu.files.zarr_measurement import check_zarr_place


def ngff(path: Path) -> dict[str, Any]:
    found = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["ome"]
    assert isinstance(found, dict)
    return found


def assert_valid(path: Path) -> None:
    """The rules of NGFF 0.5 on axes and transformations that readers rely on."""
    ome = ngff(path)
    assert ome["version"] == "0.5"
    (multiscale,) = ome["multiscales"]
    names = [axis["name"] for axis in multiscale["axes"]]
    types = [axis["type"] for axis in multiscale["axes"]]
    assert len(set(names)) == len(names) <= 5
    order = [("time", "channel", "space").index(t) for t in types]
    assert order == sorted(order)
    assert types.count("time") <= 1
    assert types.count("channel") <= 1
    assert types.count("space") in (2, 3)
    array = zarr.open_array(path / multiscale["datasets"][0]["path"], mode="r")
    assert array.metadata.dimension_names == tuple(names)
    kinds = [t["type"] for t in multiscale["datasets"][0]["coordinateTransformations"]]
    assert kinds == ["scale", "translation"]
    for transform in multiscale["datasets"][0]["coordinateTransformations"]:
        assert len(transform[transform["type"]]) == array.ndim


@pytest.mark.parametrize(("axes", "leading"), [*CASES, (("z", "y", "x"), (3,)), (("z", "t", "y", "x"), (2, 3))])
@pytest.mark.parametrize("dtype", ["u2", "u4"])
def test_round_trip(tmp_path: Path, axes: tuple[str, ...], leading: tuple[int, ...], dtype: str) -> None:
    m, path = make(axes, leading, dtype), tmp_path / "m.ome.zarr"
    write_measurement(path, m)
    assert_valid(path)
    back = read_measurement(path)
    assert isinstance(back.data, da.Array)
    assert back.info == m.info
    assert back.axes == m.axes
    assert back.data.dtype == m.data.dtype
    np.testing.assert_array_equal(back.data.compute(), m.data)
    np.testing.assert_array_equal(np.asarray(back.data[(0,) * len(leading)]), m.data[(0,) * len(leading)])


def test_other_programs_see_channels_that_lie_on_the_specimen(tmp_path: Path) -> None:
    write_measurement(tmp_path / "m.ome.zarr", make(("z", "y", "x"), (3,)))
    (multiscale,) = ngff(tmp_path / "m.ome.zarr")["multiscales"]
    assert [a["name"] for a in multiscale["axes"]] == ["c", "z", "y", "x"]
    assert multiscale["axes"][-1]["unit"] == "micrometer"
    scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == pytest.approx([1.0, 2.0, D * 0.65, D * 0.65])
    shift = (D - 1) / 2 * 0.65
    assert translation["translation"] == pytest.approx([0.0, 0.0, 10.0 + shift, -3.0 + shift])
    assert zarr.open_array(tmp_path / "m.ome.zarr" / "0", mode="r").shape == (T, 3, 5, 7)
    assert read_measurement(tmp_path / "m.ome.zarr").planes == 3


def test_dask_is_written_block_by_block(tmp_path: Path) -> None:
    m = make(("t", "y", "x"), (6,))
    computed: list[int] = []

    def watch(block: np.ndarray) -> np.ndarray:
        computed.append(block.shape[0])
        return block

    write_measurement(
        tmp_path / "m.zarr",
        m.with_data(da.from_array(m.data, chunks=(2, T, -1, -1)).map_blocks(watch, meta=m.data)),
    )
    assert computed == [2, 2, 2]
    np.testing.assert_array_equal(read_measurement(tmp_path / "m.zarr").data.compute(), m.data)


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8", "?"])
def test_images_and_labels(tmp_path: Path, dtype: str) -> None:
    image = np.random.default_rng(0).integers(0, 2, (2, 3, 30, 20)).astype(dtype)
    geometry: dict[str, Any] = {
        "axes": ("t", "z", "y", "x"), "scale": (5.0, 2.0, 0.5, 0.5),
        "units": ("second", "micrometer", "micrometer", "micrometer"), "translate": (0.0, 1.0, 2.0, 3.0),
    }  # fmt: skip
    labels = dtype == "i4"
    write_image(tmp_path / "cells.ome.zarr", image, labels=labels, **geometry)
    assert_valid(tmp_path / "cells.ome.zarr")
    back = read_specimen(tmp_path / "cells.ome.zarr")
    assert (back.axes, back.scale, back.units, back.translate) == tuple(geometry.values())
    assert (back.name, back.labels) == ("cells", labels)
    np.testing.assert_array_equal(back.data.compute(), image)


def foreign(path: Path, version: str) -> np.ndarray:
    """An image as another program writes it, two levels, units of its own."""
    image = np.arange(2 * 3 * 8 * 10, dtype="u2").reshape(2, 3, 8, 10)
    transforms = [
        {"type": "scale", "scale": [1, 1.5, 250, 250]},
        {"type": "translation", "translation": [0, 0, 500, 0]},
    ]
    multiscale: dict[str, Any] = {
        "axes": [{"name": "c", "type": "channel"}, {"name": "z", "type": "space", "unit": "micrometer"},
                 *({"name": name, "type": "space", "unit": "nanometer"} for name in "yx")],
        "datasets": [{"path": "s0", "coordinateTransformations": transforms}, {"path": "s1"}],
        "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 2, 2]}],
    }  # fmt: skip
    attributes: dict[str, Any] = {"multiscales": [{**multiscale, "version": "0.4"}]}
    if version == "0.5":
        attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3, attributes=attributes)
    group.create_array("s0", data=image, chunks=(1, 1, 4, 4))
    group.create_array("s1", data=image[..., ::2, ::2])
    return image


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_of_others_are_read_at_full_resolution(tmp_path: Path, version: str) -> None:
    image = foreign(tmp_path / "a.zarr", version)
    back = read_specimen(tmp_path / "a.zarr")
    assert back.axes == ("c", "z", "y", "x")
    assert back.scale == pytest.approx((1, 1.5, 0.5, 0.5))
    assert back.translate == pytest.approx((0, 0, 1.0, 0))
    assert back.units == ("pixel", "micrometer", "micrometer", "micrometer")
    np.testing.assert_array_equal(back.data.compute(), image)


def in_the_verbs(array: Any) -> list[np.ndarray]:
    stack = as_stack(array)
    return [plane(stack, index) for index in range(plane_count(stack))]


@pytest.mark.parametrize("take", [in_the_verbs, lambda array: list(iter_planes(array))], ids=["verbs", "writing"])
def test_deep_chunks_are_read_once_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, take: Callable[[Any], list[np.ndarray]]
) -> None:
    image = np.random.default_rng(0).integers(0, 999, (64, 8, 10)).astype("u2")
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    multiscale = {"axes": axes, "datasets": [{"path": "0"}]}
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", attributes={"ome": {"multiscales": [multiscale]}})
    group.create_array("0", data=image, chunks=(64, 4, 4))
    reads: list[int] = []
    read = zarr_measurement._Chunks.__getitem__

    def counted(chunks: Any, key: Any) -> Any:
        reads.append(1)
        return read(chunks, key)

    monkeypatch.setattr(zarr_measurement._Chunks, "__getitem__", counted)
    np.testing.assert_array_equal(np.stack(take(read_specimen(tmp_path / "a.zarr").data)), image)
    assert len(reads) == 6
    # Where no more than half of the planes may be held, every chunk is read twice.
    reads.clear()
    monkeypatch.setattr(planes, "HELD", image.nbytes // 2)
    np.testing.assert_array_equal(np.stack(take(read_specimen(tmp_path / "a.zarr").data)), image)
    assert len(reads) == 12


def test_a_converted_file_shows_its_first_image(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    image = foreign(tmp_path / "b.zarr" / "0", "0.4")
    np.testing.assert_array_equal(read_specimen(tmp_path / "b.zarr").data.compute(), image)


def test_a_failure_leaves_the_older_file_and_no_rubbish(tmp_path: Path) -> None:
    m = make(("t", "y", "x"), (4,))
    write_measurement(tmp_path / "m.zarr", m)

    def fail(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("no")

    lazy = da.from_array(m.data, chunks=(1, -1, -1, -1)).map_blocks(fail, meta=m.data)
    with pytest.raises(RuntimeError):
        write_measurement(tmp_path / "m.zarr", m.with_data(lazy))
    assert [p.name for p in tmp_path.iterdir()] == ["m.zarr"]
    np.testing.assert_array_equal(read_measurement(tmp_path / "m.zarr").data.compute(), m.data)
    more = make(("t", "y", "x"), (2,))
    write_measurement(tmp_path / "m.zarr", more)
    np.testing.assert_array_equal(read_measurement(tmp_path / "m.zarr").data.compute(), more.data)


def test_what_belongs_to_others_is_not_replaced(tmp_path: Path) -> None:
    image = foreign(tmp_path / "a.zarr", "0.5")
    with pytest.raises(FileError) as caught:
        write_measurement(tmp_path / "a.zarr", make(("y", "x")))
    assert_sentence(caught.value)
    np.testing.assert_array_equal(read_specimen(tmp_path / "a.zarr").data.compute(), image)


def test_what_others_added_to_a_file_of_ours_is_kept(tmp_path: Path) -> None:
    m = make(("y", "x"))
    write_measurement(tmp_path / "m.zarr", m)
    group = zarr.open_group(tmp_path / "m.zarr", mode="r+")
    labels = np.arange(12, dtype="u4").reshape(3, 4)
    group.create_group("labels").create_array("cells", data=labels)
    for refuse in (lambda: write_measurement(tmp_path / "m.zarr", m), lambda: check_zarr_place(tmp_path / "m.zarr")):
        with pytest.raises(FileError, match="labels") as caught:
            refuse()
        assert_sentence(caught.value)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "m.zarr" / "labels" / "cells", mode="r")[:], labels)
    np.testing.assert_array_equal(read_measurement(tmp_path / "m.zarr").data.compute(), m.data)


def test_wrong_things_are_refused_in_one_sentence(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "plate.zarr", mode="w", attributes={"ome": {"version": "0.5", "plate": {}}})
    zarr.open_group(tmp_path / "plain.zarr", mode="w")
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "file.zarr").write_bytes(b"no")
    foreign(tmp_path / "damaged.zarr", "0.5")
    text = (tmp_path / "damaged.zarr" / "zarr.json").read_text()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text(text.replace('"s0"', '"s9"'))
    plain: dict[str, Any] = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}
    group = zarr.open_group(tmp_path / "complex.zarr", mode="w", attributes={"ome": plain})
    group.create_array("0", shape=(4, 4), dtype="c8")
    for name in ("plate", "plain", "empty", "file", "damaged", "complex", "none"):
        with pytest.raises(DmuError) as caught:
            read_specimen(tmp_path / f"{name}.zarr")
        assert_sentence(caught.value)
    foreign(tmp_path / "image.zarr", "0.5")
    with pytest.raises(FileError, match="no napari-dmu measurement") as caught:
        read_measurement(tmp_path / "image.zarr")
    assert_sentence(caught.value)
    geometry: dict[str, Any] = {"axes": ("y", "x"), "scale": (1, 1), "units": ("pixel", "pixel")}
    for wrong in (np.empty((0, 3)), np.zeros((2, 2), complex), np.zeros((2, 2, 2))):
        with pytest.raises(FileError) as caught:
            write_image(tmp_path / "new.zarr", wrong, **geometry)
        assert_sentence(caught.value)
    assert not (tmp_path / "new.zarr").exists()


@pytest.mark.parametrize("number", [math.inf, math.nan])
@pytest.mark.parametrize("axes", [("y", "x"), ("p", "q", "y", "x")])  # in the file's own words, in our attributes
def test_a_place_that_is_no_number_is_refused(tmp_path: Path, number: float, axes: tuple[str, ...]) -> None:
    place: dict[str, Any] = {"axes": axes, "scale": (1,) * len(axes), "units": ("pixel",) * len(axes)}
    write_image(tmp_path / "a.zarr", np.ones((2,) * len(axes), "u2"), translate=(number, *place["scale"][1:]), **place)
    with pytest.raises(FileError) as caught:
        read_specimen(tmp_path / "a.zarr")
    assert_sentence(caught.value)


@pytest.mark.parametrize("axes", [("y", "x"), ("p", "q", "y", "x")])
def test_a_step_of_nothing_is_refused(tmp_path: Path, axes: tuple[str, ...]) -> None:
    steps = (*(1,) * (len(axes) - 1), 0)
    write_image(
        tmp_path / "a.zarr", np.ones((2,) * len(axes), "u2"), axes=axes, scale=steps, units=("pixel",) * len(axes)
    )
    with pytest.raises(FileError) as caught:
        read_specimen(tmp_path / "a.zarr")
    assert_sentence(caught.value)


def test_a_changed_measurement_is_noticed(tmp_path: Path) -> None:
    write_measurement(tmp_path / "m.zarr", make(("t", "y", "x"), (2,)))
    group = zarr.open_group(tmp_path / "m.zarr", mode="r+")
    del group["0"]
    group.create_array("0", data=np.zeros((2, T, 5, 6), "u2"), dimension_names=["t", "c", "y", "x"])
    with pytest.raises(FileError) as caught:
        read_measurement(tmp_path / "m.zarr")
    assert_sentence(caught.value)


def test_a_damaged_chunk_is_a_sentence(tmp_path: Path) -> None:
    write_measurement(tmp_path / "m.zarr", make(("y", "x")))
    for chunk in (tmp_path / "m.zarr" / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"nonsense")
    data = read_measurement(tmp_path / "m.zarr").data
    with pytest.raises(FileError) as caught:
        data.compute()
    assert_sentence(caught.value)


def test_a_mirrored_specimen_comes_back(tmp_path: Path) -> None:
    m = make(("y", "x"), (), "u2")
    m = replace(m, info=m.info.model_copy(update={"scale": (-0.5, 0.5)}))
    write_measurement(tmp_path / "m.ome.zarr", m)
    assert read_measurement(tmp_path / "m.ome.zarr").info == m.info


def test_the_luminance_of_a_deep_chunk_takes_little_more_than_its_channels(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 999, (3, 64, 128, 128)).astype("u2")
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space"} for name in "zyx")]
    multiscale = {"axes": axes, "datasets": [{"path": "0"}]}
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", attributes={"ome": {"multiscales": [multiscale]}})
    group.create_array("0", data=image, chunks=(1, *image.shape[1:]))
    stack = as_stack(read_specimen(tmp_path / "a.zarr", luminance=True).data)
    tracemalloc.start()
    np.testing.assert_array_equal(plane(stack, 5), luminance_of(np.moveaxis(image[:, 5], 0, -1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * image[0].nbytes


def test_the_luminance_of_three_channels(tmp_path: Path) -> None:
    geometry: dict[str, Any] = {
        "axes": ("t", "c", "y", "x"), "scale": (2, 1, 0.5, 0.5),
        "units": ("second", "pixel", "micrometer", "micrometer"),
    }  # fmt: skip
    colours = np.random.default_rng(0).integers(0, 255, (2, 3, 20, 24), dtype=np.uint8)
    write_image(tmp_path / "rgb.ome.zarr", colours, **geometry)
    grey = read_specimen(tmp_path / "rgb.ome.zarr", luminance=True)
    assert (grey.axes, grey.scale, grey.data.dtype) == (("t", "y", "x"), (2, 0.5, 0.5), np.uint8)
    np.testing.assert_array_equal(grey.data.compute(), luminance_of(np.moveaxis(colours, 1, -1)))
    assert "luminance" in " ".join(grey.notes)
    assert read_specimen(tmp_path / "rgb.ome.zarr").axes == geometry["axes"]
    write_image(tmp_path / "two.ome.zarr", colours[:, :2], **geometry)
    with pytest.raises(SpecimenError, match="2 channels") as refusal:
        read_specimen(tmp_path / "two.ome.zarr", luminance=True)
    assert_sentence(refusal.value)
    write_image(tmp_path / "one.ome.zarr", colours[:, :1], **geometry)
    assert read_specimen(tmp_path / "one.ome.zarr", luminance=True).data.shape == (2, 1, 20, 24)
    measured = make(("c", "y", "x"), (3,))
    write_measurement(tmp_path / "m.ome.zarr", measured)
    assert read_measurement(tmp_path / "m.ome.zarr").data.shape == measured.data.shape
