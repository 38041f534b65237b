"""Pattern set files: the round trip, and damage that must not pass unseen."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import assert_sentence, header, make_set, randomise

from napari_dmu.errors import PatternSetError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.reconstruction.shapes import DecoderShape
from napari_dmu.segmentation.settings import HeadShape, InstanceSettings
from napari_dmu.zoo.header import Scores, read_header
from napari_dmu.zoo.pattern_set import PatternSet, build_networks, read_set, write_set


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "discs.dmu.safetensors"


@pytest.fixture
def written(path: Path) -> PatternSet:
    return make_set(path)


def edit_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON of a file and leave its tensors as they are."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    outer = json.loads(data[8 : 8 + length])
    inner = json.loads(outer["__metadata__"]["napari_dmu"])
    change(inner)
    outer["__metadata__"]["napari_dmu"] = json.dumps(inner)
    encoded = json.dumps(outer).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data[8 + length :])


def refused(path: Path, words: str) -> None:
    with pytest.raises(PatternSetError, match=words) as refusal:
        read_set(path)
    assert_sentence(refusal.value)


def test_everything_comes_back(path: Path) -> None:
    acquisition = Acquisition(bin=4, exposures=3, period=8, photons=123.0, read_noise=1.5)
    shape, head = DecoderShape(stride=2, widths=(4, 6), blocks=(1, 2), lifted=3), HeadShape((5, 7), (2, 1))
    scores = {"somewhere/val": Scores(images=2, psnr=30.0, ssim=0.9, mse=0.001, lifted_psnr=28.0, ap50=0.8, f1=0.85)}
    card = header(acquisition, shape, head, instances=InstanceSettings(min_area=31), scores=scores)
    decoder, segmenter, error_head = build_networks(card)
    assert segmenter is not None
    assert error_head is None
    randomise(decoder, 1)
    randomise(segmenter, 2)
    patterns = (np.random.default_rng(0).random((3, 8, 8)) < 0.5).astype(np.uint8)
    first = write_set(path, card, patterns, decoder, segmenter)
    back = read_set(path)
    assert back.header == first.header == card.model_copy(update={"tensors_sha256": back.hash})
    assert back.header.decoder == shape
    assert back.header.head == head
    np.testing.assert_array_equal(back.patterns, patterns)
    assert back.patterns.dtype == np.uint8
    assert (back.name, back.family, back.ratio) == ("discs", "random", 16 / 3)
    assert back.segmenter is not None
    for saved, loaded in ((decoder, back.decoder), (segmenter, back.segmenter)):
        assert not loaded.training
        for name, weight in loaded.state_dict().items():
            assert weight.dtype == torch.float32
            assert torch.equal(weight, saved.state_dict()[name].half().float()), name
        assert not any(w.requires_grad for w in loaded.parameters())


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "a.dmu.safetensors", tmp_path / "b.dmu.safetensors"
    assert make_set(one).hash == make_set(two).hash
    assert one.read_bytes() == two.read_bytes()


def test_the_hash_follows_the_patterns_and_the_weights(written: PatternSet, path: Path) -> None:
    turned = write_set(path, written.header, 1 - written.patterns, written.decoder, written.segmenter)
    assert turned.hash != written.hash
    with torch.no_grad():
        written.decoder.leave.weight[0, 0, 0, 0] += 1
    assert write_set(path, written.header, written.patterns, written.decoder, written.segmenter).hash not in (
        written.hash,
        turned.hash,
    )


def test_the_microscope_of_a_set_shows_its_patterns(written: PatternSet) -> None:
    microscope = written.microscope(dtype=torch.float64)
    assert microscope.patterns.dtype == torch.float64
    np.testing.assert_array_equal(microscope.patterns.numpy(), written.patterns)
    assert microscope.acquisition == written.acquisition


def test_loading_leaves_the_global_random_state_alone(written: PatternSet, path: Path) -> None:
    state = torch.random.get_rng_state()
    read_set(path)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("place", [0.3, 0.6, 0.999])
def test_a_flipped_bit_is_seen(written: PatternSet, path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    position = 8 + length + int(place * (len(data) - 8 - length - 1))
    data[position] ^= 1
    path.write_bytes(bytes(data))
    refused(path, "checksum")


@pytest.mark.parametrize("keep", [0, 5, 8, 400, 0.5, 0.999])
def test_a_truncated_file_is_seen(written: PatternSet, path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    refused(path, "damaged")


@pytest.mark.parametrize("content", [b"", b"not a set at all", b"II*\x00" + bytes(500), b"\xff" * 64])
def test_what_is_no_set_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path, "not a pattern set")


def test_another_safetensors_file_is_refused(path: Path) -> None:
    from safetensors.torch import save

    path.write_bytes(save({"weight": torch.ones(3)}))
    refused(path, "not a pattern set")
    path.write_bytes(save({"weight": torch.ones(3)}, metadata={"napari_dmu": "[]"}))
    refused(path, "not a pattern set")


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "not a pattern set")
    refused(tmp_path / "none.dmu.safetensors", "no pattern set file")


def test_a_newer_schema_says_to_update(written: PatternSet, path: Path) -> None:
    edit_header(path, lambda h: h.update(schema_version=99, something_new=1))
    refused(path, "newer.*update napari-dmu")


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.pop("name"),
        lambda h: h.update(unknown=1),
        lambda h: h["acquisition"].update(bin=0),
        lambda h: h["acquisition"].update(period=7),
    ],
)
def test_an_invalid_header_is_refused(
    written: PatternSet, path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit_header(path, change)
    refused(path, "header")


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["acquisition"].update(exposures=2),
        lambda h: h["decoder"].update(widths=[6, 9]),
        lambda h: h["decoder"].update(blocks=[1, 2]),
        lambda h: h.update(head={"widths": [4, 9], "blocks": [1, 1]}),
    ],
)
def test_tensors_that_do_not_fit_the_header_are_refused(
    written: PatternSet, path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit_header(path, change)
    refused(path, "do not fit")


def test_a_failed_write_leaves_the_old_set(written: PatternSet, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch

    def full(*arguments: object, **options: object) -> bytes:
        raise OSError("no space left")

    before = path.read_bytes()
    monkeypatch.setattr(safetensors.torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        write_set(path, written.header, written.patterns, written.decoder)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_set_that_could_not_be_read_again_is_not_written(written: PatternSet, path: Path) -> None:
    before = path.read_bytes()
    scores = {"val": Scores(images=1, psnr=float("inf"), ssim=1.0, mse=0.0, lifted_psnr=30.0)}
    endless = written.header.model_copy(update={"scores": scores})
    with pytest.raises(PatternSetError, match=r"scores\.val\.psnr") as refusal:
        write_set(path, endless, written.patterns, written.decoder)
    assert_sentence(refusal.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_reading_headers_imports_no_torch(written: PatternSet, path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from napari_dmu.zoo import registry\n"
        "from napari_dmu.zoo.header import read_header\n"
        f"assert read_header(Path({str(path)!r})).name == 'discs'\n"
        f"os.environ[registry.FOLDER_VARIABLE] = {str(path.parent)!r}\n"
        "found = [s for s in registry.available_sets() if s.name == 'discs']\n"
        "assert len(found) == 1 and found[0].label and found[0].has_segmenter\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "False"


def test_the_header_alone_is_the_header_of_the_set(written: PatternSet, path: Path) -> None:
    assert read_header(path) == written.header
