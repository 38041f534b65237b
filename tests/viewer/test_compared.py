"""Cells in the window: their table, what became of them in a comparison, other segmenters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_dmu.errors import SpecimenError
from napari_dmu.evaluation import segmentation_quality
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.measurement import MeasurementInfo
from napari_dmu.viewer.compared import COLOURS, DARK, SYMBOLS, compare_cells, compared_layers
from napari_dmu.viewer.geometry import world_matrix
from napari_dmu.viewer.layers import labels_layer, record_of, specimen_of
from napari_dmu.viewer.record import RunRecord
from napari_dmu.viewer.scene import Scene

WAIT = 120_000  # milliseconds; the machine may be busy
Opener = Callable[[], tuple[Any, Any]]


def _record(layer: Image) -> RunRecord:
    source = specimen_of(layer)
    info = MeasurementInfo(
        acquisition=Acquisition(bin=4, exposures=1, period=4), set_name="nuclei", family="learned", ratio=16,
        set_hash="0", field=source.data.shape[-2:], **source.simulate_options(),
    )  # fmt: skip
    return RunRecord(
        kind="labels", specimen=source.name, specimen_id=source.layer_id, geometry=source.geometry, info=info
    )


def _planes() -> tuple[np.ndarray, np.ndarray]:
    """Labels and truth of two planes: matched, missed and invented cells in the first, nothing found in the second."""
    labels, truth = np.zeros((2, 60, 80), np.int32), np.zeros((2, 60, 80), np.int64)
    labels[0, 5:25, 5:25], truth[0, 6:25, 5:25] = 1, 900  # matched
    labels[0, 5:20, 40:70] = 2  # invented
    truth[0, 30:55, 10:40] = 2**40  # missed
    truth[0, 30:50, 50:70], labels[0, 30:40, 50:60] = 3, 4  # too little: missed and invented
    truth[1, 10:30, 10:30] = 900  # missed
    return labels, truth


def _film() -> Image:
    return Image(
        np.random.default_rng(0).random((2, 60, 80)), name="film", scale=(60, 0.5, 0.5), translate=(5, 1, 2),
        axis_labels=("t", "y", "x"), units=("second", "micrometer", "micrometer"),
    )  # fmt: skip


def test_found_cells_are_counted_plane_by_plane() -> None:
    assert compare_cells(*_planes()).counts == (3, 0)


def test_the_pieces_of_a_mask_are_drawn_as_the_cells_they_count_as() -> None:
    labels, _ = _planes()
    assert compare_cells(labels, labels > 0).numbers == {"matched": 3, "missed": 0, "invented": 0}


def test_cells_are_drawn_as_they_are_scored() -> None:
    labels, truth = _planes()
    cells = compare_cells(labels, truth)
    scores = [segmentation_quality(a, b) for a, b in zip(labels, truth, strict=True)]
    wanted = {kind: sum(getattr(score, kind) for score in scores) for kind in COLOURS}
    assert cells.numbers == wanted == {"matched": 1, "missed": 3, "invented": 2}
    np.testing.assert_array_equal(cells.matched, np.where(labels == 1, 1, 0))
    assert cells.matched_rows["truth"].tolist() == [900]
    assert cells.matched_rows["IoU"].tolist() == [pytest.approx(19 / 20)]
    assert cells.missed_rows["index"].tolist() == [1, 2, 3]  # an id for each, also where two planes share one
    assert cells.missed_rows["truth"].tolist() == [3, 2**40, 900]
    assert cells.missed_rows["area (pixels)"].tolist() == [400, 750, 400]
    np.testing.assert_allclose(cells.centres, [[0, 12, 54.5], [0, 34.5, 54.5]])
    for number, (t, cell) in enumerate([(0, 3), (0, 2**40), (1, 900)], start=1):
        inside, drawn = truth[t] == cell, cells.missed[t] == number
        assert not drawn[~inside].any()
        assert 0.2 < drawn[inside].mean() < 0.8  # hatched: neither a line nor an area
        rows, columns = np.nonzero(inside)
        assert drawn[rows.min(), columns.min() : columns.max() + 1].all()  # within an outline


def test_the_three_kinds_differ_in_form() -> None:
    viewer = ViewerModel()
    viewer.add_layer(_film())
    record = _record(viewer.layers[0])
    scene = Scene(viewer)
    scene.add([labels_layer(_planes()[0], record)])
    cells = compare_cells(viewer.layers[-1].data, _planes()[1])
    matched, missed, invented = scene.add(compared_layers(cells, record))
    assert [layer.name.rsplit(" · ", 1)[1] for layer in (matched, missed, invented)] == [
        "matched cells", "missed cells", "invented cells",
    ]  # fmt: skip
    assert isinstance(matched, Labels)
    assert matched.contour > 0  # an outline
    assert isinstance(missed, Labels)
    assert missed.contour == 0  # a hatching
    assert isinstance(invented, Points)
    assert {str(symbol) for symbol in invented.symbol} == {"x"}
    assert len(set(COLOURS.values())) == len(set(SYMBOLS.values())) == 3
    assert viewer.layers.selection.active.name.endswith("labels")  # whose cells the status bar tells of


@pytest.mark.parametrize(("enlarged", "smallest"), [(1, 0.6 * np.sqrt(25 * 4 / np.pi)), (10, 18.0)])
def test_the_cross_of_a_speck_hides_no_cells_in_a_small_image(enlarged: int, smallest: float) -> None:
    """And is seen in a large one."""
    record = _record(_film())
    labels, truth = (np.kron(stack[0], np.ones((enlarged, enlarged), int)) for stack in _planes())
    labels[:5, -5:] = 5
    _, _, (_, options, _) = compared_layers(compare_cells(labels, truth), record)
    assert min(options["size"]) == pytest.approx(smallest)


def test_they_lie_on_the_specimen_and_keep_its_axes() -> None:
    viewer = ViewerModel()
    film = viewer.add_layer(_film())
    record = _record(film)
    for layer in Scene(viewer).add(compared_layers(compare_cells(*_planes()), record)):
        assert layer.units == film.units
        assert layer.axis_labels == film.axis_labels
        np.testing.assert_array_equal(layer.scale, film.scale)
        np.testing.assert_array_equal(layer.translate, film.translate)
        made = record_of(layer)
        assert made is not None
        assert made.run == record.run
    assert viewer.dims.axis_labels == ("t", "y", "x")
    assert not Scene(viewer).truths()  # they are results, not somebody's true cells


@pytest.mark.parametrize("which", ["nothing found", "nothing there", "neither"])
def test_empty_planes_are_no_error(which: str) -> None:
    labels, truth = _planes()
    labels *= which == "nothing there"
    truth *= which == "nothing found"
    viewer = ViewerModel()
    record = _record(viewer.add_layer(_film()))
    cells = compare_cells(labels, truth)
    for layer in Scene(viewer).add(compared_layers(cells, record)):
        assert layer.ndim == 3
    assert sum(cells.numbers.values()) == {"nothing found": 4, "nothing there": 3, "neither": 0}[which]


def test_labels_of_another_shape_are_refused() -> None:
    labels, truth = _planes()
    with pytest.raises(SpecimenError, match="same field"):
        compare_cells(labels, truth[:, :-1])


# -- the table -------------------------------------------------------------------------------------


def test_row_k_of_the_table_is_label_k_also_in_a_stack() -> None:
    """napari's own table selects by position, its status bar by the column ``index``: both must hit."""
    labels = np.zeros((2, 60, 80), np.int32)
    labels[0, 5:15, 5:15], labels[0, 20:24, 5:15], labels[1, 30:40, 20:60] = 1, 2, 1
    film = _film()
    layer = Layer.create(*labels_layer(labels, _record(film), np.full(labels.shape, 7.0)))
    assert np.unique(layer.data).tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(layer.data > 0, labels > 0)
    table = layer.features
    assert list(table.columns) == [
        *("index", "t", "area (pixels)", "area (µm²)", "mean intensity", "centroid y (µm)", "centroid x (µm)"),
        "eccentricity",
    ]
    assert table["index"].tolist() == [0, 1, 2, 3]
    assert table.iloc[0, 1:].isna().all()
    assert table["t"].tolist()[1:] == [0, 0, 1]
    assert table["area (pixels)"].tolist()[1:] == [100, 40, 400]
    centre = film.data_to_world((1, 34.5, 39.5))
    assert table[["centroid y (µm)", "centroid x (µm)"]].iloc[3].tolist() == pytest.approx(list(centre[-2:]))
    viewer = ViewerModel()
    viewer.add_layer(film)
    viewer.add_layer(layer)
    viewer.dims.set_point(0, 65)  # the second plane
    assert "area (pixels): 400" in layer._get_properties((1, 35, 40))


