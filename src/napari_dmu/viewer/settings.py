"""Preferences of the plugin, as its manifest declares them, and what follows from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_dmu.engine.progress import CancelToken, Progress
from napari_dmu.engine.tiles import USUAL_MEMORY
from napari_dmu.viewer.loading import load_torch
from napari_dmu.zoo import library
from napari_dmu.zoo.preferred import prefer_folder
from napari_dmu.zoo.registry import SetSummary, available_sets

PLUGIN = "napari-dmu"
_OWN_FILES = ("*.dmu.ome.tif", "*.dmu.ome.tiff", "*.dmu.tif", "*.dmu.tiff")


@dataclass(frozen=True)
class Preferences:
    """Values in Preferences ▸ napari-dmu, or their defaults where the plugin is not registered."""

    device: str = "auto"
    tile_memory: int = USUAL_MEMORY  # MB
    folder: str = ""


def plugin_settings() -> Any:
    """napari's settings object of this plugin; None where there is none."""
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:
        return None


def preferences() -> Preferences:
    """What the user prefers."""
    settings = plugin_settings()
    if settings is None:
        return Preferences()
    computing = settings.computing
    return Preferences(device=computing.device, tile_memory=computing.tile_memory, folder=settings.library.folder)


def pattern_sets() -> list[SetSummary]:
    """The pattern sets there are, those in the user's folder too; reads headers only."""
    _tell_folder()
    return available_sets()


def _tell_folder() -> None:
    """Have the preferred folder searched from now on, here and by commands; not where nothing is known of it."""
    if plugin_settings() is not None:
        folder = preferences().folder.strip()
        prefer_folder(Path(folder).expanduser().absolute() if folder else None)


def add_set(source: str, sha256: str | None, progress: Progress, cancel: CancelToken) -> library.Added:
    """Add a pattern set to the user's folder; to be called in a thread."""

    def report(done: int, total: int, what: str) -> None:
        progress(round(1000 * done / max(total, 1)), 1000, what)

    progress(0, 1000, "Adding the pattern set")
    load_torch()
    _tell_folder()
    return library.add_set(source, sha256=sha256, report=report, check_cancelled=cancel.check)


def no_segmenter(set_hash: str) -> str:
    """Why the pattern set of that hash finds no cells; empty where it does, or is not here."""
    for one in pattern_sets():
        if one.header.tensors_sha256 == set_hash and not one.has_segmenter:
            return f"The pattern set {one.label} has no segmenter."
    return ""


def prefer_own_reader() -> None:
    """Open our own measurement files without a question: they have two endings, and napari reads ``.tif`` as well."""
    from napari.settings import get_settings

    chosen = get_settings().plugins.extension2reader
    missing = {pattern: PLUGIN for pattern in _OWN_FILES if pattern not in chosen}
    if missing and plugin_settings() is not None:
        get_settings().plugins.extension2reader = {**chosen, **missing}
