"""``napari-dmu add-set``: a set is listed afterwards; what is wrong is a sentence."""

from pathlib import Path

import pytest
from cli_support import Command
from support import make_set


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path / "library"))
    make_set(tmp_path / "mine.dmu.safetensors", name="fibres")
    return tmp_path / "mine.dmu.safetensors"


def test_a_set_is_added_listed_and_used(command: Command, published: Path, sample: Path, tmp_path: Path) -> None:
    run = command("add-set", published)
    assert (run.status, run.err) == (0, "")
    said, path = run.out.splitlines()
    assert said == "Added the pattern set ×4 fibres, raster."
    assert Path(path).parent == tmp_path / "library"
    assert "fibres" in command("sets").out
    out = tmp_path / "m.ome.tif"
    assert command("simulate", sample, "-o", out, "--set", "fibres", "--ratio", 4, "--family", "raster").status == 0
    assert "was there already" in command("add-set", published).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("https://example.org/set",), "needs its checksum"),
        (("nowhere.dmu.safetensors",), "is no file"),
        (("https://example.org/set", "--sha256", "12"), "is no SHA-256"),
        (("ftp://example.org/set",), "is no file"),
    ],
)
def test_what_is_wrong_is_a_sentence(command: Command, published: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in command("add-set", *arguments).sentence()
