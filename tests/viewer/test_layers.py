"""What crosses the border between layers and arrays, on viewer models without a window."""

from typing import Any

import dask.array as da
import numpy as np
import pytest
from dask import delayed
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_dmu.engine.stacks import as_stack, plane
from napari_dmu.errors import PatternSetError, SpecimenError
from napari_dmu.files.pictures import luminance_of
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.measurement import Measurement, MeasurementInfo
from napari_dmu.viewer.layers import (
    labels_layer,
    measurement_layer,
    measurement_of,
    reconstruction_layer,
    record_of,
    specimen_of,
)
from napari_dmu.viewer.record import KEY, RunRecord, read_record

D, T = 16, 4


def _measured(layer: Any, *, lazy: bool = False) -> tuple[Measurement, RunRecord]:
    """A measurement of a layer as ``simulate`` describes it, with made-up counts."""
    source = specimen_of(layer)
    field = tuple(source.data.shape[-2:])
    acquisition = Acquisition(bin=D, exposures=T, period=D)
    shape = (*source.data.shape[:-2], T, *acquisition.bins(field))
    counts = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    info = MeasurementInfo(
        acquisition=acquisition, set_name="nuclei", family="learned", ratio=D * D / T, set_hash="0", field=field,
        **source.simulate_options(),
    )  # fmt: skip
    record = RunRecord(
        kind="measurement", specimen=source.name, specimen_id=source.layer_id, geometry=source.geometry,
        look=source.look, info=info,
    )  # fmt: skip
    return Measurement(da.from_array(counts) if lazy else counts, info), record


def _results(layer: Any) -> tuple[Layer, Layer, Layer]:
    measurement, record = _measured(layer)
    shape = (*measurement.data.shape[:-3], *measurement.info.field)
    image = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    labels = np.zeros(shape, np.int32)
    labels[..., :10, :10] = 1
    return (
        Layer.create(*measurement_layer(measurement, record)),
        Layer.create(*reconstruction_layer(image, record)),
        Layer.create(*labels_layer(labels, record)),
    )


def _specimens() -> dict[str, Image]:
    micro = {"units": ("micrometer", "micrometer")}
    rng = np.random.default_rng(0)
    return {
        "plain": Image(rng.random((64, 96)), name="plain"),
        "calibrated": Image(
            rng.random((64, 96)), scale=(0.65, 0.5), translate=(10, -5), axis_labels=("y", "x"), **micro
        ),
        "time": Image(
            rng.integers(0, 4095, (3, 64, 96), dtype=np.uint16), scale=(60, 0.65, 0.65), translate=(5, 1, 2),
            axis_labels=("t", "y", "x"), units=("second", "micrometer", "micrometer"),
        ),
        "five": Image(rng.random((2, 1, 3, 32, 48)), axis_labels=("t", "c", "z", "y", "x"), scale=(1, 1, 2, 0.5, 0.5)),
        "dask": Image(da.random.random((3, 64, 96), chunks=(1, 64, 96))),
        "pyramid": Image([rng.random((64, 96)), rng.random((32, 48))], multiscale=True),
        "rotated": Image(rng.random((64, 96)), scale=(0.5, 0.5), rotate=30, translate=(3, 4)),
        "sheared": Image(rng.random((64, 96)), shear=[0.2], affine=[[1, 0, 5], [0, 2, 7], [0, 0, 1]]),
    }  # fmt: skip


SPECIMENS = tuple(_specimens())


@pytest.mark.parametrize("name", SPECIMENS)
def test_results_lie_exactly_on_the_specimen(name: str) -> None:
    """Corners of the field and centres of detector pixels agree in the world."""
    specimen = _specimens()[name]
    measurement, image, labels = _results(specimen)
    ndim = specimen.ndim
    corners = np.zeros((4, ndim))
    corners[:, -2:] = [(-0.5, -0.5), (-0.5, 95.5), (63.5, -0.5), (63.5, 95.5)]
    for corner in corners:
        world = specimen.data_to_world(corner)
        for other in (image, labels):
            np.testing.assert_allclose(other.data_to_world(corner), world)
        inside = np.concatenate([[0.0], corner])
        inside[-2:] = (corner[-2:] + 0.5) / D - 0.5  # the same corner counted in detector pixels
        np.testing.assert_allclose(measurement.data_to_world(inside)[1:], world)


def test_world_extents_agree() -> None:
    specimen = _specimens()["calibrated"]
    for other in _results(specimen):
        half = np.asarray(other.scale[-2:]) / 2  # extents run from centre to centre
        own = np.asarray(specimen.scale) / 2
        edges = other.extent.world[:, -2:] + np.array([[-1], [1]]) * half
        np.testing.assert_allclose(edges, specimen.extent.world + np.array([[-1], [1]]) * own)


