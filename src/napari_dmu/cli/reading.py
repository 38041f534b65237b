"""Images in: the one thing that the reader's own sentences cannot know is how the option is called here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dmu.errors import FileError

if TYPE_CHECKING:
    from napari_dmu.files.specimen import Specimen


def read_image(path: Path, *, luminance: bool) -> Specimen:
    """An image file; where colour is refused, the sentence names the option instead of the argument."""
    from napari_dmu.files import specimen

    return specimen.read_image(path, luminance=luminance, option="--luminance")


def read_channel(path: Path, *, luminance: bool, channel: int | None) -> Specimen:
    """An image file, or the one channel of it that was chosen."""
    from napari_dmu.files.specimen import one_channel

    image = read_image(path, luminance=luminance)
    return image if channel is None else one_channel(image, channel)


def read_acquisition(path: Path) -> dict[str, Any]:
    """A YAML file of acquisition settings, with the kernels of the point spread functions that it names as files."""
    from napari_dmu.files.kernel import with_kernels

    return with_kernels(read_mapping(path), path.parent)


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file of named settings; refused where it is anything else."""
    from napari_dmu.files.yaml_file import read_yaml

    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise FileError(f"'{path}' holds no named settings: write one 'name: value' a line.")
    return content
