"""napari's grid: a field for every visible layer, under its name. No Qt here."""

import math
from typing import Any

import numpy as np

from napari_dmu.viewer.finding import key_of
from napari_dmu.viewer.layers import specimen_shape

AUTOMATIC = (-1, -1)  # the grid's rows and columns are napari's choice
NAME_SIZE = 6.5  # points; the long names of results fit beside each other


def _columns(fields: int, canvas: tuple[int, int], specimen: Any) -> int:
    """Columns of the grid in which that many pictures like the specimen are largest on a canvas (height, width)."""
    shape = (1, 1) if specimen is None else np.multiply(specimen_shape(specimen)[-2:], np.abs(specimen.scale[-2:]))

    def size(columns: int) -> float:
        return min(canvas[0] / math.ceil(fields / columns) / shape[0], canvas[1] / columns / shape[1])

    return max(range(1, fields + 1), key=size)


class Grid:
    """The grid of a viewer (or viewer model), and what of it is the user's."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._named: dict[str, tuple[float, Any]] = {}  # font and place of names shown here, as they were, by key
        self._stride = 1  # of the user's grid; ours is 1
        # As it was last: on or off, how many fields, of which specimen, how far they reach; columns that were set.
        self._arranged: tuple[bool, int, str, tuple[float, ...]] = (bool(viewer.canvas.grid.enabled), 0, "", ())
        self._shape = AUTOMATIC

    def show(self, specimen: Any, *, keep_view: bool) -> None:
        """Switch it on, in the columns in which all of its fields are largest.

        A shape that the user has set stays. What is seen is set before it is switched on: every change of a grid that
        is on takes napari a good part of a second.
        """
        grid, layers = self._viewer.canvas.grid, self._viewer.layers
        fields = sum(bool(layer.visible) for layer in layers)
        if grid.stride != 1:
            self._stride, grid.stride = grid.stride, 1  # the lowest layer, the specimen, comes first
        if tuple(grid.shape) in (AUTOMATIC, self._shape):
            grid.shape = self._shape = (-1, _columns(max(fields, 1), self._viewer.canvas.size, specimen))
        for layer in layers:
            if layer.visible:
                self._name(layer)
        grid.enabled = True
        for layer in layers:  # for when the eye brings them back
            self._name(layer)
        key = "" if specimen is None else key_of(specimen)
        self._fit((True, fields, key, self._extent()), keep_view=keep_view)

    def leave(self, *, keep_view: bool) -> None:
        """Switch it off, and put back what is the user's."""
        self._viewer.canvas.grid.enabled = False
        self.release()
        self._fit((False, 0, "", ()), keep_view=keep_view)

    def release(self) -> None:
        """Put back the names of layers, the columns and the stride as they were."""
        grid = self._viewer.canvas.grid
        if tuple(grid.shape) == self._shape:
            grid.shape = self._shape = AUTOMATIC
        if self._stride != 1:
            grid.stride, self._stride = self._stride, 1
        for layer in self._viewer.layers:
            if key_of(layer) in self._named:
                overlay = layer.name_overlay
                overlay.visible = False
                overlay.font_size, overlay.position = self._named.pop(key_of(layer))

    def _name(self, layer: Any) -> None:
        """Show the layer's name in its field; names that the user shows stay as they are.

        On the right: where the field is too narrow, the name loses its start there, and not what tells results apart.
        """
        overlay = layer.name_overlay
        if not overlay.visible:
            self._named[key_of(layer)] = overlay.font_size, overlay.position
            overlay.font_size, overlay.position = NAME_SIZE, "top_right"
            overlay.visible = True

    def _fit(self, arranged: tuple[bool, int, str, tuple[float, ...]], *, keep_view: bool) -> None:
        """Fit the view where the fields are others than before; otherwise the zoom is the user's."""
        if arranged != self._arranged and not keep_view:
            self._viewer.reset_view(reset_camera_angle=False)
        self._arranged = arranged

    def _extent(self) -> tuple[float, ...]:
        """How far what is visible reaches in the world: the detector's pixels stick out, and further at some ratios."""
        shown = [layer for layer in self._viewer.layers if layer.visible]
        return tuple(np.nan_to_num(self._viewer.layers.get_extent(shown).world).ravel().tolist())
