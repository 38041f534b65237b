"""Which layers belong together, and how they are shown; on viewer models without a window."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Layer
from support import assert_sentence, discs, make_set

from napari_dmu.engine import decoding
from napari_dmu.engine.progress import CancelToken
from napari_dmu.engine.tiles import plan
from napari_dmu.engine.verbs import compare, load, simulate
from napari_dmu.errors import SpecimenError
from napari_dmu.files import write_measurement
from napari_dmu.viewer.finding import key_of
from napari_dmu.viewer.grid import AUTOMATIC
from napari_dmu.viewer.layers import looks_like_mask, measurement_of, record_of
from napari_dmu.viewer.reader import read_layer
from napari_dmu.viewer.scene import Scene
from napari_dmu.viewer.steps import Choices, Step, Work, run_steps

ALL: tuple[Step, ...] = ("measure", "reconstruct", "segment", "compare")
WHERE: dict[str, Any] = {"measurement": "", "luminance": False}


@pytest.fixture(autouse=True)
def _sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(tmp_path / "discs.dmu.safetensors")
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path))


CHOICES = Choices(name="discs", ratio=4, family="raster", device="cpu")


def add_pair(viewer: ViewerModel, name: str, seed: int) -> tuple[str, str]:
    """Keys of an image and of its true cells."""
    image, labels = discs((64, 80), seed=seed)
    first = viewer.add_image(np.rint(3000 * image).astype(np.uint16), name=name)
    return key_of(first), key_of(viewer.add_labels(labels, name=f"{name} mask"))


def run(viewer: ViewerModel, scene: Scene, specimen: str, truth: str) -> None:
    work = scene.work(CHOICES, specimen=specimen, truth=truth, **WHERE)
    scene.add(run_steps(ALL, work, lambda *_: None, CancelToken()).made)


def compared(scene: Scene, specimen: str, truth: str) -> Work:
    """What the newest measurement is compared with."""
    return scene.comparison(CHOICES, measurement=scene.measurements()[0][0], specimen=specimen, truth=truth)


def test_cells_are_compared_with_those_of_the_specimen_that_was_measured() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "one", 1)
    run(viewer, scene, specimen, truth)
    other, wrong = add_pair(viewer, "two", 2)
    work = compared(scene, other, wrong)
    np.testing.assert_array_equal(work.truth_labels, viewer.layers["one mask"].data)
    assert work.specimen is not None
    assert work.specimen.name == "one"
    chosen = compared(scene, specimen, "")
    assert chosen.truth_labels is None  # a choice of none stays


def test_a_measurement_from_a_file_is_scored_with_its_own_range(tmp_path: Path) -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, _ = add_pair(viewer, "one", 1)
    data = viewer.layers["one"].data
    measured = simulate(data, load("discs", ratio=4, family="raster"), intensity_range=(0, 20000))
    write_measurement(tmp_path / "m.ome.tif", measured)
    opened = viewer.add_layer(Layer.create(*read_layer(tmp_path / "m.ome.tif")))
    work = scene.work(CHOICES, specimen="", truth="", measurement=key_of(opened), luminance=False)
    scene.add(run_steps(("reconstruct",), work, lambda *_: None, CancelToken()).made)
    work = scene.comparison(CHOICES, specimen=specimen, truth="", measurement=key_of(opened))
    found = run_steps(("compare",), work, lambda *_: None, CancelToken()).comparison
    assert found is not None
    assert found.psnr == compare(work.image, data, intensity_range=(0, 20000)).psnr
    assert found.psnr != compare(work.image, data).psnr


def test_true_cells_that_do_not_fit_are_refused_before_anything_is_done() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, _ = add_pair(viewer, "one", 1)
    wrong = key_of(viewer.add_labels(np.ones((50, 80), int), name="elsewhere"))
    with pytest.raises(SpecimenError, match="'elsewhere' has shape") as refusal:
        scene.work(CHOICES, specimen=specimen, truth=wrong, **WHERE)
    assert_sentence(refusal.value)


def test_tiles_take_the_memory_that_the_user_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = []

    def watched(*arguments: Any, **options: Any) -> Any:
        tiles.append(len(plan((4096, 4096), *arguments[1:], **options)))
        return plan(*arguments, **options)

    monkeypatch.setattr(decoding, "plan", watched)
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, _ = add_pair(viewer, "nuclei", 0)
    for memory in (10_000, 50):
        choices = CHOICES.model_copy(update={"tile_memory": memory})
        work = scene.work(choices, specimen=specimen, truth="", **WHERE)
        run_steps(("measure", "reconstruct"), work, lambda *_: None, CancelToken())
    assert tiles[0] == 1
    assert tiles[1] > 1


def test_a_mask_that_opened_as_an_image_can_be_the_truth() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    image, labels = discs((64, 80), seed=1)
    specimen = key_of(viewer.add_image(np.rint(3000 * image).astype(np.uint16), name="one"))
    truth = key_of(viewer.add_image(labels.astype(np.uint16), name="one [1]"))
    viewer.add_image(image, name="fractions")  # no masks, and neither is a grey image
    viewer.add_image(np.zeros((64, 80, 3), np.uint8), name="colours")
    viewer.add_labels(labels, name="drawn")
    assert [title for _, title in scene.truths(specimen)] == ["drawn", "one [1] (image)"]
    run(viewer, scene, specimen, truth)
    assert not viewer.layers["one [1]"].visible  # it would cover the picture that was compared
    assert viewer.layers["one"].visible
    assert viewer.layers["fractions"].visible
    work = compared(scene, specimen, truth)
    done = run_steps(("compare",), work, lambda *_: None, CancelToken())
    assert done.comparison is not None
    assert done.comparison.truth_count == labels.max()
    assert (done.comparison.f1 or 0) > 0.5
    with pytest.raises(SpecimenError, match="the specimen itself") as raised:
        scene.work(CHOICES, specimen=specimen, truth=specimen, **WHERE)
    assert_sentence(str(raised.value))


def test_the_measurement_is_not_seen_under_its_reconstruction() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, _ = add_pair(viewer, "one", 1)
    work = scene.work(CHOICES, specimen=specimen, truth="", **WHERE)
    measurement, image = scene.add(run_steps(("measure", "reconstruct"), work, lambda *_: None, CancelToken()).made)
    scene.arrange(side_by_side=False, specimen=specimen)
    assert (measurement.visible, image.visible) == (False, True)
    scene.arrange(side_by_side=True, specimen=specimen)
    assert measurement.visible
    image.visible = False
    scene.arrange(side_by_side=False, specimen=specimen)
    assert measurement.visible


@pytest.mark.parametrize(
    ("values", "mask"),
    [
        (np.zeros((40, 50), np.uint8), True),
        (np.zeros((40, 50), bool), True),
        (np.pad(discs((40, 50))[1].astype(np.uint16)[None].repeat(3, 0), ((4, 0), (0, 0), (0, 0))), True),
        (np.random.default_rng(0).poisson(3.0, (40, 50)).astype(np.uint8), False),
        (discs((40, 50))[0], False),
    ],
)
def test_masks_are_told_from_images(values: np.ndarray, mask: bool) -> None:
    assert looks_like_mask(Image(values)) == mask


def test_names_that_the_user_shows_stay() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, _ = add_pair(viewer, "one", 1)
    own, other = viewer.layers
    own.name_overlay.visible, own.name_overlay.font_size = True, 20
    for side_by_side in (False, True, False):
        scene.arrange(side_by_side=side_by_side, specimen=specimen)
        assert (own.name_overlay.visible, own.name_overlay.font_size) == (True, 20)
        assert other.name_overlay.visible == side_by_side
        assert (other.name_overlay.position == "top_right") == side_by_side  # where a long name loses its start


def test_the_grid_is_switched_on_when_all_that_it_shows_is_set() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "one", 1)
    run(viewer, scene, specimen, truth)
    scene.arrange(side_by_side=False, specimen=specimen)
    grid, seen = viewer.canvas.grid, []

    def look(*_: Any) -> None:
        shown = [layer for layer in viewer.layers if layer.visible]
        seen.append((tuple(grid.shape), [x.name_overlay.visible for x in shown], len(shown)))

    grid.events.enabled.connect(look)
    scene.arrange(side_by_side=True, specimen=specimen)
    assert seen == [(tuple(grid.shape), [True] * seen[0][2], sum(x.visible for x in viewer.layers))]
    viewer.layers[0].visible = False
    assert all(layer.name_overlay.visible for layer in viewer.layers)  # those too that are hidden now


def test_names_columns_and_the_stride_are_put_back() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, _ = add_pair(viewer, "one", 1)
    for put_back in (scene.release, lambda: scene.arrange(side_by_side=False, specimen=specimen)):
        viewer.canvas.grid.stride = -2
        scene.arrange(side_by_side=True, specimen=specimen)
        assert viewer.canvas.grid.stride == 1
        scene.arrange(side_by_side=True, specimen=specimen)
        put_back()
        assert viewer.canvas.grid.stride == -2
        assert tuple(viewer.canvas.grid.shape) == AUTOMATIC  # as the user's they would stay for ever
        assert not any(layer.name_overlay.visible for layer in viewer.layers)


def test_names_of_results_end_with_what_they_are() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "experiment_2024-05-01_well_A01_field_03", 1)
    run(viewer, scene, specimen, truth)
    names = [layer.name for layer in viewer.layers if record_of(layer, "reconstruction")]
    assert names == ["experiment…1_field_03 · ×4 discs raster · reconstruction"]
    assert scene.measurements()[0][1] == "×4 discs raster · experiment_2024-05-01_well_A01_field_03"


def test_gray_values_are_shown_as_the_specimens_are() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "one", 1)
    scene.layer(specimen).gamma = 0.5
    run(viewer, scene, specimen, truth)
    (image,) = [layer for layer in viewer.layers if record_of(layer, "reconstruction")]
    assert image.gamma == 0.5


@pytest.mark.parametrize("name", ["m.ome.tif", "m.ome.zarr"])
def test_a_measurement_that_was_opened_as_an_image_is_no_specimen(tmp_path: Path, name: str) -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "one", 1)
    run(viewer, scene, specimen, truth)
    measured = next(layer for layer in viewer.layers if record_of(layer, "measurement"))
    write_measurement(tmp_path / name, measurement_of(measured))
    viewer.open(tmp_path / name, plugin="napari")
    opened = viewer.layers[-1]
    assert record_of(opened) is None
    with pytest.raises(SpecimenError, match="Open…") as refusal:
        scene.work(CHOICES, specimen=key_of(opened), truth="", **WHERE)
    assert_sentence(refusal.value)
    tifffile.imwrite(tmp_path / "i.tif", np.asarray(viewer.layers["one"].data))
    viewer.open(tmp_path / "i.tif", plugin="napari")
    assert scene.work(CHOICES, specimen=key_of(viewer.layers[-1]), truth="", **WHERE).specimen is not None


def test_a_new_measurement_takes_the_place_of_the_last() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "one", 1)
    run(viewer, scene, specimen, truth)
    before = [layer for layer in viewer.layers if record_of(layer) is not None]
    run(viewer, scene, specimen, truth)
    scene.arrange(side_by_side=True, specimen=specimen)
    assert not any(layer.visible for layer in before)
    shown = {record.kind for layer in viewer.layers if layer.visible and (record := record_of(layer)) is not None}
    assert shown == {"measurement", "reconstruction", "labels"}
    titles = [title for _, title in scene.measurements()]
    assert titles == ["×4 discs raster · one [1]", "×4 discs raster · one"]


@pytest.mark.parametrize("canvas", [(600, 800), (900, 500)])
@pytest.mark.parametrize("fields", [1, 2, 3, 4, 6])
def test_all_of_every_field_is_seen_and_the_zoom_of_the_user_stays(canvas: tuple[int, int], fields: int) -> None:
    viewer = ViewerModel()
    viewer.canvas.size = canvas
    for _ in range(fields):
        viewer.add_layer(Layer.create(np.zeros((300, 400)), {}, "image"))
    assert isinstance(viewer.layers[0], Image)
    scene, specimen = Scene(viewer), key_of(viewer.layers[0])
    viewer.scene.camera.zoom = 7.0
    scene.arrange(side_by_side=True, specimen=specimen)
    rows, columns = viewer.canvas.grid.actual_shape(viewer.layers)
    room = min(canvas[0] / rows / 300, canvas[1] / columns / 400)
    assert 0.7 * room < viewer.scene.camera.zoom <= room
    others = [min(canvas[0] / -(-fields // c) / 300, canvas[1] / c / 400) for c in range(1, fields + 1)]
    assert room == pytest.approx(max(others))
    viewer.scene.camera.zoom = 7.0
    scene.arrange(side_by_side=True, specimen=specimen)
    assert viewer.scene.camera.zoom == 7.0
    scene.arrange(side_by_side=False, specimen=specimen)
    assert viewer.scene.camera.zoom != 7.0


def test_what_reaches_further_than_before_is_seen_as_a_whole() -> None:
    viewer = ViewerModel()
    for _ in range(2):
        viewer.add_layer(Layer.create(np.zeros((300, 400)), {}, "image"))
    scene, specimen = Scene(viewer), key_of(viewer.layers[0])
    scene.arrange(side_by_side=True, specimen=specimen)
    before = viewer.scene.camera.zoom
    viewer.layers[1].scale = (2, 2)
    scene.arrange(side_by_side=True, specimen=specimen)
    assert viewer.scene.camera.zoom == pytest.approx(before / 2, rel=0.05)


def test_labels_of_any_name_stay_with_the_specimen_they_were_used_for() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "one", 1)
    viewer.layers["one mask"].name = "expert"
    run(viewer, scene, specimen, truth)
    other, wrong = add_pair(viewer, "two", 2)
    work = compared(scene, other, wrong)
    np.testing.assert_array_equal(work.truth_labels, viewer.layers["expert"].data)
    viewer.layers.remove("expert")
    again = viewer.add_labels(discs((64, 80), seed=1)[1], name="one mask")
    assert compared(scene, other, wrong).truth_labels is again.data


def test_the_measurement_that_is_chosen_decides_what_is_compared() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "one", 1)
    run(viewer, scene, specimen, truth)
    oldest = scene.measurements()[0][0]
    run(viewer, scene, specimen, truth)
    newest = scene.measurements()[0][0]
    viewer.layers.selection.active = scene.newest("reconstruction")  # as napari does with what was added last
    for key in (oldest, newest):
        found = scene.reconstruction_of(key)
        assert scene.measured_as(key_of(found)) == key
    assert scene.measured_as(specimen) == ""


def test_results_of_another_specimen_make_room_and_the_specimen_stays() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    one, first = add_pair(viewer, "one", 1)
    two, second = add_pair(viewer, "two", 2)
    run(viewer, scene, one, first)
    run(viewer, scene, two, second)
    assert not viewer.layers["one · ×4 discs raster · reconstruction"].visible
    assert viewer.layers["two · ×4 discs raster · reconstruction"].visible
    assert viewer.layers["one"].visible


def test_nothing_in_sight_is_no_error_and_a_grid_of_the_user_stays() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    scene.arrange(side_by_side=True, specimen="")
    scene.arrange(side_by_side=False, specimen="")
    for _ in range(3):
        viewer.add_layer(Layer.create(np.zeros((30, 40)), {}, "image"))
    scene.arrange(side_by_side=True, specimen=key_of(viewer.layers[0]))
    assert viewer.canvas.grid.shape != (-1, -1)
    scene.arrange(side_by_side=False, specimen=key_of(viewer.layers[0]))
    assert viewer.canvas.grid.shape == (-1, -1)
    viewer.canvas.grid.shape = (3, -1)
    scene.arrange(side_by_side=True, specimen=key_of(viewer.layers[0]))
    assert viewer.canvas.grid.shape == (3, -1)


def test_a_switch_by_another_hand_is_fitted_too() -> None:
    """napari's own button has switched the grid by the time the panel hears of it."""
    viewer = ViewerModel()
    scene = Scene(viewer)
    for _ in range(4):
        viewer.add_layer(Layer.create(np.zeros((300, 400)), {}, "image"))
    viewer.scene.camera.zoom = 7.0
    viewer.canvas.grid.enabled = True
    scene.arrange(side_by_side=True, specimen=key_of(viewer.layers[0]))
    assert viewer.scene.camera.zoom < 2


