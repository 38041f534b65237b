"""Error bars for a set: learned, calibrated, the same each time, and nothing else of the set is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import TRUST, assert_sentence, discs, make_set, quick_recipe

from napari_dmu.errors import Cancelled, SettingsError
from napari_dmu.evaluation.typicality import FeatureMean, distance, limit_at
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.error_bar import ErrorHead
from napari_dmu.reconstruction.inference import decode, noise_of
from napari_dmu.reconstruction.shapes import ErrorShape
from napari_dmu.training import precision
from napari_dmu.training.data import CropSampler, Example
from napari_dmu.training.error_stage import add_error_bars, calibrate_again, error_step
from napari_dmu.training.loop import train
from napari_dmu.training.recipe import ErrorStage, NoiseSpread
from napari_dmu.training.stages import Draw
from napari_dmu.training.trust import LIGHTS, measure_trust
from napari_dmu.training.typicality import CROPS
from napari_dmu.training.validation import measure_example
from napari_dmu.zoo.pattern_set import PatternSet, read_set, write_set

STAGE = ErrorStage(steps=60, batch=2, crop=32, shape=ErrorShape(widths=(8, 8)))


def examples(first: int, count: int) -> list[Example]:
    return [Example(f"{i}", discs((64, 72), seed=i)[0], None) for i in range(first, first + count)]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    return make_set(tmp_path_factory.mktemp("bare") / "discs.dmu.safetensors")


@pytest.fixture(scope="module")
def made(bare: PatternSet, tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    out = tmp_path_factory.mktemp("made") / "discs.dmu.safetensors"
    validation = {"one": examples(200, 7), "two": examples(300, 5)}
    return add_error_bars(bare, [examples(100, 10)], validation, out, stage=STAGE, seed=3)


def test_the_rest_of_the_set_stays(bare: PatternSet, made: PatternSet) -> None:
    np.testing.assert_array_equal(made.patterns, bare.patterns)
    assert made.segmenter is not None
    assert bare.segmenter is not None
    for after, before in ((made.decoder, bare.decoder), (made.segmenter, bare.segmenter)):
        for name, weight in before.state_dict().items():
            assert torch.equal(after.state_dict()[name], weight), name
    kept = {"error", "trust", "provenance", "tensors_sha256"}
    assert made.header.model_dump(exclude=kept) == bare.header.model_dump(exclude=kept)
    assert made.header.provenance.recipe["error_bars"]["steps"] == STAGE.steps


def test_error_bars_cover_what_they_say_on_new_images(made: PatternSet) -> None:
    """The figures of other images than those that calibrated, with the factor in the file."""
    trust = made.header.trust
    assert trust is not None
    assert made.error_head is not None
    assert set(trust.coverage) == {"one", "two"}
    assert all(0.85 < covered < 0.95 for covered in trust.coverage.values())
    new = measure_trust(made, made.error_head, {"new": examples(400, 12)})
    assert new.factor == pytest.approx(trust.factor, rel=0.15)
    assert new.coverage["new"] == pytest.approx(0.9, abs=0.03)
    assert new.tolerance == pytest.approx(trust.tolerance, rel=0.5)
    assert new.chi_square["new"] < trust.chi_square_limit
    assert new.spread_limit == pytest.approx(trust.spread_limit, rel=0.5)


def test_what_the_set_knows_tells_discs_from_other_images(made: PatternSet) -> None:
    trust = made.header.trust
    assert trust is not None
    known = trust.typical
    assert known is not None
    channels = made.header.decoder.widths[0]
    assert np.shape(known.whitening) == (channels, channels)  # fewer than there are components
    assert len(known.known) == CROPS
    assert len(known.limits) == len(trust.chi_square_limits) == len(LIGHTS)
    assert trust.chi_square_limit == max(limit for _, limit in trust.chi_square_limits)
    stripes = np.tile(0.5 + 0.5 * np.sin(np.arange(72, dtype=np.float32)), (64, 1))
    noise = np.random.default_rng(0).random((64, 72), dtype=np.float32)
    for photons in (20.0, 2000.0, 20000.0):
        usual = [_excess(made, e, photons) for e in examples(500, 12)]
        assert np.mean(np.array(usual) > 1) <= 0.25
        for strange in (stripes, noise):
            assert _excess(made, Example("", strange, None), photons) > 1.5


def _excess(made: PatternSet, example: Example, photons: float) -> float:
    """Distance of a measurement over its limit."""
    acquisition = made.acquisition.model_copy(update={"photons": photons})
    counts = measure_example(example, 0, made.microscope(), acquisition)
    decoded = decode(made.decoder, torch.from_numpy(counts.astype(np.float32))[None], acquisition)
    features = FeatureMean(made.header.decoder.stride)
    features.add(decoded.features[0], slice(0, 64), slice(0, 72))
    known, noise = made.header.trust.typical, noise_of(acquisition)
    return distance(known, features.value, noise) / limit_at(known.limits, noise)


def test_calibrating_again_gives_the_same_and_touches_no_tensor(made: PatternSet, tmp_path: Path) -> None:
    groups, validation = [examples(100, 10)], {"one": examples(200, 7), "two": examples(300, 5)}
    whole = made.header.trust
    path = tmp_path / "discs.dmu.safetensors"
    bare = made.header.model_copy(update={"trust": TRUST})  # as of before there were neighbours
    before = write_set(path, bare, made.patterns, made.decoder, made.segmenter, error_head=made.error_head)
    after = calibrate_again(path, groups, validation, path, stage=STAGE, seed=3)
    assert after.hash == before.hash
    assert after.header.model_dump(exclude={"trust"}) == before.header.model_dump(exclude={"trust"})
    assert after.header.trust.typical.limits == pytest.approx(np.array(whole.typical.limits), rel=0.05)
    assert after.header.trust.factor == pytest.approx(whole.factor, rel=0.01)
    assert list(tmp_path.iterdir()) == [path]


def test_a_set_without_error_bars_is_not_calibrated(bare: PatternSet, tmp_path: Path) -> None:
    path = tmp_path / "bare.dmu.safetensors"
    write_set(path, bare.header, bare.patterns, bare.decoder, bare.segmenter)
    with pytest.raises(SettingsError) as refusal:
        calibrate_again(path, [examples(100, 1)], {"val": examples(200, 1)}, path)
    assert_sentence(refusal.value)


def test_the_head_learns_where_the_errors_are(bare: PatternSet) -> None:
    torch.manual_seed(0)
    shape = bare.header.decoder
    head = ErrorHead(shape.widths[0], shape.stride, STAGE.shape)
    sampler = CropSampler([examples(100, 10)], [1.0], device=torch.device("cpu"))
    draw = Draw(bare.acquisition, STAGE.noise, torch.Generator().manual_seed(0))
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = error_step(bare.microscope(), bare, head, sampler, draw, STAGE)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert not any(weight.grad is not None for weight in bare.decoder.parameters())


def test_more_noise_makes_wider_error_bars(made: PatternSet) -> None:
    widths = []
    for photons in (10.0, 1000.0):
        acquisition = made.acquisition.model_copy(update={"photons": photons})
        counts = measure_example(examples(400, 1)[0], 0, made.microscope(), acquisition)
        frames = torch.from_numpy(counts.astype(np.float32))[None]
        scale = decode(made.decoder, frames, acquisition, error_head=made.error_head).scale
        assert scale is not None
        widths.append(float(scale.mean()))
    assert widths[0] > 1.05 * widths[1]


def test_the_same_seed_gives_the_same_file_and_another_does_not(bare: PatternSet, tmp_path: Path) -> None:
    short = STAGE.model_copy(update={"steps": 5})
    groups, validation = [examples(100, 4)], {"val": examples(200, 3)}
    state = torch.random.get_rng_state()
    files = []
    for index, seed in enumerate((1, 1, 2)):
        out = tmp_path / f"{index}.dmu.safetensors"
        add_error_bars(bare, groups, validation, out, stage=short, seed=seed)
        files.append(out.read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]
    assert torch.equal(state, torch.random.get_rng_state())


def test_it_can_be_stopped_and_leaves_no_file(bare: PatternSet, tmp_path: Path) -> None:
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled("Stopped.")

    out = tmp_path / "discs.dmu.safetensors"
    with pytest.raises(Cancelled):
        add_error_bars(bare, [examples(100, 2)], {"val": examples(200, 2)}, out, stage=STAGE, check_cancelled=stop)
    assert len(calls) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_with_error_bars_makes_a_set_with_error_bars(images: Path, tmp_path: Path) -> None:
    stage = {"steps": 5, "batch": 2, "crop": 32, "shape": {"widths": [4, 4], "blocks": [1, 1]}}
    out = tmp_path / "discs.dmu.safetensors"
    seen: list[str] = []
    recipe = quick_recipe(error_bars=stage, head=None, content={**quick_recipe().content.model_dump(), "steps": 3})
    written = train(recipe, images, out, device=torch.device("cpu"), report=lambda done, total, what: seen.append(what))
    assert written.error_head is not None
    assert written.header.trust is not None
    assert set(written.header.trust.coverage) == {"discs/val"}
    assert written.header.scores["discs/val"].images == 3
    assert read_set(out).header == written.header
    assert "error bars" in seen
    assert list(tmp_path.iterdir()) == [out]


def test_training_tells_the_noise_that_is_told_afterwards() -> None:
    """Also for a detector that loses and multiplies light."""
    acquisition = Acquisition(
        bin=4, exposures=1, period=8, photons=100, background=500, read_noise=3, quantum_efficiency=0.4,
        excess_noise=2.0, dark_current=20.0,
    )  # fmt: skip
    draw = Draw(acquisition, NoiseSpread(share=0.0), torch.Generator().manual_seed(0))
    microscope = Microscope(torch.ones(1, 8, 8), acquisition)
    _, level = draw.signal(torch.rand(3, 1, 16, 16), microscope)
    np.testing.assert_allclose(level.flatten(), noise_of(acquisition), rtol=1e-5)


def test_the_signal_is_in_full_precision_where_networks_are_not(
    bare: PatternSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: True)
    seen = []
    original = Draw.signal

    def watched(*arguments: Any) -> Any:
        seen.append(torch.is_autocast_enabled("cpu"))
        return original(*arguments)

    monkeypatch.setattr(Draw, "signal", watched)
    sampler = CropSampler([examples(0, 2)], [1.0], device=torch.device("cpu"))
    draw = Draw(bare.acquisition, STAGE.noise, torch.Generator().manual_seed(0))
    head = ErrorHead(bare.header.decoder.widths[0], bare.header.decoder.stride, STAGE.shape)
    loss = error_step(bare.microscope(torch.device("cpu")), bare, head, sampler, draw, STAGE)
    assert seen == [False]
    assert torch.isfinite(loss)
