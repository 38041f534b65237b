"""Images to train on and a recipe that takes seconds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support import discs, quick_recipe

from napari_dmu.training.recipe import Recipe


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with ``discs/train`` and ``discs/val``, images and masks."""
    root = tmp_path_factory.mktemp("data")
    for part, first, count in (("train", 0, 6), ("val", 50, 3)):
        for kind in ("images", "masks"):
            (root / "discs" / part / kind).mkdir(parents=True)
        for index in range(count):
            image, labels = discs((64, 72), seed=first + index, count=7)
            name = f"{index}.tif"
            tifffile.imwrite(root / "discs" / part / "images" / name, np.rint(200 + 3000 * image).astype(np.uint16))
            tifffile.imwrite(root / "discs" / part / "masks" / name, labels.astype(np.uint16))
    return root


@pytest.fixture
def recipe() -> Recipe:
    """Twenty steps of content, ten of the head."""
    return quick_recipe()


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint at every step would wait for the disk each time; that files are flushed is tested with the files."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
