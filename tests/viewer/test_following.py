"""What counts as a change of a layer that is followed; on viewer models without a window."""

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.components import ViewerModel

from napari_dmu.viewer.widgets.following import Follower

BLANK = np.zeros((3, 16, 16), np.int32)


def test_pixels_change_by_other_data_by_painting_and_in_place_but_not_by_another_plane() -> None:
    viewer = ViewerModel()
    labels = viewer.add_labels(BLANK.copy())
    told: list[None] = []
    follower = Follower(viewer, lambda: told.append(None))
    follower.follow(labels)

    def other_pixels_after(act: Callable[[], Any]) -> bool:
        told.clear()
        version = follower.version
        act()
        assert (follower.version > version) == bool(told)
        return follower.version > version

    assert not other_pixels_after(lambda: viewer.dims.set_current_step(0, 2))
    assert not other_pixels_after(lambda: viewer.dims.transpose())
    viewer.dims.transpose()
    viewer.add_image(np.zeros((2, *BLANK.shape)))
    viewer.dims.set_current_step(0, 1)  # of the other layer
    assert other_pixels_after(lambda: labels.paint((2, 4, 4), 1))
    assert other_pixels_after(labels.undo)
    viewer.dims.set_current_step(0, 0)  # and back
    labels.data[2] = 1
    assert other_pixels_after(labels.refresh)
    assert other_pixels_after(lambda: setattr(labels, "data", BLANK + 1))
    told.clear()
    labels.translate = (0, 2, 2)
    assert told
    follower.follow(None)
    assert not other_pixels_after(lambda: setattr(labels, "data", BLANK))
