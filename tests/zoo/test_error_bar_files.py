"""Error bars and trust in the pattern set file; files from before there were any."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from support import TRUST, assert_sentence, make_set

from napari_dmu.errors import PatternSetError
from napari_dmu.reconstruction.shapes import ErrorShape
from napari_dmu.zoo.header import SCHEMA_VERSION, Trust, Typical, read_header
from napari_dmu.zoo.pattern_set import read_set, write_header, write_set


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "discs.dmu.safetensors"


def edited(path: Path, **changes: object) -> None:
    """Put entries into the JSON of a file, or take them out (None), and leave its tensors as they are."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    outer = json.loads(data[8 : 8 + length])
    inner = json.loads(outer["__metadata__"]["napari_dmu"])
    for name, value in changes.items():
        if value is None:
            del inner[name]
        else:
            inner[name] = value
    outer["__metadata__"]["napari_dmu"] = json.dumps(inner)
    encoded = json.dumps(outer).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data[8 + length :])


def test_the_error_head_and_the_trust_come_back(path: Path) -> None:
    made = make_set(path, with_error_bars=True)
    back = read_set(path)
    assert back.header.trust == TRUST
    assert read_header(path).trust == TRUST
    assert back.header.error == ErrorShape(widths=(4, 6))
    assert made.error_head is not None
    assert back.error_head is not None
    assert not back.error_head.training
    for name, weight in back.error_head.state_dict().items():
        assert torch.equal(weight, made.error_head.state_dict()[name]), name
        assert weight.abs().max() > 0
    assert not any(weight.requires_grad for weight in back.error_head.parameters())


def test_a_file_from_before_there_were_error_bars_is_read(path: Path) -> None:
    make_set(path)
    edited(path, error=None, trust=None)
    old = read_set(path)
    assert old.header.schema_version == SCHEMA_VERSION
    assert old.error_head is None
    assert old.header.error is None
    assert old.header.trust is None
    assert old.segmenter is not None
    old.to("cpu")


def test_trust_from_before_there_were_neighbours_is_read(path: Path) -> None:
    make_set(path, with_error_bars=True)
    old = TRUST.model_dump(exclude={"typical", "chi_square_limits", "spread_limits"})
    edited(path, trust=old)
    assert read_set(path).header.trust == TRUST
    assert TRUST.typical is None
    assert TRUST.chi_square_limits == TRUST.spread_limits == ()


def test_another_header_leaves_the_tensors(path: Path, tmp_path: Path) -> None:
    made = make_set(path, with_error_bars=True)
    known = Typical(whitening=[[1.0]], usual=[[0.0, 0.0, 0.0]], known=[[0.5]], limits=((0.1, 2.0),))
    trust = TRUST.model_copy(update={"typical": known})
    out = tmp_path / "again.dmu.safetensors"
    again = write_header(path, out, made.header.model_copy(update={"trust": trust}))
    assert again.hash == made.hash
    assert read_header(out).trust == trust
    assert "whitening" not in repr(trust)
    assert read_set(path).header.trust == TRUST


def test_the_hash_follows_the_error_head(path: Path) -> None:
    bare, made = make_set(path), make_set(path, with_error_bars=True)
    assert bare.hash != made.hash
    assert made.error_head is not None
    with torch.no_grad():
        made.error_head.leave.bias[0] += 1
    changed = write_set(path, made.header, made.patterns, made.decoder, made.segmenter, error_head=made.error_head)
    assert changed.hash not in (bare.hash, made.hash)


def test_an_error_head_that_does_not_fit_the_header_is_refused(path: Path) -> None:
    make_set(path, with_error_bars=True)
    edited(path, error={"widths": [4, 9], "blocks": [1, 1]})
    with pytest.raises(PatternSetError, match="do not fit") as refusal:
        read_set(path)
    assert_sentence(refusal.value)


@pytest.mark.parametrize("change", [{"level": 1.0}, {"factor": 0.0}, {"tolerance": -0.1}, {"unknown": 1}])
def test_trust_that_cannot_be_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Trust.model_validate({**TRUST.model_dump(), **change})
