"""Which mask goes with which image, by their names and files."""

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from support import discs

from napari_dmu.viewer.finding import Finder, key_of

IMAGE, LABELS = discs((64, 80), seed=1)


def truth_of(viewer: ViewerModel, name: str) -> str:
    """Name of the layer that seems to hold the true cells of an image."""
    layer = Finder(viewer).layer(Finder(viewer).truth_for(viewer.layers[name]))
    return "" if layer is None else str(layer.name)


def test_masks_of_one_name_are_told_apart_by_their_numbers() -> None:
    viewer = ViewerModel()
    for _ in range(2):
        viewer.add_image(IMAGE, name="cells")
        viewer.add_labels(LABELS, name="cells_labels")
    assert truth_of(viewer, "cells") == "cells_labels"
    assert truth_of(viewer, "cells [1]") == "cells_labels [1]"


@pytest.mark.parametrize(("image", "mask"), [("cells", "cells_mask"), ("images/cells", "masks/cells")])
def test_masks_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, image: str, mask: str) -> None:
    viewer = ViewerModel()
    files = [tmp_path / well / f"{name}.tif" for name in (image, mask) for well in ("A", "B")]
    for file in (*files[:2], files[3], files[2]):  # the masks the other way round
        file.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(file, IMAGE if file in files[:2] else LABELS.astype(np.uint16))
        viewer.open(file, plugin="napari")
    for specimen, truth in ((0, 3), (1, 2)):
        assert truth_of(viewer, viewer.layers[specimen].name) == viewer.layers[truth].name


@pytest.mark.parametrize("image", [IMAGE, da.from_array((1000 * IMAGE).astype(np.uint16))], ids=["read", "lazy"])
def test_a_mask_of_a_longer_name_is_of_the_image_of_that_name(image: Any) -> None:
    viewer = ViewerModel()
    for name in ("img", "img_2"):
        viewer.add_image(image, name=name)
    viewer.add_labels(LABELS, name="img_2_mask")
    assert truth_of(viewer, "img_2") == "img_2_mask"
    assert truth_of(viewer, "img") == ""


def test_a_mask_that_nobody_has_looked_at_is_offered_and_is_no_specimen() -> None:
    viewer = ViewerModel()
    finder = Finder(viewer)
    image = viewer.add_image(IMAGE, name="A")
    lazy = da.from_array(LABELS.astype(np.uint16))
    mask = viewer.add_image(lazy, name="A_mask")
    assert finder.to_measure(mask) == key_of(image)
    viewer.add_labels(LABELS, name="drawn")
    assert [title for _, title in finder.truths(key_of(image))] == ["drawn", "A_mask (image)"]
    assert finder.truth_for(image) == ""
    other = viewer.add_image(lazy, name="B")
    assert finder.to_measure(other) == key_of(other)
