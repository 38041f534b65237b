"""The pattern sets that come with the package: complete, sound, and better than a plain camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_dmu.engine.verbs import reconstruct, simulate
from napari_dmu.microscope.detector import sample_counts
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.measurement import check_plane, intensity_range, normalise
from napari_dmu.reconstruction.inference import decode
from napari_dmu.training.recipe import Recipe, read_recipe
from napari_dmu.zoo import registry
from napari_dmu.zoo.header import SUFFIX, read_header
from napari_dmu.zoo.pattern_set import PatternSet, read_set

REQUIRED = [16, 64, 256]
SHIPPED = sorted(registry.SHIPPED.glob(f"*{SUFFIX}"))
LIMIT = 40 * 1024**2


def stress(side: int = 256) -> dict[str, NDArray[np.float32]]:
    """Scenes that no specimen resembles: saturated areas and edges of several sizes."""
    y, x = np.mgrid[:side, :side]
    scenes = {f"chequers of {size}": (y // size + x // size) % 2 for size in (8, 16, 64)}
    scenes |= {f"stripes of {size}": x // size % 2 for size in (8, 32)}
    scenes |= {"all on": np.ones_like(x), "disc": (y - side // 2) ** 2 + (x - side // 2) ** 2 < (side // 3) ** 2}
    return {name: scene.astype(np.float32) for name, scene in scenes.items()}


def nuclei(ratio: int) -> PatternSet:
    for summary in (s for path in SHIPPED for s in registry.summaries(path)):
        if (summary.name, summary.family, summary.ratio) == ("nuclei", "learned", ratio):
            return read_set(summary.path)
    raise AssertionError(f"×{ratio} nuclei, learned, is not shipped: train it and put it into {registry.SHIPPED}")


@pytest.mark.parametrize("ratio", REQUIRED)
def test_learned_nuclei_are_shipped_with_a_segmenter(ratio: int) -> None:
    assert nuclei(ratio).segmenter is not None


def test_all_together_stay_small() -> None:
    assert SHIPPED
    assert sum(p.stat().st_size for p in SHIPPED) < LIMIT


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name.removesuffix(SUFFIX))
def test_a_shipped_set_was_made_by_its_recipe(path: Path, project: Path) -> None:
    header = read_header(path)
    recipe = read_recipe(project / "recipes" / f"{path.name.removesuffix(SUFFIX)}.yaml")
    assert Recipe.model_validate(header.provenance.recipe) == recipe
    for family in header.also:  # the recipe of that family says the same: its patterns start as these, and stay
        name = f"{path.name.removesuffix(f'-{header.family}{SUFFIX}')}-{family}.yaml"
        other = read_recipe(project / "recipes" / name)
        assert other.content.pattern_rate == 0
        same = {"family": recipe.family, "start": recipe.start, "content": recipe.content}
        assert other.model_copy(update=same) == recipe
        assert other.content.model_copy(update={"pattern_rate": recipe.content.pattern_rate}) == recipe.content


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name.removesuffix(SUFFIX))
def test_a_shipped_set_is_sound(path: Path) -> None:
    made = read_set(path)
    header = made.header
    assert made.patterns.shape == (header.acquisition.exposures, header.acquisition.period, header.acquisition.period)
    assert set(np.unique(made.patterns)) <= {0, 1}
    assert made.patterns.any(axis=(1, 2)).all()
    assert header.dose_mean == pytest.approx(made.patterns.sum(0).mean())
    assert header.dose_max == made.patterns.sum(0).max()
    assert header.scores
    for scores in header.scores.values():
        assert scores.images > 0
        assert scores.psnr >= scores.lifted_psnr > 10
        assert 0 < scores.ssim < 1
        assert (scores.ap50 is not None) == (made.segmenter is not None)
    card = header.provenance
    assert card.data_licence
    assert card.recipe["name"] == header.name
    assert len(card.data_fingerprint) == 64
    assert card.curve
    assert sum(w.numel() for w in made.decoder.parameters()) <= 1_500_000
    for module in (made.decoder, made.segmenter):
        assert module is None or all(torch.isfinite(w).all() for w in module.parameters())


def bicubic_of_a_plain_camera(density: NDArray[np.float32], instrument: PatternSet) -> NDArray[np.float32]:
    """A camera with pixels of √C, all light on, no noise, the same optics; enlarged by bicubic interpolation."""
    bin = round(instrument.ratio**0.5)
    settings = instrument.acquisition.model_copy(update={"bin": bin, "period": bin, "exposures": 1})
    frame = Microscope(torch.ones(1, bin, bin), settings).forward(torch.from_numpy(density))
    large = functional.interpolate(frame[None] / bin**2, scale_factor=bin, mode="bicubic", align_corners=False)
    return large[0, 0, : density.shape[0], : density.shape[1]].clamp(0, 1).numpy()


def psnr(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    return float(-10 * np.log10(np.mean((image.astype(np.float64) - truth) ** 2)))


@pytest.mark.parametrize("ratio", REQUIRED)
def test_learned_patterns_beat_bicubic_of_a_plain_camera_by_2_db(ratio: int, shared_data: Path) -> None:
    instrument = nuclei(ratio)
    folder = shared_data / "nuclei_bbbc039" / "val"
    images = folder / "images" if (folder / "images").is_dir() else folder
    paths = sorted(images.glob("*.tif*"))[:4]
    assert len(paths) == 4
    ours, plain = [], []
    for path in paths:
        specimen = tifffile.imread(path)
        low, high = intensity_range(check_plane(specimen))
        density = normalise(specimen, (low, high))
        image = reconstruct(simulate(specimen, instrument, device="cpu"), instrument=instrument, device="cpu")
        ours.append(psnr((image - low) / (high - low), density))
        plain.append(psnr(bicubic_of_a_plain_camera(density, instrument), density))
    assert np.mean(ours) >= np.mean(plain) + 2.0, (ours, plain)


@pytest.mark.parametrize("bright", [1.0, 4.0])
@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name.removesuffix(SUFFIX))
def test_no_scene_is_blown_up(path: Path, bright: float) -> None:
    # A decoder without a limit once answered a chequerboard with values in the tens of thousands.
    made = read_set(path)
    microscope = made.microscope()
    for name, scene in stress().items():
        signal = microscope.forward(torch.from_numpy(bright * scene)).numpy()
        counts = sample_counts(signal, made.acquisition, seed=0, index=0).astype(np.float32)
        with torch.inference_mode():
            decoded = decode(made.decoder, torch.from_numpy(counts)[None], made.acquisition)
        assert float((decoded.image - decoded.lifted).abs().max()) < 1.5 * bright, name