@pytest.mark.parametrize(
    "options",
    [
        {"scale": (0.5, 0.25), "rotate": 30, "translate": (3, 4)},
        {"shear": [0.2], "affine": [[1, 0, 5], [0, 2, 7], [0, 0, 1]], "scale": (2, 3)},
    ],
)
def test_centroids_lie_where_napari_shows_the_cells(options: dict[str, Any]) -> None:
    labels = np.zeros((30, 40), np.int32)
    labels[5:10, 20:31] = 1
    image = Image(np.zeros((30, 40)), **options)
    record = _record(image)
    table = Layer.create(*labels_layer(labels, record)).features
    world = image.data_to_world((7, 25))
    assert [table[f"centroid {axis} (world)"][1] for axis in "yx"] == pytest.approx(list(world))
    linear = world_matrix(record.geometry)[:2, :2]
    assert table["area (world²)"][1] == pytest.approx(55 * abs(np.linalg.det(linear)))


def test_no_cells_give_the_background_alone() -> None:
    image = Image(np.zeros((20, 30)))
    layer = Layer.create(*labels_layer(np.zeros((20, 30), np.int32), _record(image)))
    assert layer.features["index"].tolist() == [0]


# -- in a real window ------------------------------------------------------------------------------


def _press(qtbot: Any, panel: Any, name: str) -> str:
    button = panel.run_all if name == "run_all" else panel.buttons[name]
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel._links.job is None, timeout=WAIT)
    return str(panel.status.text())


