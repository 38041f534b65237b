"""The yardstick: order of its lines, its three numbers, and the rule for "close to the limit"."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support import NO_PSF, assert_sentence, discs, make_set

from napari_dmu.errors import Cancelled, DmuError
from napari_dmu.evaluation.image_quality import image_quality
from napari_dmu.evaluation.limit_lines import Arm, Scene, _ceilings, plain_picture
from napari_dmu.evaluation.limits import Limits, limits, linear_efficiency, verdict
from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.reconstruction.inference import decode
from napari_dmu.zoo.pattern_set import PatternSet

IMAGES = [discs((64, 72), seed=seed)[0] for seed in range(3)]
OTHERS = [discs((80, 80), seed=50 + seed)[0] for seed in range(4)]


def arm(instrument: PatternSet, *, gain: float = 1.0) -> Arm:
    def picture(counts: NDArray[np.unsignedinteger]) -> NDArray[np.floating]:
        numbers = torch.from_numpy(counts.astype(np.float32))[None]
        return gain * decode(instrument.decoder, numbers, instrument.acquisition).image[0, 0].numpy()

    return Arm(instrument.patterns, instrument.acquisition, picture)


@pytest.fixture(scope="module")
def instrument(tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    return make_set(tmp_path_factory.mktemp("sets") / "discs.dmu.safetensors", period=4, with_head=False)


@pytest.fixture(scope="module")
def found(instrument: PatternSet) -> Limits:
    worse = arm(instrument, gain=0.7)
    return limits(IMAGES, instrument.acquisition, ours=arm(instrument), plain=worse, training=OTHERS, steps=20)


def test_lines_are_in_the_order_that_physics_wants(found: Limits) -> None:
    mse = {line.key: line.mse for line in found.lines}
    assert mse["mean"] > mse["bicubic"]
    assert mse["mean"] > mse["plain_lmmse"] > mse["shot_noise"]
    assert mse["full"] > mse["shot_noise"]
    # Best at any reach without noise, best searched, ours: each within what three images leave to chance.
    assert mse["reach_floor"] < mse["binary"]
    assert mse["grey"] == pytest.approx(mse["binary"], rel=0.05)
    # Four small images are few to search on.
    assert mse["binary"] <= 1.15 * mse["own_lmmse"]
    for line in found.lines:
        assert np.isfinite(line.psnr)
        assert 0 < line.mse < 1


def test_numbers_follow_from_the_lines(found: Limits) -> None:
    lines = {line.key: line for line in found.lines}
    optimum = min(lines[key].mse for key in ("grey", "binary", "own_lmmse"))
    assert found.linear_efficiency == pytest.approx(
        (lines["mean"].mse - lines["own_lmmse"].mse) / (lines["mean"].mse - optimum)
    )
    assert 0 < found.linear_efficiency <= 1
    assert found.pattern_gain == pytest.approx(lines["ours"].psnr - lines["plain_set"].psnr)
    assert found.pattern_gain > 1  # here plain is the same set with a decoder that is too dark
    assert found.headroom == pytest.approx(lines["shot_noise"].psnr - lines["ours"].psnr)
    assert found.statistics == "4 training images"
    assert Limits.model_validate_json(found.model_dump_json()) == found


def test_mean_and_bicubic_are_what_they_say(found: Limits) -> None:
    lines = {line.key: line for line in found.lines}
    mean = float(np.mean([o.mean() for o in OTHERS]))
    expected = np.mean([image_quality(np.full_like(i, mean), i, limits=(0.0, 1.0)).mse for i in IMAGES])
    assert lines["mean"].mse == pytest.approx(expected, rel=1e-4)
    flat = torch.full((12, 20), 0.4)
    torch.testing.assert_close(plain_picture(flat, 4), flat)


def test_without_a_set_there_is_nothing_to_judge() -> None:
    a = Acquisition(bin=4, exposures=4, period=4)
    found = limits(IMAGES, a, steps=5)
    keys = {line.key for line in found.lines}
    assert {"binary", "grey", "block_floor", "reach_floor"} <= keys
    assert not {"ours", "own_lmmse", "plain_set"} & keys
    assert (found.linear_efficiency, found.pattern_gain, found.headroom) == (None, None, None)
    assert found.statistics == "the other 2 images, one left out"
    assert found.sentence.startswith("No pattern set was judged")


def test_an_image_is_not_judged_by_its_own_statistics() -> None:
    a = Acquisition(bin=4, exposures=4, period=4)
    scene = Scene([np.zeros((32, 32), np.float32), np.full((32, 32), 0.5, np.float32)], a, (), 0)
    assert scene.statistics(0, 4).mean == pytest.approx(0.5)
    assert scene.statistics(1, 4).mean == pytest.approx(0.0)
    assert scene.statistics(None, 4).mean == pytest.approx(0.25)
    trained = Scene(IMAGES[:1], a, [np.full((32, 32), 0.5, np.float32)], 0)
    assert trained.statistics(0, 4).mean == pytest.approx(0.5)


def test_full_resolution_has_the_light_of_all_exposures_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    blur = Psf(sigma=1.5)
    a = Acquisition(bin=4, exposures=4, period=4, photons=100, background=3, dark_current=50, contrast=200,
                    emission=blur)  # fmt: skip
    patterns = np.ones((4, 4, 4), np.uint8)
    patterns[0] = 0  # three exposures are lit
    scene, used = Scene(IMAGES, a, OTHERS, 0), []

    def linear(acquisition: Acquisition, patterns: torch.Tensor, index: int) -> torch.Tensor:
        used.append(acquisition)
        return scene.images[index]

    monkeypatch.setattr(scene, "linear", linear)
    for _, _, picture in _ceilings(scene, Arm(patterns, a, lambda counts: counts)):
        picture(0)
    full, quiet = used
    for one in used:
        assert (one.bin, one.exposures, one.photons, one.contrast) == (1, 1, 300.0, None)
    assert (full.read_noise, full.background, full.dark_current, full.emission) == (2.0, 3.0, 50.0, blur)
    assert (quiet.read_noise, quiet.background, quiet.dark_current, quiet.emission) == (0.0, 0.0, 0.0, NO_PSF)


def test_less_light_brings_the_lines_down() -> None:
    a = Acquisition(bin=4, exposures=4, period=4)
    bright, dim = (
        {line.key: line.mse for line in limits(IMAGES, a.model_copy(update={"photons": k}), training=OTHERS,
                                              steps=3).lines}
        for k in (1000.0, 3.0)
    )  # fmt: skip
    for key in ("plain_lmmse", "binary", "full", "shot_noise"):
        assert dim[key] > bright[key]
    for key in ("mean", "bicubic", "block_floor", "reach_floor"):
        assert dim[key] == pytest.approx(bright[key], rel=1e-6)
    # With read noise and few photons a pixel each, many bins beat full resolution; shot noise alone does not do that.
    assert dim["shot_noise"] < dim["full"]


@pytest.mark.parametrize(
    ("efficiency", "gain", "spread", "close"),
    [
        (0.99, 0.05, 0.02, True),
        (0.98, 0.099, 0.0, True),
        (0.979, 0.05, 0.02, False),
        (0.99, 0.1, 0.02, False),
        (0.99, None, 0.02, False),
        (0.99, 0.05, None, False),
        (None, 0.05, 0.02, False),
    ],
)
def test_rule(efficiency: float | None, gain: float | None, spread: float | None, close: bool) -> None:
    sentence = verdict(efficiency, gain, spread)
    assert sentence.startswith("The set is close to the limit") == close
    assert sentence.endswith(".")
    if close:
        assert f"{spread:.2f} dB" in sentence


def test_efficiency_is_one_at_the_optimum_and_zero_at_the_mean() -> None:
    assert linear_efficiency(0.5, 0.1, 0.1) == 1
    assert linear_efficiency(0.5, 0.5, 0.1) == 0
    assert linear_efficiency(0.1, 0.1, 0.1) is None


@pytest.mark.parametrize(
    ("images", "bin", "part"),
    [
        ([], 4, "no images"),
        (IMAGES[:1], 4, "its own statistics"),
        (IMAGES, 3, "no plain camera"),
        ([IMAGES[0], np.full((8, 8), np.nan, np.float32)], 4, "finite"),
    ],
)
def test_refusals(images: list[NDArray[np.float32]], bin: int, part: str) -> None:
    exposures = 4 if bin == 4 else 3
    with pytest.raises(DmuError, match=part) as error:
        limits(images, Acquisition(bin=bin, exposures=exposures, period=bin), steps=2)
    assert_sentence(error.value)


def test_it_can_be_stopped_while_it_searches(tmp_path: Path) -> None:
    seen = []

    def stop(done: int, total: int, what: str) -> None:
        seen.append(what)
        raise Cancelled("Stopped: nothing was changed.")

    with pytest.raises(Cancelled):
        limits(IMAGES, Acquisition(bin=4, exposures=4, period=4), progress=stop)
    assert seen == ["Searching patterns"]
