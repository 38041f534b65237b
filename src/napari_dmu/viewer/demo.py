"""The window of ``napari-dmu demo``: a sample, the panel, and everything run once."""

from typing import Any

from napari_dmu.viewer import samples
from napari_dmu.viewer.widgets.panel import CompressiveMicroscope


def open_demo(
    sample: str = "nuclei_2d",
    *,
    set_name: str = "nuclei",
    ratio: float = 64.0,
    family: str = "learned",
    photons: float | None = None,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Open napari with a sample, measure, reconstruct, segment and compare it; returns when the window is closed."""
    import napari

    viewer = napari.Viewer(title="napari-dmu: compressive microscope")
    panel = add_demo(viewer, sample)
    form = panel.settings
    form.ratio.choose(f"{ratio:g}")
    form.pattern_set.choose(f"{set_name}/{family}")
    form.device.choose(device)
    form.seed.setValue(seed)
    if photons is not None:
        form.photons.setValue(photons)
    panel.run_all.click()
    napari.run()


def add_demo(viewer: Any, sample: str) -> CompressiveMicroscope:
    """Add the layers of a sample and the panel, ready to run, to a viewer."""
    from napari.layers import Layer

    for data, options, kind in samples.open_sample(sample):
        viewer.add_layer(Layer.create(data, options, kind))
    panel = CompressiveMicroscope(viewer)
    viewer.window.add_dock_widget(panel, name="Compressive microscope", area="right")
    for layer in viewer.layers:
        if layer.name == sample:
            viewer.layers.selection.active = layer
        elif layer.name == f"{sample}_labels":
            panel.truth.choose(str(layer.unique_id))
    return panel
