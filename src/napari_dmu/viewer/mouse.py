"""What napari takes the mouse for while layers are added. No Qt here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def mouse_elsewhere(viewer: Any) -> Iterator[None]:
    """Under a mouse that has not moved since 3D was switched on, napari fails to tell of a cell."""
    over, viewer.mouse_over_canvas = viewer.mouse_over_canvas, False
    try:
        yield
    finally:
        viewer.mouse_over_canvas = over
