"""The light budget of what is set in the panel: the very card of ``napari-dmu budget``. No Qt here."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_dmu.microscope.budget import Budget
from napari_dmu.viewer.loading import load_torch
from napari_dmu.viewer.steps import Choices
from napari_dmu.zoo.registry import SetSummary


def budget_of(chosen: SetSummary, choices: Choices) -> Budget:
    """What a measurement with these choices costs and yields; to be called in a thread, for it loads torch.

    Raises
    ------
    DmuError
        The set is gone, or the settings do not belong together.
    """
    load_torch()
    from napari_dmu.microscope.budget import light_budget
    from napari_dmu.microscope.checking import checked_update
    from napari_dmu.microscope.presets import apply_preset

    acquisition = chosen.header.acquisition
    if choices.detector is not None:
        acquisition = apply_preset(acquisition, choices.detector)
    light = {"photons": choices.photons, "background": choices.background, "read_noise": choices.read_noise}
    return light_budget(checked_update(acquisition, light), _patterns(chosen.header.tensors_sha256, chosen.label))


@lru_cache(maxsize=8)
def _patterns(tensors_sha256: str, label: str) -> NDArray[np.uint8]:
    """The patterns (T, P, P) alone: a few kilobytes, so that a turn of a knob does not read the file again."""
    from napari_dmu.zoo.registry import load_by_hash

    return load_by_hash(tensors_sha256, label).patterns.copy()
