"""Data packs give up what the folders do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file
from support import assert_sentence, quick_recipe

from napari_dmu.errors import Cancelled, FileError, SettingsError
from napari_dmu.microscope.measurement import intensity_range, normalise
from napari_dmu.training import pack as packing
from napari_dmu.training.data import fingerprint
from napari_dmu.training.loop import train
from napari_dmu.training.pack import TOLERANCE, write_pack
from napari_dmu.training.recipe import Recipe, Source
from napari_dmu.training.sources import read_source


def there_and_back(plane: NDArray[np.generic], tolerance: float = TOLERANCE) -> tuple[float, float]:
    """Largest difference of the packed specimen, and what the pack says of it."""
    as_read = plane.astype(np.float32)
    entry, coded = packing._pack(as_read, tolerance)
    specimen = packing._specimen(entry, coded.numpy().tobytes())
    assert specimen.dtype == np.float32
    assert specimen.shape == plane.shape
    return float(np.abs(specimen - normalise(as_read, intensity_range(as_read))).max()), entry.error


shapes = st.tuples(st.integers(1, 20), st.integers(1, 20))


@given(
    shape=shapes,
    low=st.integers(0, 2**15),
    levels=st.integers(1, 999),
    step=st.sampled_from([1, 3, 64]),
    data=st.data(),
)
def test_images_of_few_levels_are_exact(
    shape: tuple[int, int], low: int, levels: int, step: int, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 99))
    plane = low + step * np.random.default_rng(seed).integers(0, levels, shape)
    assert there_and_back(plane) == (0.0, 0.0)


@given(shape=shapes, scale=st.sampled_from([1e-6, 1.0, 1e9]), seed=st.integers(0, 99), whole=st.booleans())
def test_all_others_are_exact_to_the_tolerance(shape: tuple[int, int], scale: float, seed: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    plane = rng.integers(0, 65536, shape) if whole else scale * rng.standard_normal(shape)
    error, said = there_and_back(plane)
    assert error == said
    assert error <= TOLERANCE + 1e-5
    assert there_and_back(plane, 0.0)[0] <= (0 if whole else 1e-5)


@pytest.mark.parametrize("value", [0, 7, 65535, -3.5])
def test_a_constant_image_is_dark_as_it_is_from_the_folder(value: float) -> None:
    assert there_and_back(np.full((6, 5), value)) == (0.0, 0.0)


def test_one_outlier_does_not_cost_the_others_their_levels() -> None:
    plane = np.random.default_rng(0).random((100, 100)).astype(np.float32)
    plane[3, 4] = 1e8
    assert there_and_back(plane)[0] <= TOLERANCE


@pytest.fixture
def mixed(tmp_path: Path, images: Path) -> tuple[Path, Recipe]:
    """The discs, and a folder of images without masks in 16 bits."""
    root = tmp_path / "data"
    root.mkdir()
    (root / "discs").symlink_to(images / "discs")
    (root / "noisy" / "deep").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name in ("a.tif", "b.tif", "deep/c.tif", "unused.tif"):
        tifffile.imwrite(root / "noisy" / name, rng.integers(0, 65536, (40, 36)).astype(np.uint16))
    recipe = quick_recipe(
        head=None,
        training=[
            {"folder": "discs/train", "skip": ["0.tif"]},
            {"folder": "noisy", "masks": False, "files": ["a.tif"]},
        ],
        validation=[{"folder": "discs/val"}, {"folder": "noisy/", "masks": False, "files": ["b.tif", "deep/c.tif"]}],
    )
    return root, recipe


def test_a_pack_gives_what_the_folders_give(mixed: tuple[Path, Recipe], tmp_path: Path) -> None:
    root, recipe = mixed
    file = tmp_path / "all.pack.safetensors"
    told: list[tuple[int, int]] = []
    made = write_pack(file, root, [recipe, recipe], report=lambda done, total, what: told.append((done, total)))
    assert (made.images, made.masks, made.inexact) == (5 + 1 + 3 + 2, 8, 11)
    assert 0 < made.error <= TOLERANCE + 1e-6
    assert made.size == file.stat().st_size
    assert told[-1] == (11, 11)
    files = set(tmp_path.iterdir())
    for source in (*recipe.training, *recipe.validation):
        packed, direct = (read_source(place, source, masks=source.masks) for place in (file, root))
        assert [e.name for e in packed] == [e.name for e in direct]
        for one, other in zip(packed, direct, strict=True):
            assert np.abs(one.specimen - other.specimen).max() <= made.error
            if source.masks:
                assert one.labels is not None
                assert one.labels.dtype == np.int32
            np.testing.assert_array_equal(one.labels, other.labels)
    assert set(tmp_path.iterdir()) == files


def test_without_tolerance_the_fingerprint_is_that_of_the_folder(mixed: tuple[Path, Recipe], tmp_path: Path) -> None:
    root, recipe = mixed
    file = tmp_path / "exact.safetensors"
    assert write_pack(file, root, [recipe], tolerance=0.0).inexact == 0
    for source in (*recipe.training, *recipe.validation):
        packed, direct = (read_source(place, source, masks=source.masks) for place in (file, root))
        assert fingerprint(packed) == fingerprint(direct)


def test_a_training_from_an_exact_pack_is_the_training_from_the_folder(images: Path, tmp_path: Path) -> None:
    recipe = quick_recipe(content={"steps": 4, "batch": 2, "crop": 32, "lifting_crops": 16}, head=None)
    write_pack(tmp_path / "p.safetensors", images, [recipe], tolerance=0.0)
    sets = [
        train(recipe, data, tmp_path / f"{number}.dmu.safetensors", device=torch.device("cpu"))
        for number, data in enumerate((images, tmp_path / "p.safetensors"))
    ]
    assert sets[0].hash == sets[1].hash
    assert sets[0].header.scores == sets[1].header.scores


def test_what_is_not_in_the_pack_is_refused(mixed: tuple[Path, Recipe], tmp_path: Path) -> None:
    root, recipe = mixed
    file = tmp_path / "p.safetensors"
    write_pack(file, root, [recipe])

    def refused(source: Source, kind: type[Exception] = FileError, *, masks: bool = False) -> str:
        with pytest.raises(kind) as refusal:
            read_source(file, source, masks=masks)
        assert_sentence(refusal.value)
        return str(refusal.value)

    assert "discs/train/0.tif" in refused(Source(folder="discs/train"))
    assert "noisy/unused.tif" in refused(Source(folder="noisy"))
    assert "masks of noisy/a.tif" in refused(Source(folder="noisy", files=("a.tif",)), masks=True)
    assert "elsewhere" in refused(Source(folder="elsewhere", files=("a.tif",)))
    assert "z.tif" in refused(Source(folder="noisy", files=("z.tif",)), SettingsError)


def test_a_file_that_is_no_pack_is_refused(mixed: tuple[Path, Recipe], tmp_path: Path) -> None:
    root, recipe = mixed
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    write_pack(good, root, [recipe])
    content = good.read_bytes()
    index = json.loads(json.dumps({"schema_version": 99}))
    for number, make in enumerate(
        (
            lambda: bad.write_bytes(content[:-50]),
            lambda: bad.write_bytes(b"no such thing"),
            lambda: bad.write_bytes(b""),
            lambda: save_file({"a": torch.zeros(1)}, bad),
            lambda: save_file({"a": torch.zeros(1)}, bad, metadata={"napari_dmu_pack": json.dumps(index)}),
            lambda: save_file({"a": torch.zeros(1)}, bad, metadata={"napari_dmu_pack": '{"images": 3}'}),
            lambda: save_file({"a": torch.zeros(1)}, bad, metadata={"napari_dmu_pack": "[3"}),
        )
    ):
        make()
        with pytest.raises(FileError) as refusal:
            read_source(bad, Source(folder="discs/val"), masks=True)
        assert_sentence(refusal.value), number


def test_a_pack_is_written_whole_or_not_at_all(mixed: tuple[Path, Recipe], tmp_path: Path) -> None:
    def stop() -> None:
        raise Cancelled("Stopped: nothing was written.")

    with pytest.raises(Cancelled):
        write_pack(tmp_path / "p.safetensors", mixed[0], [mixed[1]], check_cancelled=stop)
    with pytest.raises(FileError):
        write_pack(tmp_path / "p.safetensors", tmp_path / "nowhere", [mixed[1]])
    assert not list(tmp_path.glob("*.safetensors"))