def _of(viewer: Any, kind: str) -> Any:
    (layer,) = [layer for layer in viewer.layers if record_of(layer, kind) is not None]
    return layer


@pytest.mark.qt
def test_the_cells_of_a_real_image(qtbot: Any, panel_in: Opener, shared_data: Path) -> None:
    image = sorted((shared_data / "nuclei_bbbc039" / "val" / "images").glob("*.tif"))[1]
    masks = tifffile.imread(image.parent.parent / "masks" / image.name).astype(np.int32)
    viewer, panel = panel_in()
    viewer.add_image(tifffile.imread(image), name="real", scale=(0.65, 0.65), units=("um", "um"))
    viewer.add_labels(masks, name="real_masks", scale=(0.65, 0.65), units=("um", "um"), visible=False)
    assert panel.cells.isHidden()
    _press(qtbot, panel, "run_all")
    labels, table = _of(viewer, "labels"), _of(viewer, "labels").features
    assert len(table) == labels.data.max() + 1
    assert panel.cells.count.text() == f"Found {labels.data.max()} cells."
    assert table["mean intensity"].iloc[1:].gt(0).all()
    kinds = {kind: _of(viewer, kind) for kind in COLOURS}
    numbers = {kind: len(layer.features) for kind, layer in kinds.items()}
    for kind, entry in panel.cells.entries.items():
        assert SYMBOLS[kind] in entry.text()
        assert f"{numbers[kind]}&nbsp;{kind}" in entry.text()
    rows = {panel.metrics.verticalHeaderItem(i).text(): panel.metrics.item(i, 0).text() for i in range(11)}
    share = numbers["matched"] / sum(numbers.values())
    assert float(rows["AP50"]) == pytest.approx(share, abs=6e-4)
    there = len(np.unique(masks)) - 1
    assert float(rows["Recall"]) == pytest.approx(numbers["matched"] / there, abs=6e-4)
    assert int(rows["Count error"]) == labels.data.max() - there
    assert {"Precision", "F1", "AP 0.5–0.95", "Mean Dice"} < set(rows)
    # Beside each other the labels, on one another the comparison.
    assert panel.side_by_side.isChecked()
    assert not any(layer.visible for layer in kinds.values())
    assert "Untick" in panel.status.text()
    panel.side_by_side.setChecked(False)
    assert "Untick" not in panel.status.text()
    assert panel.status.text().startswith("✓ Measured")
    assert all(layer.visible for layer in kinds.values())
    assert not labels.visible
    panel.side_by_side.setChecked(True)
    assert labels.visible
    _press(qtbot, panel, "compare")  # asked for alone: seen at once
    assert not panel.side_by_side.isChecked()
    newest = [layer for layer in viewer.layers if record_of(layer, "missed") is not None]
    assert [layer.visible for layer in newest] == [False, True]


