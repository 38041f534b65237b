"""Grey PNG and JPEG pictures, and colour, which is refused, turned into luminance, or taken where it is grey."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import SpecimenError
from napari_dmu.files.pages import reading

_SUFFIXES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff"}
_REC601 = (0.299, 0.587, 0.114)
# What becomes of an image in colour; "equal" takes one whose red, green and blue are equal for the grey image it is.
Colours: TypeAlias = Literal["refused", "luminance", "equal"]
ADDED_UP = "The colours were added up to luminance (Rec. 601)."


def is_picture(path: Path, head: bytes) -> bool:
    """True for a PNG or JPEG by content whose name says so too."""
    magic = _SUFFIXES.get(path.suffix.lower())
    return magic is not None and head.startswith(magic)


def refuse_colour(name: str, *, grey: bool = False) -> SpecimenError:
    """The error for a colour image, with the way out."""
    what = "is stored in colour although its red, green and blue are equal" if grey else "is a colour (RGB) image"
    return SpecimenError(
        f"'{name}' {what}, and one fluorescence channel is needed: read it with luminance=True, or save one channel."
    )


def luminance_of(rgb: NDArray[Any]) -> NDArray[Any]:
    """(..., 3 or 4) colours to luminance with the weights of Rec. 601, in the same type; alpha is left out."""
    grey: NDArray[Any] = np.zeros(rgb.shape[:-1])
    for channel, weight in enumerate(_REC601):  # one after the other: three channels at once in float64 are large
        grey += weight * rgb[..., channel]
    whole: NDArray[Any] = np.rint(grey) if rgb.dtype.kind in "ui" else grey
    return whole.astype(rgb.dtype)


def grey_of(rgb: NDArray[Any], name: str) -> NDArray[Any]:
    """Red of (..., 3 or 4) colours that are all equal, under one transparency: a grey image in a file for colours."""
    red, alpha = rgb[..., 0], rgb[..., 3:]
    if (rgb[..., :3] != red[..., None]).any() or (alpha.size and alpha.min() != alpha.max()):
        raise SpecimenError(
            f"'{name}' is in colour, and its values are needed as they are: save it as one grey channel."
        )
    return red.copy()


class Luminance:
    """The luminance of (..., Y, X, 3 or 4) colours as an array (..., Y, X), worked out where it is looked at."""

    def __init__(self, rgb: Any) -> None:
        self._rgb = rgb
        self.shape: tuple[int, ...] = tuple(int(n) for n in rgb.shape[:-1])
        self.ndim, self.dtype = len(self.shape), np.dtype(rgb.dtype)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return luminance_of(np.asarray(self._rgb[index]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[...].astype(self.dtype if dtype is None else dtype, copy=False)


def read_picture(path: Path, *, colours: Colours) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read a PNG or JPEG.

    Returns
    -------
    data, notes
        (Y, X) in the type of the file, and what was done to it.
    """
    from PIL import Image

    with reading(path), Image.open(path) as picture:
        picture.load()
        mode = picture.mode
        if mode == "1":
            return np.asarray(picture).astype(np.uint8), ()
        if mode == "LA":
            return np.asarray(picture)[..., 0].copy(), ("The transparency (alpha) of the file was left out.",)
        if mode in ("L", "I", "F") or mode.startswith("I;16"):
            data = np.array(picture)
            # Pillow hands some 16-bit PNG out as 32-bit integers.
            fits = mode == "I" and data.min() >= 0 and data.max() <= 65535
            return (data.astype(np.uint16) if fits else data.astype(data.dtype.newbyteorder("="))), ()
        # A picture may hide what it shows in its transparency.
        clear = mode in ("RGBA", "PA") or "transparency" in picture.info
        rgb = np.asarray(picture.convert("RGBA" if clear else "RGB"))
    if colours == "equal":
        return grey_of(rgb, path.name), ()
    if colours == "refused":
        grey = bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())
        raise refuse_colour(path.name, grey=grey)
    return luminance_of(rgb), (ADDED_UP,)
