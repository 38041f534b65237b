"""What a recipe's source stands for: examples from a folder below the data root, or from a data pack."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from napari_dmu.training.data import Example, read_examples
from napari_dmu.training.pack import read_packed
from napari_dmu.training.recipe import Source

_Read = dict[tuple[Path, Source, bool], list[Example]]
_remembered: ContextVar[_Read | None] = ContextVar("_remembered", default=None)


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Within this, every source is read once: the recipes of a matrix share their images."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def read_source(data: Path, source: Source, *, masks: bool) -> list[Example]:
    """Examples of one source, in the order of their names.

    Parameters
    ----------
    data
        Root of the folders that recipes name, or a file that ``write_pack`` made of them.
    source
        Folder and selection.
    masks
        Whether the masks are wanted too.

    Raises
    ------
    FileError, SettingsError
        See ``read_examples`` and ``read_packed``.
    """
    kept = _remembered.get()
    # The weight is no matter of the images; recipes with other shares still share them.
    key = (data, source.model_copy(update={"weight": 1.0}), masks)
    if kept is not None and key in kept:
        return kept[key]
    if data.is_file():
        examples = read_packed(data, source, masks=masks)
    else:
        examples = read_examples(data / source.folder, masks=masks, files=source.files, skip=source.skip)
    if kept is not None:
        kept[key] = examples
    return examples
