"""Cellpose as a segmenter, where it is installed; imported only when it is used.

C. Stringer, T. Wang, M. Michaelos, M. Pachitariu, Nat. Methods 18, 100 (2021), and Cellpose-SAM (2025),
https://github.com/MouseLand/cellpose.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import SettingsError

ABSENT = "Cellpose is not installed here: run pip install 'napari-dmu[cellpose]', or choose another segmenter."


def cellpose(image: NDArray[np.float32]) -> NDArray[np.integer[Any]]:
    """Cells by Cellpose's own current model, with its own settings, on a GPU where there is one.

    Parameters
    ----------
    image
        (Y, X) float32, any units: Cellpose normalises it.

    Returns
    -------
    ndarray
        (Y, X) whole numbers, 0 = background.

    Raises
    ------
    SettingsError
        Cellpose or its weights are not on this machine; nothing is downloaded unasked.
    """
    labels: NDArray[np.integer[Any]] = np.asarray(_model().eval(image)[0])
    return labels


@lru_cache(maxsize=1)
def _model() -> Any:
    """The model, loaded once a session: it has more than a gigabyte."""
    try:
        from cellpose import models
    except ImportError as error:
        raise SettingsError(ABSENT) from error
    name = inspect.signature(models.CellposeModel).parameters["pretrained_model"].default
    if not isinstance(name, str):
        raise SettingsError("This version of Cellpose has no model of its own: install version 4 or newer.")
    if not (Path(models.MODEL_DIR) / name).is_file():
        raise SettingsError(
            f"Cellpose's weights '{name}' are not in {models.MODEL_DIR}: fetch them once (about 1.2 GB) with "
            'python -c "from cellpose.models import CellposeModel; CellposeModel()".'
        )
    import torch

    return models.CellposeModel(gpu=torch.cuda.is_available() or torch.backends.mps.is_available())
