"""The window of ``napari-dmu demo``: a sample, the panel, and everything run once."""

from typing import Any

from napari_dmu.errors import SettingsError
from napari_dmu.viewer import samples
from napari_dmu.viewer.widgets.panel import CompressiveMicroscope
from napari_dmu.viewer.widgets.settings_form import SettingsForm


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
    """Open napari with a sample, measure, reconstruct, segment and compare it; returns when the window is closed.

    Raises
    ------
    SettingsError
        The controls of the window cannot hold a value; none has opened.
    """
    import napari

    viewer = napari.Viewer(title="napari-dmu: compressive microscope", show=False)
    try:
        panel = add_demo(viewer, sample)
        _set(panel.settings, set_name=set_name, ratio=ratio, family=family, photons=photons, seed=seed, device=device)
    except BaseException:
        viewer.close()
        raise
    viewer.window.show()
    panel.run_all.click()
    napari.run()


def _set(
    form: SettingsForm, *, set_name: str, ratio: float, family: str, photons: float | None, seed: int, device: str
) -> None:
    """Set the controls to what was asked for; refused where one of them would hold something else."""
    _set_set(form, set_name, ratio, family)
    if not form.device.choose(device):
        raise _refusal("device", device)
    if photons is not None:
        form.photons.fill(photons)
        if form.photons.exact() != photons:
            raise _refusal("peak of photons", photons)
    if not form.seed.minimum() <= seed <= form.seed.maximum():  # Qt fails on more than 32 bits
        raise _refusal("seed", seed)
    form.seed.setValue(seed)


def _set_set(form: SettingsForm, name: str, ratio: float, family: str) -> None:
    form.ratio.choose(f"{ratio:g}")
    form.pattern_set.choose(f"{name}/{family}")
    chosen = form.chosen_set()
    if chosen is None or (f"{chosen.ratio:g}", chosen.name, chosen.family) != (f"{ratio:g}", name, family):
        raise _refusal("pattern set", f"×{ratio:g} {name}, {family}")


def _refusal(what: str, value: object) -> SettingsError:
    return SettingsError(
        f"The window does not offer a {what} of {value}: choose another one, or have files written with --headless."
    )


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
