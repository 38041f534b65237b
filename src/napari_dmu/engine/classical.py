"""Classical reconstruction of one plane: ridge and total variation, without a trained network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dmu.engine.progress import CancelToken, check
from napari_dmu.microscope.detector import counts_to_signal
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.measurement import MeasurementInfo
from napari_dmu.reconstruction.total_variation import total_variation
from napari_dmu.reconstruction.variational import ridge


def classical_plane(
    patterns: NDArray[np.uint8],
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    method: str,
    *,
    device: torch.device,
    cancel: CancelToken | None = None,
) -> NDArray[np.float32]:
    """Fluorescence density of one plane: counts (T, y, x) → (Y, X), by ``"ridge"`` or ``"tv"``.

    The measurement's own acquisition is used, with its light, detector and registration, and the whole field at
    once: the problem has no tiles.
    """

    def report(done: int, total: int) -> None:
        check(cancel)

    microscope = Microscope(torch.from_numpy(patterns).to(device=device, dtype=torch.float32), info.acquisition)
    signal = counts_to_signal(torch.from_numpy(counts.astype(np.float32)).to(device), info.acquisition)
    if method == "ridge":
        image = ridge(microscope, signal, info.field, report=report).image
    else:
        image = total_variation(microscope, signal, info.field, report=report).image
    return image.cpu().numpy()
