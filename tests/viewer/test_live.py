"""The live view on viewer models without a window: which part is looked at, and where its layers go."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from support import discs, make_set

import napari_dmu as dmu
from napari_dmu.engine.progress import CancelToken
from napari_dmu.viewer.finding import key_of
from napari_dmu.viewer.layers import record_of, specimen_of
from napari_dmu.viewer.live import SIDE, Part, cut, look, look_for_cells, part_in_view, sentence, set_aside, show
from napari_dmu.viewer.scene import Scene
from napari_dmu.viewer.steps import Choices, Work, run_steps

CHOICES = Choices(name="discs", ratio=4, family="raster", device="cpu")


@pytest.fixture(autouse=True)
def _sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_set(tmp_path / "discs.dmu.safetensors")
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path))


def film() -> np.ndarray:
    """Three planes (64, 80), the second one at half the light."""
    planes = [discs((64, 80), seed=seed)[0] for seed in range(3)]
    return np.rint(np.stack([3000 * planes[0], 1500 * planes[1], 3000 * planes[2]])).astype(np.uint16)


def looked_at(viewer: Any, layer: Any, choices: Choices = CHOICES, truth: str = "", part: Part | None = None) -> Work:
    """Image and cells of the part in view, shown."""
    work = Scene(viewer).work(choices, specimen=key_of(layer), measurement="", truth=truth, luminance=False)
    quiet: Any = (lambda *_: None, CancelToken())
    image = look(work, part or part_in_view(viewer, layer), *quiet)
    show(viewer, image.made)
    cells = look_for_cells(image, *quiet)
    show(viewer, cells.made)
    return cells


def live(viewer: Any) -> tuple[Any, Any]:
    (image,), (cells,) = (
        [x for x in viewer.layers if record_of(x, kind) is not None] for kind in ("live_image", "live_labels")
    )
    return image, cells


# -- which part --------------------------------------------------------------------------------------


def test_a_small_plane_is_looked_at_as_a_whole_wherever_the_view_is() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(film(), scale=(60, 0.5, 0.5))
    viewer.dims.set_current_step(0, 2)
    viewer.scene.camera.center = (0, 1e4, -1e4)
    assert part_in_view(viewer, layer) == Part((2,), (0, 0), (64, 80))


def test_of_a_large_plane_the_part_in_the_middle_of_the_view() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((4096, 600), np.uint8), scale=(0.5, 0.5), translate=(100, 0))
    viewer.scene.camera.center = (0, 100 + 0.5 * 2000, 30)
    part = part_in_view(viewer, layer)
    assert part.size == (SIDE, 600)
    assert part.start[0] <= 2000 - SIDE / 3
    assert part.start[0] + SIDE >= 2000 + SIDE / 3
    viewer.scene.camera.center = (0, 100 + 0.5 * 2010, 30)
    assert part_in_view(viewer, layer) == part  # not with every move of the mouse
    for beyond, first in ((-1e5, 0), (1e5, 4096 - SIDE)):
        viewer.scene.camera.center = (0, beyond, 0)
        assert part_in_view(viewer, layer).start == (first, 0)


def test_a_slider_beyond_the_specimen_shows_its_nearest_plane() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(film())
    viewer.add_image(np.zeros((9, 3, 8, 8)))  # four axes: the specimen's are the last three
    viewer.add_image(np.zeros((30, 8, 8)))
    viewer.dims.set_current_step(1, 29)
    assert part_in_view(viewer, layer).plane == (2,)


def test_the_view_is_followed_where_layers_have_different_units() -> None:
    viewer = ViewerModel()
    large = viewer.add_image(np.zeros((5, 4096, 600), np.uint8), scale=(2, 0.5, 0.5), units=("um", "um", "um"))
    small = viewer.add_image(np.zeros((5, 8, 8), np.uint8), scale=(2000, 500, 500), units=("nm", "nm", "nm"))
    viewer.dims.set_current_step(0, 3)
    viewer.scene.camera.center = (0, 1e6, 0)  # in nanometres, the smaller of the two
    part = part_in_view(viewer, large)
    assert part.plane == part_in_view(viewer, small).plane == (3,)
    assert abs(part.start[0] + SIDE / 2 - 2000) <= 64
    flat = viewer.add_image(np.zeros((64, 80), np.uint8), units=("pixel", "pixel"))
    viewer.scene.camera.center = (0, 1000, 0)
    assert viewer.dims.units is None
    assert part_in_view(viewer, flat).size == (64, 80)
    assert abs(part_in_view(viewer, large).start[0] + SIDE / 2 - 2000) <= 64


def test_a_part_is_lit_as_the_whole_and_lies_where_it_was_cut() -> None:
    viewer = ViewerModel()
    turn = np.deg2rad(30)
    rotate = [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    layer = viewer.add_image(film(), scale=(60, 0.5, 0.5), rotate=rotate, units=("s", "um", "um"))
    whole = specimen_of(layer)
    part = cut(whole, Part((1,), (16, 8), (32, 40)))
    np.testing.assert_array_equal(part.data, film()[1:2, 16:48, 8:48])
    assert part.intensity_range is not None
    assert part.intensity_range[1] > 2900  # of the stack, not of its darker plane
    np.testing.assert_allclose(part.geometry.translate, layer.data_to_world((1, 16, 8)))
    assert part.geometry.rotate == whole.geometry.rotate


def test_of_a_lazy_stack_one_plane_is_read() -> None:
    read: list[int] = []

    def plane(block_info: Any = None) -> np.ndarray:
        read.append(block_info[None]["array-location"][0][0])
        return film()[read[-1]][None]

    stack = da.map_blocks(plane, dtype=np.uint16, chunks=((1, 1, 1), (64,), (80,)), meta=np.zeros((0, 0, 0), np.uint16))
    layer = ViewerModel().add_image(stack, contrast_limits=(0, 3000))
    whole = specimen_of(layer)
    read.clear()
    part = cut(whole, Part((1,), (0, 0), (64, 80)))
    assert set(read) == {1}
    assert part.intensity_range is not None
    assert part.intensity_range[1] < 1600


def test_of_a_lazy_plane_the_part_alone_is_read_once_its_range_is_known() -> None:
    read: list[tuple[int, ...]] = []

    def tile(block_info: Any = None) -> np.ndarray:
        read.append(block_info[None]["chunk-location"])
        return np.full((32, 32), read[-1][0] * 100 + read[-1][1], np.uint16)

    plane = da.map_blocks(tile, dtype=np.uint16, chunks=((32,) * 4, (32,) * 4), meta=np.zeros((0, 0), np.uint16))
    whole = specimen_of(ViewerModel().add_image(plane, contrast_limits=(0, 400)))
    read.clear()
    part = cut(whole, Part((), (32, 0), (32, 64)))
    assert len(read) == 16  # each once
    read.clear()
    again = cut(replace(whole, intensity_range=part.intensity_range), Part((), (32, 0), (32, 64)))
    assert sorted(read) == [(1, 0), (1, 1)]
    np.testing.assert_array_equal(again.data, part.data)


# -- what is shown -----------------------------------------------------------------------------------


def test_the_live_image_is_the_one_that_the_steps_would_give() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(film()[0], scale=(0.5, 0.5), units=("um", "um"))
    looked_at(viewer, layer)
    image, cells = live(viewer)
    light = {"photons": CHOICES.photons, "read_noise": CHOICES.read_noise, "background": CHOICES.background}
    measured = dmu.simulate(film()[0], dmu.load("discs", ratio=4, family="raster"), device="cpu", **light)
    np.testing.assert_array_equal(image.data, dmu.reconstruct(measured, device="cpu"))
    np.testing.assert_array_equal(cells.data > 0, dmu.segment(measured, device="cpu") > 0)
    for made in (image, cells):
        np.testing.assert_array_equal(made.scale, layer.scale)
        assert made.units == layer.units
    assert len(cells.features) == cells.data.max() + 1


def test_layers_are_replaced_in_place_and_follow_the_plane() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(film(), scale=(60, 0.5, 0.5), translate=(7, 0, 3))
    viewer.layers.selection.active = layer
    viewer.dims.set_current_step(0, 0)
    looked_at(viewer, layer)
    image, cells = live(viewer)
    before = image.data.copy()
    image.visible, image.gamma = False, 0.5  # as the user likes it
    viewer.dims.set_current_step(0, 2)
    looked_at(viewer, layer, CHOICES.model_copy(update={"photons": 50.0}))
    assert live(viewer) == (image, cells)  # the very same layers
    assert image.data.shape == (1, 64, 80)
    assert not np.array_equal(image.data, before)
    np.testing.assert_allclose(image.translate, (7 + 2 * 60, 0, 3))
    np.testing.assert_allclose(cells.translate, image.translate)
    assert (image.visible, image.gamma) == (False, 0.5)
    record = record_of(image)
    assert record is not None
    assert record.info.acquisition.photons == 50
    assert viewer.layers.selection.active is layer
    assert viewer.layers.index(image) == 1


def test_another_specimen_is_shown_on_top_of_all() -> None:
    viewer = ViewerModel()
    one, two = viewer.add_image(film()[0], name="one"), viewer.add_image(film()[1, :48], name="two")
    looked_at(viewer, one)
    top = viewer.add_points(name="on top")
    looked_at(viewer, two)
    image, cells = live(viewer)
    assert image.data.shape == cells.data.shape == (48, 80)
    assert list(viewer.layers)[2:] == [top, image, cells]
    assert image.name == "two · ×4 discs raster · live"


def test_it_is_shown_under_a_mouse_that_rests_in_3d() -> None:
    """Napari cannot tell of a cell there."""
    viewer = ViewerModel()
    layer = viewer.add_image(film())
    viewer.dims.ndisplay = 3
    viewer.mouse_over_canvas = True
    looked_at(viewer, layer)
    assert live(viewer)[1].visible
    assert viewer.mouse_over_canvas


@pytest.mark.parametrize(("size", "framed"), [((64, 80), False), ((32, 80), True)])
def test_a_part_has_a_line_around_it_where_it_lies_on_the_rest(size: tuple[int, int], framed: bool) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(film()[0], name="one")
    looked_at(viewer, layer, part=Part((), (0, 0), size))
    image, _ = live(viewer)
    for side_by_side in (False, True):
        Scene(viewer).arrange(side_by_side=side_by_side, specimen=key_of(layer), looking=True)
        assert image.bounding_box.visible == (framed and not side_by_side)


def test_what_was_set_aside_comes_back_on_top() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(film()[0], name="one")
    looked_at(viewer, layer)
    image, cells = live(viewer)
    cells.visible = False  # by the user
    set_aside(viewer)
    result = viewer.add_image(film()[0], name="a result")
    looked_at(viewer, layer, CHOICES.model_copy(update={"photons": 50.0}))
    assert (image.visible, cells.visible) == (True, False)
    assert list(viewer.layers) == [layer, cells, result, image]
    set_aside(viewer, hidden=True)
    looked_at(viewer, layer)
    assert (image.visible, cells.visible) == (True, True)
    assert list(viewer.layers) == [layer, result, image, cells]


def test_a_part_is_scored_by_the_range_it_was_lit_with() -> None:
    viewer = ViewerModel()
    stack = film()
    stack[1] //= 8
    layer = viewer.add_image(stack)
    viewer.dims.set_current_step(0, 1)
    work = looked_at(viewer, layer)
    instrument = dmu.load("discs", ratio=4, family="raster")
    light = {"photons": CHOICES.photons, "read_noise": CHOICES.read_noise, "background": CHOICES.background}
    image = dmu.reconstruct(dmu.simulate(stack, instrument, device="cpu", **light), device="cpu")
    assert work.comparison is not None
    assert work.comparison.psnr == pytest.approx(dmu.compare(image, stack).planes[1].psnr, abs=0.5)


def test_live_layers_are_neither_specimens_nor_results() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(film()[0], name="one")
    looked_at(viewer, layer)
    scene = Scene(viewer)
    done = scene.work(CHOICES, specimen=key_of(layer), measurement="", truth="", luminance=False)
    scene.add(run_steps(("measure",), done, lambda *_: None, CancelToken()).made)
    assert scene.measured_as(key_of(viewer.layers[-1])) == key_of(viewer.layers[-1])
    assert [name for _, name in scene.specimens()] == ["one"]
    assert scene.truths(key_of(layer)) == []
    assert scene.newest("reconstruction") is None
    assert scene.reconstruction_of("") is None
    for made in live(viewer):
        viewer.layers.selection.active = made
        assert scene.measured_as(scene.active_key()) == ""


def test_cells_are_scored_in_the_part_alone() -> None:
    viewer = ViewerModel()
    image, labels = discs((64, 80), seed=3)
    layer = viewer.add_image(np.rint(3000 * image).astype(np.uint16))
    truth = key_of(viewer.add_labels(labels))
    part = Part((), (0, 0), (32, 80))
    work = looked_at(viewer, layer, truth=truth, part=part)
    assert work.comparison is not None
    assert work.comparison.truth_count == np.unique(labels[:32]).size - 1
    assert f" of {work.comparison.truth_count}, F1 " in sentence(work)
    assert len(viewer.layers) == 4  # which cells were missed is drawn for results alone


def test_the_sentence_says_what_and_how_well() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(film()[0])
    work = looked_at(viewer, layer)
    assert sentence(work).startswith("Live · ×4 discs raster: PSNR ")
    assert sentence(replace(work, counts=(1,))).endswith(" · 1 cell.")
    assert "cell" not in sentence(replace(work, counts=None))