def test_nothing_is_compared_that_is_of_another_measurement_or_image() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "one", 1)
    run(viewer, scene, specimen, truth)
    image = scene.newest("reconstruction")
    work = scene.work(CHOICES, specimen=specimen, truth="", **WHERE)
    scene.add(run_steps(("measure",), work, lambda *_: None, CancelToken()).made)
    newest = scene.measurement_of(specimen)
    assert scene.reconstruction_of(newest, specimen) is None
    assert scene.reconstruction_of("", specimen) is image
    other, _ = add_pair(viewer, "two", 2)
    assert scene.reconstruction_of("", other) is None
    with pytest.raises(SpecimenError, match="press Reconstruct first"):
        scene.comparison(CHOICES, measurement=newest, specimen=specimen, truth="")
    viewer.layers.remove("one")
    assert scene.reconstruction_of("", other) is image  # nothing says that it is of another one


def test_another_image_of_the_same_name_is_not_scored() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    specimen, truth = add_pair(viewer, "one", 1)
    run(viewer, scene, specimen, truth)
    data = viewer.layers["one"].data
    for values, same in ((data.astype(np.float32), True), (data[::-1].copy(), False)):
        viewer.layers.remove("one")
        again = key_of(viewer.add_image(values, name="one"))
        work = compared(scene, again, "")
        if same:
            assert run_steps(("compare",), work, lambda *_: None, CancelToken()).comparison is not None
            continue
        with pytest.raises(SpecimenError, match="'one' is not the one that was measured") as refusal:
            run_steps(("compare",), work, lambda *_: None, CancelToken())
        assert_sentence(refusal.value)


