"""What the names and the files of layers tell of which belong together."""

import re
from pathlib import Path
from typing import Any

from napari_dmu.viewer.layers import specimen_shape


def name_and_number(layer: Any) -> tuple[str, str]:
    """A layer's name without the number that napari gives where a name is taken, and that number."""
    found = re.fullmatch(r"(.*?)(?: \[(\d+)\])?", str(layer.name), re.DOTALL)
    assert found is not None
    return found[1], found[2] or ""


def named_after(layer: Any, other: Any) -> bool:
    """Whether a layer's name begins with that of another: t1_mask with t1, but t10 does not."""
    return re.match(re.escape(name_and_number(other)[0]) + r"(?![^\W_])", str(layer.name)) is not None


def is_beside(layer: Any, image: Any) -> bool:
    """Whether a layer seems to be the mask of an image: of its shape, and its name goes on from the image's."""
    longer = len(name_and_number(layer)[0]) > len(name_and_number(image)[0])
    return longer and named_after(layer, image) and specimen_shape(layer) == specimen_shape(image)


def distance(mask: Any, specimen: Any) -> tuple[bool, bool, int, int]:
    """How far a mask that is named after a specimen is from it: the nearest is taken.

    Several files of one name lie in several folders, each beside its mask or the folder of its mask.
    """
    own, other = _folders(specimen), _folders(mask)
    apart = not own or own[:1] != other[:1]
    other_number = name_and_number(mask)[1] != name_and_number(specimen)[1]
    return apart, other_number, -len({*own} & {*other}), len(str(mask.name))


def _folders(layer: Any) -> tuple[Path, ...]:
    """The folder of the layer's file and those around it; empty where it has no file."""
    path = layer.source.path
    return tuple(Path(path).absolute().parents) if path else ()
