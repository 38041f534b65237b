"""``napari-dmu info``: what to paste into a bug report."""

from __future__ import annotations

from napari_dmu._version import __version__

LIBRARIES = ("napari", "numpy", "scipy", "scikit-image", "dask", "tifffile", "imagecodecs", "pydantic", "typer")
QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def info() -> None:
    """Versions, devices, folders: for bug reports."""
    from napari_dmu.cli.running import say

    for name, value in facts():
        say(f"{name + ':':<18}{value}")


def facts() -> list[tuple[str, str]]:
    """Names and values, in the order in which they are shown."""
    import os
    import platform

    from napari_dmu.engine.device import device_report
    from napari_dmu.segmentation.registry import available_segmenters
    from napari_dmu.zoo.registry import available_sets, broken_sets, folders

    rows = [
        ("napari-dmu", __version__),
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", f"{platform.platform()}"),
        *((name, _installed(name) or "not installed") for name in LIBRARIES),
    ]
    bindings = [f"{name} {version}" for name in QT_BINDINGS if (version := _installed(name))]
    rows.append(("Qt", ", ".join(bindings) or "no binding installed"))
    if asked := os.environ.get("QT_API"):
        rows.append(("QT_API", asked))
    rows.extend(device_report().items())
    for folder in folders():
        rows.append(("folder of sets", f"{folder}{'' if folder.is_dir() else ' (does not exist)'}"))
    sets, segmenters = available_sets(), available_segmenters()
    rows.append(("pattern sets", f"{len(sets)}" + (f" ({'; '.join(one.label for one in sets)})" if sets else "")))
    rows.extend(("broken set", sentence) for sentence in broken_sets())
    rows.append(("segmenters", "; ".join(f"{one.name}{' (not installed)' * bool(one.lacks)}" for one in segmenters)))
    return rows


def _installed(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None
