"""Waits for changes of a layer: other pixels, another place."""

from collections.abc import Callable
from typing import Any

from napari_dmu.viewer.widgets.links import Links

PIXELS = ("data", "paint", "labels_update")  # those that the layer has
PLACE = ("scale", "translate", "rotate", "shear", "affine", "units")


class Follower:
    """Tells of the changes of one layer at a time; ``version`` is another one whenever its pixels may be others."""

    def __init__(self, viewer: Any, changed: Callable[[], Any]) -> None:
        self.version = 0
        self.links = Links()
        self._viewer, self._changed = viewer, changed
        self._layer: Any = None
        self._drawn: Any = None  # which of the layer's planes was drawn last

    def follow(self, layer: Any) -> None:
        """Wait for changes of this layer, and of no other; None for none."""
        if layer is self._layer:
            return
        self._layer = layer
        self.version += 1
        self.links.undo()
        if layer is None:
            return
        self._drawn = self._plane()
        for name in PIXELS:
            if hasattr(layer.events, name):
                self.links.connect(getattr(layer.events, name), self._on_pixels)
        self.links.connect(layer.events.set_data, self._on_drawn)
        for name in PLACE:
            self.links.connect(getattr(layer.events, name), self._on_place)

    def _on_pixels(self, *_: Any) -> None:
        self.version += 1
        self._changed()

    def _on_place(self, *_: Any) -> None:
        self._changed()

    def _on_drawn(self, *_: Any) -> None:
        """Of an edit in place napari says only that it draws anew, as it does of another plane or, of a pyramid, of
        another zoom: those are no edits."""
        before, self._drawn = self._drawn, self._plane()
        if before == self._drawn and not self._layer.multiscale:
            self._on_pixels()

    def _plane(self) -> Any:
        dims = self._viewer.dims  # of all layers: this one may have fewer axes, the last ones
        return dims.point[-self._layer.ndim :], [axis - dims.ndim for axis in dims.displayed]
