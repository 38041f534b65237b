"""The step *Check*: how far a reconstruction is to be trusted, as layers. Free of Qt."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_dmu.engine.progress import CancelToken, Progress
from napari_dmu.errors import SpecimenError
from napari_dmu.viewer.finding import key_of
from napari_dmu.viewer.geometry import layer_options
from napari_dmu.viewer.layers import LayerData, layer_name, measurement_of, record_of
from napari_dmu.viewer.record import RunRecord
from napari_dmu.viewer.scene import Scene
from napari_dmu.viewer.steps import Choices, Work

# Dark where nothing is imagined; blue below, orange above: the two ends differ for every kind of colour vision.
SIGNED = Colormap(
    [[0.75, 0.92, 1.0], [0.15, 0.5, 0.85], [0.06, 0.06, 0.08], [0.85, 0.42, 0.08], [1.0, 0.9, 0.65]],
    name="imagined (blue to orange)",
    display_name="imagined (blue to orange)",
)
TOP = 99.5  # percentile that counts as the end of the colours


def work_to_check(scene: Scene, choices: Choices, *, measurement: str, specimen: str) -> Work:
    """The reconstruction of a measurement, else of a specimen, by their keys; and the measurement it was made of.

    Raises
    ------
    DmuError
        There is no reconstruction, or its measurement is gone.
    """
    image = scene.reconstruction_of(measurement, specimen)
    if image is None:
        raise SpecimenError("There is nothing to check yet: press Reconstruct first.")
    made = record_of(image)
    assert made is not None
    layer = scene.layer(scene.measured_as(key_of(image)))
    if layer is None:
        raise SpecimenError(
            f"The measurement of '{image.name}' is not open any more: open it again, or measure and reconstruct again."
        )
    return Work(choices, measurement=measurement_of(layer), record=made, image=image.data)


def check(work: Work, progress: Progress, cancel: CancelToken) -> Work:
    """Assess ``work.image`` and make the layers."""
    from napari_dmu.engine.device import resolve_device
    from napari_dmu.engine.verbs import assess

    assert work.measurement is not None
    assert work.record is not None
    start = time.perf_counter()
    found = assess(work.measurement, work.image, device=work.choices.device, progress=progress, cancel=cancel)
    changes = {
        "settings": {**work.record.settings, "verdict": found.verdict, "assessment": found.sentence},
        "device": str(resolve_device(work.choices.device)),
        "seconds": round(time.perf_counter() - start, 3),
    }
    record = work.record.model_copy(update=changes)
    made = [imagined_layer(found.imagined, record)]
    if found.error_bar is not None:
        made.append(error_bar_layer(found.error_bar, record))
    return replace(work, assessment=found, made=(*work.made, *made))


def error_bar_layer(error: NDArray[np.floating], record: RunRecord) -> LayerData:
    """An image layer of the half width of the error bar, on the specimen, from 0 on."""
    top = float(np.percentile(error, TOP))
    return _layer(error, record.model_copy(update={"kind": "error_bar"}), "error bar", "magma", (0.0, top or 1.0))


def imagined_layer(imagined: NDArray[np.floating], record: RunRecord) -> LayerData:
    """An image layer of what the data do not determine, on the specimen, with 0 in the middle of the colours."""
    top = float(np.percentile(np.abs(imagined), TOP)) or 1.0
    return _layer(imagined, record.model_copy(update={"kind": "imagined"}), "imagined", SIGNED, (-top, top))


def _layer(
    data: NDArray[np.floating], record: RunRecord, what: str, colormap: Any, limits: tuple[float, float]
) -> LayerData:
    options = {
        "name": layer_name(record, what),
        "colormap": colormap,
        "contrast_limits": limits,
        "rgb": False,
        **layer_options(record.geometry),
        "metadata": record.as_metadata(),
    }
    return data, options, "image"