def test_a_colour_image_is_compared_as_it_was_measured() -> None:
    viewer = ViewerModel()
    scene = Scene(viewer)
    image, _ = discs((64, 80), seed=1)
    colours = np.stack([np.rint(250 * image).astype(np.uint8)] * 3, axis=-1)
    specimen = key_of(viewer.add_image(colours, name="stain", rgb=True))
    work = scene.work(CHOICES, specimen=specimen, truth="", measurement="", luminance=True)
    scene.add(run_steps(("measure", "reconstruct"), work, lambda *_: None, CancelToken()).made)
    grey, _ = add_pair(viewer, "grey", 2)
    done = run_steps(("compare",), compared(scene, grey, ""), lambda *_: None, CancelToken())
    assert done.comparison is not None


def test_results_are_added_under_a_mouse_that_rests_in_3d() -> None:
    """Napari cannot tell of a cell there."""
    viewer = ViewerModel()
    scene = Scene(viewer)
    image, labels = (np.stack([x] * 2) for x in discs((64, 80), seed=1))
    specimen = key_of(viewer.add_image(image, name="stack"))
    truth = key_of(viewer.add_labels(labels, name="stack mask"))
    viewer.layers.selection.active = viewer.layers["stack"]
    viewer.dims.ndisplay = 3
    viewer.mouse_over_canvas = True
    run(viewer, scene, specimen, truth)
    assert scene.of_kind("invented")
    assert viewer.mouse_over_canvas
