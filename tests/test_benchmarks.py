"""The commands behind docs/results.md, on a small set made by hand: figures, tables, pictures, places in the page."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from support import TRUST, discs, make_set, quick_recipe

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.training.data import Example
from napari_dmu.training.validation import score
from napari_dmu.zoo.header import Typical
from napari_dmu.zoo.pattern_set import PatternSet, write_set

NAMES = ("common", "baselines", "figures", "pictures", "quality", "robustness")


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """The modules of benchmarks/, imported as the commands import them."""
    folder = str(Path(__file__).resolve().parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import common  # noqa: I001
        import baselines
        import figures
        import pictures
        import quality
        import robustness

        found = (common, baselines, figures, pictures, quality, robustness)
        yield SimpleNamespace(**dict(zip(NAMES, found, strict=True)))
    finally:
        sys.path.remove(folder)
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PatternSet:
    """A ×4 set of discs, with a card that names the folders of its images."""
    path = tmp_path_factory.mktemp("sets") / "discs-x4-raster.dmu.safetensors"
    first = make_set(path)
    recipe = {"training": [{"folder": "discs/train"}], "validation": [{"folder": "discs/val"}]}
    card = first.header.provenance.model_copy(update={"recipe": recipe})
    header = first.header.model_copy(update={"provenance": card})
    return write_set(path, header, first.patterns, first.decoder, first.segmenter)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    """Three fields of discs, none of them whole periods."""
    return [Example(f"{seed}.tif", *discs((60, 70), seed=seed)) for seed in range(3)]


def test_steps_one_by_one_are_those_of_a_training() -> None:
    folder = str(Path(__file__).resolve().parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        from steps import Steps
    finally:
        sys.path.remove(folder)
        sys.modules.pop("steps", None)
    twins = [Steps(quick_recipe(), torch.device("cpu"), recorded=recorded) for recorded in (False, True)]
    before = [weight.clone() for weight in twins[0].decoder.parameters()]
    twins[1].decoder.load_state_dict(twins[0].decoder.state_dict())
    for twin in twins:
        twin.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, twins[0].decoder.parameters(), strict=True))
    for one, other in zip(*(twin.decoder.parameters() for twin in twins), strict=True):
        torch.testing.assert_close(one, other)


def test_a_set_is_scored_as_in_its_card(bench: Any, made: PatternSet, examples: list[Example]) -> None:
    group = bench.common.Group("discs/val", examples)
    figures = bench.quality.set_figures(made, group, torch.device("cpu"))
    row = bench.quality.row(group, made.ratio, "raster", figures, family="raster")
    card = score(
        examples,
        made.microscope(),
        made.decoder,
        made.acquisition,
        head=made.segmenter,
        settings=made.header.instances,
    )
    assert (row["psnr"], row["ssim"], row["mse"], row["linear"], row["ap50"], row["f1"]) == pytest.approx(
        (card.psnr, card.ssim, card.mse, card.lifted_psnr, card.ap50, card.f1), rel=1e-6
    )
    assert row["limit"] == 4.0
    assert 2.0 <= row["frc_truth"] < math.inf


def test_total_variation_stands_above_the_sets_on_the_same_images(
    bench: Any, made: PatternSet, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = [Example(e.name, e.specimen[:32, :32], None) for e in examples]
    group = bench.common.Group("discs/val", fields)
    domain, kept = bench.common.Domain("discs", (), ()), bench.common.Kept(tmp_path / "kept.json")
    monkeypatch.setattr(bench.baselines, "lmmse", lambda *_: (None, None))
    monkeypatch.setattr(bench.baselines, "lmmse_figures", lambda group, *_: bench.baselines.bicubic_figures(group, 4))
    rows = bench.quality.baseline_rows(tmp_path, domain, group, 4.0, made.acquisition, kept, 2)
    assert [r["family"] for r in rows] == ["bicubic", "LMMSE", "TV"]
    assert rows[-1]["indices"] == [0, 2]
    (summary,) = bench.common.pattern_sets(_folder(made, tmp_path))
    learned = SimpleNamespace(path=summary.path, family="learned", ratio=4.0, exposures=4, dose_mean=1.0)
    figures = bench.quality.set_figures(made, group, torch.device("cpu"))
    rows += bench.quality.set_rows(learned, group, figures, rows[-1]["indices"])
    assert rows[-1]["psnr"] == pytest.approx((figures[0]["psnr"] + figures[2]["psnr"]) / 2)
    text = bench.quality.markdown(rows)
    assert "| plain camera, TV, 2 images |" in text
    assert "| learned, our decoder, the same 2 images |" in text


def test_baselines_see_the_specimen(bench: Any, examples: list[Example]) -> None:
    group = bench.common.Group("discs/val", examples)
    camera = bench.baselines.plain_camera(16, Acquisition(bin=8, exposures=4, period=8))
    assert (camera.acquisition.bin, camera.acquisition.exposures, camera.acquisition.ratio) == (4, 1, 16)
    few = bench.common.Group("discs/val", [Example(e.name, e.specimen[:32, :32], None) for e in examples])
    by_tv = bench.baselines.total_variation_figures(few, camera, 2)
    assert [f["index"] for f in by_tv] == [0, 2]
    for figures in (*by_tv, *bench.baselines.bicubic_figures(group, 16)):
        assert 20 < figures["psnr"] < 50


def test_exported_patterns_score_the_same(
    bench: Any, made: PatternSet, examples: list[Example], tmp_path: Path
) -> None:
    (summary,) = bench.common.pattern_sets(_folder(made, tmp_path))
    assert abs(bench.quality.exported_difference(summary, bench.common.Group("discs", examples))) < 0.01


def test_domains_and_groups_come_from_the_card(bench: Any, made: PatternSet, tmp_path: Path) -> None:
    for place in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / "discs" / place / kind).mkdir(parents=True)
        for seed in range(4):
            image, labels = discs((40, 40), seed=seed)
            tifffile.imwrite(tmp_path / "discs" / place / "images" / f"{seed}.tif", image)
            tifffile.imwrite(tmp_path / "discs" / place / "masks" / f"{seed}.tif", labels.astype(np.uint16))
    domain = bench.common.domains(bench.common.pattern_sets(_folder(made, tmp_path)))["discs"]
    (group,) = bench.common.groups(tmp_path, domain, 2)
    assert group.title == "discs/val (2)"
    assert [e.name for e in group.examples] == ["0.tif", "2.tif"]
    assert group.has_cells


def test_conditions_change_what_they_say(bench: Any) -> None:
    own = Acquisition(bin=4, exposures=4, period=8)
    by_title = {c.title: c.settings(own) for c in bench.robustness.CONDITIONS}
    assert by_title["nominal"] == by_title["elsewhere"] == own
    assert by_title["k = 10"] == own.model_copy(update={"photons": 10.0})
    assert by_title["PSF σ +20 %"].excitation.sigma == by_title["PSF σ +20 %"].emission.sigma == 1.2
    assert by_title["shift 0.5 px"].registration.shift == (0.5, 0.5)
    assert len(by_title) == len(bench.robustness.CONDITIONS)


def test_robustness_counts_the_warnings(bench: Any, tmp_path: Path) -> None:
    """One figure for either door; a limit that nothing keeps warns of everything."""
    made = make_set(tmp_path / "discs-x4-raster.dmu.safetensors", with_error_bars=True)
    fields = [Example(f"{seed}.tif", discs((128, 130), seed=seed)[0], None) for seed in range(2)]
    far = Typical(whitening=[[0.0] * 6], usual=[[0.0] * 3], known=[[2.0]], limits=((0.0, 1.0),))
    free = {"chi_square_limit": 1e6, "spread_limit": 1e6}
    for changes, share in ((free, 0.0), ({**free, "typical": far}, 1.0), ({**free, "chi_square_limit": 1e-6}, 1.0)):
        trust = TRUST.model_copy(update=changes)
        used = replace(made, header=made.header.model_copy(update={"trust": trust}))
        found = [bench.robustness.one(used, used.microscope(), field, 0)["flagged"] for field in fields]
        assert np.mean(found) == share
    rows = bench.robustness.set_rows(bench.common.pattern_sets(tmp_path)[0], fields, fields, torch.device("cpu"))
    assert set(rows["elsewhere"]) >= {"covered", "misfit", "flagged"}
    assert ("covered_quiet" in rows["nominal"]) == (rows["nominal"]["flagged"] < 1.0)


def test_robustness_tables(bench: Any, made: PatternSet, examples: list[Example], tmp_path: Path) -> None:
    (summary,) = bench.common.pattern_sets(_folder(made, tmp_path))
    rows = bench.robustness.set_rows(summary, examples[:1], examples[1:], torch.device("cpu"))
    figures = bench.quality.set_figures(made, bench.common.Group("discs", examples[:1]), torch.device("cpu"))
    assert rows["nominal"]["psnr"] == pytest.approx(figures[0]["psnr"], rel=1e-6)
    # Every condition reaches the measurement; a raster feels a shift the more the longer it is.
    psnr = {title: found["psnr"] for title, found in rows.items()}
    assert len(set(psnr.values())) == len(psnr)
    assert abs(psnr["nominal"] - psnr["shift 0.25 px"]) < abs(psnr["nominal"] - psnr["shift 0.5 px"])
    text = bench.robustness.markdown([(summary, rows)])
    assert "error bars" not in text
    assert f"| {rows['nominal']['psnr']:.2f} |" in text


def test_kept_figures_are_made_once(bench: Any, tmp_path: Path) -> None:
    made_now: list[int] = []
    for _ in range(2):
        kept = bench.common.Kept(tmp_path / "kept.json")
        kept.get(["bicubic", 16], lambda: made_now.append(1) or {"psnr": math.inf})
        assert kept.get(["bicubic", 16], dict) == {"psnr": math.inf}
    assert made_now == [1]


def test_only_what_is_between_the_markers_is_replaced(bench: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- quality -->\nold\n<!-- /quality -->\nafter\n", encoding="utf-8")
    bench.common.write_between(page, "quality", "new\n")
    assert page.read_text(encoding="utf-8") == "before\n<!-- quality -->\nnew\n<!-- /quality -->\nafter\n"
    with pytest.raises(SystemExit, match="robustness"):
        bench.common.write_between(page, "robustness", "new")


def test_the_page_has_the_places(project: Path) -> None:
    page = (project / "docs" / "results.md").read_text(encoding="utf-8")
    for marker in ("quality", "robustness"):
        assert page.count(f"<!-- {marker} -->") == page.count(f"<!-- /{marker} -->") == 1


def test_pictures_are_drawn(bench: Any, made: PatternSet, tmp_path: Path) -> None:
    values = {"learned": 34.0, "plain": 33.5, "LMMSE": 29.0, "bicubic": 28.0}
    rows = [
        {"group": group, "ratio": ratio, "family": family, "psnr": psnr - 5 * step}
        for group in ("one (3)", "two (4)")
        for step, ratio in enumerate((4.0, 16.0, 64.0))
        for family, psnr in values.items()
    ]
    bench.figures.rate_distortion(rows, tmp_path / "curves.png")
    (summary,) = bench.common.pattern_sets(_folder(made, tmp_path))
    field = Example("field", *discs((300, 280), count=20))
    bench.pictures.panel([summary], field, tmp_path / "panel.png")
    for name in ("curves.png", "panel.png"):
        pixels = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        assert (pixels[:4] == 255).all()
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def _folder(made: PatternSet, tmp_path: Path) -> Path:
    folder = tmp_path / "sets"
    folder.mkdir(exist_ok=True)
    write_set(folder / "made.dmu.safetensors", made.header, made.patterns, made.decoder, made.segmenter)
    return folder