@pytest.mark.parametrize("name", ["plain", "calibrated", "time", "five", "dask", "pyramid"])
def test_geometry_is_that_of_the_measurement(name: str) -> None:
    """The layer says what ``Measurement`` says, with the pattern axis moved to the front."""
    specimen = _specimens()[name]
    measurement, record = _measured(specimen)
    layer = Layer.create(*measurement_layer(measurement, record))

    def first(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return (values[-3], *values[:-3], *values[-2:])

    np.testing.assert_allclose(layer.scale, first(measurement.scale))
    np.testing.assert_allclose(layer.translate, first(measurement.translate))
    assert tuple(str(u) for u in layer.units) == first(measurement.units)
    assert layer.axis_labels[0] == "pattern"
    assert layer.axis_labels[-2:] == ("y", "x")
    assert layer.data.shape == first(measurement.data.shape)


@pytest.mark.parametrize("name", SPECIMENS)
def test_units_axis_labels_and_scale_are_copied(name: str) -> None:
    specimen = _specimens()[name]
    _, image, labels = _results(specimen)
    for other in (image, labels):
        assert other.units == specimen.units
        assert other.axis_labels == specimen.axis_labels
        np.testing.assert_array_equal(other.scale, specimen.scale)
        np.testing.assert_array_equal(other.translate, specimen.translate)


def test_time_keeps_its_slider_and_units_stay_on() -> None:
    """With all layers in one viewer the world has the specimen's axes and the pattern's, in real units."""
    viewer = ViewerModel()
    specimen = viewer.add_layer(_specimens()["time"])
    for layer in _results(specimen):
        viewer.add_layer(layer)
    assert viewer.dims.ndim == 4
    assert viewer.dims.axis_labels == ("pattern", "t", "y", "x")
    assert [str(u) for u in viewer.layers.units] == ["pixel", "second", "micrometer", "micrometer"]
    assert viewer.dims.nsteps[:2] == (T, 3)


def test_layers_of_every_kind() -> None:
    specimen = Image(
        np.random.default_rng(0).random((64, 96)), name="cells", colormap="magenta", contrast_limits=(0, 2)
    )
    measurement, image, labels = _results(specimen)
    assert measurement.name == "cells · ×64 nuclei · measurement"
    assert image.name == "cells · ×64 nuclei · reconstruction"
    assert labels.name == "cells · ×64 nuclei · labels"
    assert not measurement.rgb
    assert not image.rgb
    assert image.contrast_limits == [0, 2]
    assert image.colormap.name == "magenta"
    assert isinstance(labels, Labels)
    assert labels.data.dtype.kind == "i"
    assert labels.features["area (pixels)"].tolist()[1] == 100


def test_names_are_unique() -> None:
    viewer = ViewerModel()
    specimen = _specimens()["plain"]
    names = [viewer.add_layer(layer).name for _ in range(2) for layer in _results(specimen)]
    assert len(set(names)) == 6


@pytest.mark.parametrize("lazy", [False, True])
def test_measurement_comes_back_out_of_its_layer(lazy: bool) -> None:
    measurement, record = _measured(_specimens()["time"], lazy=lazy)
    layer = Layer.create(*measurement_layer(measurement, record))
    again = measurement_of(layer)
    assert again.info == measurement.info
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(measurement.data))


def test_a_measurement_that_was_cut_is_refused() -> None:
    measurement, _, _ = _results(_specimens()["plain"])
    measurement.data = measurement.data[:2]
    with pytest.raises(PatternSetError, match="measure again"):
        measurement_of(measurement)
    with pytest.raises(PatternSetError, match="no compressed measurement"):
        measurement_of(_specimens()["plain"])


def test_the_record_is_plain_and_complete() -> None:
    measurement, _, _ = _results(_specimens()["time"])
    raw = measurement.metadata[KEY]
    assert raw["schema_version"] == 1
    assert set(raw["versions"]) >= {"napari-dmu", "python", "numpy", "napari"}
    assert raw["info"]["set_hash"] == "0"
    record = record_of(measurement, "measurement")
    assert record is not None
    assert record.as_metadata()[KEY] == raw
    assert record_of(measurement, "labels") is None
    assert read_record({KEY: {**raw, "schema_version": 99}}) is None
    assert read_record({KEY: "nonsense"}) is None


def test_colour_is_refused_or_made_luminance() -> None:
    colour = Image(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8), rgb=True, name="stain")
    with pytest.raises(SpecimenError, match="colour"):
        specimen_of(colour)
    grey = specimen_of(colour, luminance=True).data
    assert grey.shape == (40, 50)
    np.testing.assert_array_equal(np.asarray(grey), luminance_of(colour.data))


def test_luminance_is_worked_out_plane_by_plane() -> None:
    """Pressing a button must not add up the colours of a whole stack in the window's thread."""
    looked_at = []

    def block(index: Any) -> np.ndarray:
        looked_at.append(index)
        return np.full((1, 40, 50, 3), index, np.uint8)

    planes = [da.from_delayed(delayed(block)(i), (1, 40, 50, 3), np.uint8) for i in range(4)]
    specimen = specimen_of(Image(da.concatenate(planes), rgb=True, contrast_limits=(0, 255)), luminance=True)
    looked_at.clear()
    assert (specimen.data.shape, specimen.data.dtype, specimen.data.ndim) == ((4, 40, 50), np.uint8, 3)
    assert looked_at == []
    np.testing.assert_array_equal(plane(as_stack(specimen.data), 2), np.full((40, 50), 2))
    assert looked_at == [2]


@pytest.mark.parametrize(
    ("labels", "axes"),
    [
        (("-3", "-2", "-1"), ("axis 0", "y", "x")),
        (("T", "Y", "X"), ("t", "y", "x")),
        (("time", "row", "col"), ("time", "y", "x")),
        (("x", "z", "y"), ("axis 0", "y", "x")),
    ],
)
def test_axes_have_names_that_files_can_hold(labels: tuple[str, ...], axes: tuple[str, ...]) -> None:
    layer = Image(np.random.default_rng(0).random((2, 32, 32)), axis_labels=labels)
    assert specimen_of(layer).axes == axes
