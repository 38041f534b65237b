"""The samples in File ▸ Open Sample: simulated specimens with their true cells."""

from importlib.resources import as_file, files

from napari_dmu.files.specimen import Specimen, read_specimen
from napari_dmu.viewer.geometry import layer_options
from napari_dmu.viewer.layers import LayerData
from napari_dmu.viewer.record import Geometry

# Key in the manifest, what the menu says.
SAMPLES = {
    "nuclei_2d": "Nuclei",
    "nuclei_time_series": "Nuclei, time series",
    "nuclei_z_stack": "Nuclei, z stack",
    "filaments_2d": "Filaments",
}


def specimen_layer(specimen: Specimen) -> LayerData:
    """A layer of an image file: labels where the file says so, an image otherwise."""
    geometry = Geometry(
        axis_labels=specimen.axes, scale=specimen.scale, translate=specimen.translate, units=specimen.units
    )
    options = {"name": specimen.name, **layer_options(geometry)}
    if specimen.labels:
        return specimen.data.astype("int32"), {**options, "visible": False}, "labels"
    return specimen.data, {**options, "rgb": False, "colormap": "gray"}, "image"


def open_sample(key: str) -> list[LayerData]:
    """Layers of a sample: the specimen, and the true cells (hidden) where there are any."""
    layers = []
    for name in (f"{key}.tif", f"{key}_labels.tif"):
        resource = files("napari_dmu").joinpath("sample_data", name)
        if resource.is_file():
            with as_file(resource) as path:
                layers.append(specimen_layer(read_specimen(path)))
    return layers


def nuclei_2d() -> list[LayerData]:
    """Nuclei in one plane."""
    return open_sample("nuclei_2d")


def nuclei_time_series() -> list[LayerData]:
    """Nuclei that move and divide."""
    return open_sample("nuclei_time_series")


def nuclei_z_stack() -> list[LayerData]:
    """Nuclei in depth."""
    return open_sample("nuclei_z_stack")


def filaments_2d() -> list[LayerData]:
    """Filaments; there are no cells in it."""
    return open_sample("filaments_2d")
