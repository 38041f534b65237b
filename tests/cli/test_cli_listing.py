"""``sets``, ``info``, ``--help`` and ``--version``."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from cli_support import Command, Run

import napari_dmu
from napari_dmu.cli.app import app
from napari_dmu.zoo.registry import SHIPPED, available_sets, find_set

HEAVY = {"torch", "numpy", "pydantic", "napari", "qtpy", "tifffile", "skimage", "scipy", "dask"}


def test_sets(command: Command) -> None:
    run = command("sets")
    assert (run.status, run.err) == (0, "")
    assert "×64" in run.out
    assert "nuclei" in run.out
    assert "learned" in run.out
    found = json.loads(command("sets", "--json").out)
    assert len(found) == len(available_sets())
    one = next(
        entry for entry in found if (entry["name"], entry["family"], entry["ratio"]) == ("nuclei", "learned", 64)
    )
    assert one["bin"] ** 2 / one["exposures"] == 64
    assert one["has_segmenter"] is True
    assert Path(one["path"]).stat().st_size == one["bytes"]


def test_the_model_card_is_in_the_json(command: Command) -> None:
    found = json.loads(command("sets", "--json").out)
    one = next(entry for entry in found if (entry["name"], entry["family"], entry["ratio"]) == ("nuclei", "plain", 16))
    (figures, *_) = one["scores"].values()
    assert (figures["psnr"], figures["ap50"]) == (one["psnr"], one["ap50"])
    card = one["provenance"]
    assert "CC0" in card["data_licence"]
    assert card["recipe"]["name"] == "nuclei"
    for what in ("data_fingerprint", "versions", "curve", "chosen", "seed", "minutes"):
        assert card[what] not in (None, "", [], {}), what


def test_a_model_card_can_be_read(command: Command) -> None:
    run = command("sets", "--card", "nuclei/x16/plain")
    assert (run.status, run.err) == (0, "")
    one = find_set("nuclei", ratio=16, family="plain")
    made = one.header.provenance
    for words in (one.label, made.data_fingerprint, made.data_licence, made.chosen, "torch", f"{one.psnr:.2f} dB"):
        assert words in run.out
    (alone,) = json.loads(command("sets", "--json", "--card", "nuclei/16/plain").out)
    assert alone["path"] == str(one.path)
    for wanted in ("nuclei", "nuclei/many/plain", "nuclei/64/learned/x", ""):
        assert "nuclei/64/learned" in command("sets", "--card", wanted).sentence()
    assert "no pattern set ×5" in command("sets", "--card", "nuclei/5/plain").sentence()


def test_no_sets_at_all(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("napari_dmu.zoo.registry.SHIPPED", tmp_path)
    run = command("sets")
    assert run.status == 0
    assert "NAPARI_DMU_SETS" in run.out
    assert json.loads(command("sets", "--json").out) == []


def test_info(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    broken = tmp_path / "broken.dmu.safetensors"
    broken.write_bytes(b"not a set")
    monkeypatch.setenv("NAPARI_DMU_SETS", f"{tmp_path}{':' if sys.platform != 'win32' else ';'}{missing}")
    run = command("info")
    assert (run.status, run.err) == (0, "")
    for words in (
        napari_dmu.__version__,
        version("napari"),
        version("numpy"),
        version("torch"),
        "Qt:",
        "cuda:",
        str(SHIPPED),
    ):
        assert words in run.out
    assert f"{missing} (does not exist)" in run.out
    assert "broken.dmu.safetensors is not a pattern set" in run.out
    for arguments in ([], ["--json"]):
        listed = command("sets", *arguments)
        assert listed.status == 0
        assert listed.err.startswith("Note: broken.dmu.safetensors is not a pattern set")
        assert len(listed.err.splitlines()) == 1


def test_a_set_in_the_users_folder_is_found(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = next(one.path for one in available_sets() if one.name == "nuclei" and one.ratio == 64)
    shutil.copy(source, tmp_path / "mine.dmu.safetensors")
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path))
    paths = [entry["path"] for entry in json.loads(command("sets", "--json").out)]
    assert str(tmp_path / "mine.dmu.safetensors") in paths


def test_help_of_everything(command: Command) -> None:
    for arguments in (["--help"], ["-h"], []):
        run = command(*arguments)
        assert (run.status, run.err) == (0, "")
        for name in ("demo", "sets", "simulate", "reconstruct", "segment", "compare", "train", "info"):
            assert name in run.out
    for one in app.registered_commands:
        assert one.callback is not None
        name = one.name or one.callback.__name__.replace("_", "-")
        run = command(name, "--help")
        assert (run.status, run.err) == (0, "")
        assert "Usage" in run.out


def test_version(command: Command) -> None:
    assert command("--version").out == f"napari-dmu {napari_dmu.__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom napari_dmu.cli.app import main\nassert main(['--help']) == 0\nprint('LOADED', *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(run.stdout.rpartition("LOADED")[2].split())


def test_nobody_reads_on() -> None:
    """``napari-dmu sets | true``: no traceback."""
    code = "import sys, time; from napari_dmu.cli.app import main; sys.stdin.read(); sys.exit(main(['info']))"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate("")
    assert err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk here that is always full")
def test_a_full_disk_is_one_sentence() -> None:
    code = "import sys; from napari_dmu.cli.app import main; sys.exit(main(['sets', '--json']))"
    with open("/dev/full", "w") as full:
        run = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert Run(run.returncode, "", run.stderr).sentence().startswith("The output cannot be written (No space left")
