"""A training on a CUDA device: it learns as on the CPU, stops and goes on, and its set works anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support import quick_recipe

from napari_dmu.errors import Cancelled
from napari_dmu.training import content, single
from napari_dmu.training.loop import train
from napari_dmu.zoo.pattern_set import read_set

pytestmark = pytest.mark.gpu


def test_it_scores_as_on_the_cpu(images: Path, tmp_path: Path) -> None:
    device = torch.device("cuda")
    here, there = (
        train(quick_recipe(), images, tmp_path / f"{name}.dmu.safetensors", device=torch.device(name))
        for name in ("cpu", "cuda")
    )
    assert there.header.provenance.device == str(device)
    one, other = (made.header.scores["discs/val"] for made in (here, there))
    # The same start, crops and draws; the noise comes from the device, and the networks round.
    assert other.psnr == pytest.approx(one.psnr, abs=1.0)
    assert other.lifted_psnr == pytest.approx(one.lifted_psnr, abs=0.5)


def test_it_goes_on_after_a_stop(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(single, "CHECKPOINT_SECONDS", 0.0)
    out, device, seen = tmp_path / "discs.dmu.safetensors", torch.device("cuda"), 0

    def stop() -> None:
        nonlocal seen
        seen += 1
        if seen == 13:
            raise Cancelled("Stopped: here.")

    with pytest.raises(Cancelled):
        train(quick_recipe(), images, out, device=device, check_cancelled=stop)
    resumed = train(quick_recipe(), images, out, device=device)
    whole = train(quick_recipe(), images, tmp_path / "whole.dmu.safetensors", device=device)
    assert read_set(out).hash == resumed.hash
    one, other = (made.header.scores["discs/val"].psnr for made in (resumed, whole))
    assert one == pytest.approx(other, abs=0.3)
    assert np.isfinite(one)
