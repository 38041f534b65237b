"""Windows for tests: the plugin known to napari, a trained set, and a panel in a viewer."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "napari_dmu"

# A folder of further pattern sets to test with.
if "NAPARI_DMU_TEST_SETS" in os.environ:
    os.environ["NAPARI_DMU_SETS"] = os.environ["NAPARI_DMU_TEST_SETS"]


@pytest.fixture(scope="session", autouse=True)
def _plugin_is_known() -> None:
    """From the source tree as well, where nothing is installed."""
    from npe2 import PluginManager, PluginManifest

    manager = PluginManager.instance()
    manager.discover()
    if "napari-dmu" not in manager:
        manager.register(PluginManifest.from_file(SOURCE / "napari.yaml"))


@pytest.fixture(scope="session")
def ratio() -> float:
    """A ratio of which there is a set with a segmenter: ×64 where there is."""
    from napari_dmu.zoo.registry import available_sets

    ratios = [s.ratio for s in available_sets() if s.family == "learned" and s.has_segmenter]
    if not ratios:
        pytest.skip("there is no trained pattern set with a segmenter here")
    return 64.0 if 64.0 in ratios else ratios[0]


@pytest.fixture
def cells() -> np.ndarray:
    """A small 16-bit specimen (96, 128) with soft blobs on a background."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128]
    image = np.full((96, 128), 200.0)
    for cy, cx in rng.uniform(10, 90, (9, 2)):
        image += 2500 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 50)
    return image.astype(np.uint16)


@pytest.fixture
def panel_in(make_napari_viewer_proxy: Callable[..., Any], qtbot: Any, ratio: float) -> Iterator[Callable[[], Any]]:
    """Opens a window as a plugin gets it; gives (viewer, panel)."""
    from napari_dmu.viewer.widgets.panel import CompressiveMicroscope

    panels = []

    def open_panel() -> tuple[Any, Any]:
        viewer = make_napari_viewer_proxy()
        panel = CompressiveMicroscope(viewer)
        viewer.window.add_dock_widget(panel, name="Compressive microscope")
        panel.settings.ratio.choose(f"{ratio:g}")
        panels.append(panel)
        return viewer, panel

    yield open_panel
    for panel in panels:
        job = panel._links.job
        if job is not None:
            job.cancel()
            qtbot.waitUntil(job.done.is_set, timeout=30_000)
