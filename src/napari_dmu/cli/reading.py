"""Images in: the one thing that the reader's own sentences cannot know is how the option is called here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_dmu.errors import SpecimenError

if TYPE_CHECKING:
    from napari_dmu.files.specimen import Specimen


def read_image(path: Path, *, luminance: bool) -> Specimen:
    """An image file; where colour is refused, the sentence names the option instead of the argument."""
    from napari_dmu.files.specimen import read_specimen

    try:
        return read_specimen(path, luminance=luminance)
    except SpecimenError as error:
        raise SpecimenError(str(error).replace("luminance=True", "--luminance")) from error