@pytest.mark.qt
def test_a_stack_of_thirty_frames(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    film = np.stack([np.roll(cells, 3 * frame, axis=1) for frame in range(30)])
    viewer.add_image(film, name="film", axis_labels=("t", "y", "x"))
    truth = (film > 1200).astype(np.int32)
    viewer.add_labels(truth, name="film_truth", axis_labels=("t", "y", "x"), visible=False)
    assert panel.truth.currentText() == "film_truth"
    assert _press(qtbot, panel, "run_all").startswith("✓")
    labels = _of(viewer, "labels")
    table = labels.features.iloc[1:]
    assert len(table) == labels.data.max()
    for frame in (0, 17, 29):
        assert sorted(table["index"][table["t"] == frame]) == np.unique(labels.data[frame])[1:].tolist()
    assert f"Found {len(table)} cell" in panel.cells.count.text()
    assert "in 30 planes" in panel.cells.count.text()
    for kind in COLOURS:
        assert _of(viewer, kind).axis_labels == ("t", "y", "x")
    assert viewer.dims.axis_labels == ("pattern", "t", "y", "x")


@pytest.mark.qt
def test_an_image_without_cells(qtbot: Any, panel_in: Opener) -> None:
    viewer, panel = panel_in()
    viewer.add_image(np.full((96, 96), 100, np.uint16), name="empty")
    viewer.add_labels(np.zeros((96, 96), np.int32), name="empty_truth")
    assert _press(qtbot, panel, "run_all").startswith("✓")
    assert not _of(viewer, "labels").data.any()
    assert panel.cells.count.text() == "Found 0 cells."
    assert "0&nbsp;missed" in panel.cells.entries["missed"].text()
    for entry in panel.cells.entries.values():
        assert f"background-color:{DARK}" in entry.text()  # yellow is not seen on a light theme's grey


@pytest.mark.qt
def test_true_cells_may_be_a_pyramid(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="cells")
    _press(qtbot, panel, "measure")
    _press(qtbot, panel, "reconstruct")
    _press(qtbot, panel, "segment")
    truth = np.asarray(_of(viewer, "labels").data)
    viewer.add_labels([truth, truth[::2, ::2]], multiscale=True, name="cells_pyramid")
    panel.truth.choose(panel.truth.itemData(1))
    assert _press(qtbot, panel, "compare").startswith("✓")
    assert "0&nbsp;missed" in panel.cells.entries["missed"].text()


@pytest.mark.qt
def test_true_cells_of_another_shape_give_one_sentence(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    viewer.add_image(cells, name="cells")
    _press(qtbot, panel, "run_all")
    viewer.add_labels(np.ones((50, 50), np.int32), name="elsewhere")
    panel.truth.choose(panel.truth.itemData(1))
    before = len(viewer.layers)
    notification_manager.records.clear()
    status = _press(qtbot, panel, "compare")
    assert "compare images of the same field" in status
    assert len(notification_manager.records) == 1
    assert len(viewer.layers) == before


@pytest.mark.qt
def test_another_segmenter_can_be_chosen(qtbot: Any, panel_in: Opener, cells: np.ndarray) -> None:
    viewer, panel = panel_in()
    choice = panel.settings.segmenter
    assert choice.key() == "pattern set"
    assert choice.choose("otsu-watershed")
    assert choice.findData("cellpose") < 0  # it is not installed here
    viewer.add_image(cells, name="cells")
    assert _press(qtbot, panel, "measure").startswith("✓")
    assert _press(qtbot, panel, "segment").startswith("✓")
    record = record_of(_of(viewer, "labels"))
    assert record is not None
    assert record.settings == {"segmenter": "otsu-watershed"}
