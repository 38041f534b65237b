"""Reader, writer, samples and manifest: what napari calls."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest

from napari_dmu.engine.verbs import load, simulate
from napari_dmu.errors import FileError
from napari_dmu.files import write_image
from napari_dmu.files.measurement import read_measurement, write_measurement
from napari_dmu.viewer.geometry import geometry_from_info
from napari_dmu.viewer.layers import measurement_layer, measurement_of
from napari_dmu.viewer.reader import get_reader, is_measurement, read_layer
from napari_dmu.viewer.record import RunRecord
from napari_dmu.viewer.samples import SAMPLES, open_sample
from napari_dmu.viewer.writer import write_layer

SOURCE = Path(__file__).resolve().parents[2] / "src" / "napari_dmu"


@pytest.fixture
def measured(tmp_path: Path, cells: np.ndarray, ratio: float) -> Path:
    """A measurement file of a time series."""
    measurement = simulate(
        np.stack([cells, cells[::-1]]), load("nuclei", ratio=ratio), axes=("t", "y", "x"), scale=(30, 0.5, 0.5),
        units=("second", "micrometer", "micrometer"), translate=(0, 7, 8),
    )  # fmt: skip
    path = tmp_path / "cells.dmu.ome.tif"
    write_measurement(path, measurement)
    return path


def test_a_measurement_survives_reader_and_writer(measured: Path, tmp_path: Path) -> None:
    reader = get_reader(str(measured))
    assert reader is not None
    (data,) = reader(str(measured))
    layer = Layer.create(*data)
    assert layer.name == "cells"
    assert layer.axis_labels == ("pattern", "t", "y", "x")
    assert [str(u) for u in layer.units] == ["pixel", "second", "micrometer", "micrometer"]
    written = write_layer(str(tmp_path / "again.dmu.ome.tif"), *layer.as_layer_data_tuple()[:2])
    again = measurement_of(Layer.create(*read_layer(written[0])))
    first = measurement_of(layer)
    assert again.info == first.info
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(first.data))


def test_an_ome_zarr_measurement_is_read(measured: Path, tmp_path: Path, cells: np.ndarray) -> None:
    path = tmp_path / "cells.dmu.ome.zarr"
    write_measurement(path, read_measurement(measured))
    reader = get_reader(str(path))
    assert reader is not None
    layer, same = (Layer.create(*read_layer(p)) for p in (path, measured))
    assert layer.name == "cells"
    assert measurement_of(layer).info == measurement_of(same).info
    np.testing.assert_array_equal(layer.scale, same.scale)
    np.testing.assert_array_equal(np.asarray(layer.data), np.asarray(same.data))
    image, other = tmp_path / "image.ome.zarr", tmp_path / "folder.zarr"
    write_image(image, cells, axes=("y", "x"), scale=(1.0, 1.0), units=("pixel", "pixel"))
    other.mkdir()
    (other / "zarr.json").write_text("[]")
    for folder in (image, other, tmp_path):
        assert get_reader(str(folder)) is None


def test_a_unit_that_nobody_knows_is_left_out(tmp_path: Path, cells: np.ndarray, ratio: float) -> None:
    path = tmp_path / "m.dmu.ome.tif"
    odd = ("nonsense", "frame 1 (", "micrometer", "µm")
    stack = cells[None, None]
    write_measurement(path, simulate(stack, load("nuclei", ratio=ratio), axes=("q", "t", "y", "x"), units=odd))
    layer = Layer.create(*read_layer(path))
    assert [str(unit) for unit in layer.units] == ["pixel", "pixel", "pixel", "micrometer", "micrometer"]
    assert measurement_of(layer).info.units == odd


def test_the_reader_leaves_other_files_alone(tmp_path: Path, cells: np.ndarray) -> None:
    plain, empty, text = tmp_path / "plain.tif", tmp_path / "empty.tif", tmp_path / "notes.txt"
    tifffile.imwrite(plain, cells)
    empty.touch()
    text.write_text("napari-dmu measurement")
    for path in (plain, empty, text, tmp_path / "missing.tif"):
        assert get_reader(str(path)) is None
        assert not is_measurement(path)
    assert get_reader([]) is None


def test_the_writer_refuses_other_layers(tmp_path: Path, cells: np.ndarray) -> None:
    with pytest.raises(FileError, match="no compressed measurement"):
        write_layer(str(tmp_path / "x.dmu.ome.tif"), cells, {"name": "cells"})


def test_saving_says_what_is_lost(tmp_path: Path, cells: np.ndarray, ratio: float) -> None:
    measurement = simulate(cells, load("nuclei", ratio=ratio))
    geometry = geometry_from_info(measurement.info)
    for turned, said in ((geometry, 0), (geometry.model_copy(update={"rotate": ((0.0, 1.0), (-1.0, 0.0))}), 1)):
        record = RunRecord(kind="measurement", specimen="cells", geometry=turned, info=measurement.info)
        notification_manager.records.clear()
        write_layer(str(tmp_path / "m.dmu.ome.tif"), *measurement_layer(measurement, record)[:2])
        assert len(notification_manager.records) == said
    assert "rotation, shear and affine transform of 'cells" in notification_manager.records[0].message


def test_a_dropped_tiff_opens_without_a_question(tmp_path: Path, cells: np.ndarray) -> None:
    """A second reader of *.tif would make napari ask at each of them."""
    from napari.plugins import _npe2

    for name in ("a.tif", "a.tiff", "a.ome.tif"):
        assert "napari-dmu" not in _npe2.get_readers(str(tmp_path / name))
    assert "napari-dmu" in _npe2.get_readers(str(tmp_path / "a.dmu.ome.tif"))


@pytest.fixture
def run(tmp_path: Path, ratio: float) -> Path:
    """A camera run of even frames."""
    exposures = load("nuclei", ratio=ratio).acquisition.exposures
    tifffile.imwrite(tmp_path / "frames.tif", np.full((exposures, 4, 4), 501, "u2"), photometric="minisblack")
    settings = {
        "frames": "frames.tif", "set": "nuclei", "ratio": ratio, "gain": 1.0, "offset": 100, "photons": 500,
        "read_noise": 2.0,
    }  # fmt: skip
    (tmp_path / "cell_run.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return tmp_path / "cell_run.yaml"


def test_a_dropped_camera_run_opens_and_other_yaml_files_do_not(run: Path, tmp_path: Path) -> None:
    from napari.plugins import _npe2

    assert list(_npe2.get_readers(str(run))) == ["napari-dmu"]
    viewer = ViewerModel()
    (layer,) = viewer.open(str(run), plugin="napari-dmu")
    assert layer.name == "cell_run"
    assert measurement_of(layer).info.camera
    (tmp_path / "other.yaml").write_text(run.read_text(encoding="utf-8"), encoding="utf-8")
    assert not _npe2.get_readers(str(tmp_path / "other.yaml"))
    assert is_measurement(tmp_path / "other.yaml")  # Open… in the panel takes it
    for text in ("set: nuclei\nratio: 64\ninputs: a/*.tif\n", "- a\n", "a: [", "", "a: \xff"):
        (tmp_path / "run.yaml").write_text(text, encoding="latin-1")
        assert get_reader(str(tmp_path / "run.yaml")) is None


def test_a_dropped_folder_opens_without_a_question(tmp_path: Path) -> None:
    """A second reader of folders would make napari ask at each of them, whatever its name."""
    from napari.plugins import _npe2

    assert list(_npe2.get_readers(str(tmp_path))) == ["napari"]


def test_own_files_are_opened_by_the_own_reader(measured: Path) -> None:
    viewer = ViewerModel()
    (layer,) = viewer.open(str(measured), plugin="napari-dmu")
    assert layer.data.shape[0] == measurement_of(layer).info.acquisition.exposures


def test_the_manifest_is_valid_and_every_command_exists() -> None:
    manifest = PluginManifest.from_file(SOURCE / "napari.yaml")
    manifest.validate_imports()
    (widget,) = manifest.contributions.widgets or []
    assert widget.display_name == "Compressive microscope"
    assert {sample.key for sample in manifest.contributions.sample_data or []} == set(SAMPLES)
    titles = {sample.key: sample.display_name for sample in manifest.contributions.sample_data or []}
    assert titles == SAMPLES
    assert set(manifest.contributions.configurations) == {"computing", "library"}


@pytest.mark.parametrize("key", SAMPLES)
def test_samples_open_with_units_and_truth(key: str) -> None:
    layers = [Layer.create(*data) for data in open_sample(key)]
    image = layers[0]
    assert isinstance(image, Image)
    assert [str(u) for u in image.units][-2:] == ["micrometer", "micrometer"]
    assert image.axis_labels[-2:] == ("y", "x")
    if key.startswith("nuclei"):
        truth = layers[1]
        assert isinstance(truth, Labels)
        assert truth.data.shape == image.data.shape
        assert not truth.visible
        assert truth.data.max() > 5
        np.testing.assert_array_equal(truth.scale, image.scale)


def test_the_menu_opens_a_sample() -> None:
    viewer = ViewerModel()
    viewer.open_sample("napari-dmu", "nuclei_time_series")
    assert viewer.layers[0].axis_labels == ("t", "y", "x")
    assert "napari-dmu" in dict(PluginManager.instance().iter_sample_data())


def test_preferences_have_their_defaults() -> None:
    from napari.settings import _clear_plugin_settings_cache

    from napari_dmu.engine.tiles import USUAL_MEMORY
    from napari_dmu.viewer.settings import Preferences, plugin_settings, preferences

    _clear_plugin_settings_cache()
    assert preferences() == Preferences()
    found = plugin_settings()
    found.computing.device = "cpu"
    try:
        assert preferences().device == "cpu"
        with pytest.raises(ValueError, match="allowed"):
            found.computing.device = "abacus"
        found.computing.tile_memory = 300
        assert preferences().tile_memory == 300
        with pytest.raises(ValueError, match="greater"):
            found.computing.tile_memory = 0
    finally:
        found.computing.device = "auto"
        found.computing.tile_memory = USUAL_MEMORY


def test_an_image_whose_name_says_measurement_is_none(tmp_path: Path, cells: np.ndarray) -> None:
    path = tmp_path / "my measurement.ome.tif"
    write_image(path, cells, axes=("y", "x"), scale=(1.0, 1.0), units=("pixel", "pixel"))
    assert b"napari-dmu" in path.read_bytes()
    assert not is_measurement(path)
