"""``napari-dmu demo``: files and a page without a display, a window with one."""

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from cli_support import Command
from PIL import Image

from napari_dmu.cli import demo
from napari_dmu.engine import panel
from napari_dmu.files import read_measurement, read_specimen
from napari_dmu.files.specimen import Specimen

FILES = {
    "specimen.ome.tif",
    "measurement.dmu.ome.tif",
    "reconstruction.ome.tif",
    "labels.ome.tif",
    "panel.png",
    "report.html",
}
VOID = {"meta", "img", "br", "link"}


class Tags(HTMLParser):
    """Fails where a page closes what it has not opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "display_there", lambda: False)


@pytest.mark.usefixtures("no_display")
def test_files_and_a_page(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "demo"
    run = command("demo", "--output", folder)
    assert (run.status, run.err) == (0, "")
    assert "no display" in run.out
    assert str(folder) in run.out
    assert {path.name for path in folder.iterdir()} == FILES
    for name in FILES:
        assert name in run.out
    truth = read_specimen(folder / "specimen.ome.tif")
    assert read_measurement(folder / "measurement.dmu.ome.tif").info.ratio == 64
    for name in ("reconstruction.ome.tif", "labels.ome.tif"):
        found = read_specimen(folder / name)
        assert (found.data.shape, found.axes, found.scale, found.units) == (
            truth.data.shape,
            truth.axes,
            truth.scale,
            truth.units,
        )
    with Image.open(folder / "panel.png") as picture:
        panel = np.asarray(picture)
    assert panel.shape[2] == 3
    assert panel.shape[1] > 1000
    assert np.unique(panel.reshape(-1, 3), axis=0).shape[0] > 200

    page = (folder / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    sources = [attributes.get("src") or "" for tag, attributes in tags.seen if tag in ("img", "script", "link")]
    assert len(sources) == 1
    held = base64.b64decode(sources[0].removeprefix("data:image/png;base64,"))
    assert held == (folder / "panel.png").read_bytes()
    assert Image.open(io.BytesIO(held)).size == panel.shape[1::-1]
    psnr = re.search(r"PSNR ([0-9.]+) dB", run.out)
    assert psnr is not None
    assert psnr[1] in page
    for words in ("×64 nuclei, learned", "Light dose", "Peak photons", "Cells found", "napari-dmu", "torch"):
        assert words in page

    assert command("demo", "--headless", folder, "--seed", 1, "--photons", 100).status == 0
    assert {path.name for path in folder.iterdir()} == FILES
    assert "<td>100</td>" in (folder / "report.html").read_text(encoding="utf-8")


def test_labels_of_a_former_run_do_not_stay(command: Command, tmp_path: Path) -> None:
    for name in ("labels.ome.tif", "mine.tif"):
        (tmp_path / name).write_bytes(b"from before")
    run = command("demo", "--headless", tmp_path, "--set", "structures")
    assert run.status == 0
    assert "labels.ome.tif" not in run.out
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"labels.ome.tif"} | {"mine.tif"}


@pytest.mark.usefixtures("no_display")
def test_what_cannot_be_shown_is_refused(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert "cannot be made" in command("demo", "--headless", "-o", file).sentence()
    assert "cannot be made" in command("demo", "--headless", file).sentence()
    assert "given twice" in command("demo", "--headless", tmp_path / "a", "-o", tmp_path / "b").sentence()
    assert not (tmp_path / "a").exists()
    assert "there is no pattern set" in command("demo", "--headless", "-o", tmp_path, "--ratio", 5).sentence().lower()


def test_where_there_is_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert not demo.display_there()
    monkeypatch.delenv("QT_QPA_PLATFORM")
    if sys.platform.startswith("linux"):
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        assert not demo.display_there()
        monkeypatch.setenv("DISPLAY", ":98765")  # announced, but nobody answers
        assert not demo.display_there()


def test_with_a_display_the_window_is_asked_for(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_dmu.viewer import demo as window

    asked = {}
    monkeypatch.setattr(demo, "display_there", lambda: True)
    monkeypatch.setattr(window, "open_demo", lambda sample, **options: asked.update(options, sample=sample))
    assert command("demo", "--photons", 500, "--seed", 3).status == 0
    assert asked == {
        "sample": "nuclei_2d",
        "set_name": "nuclei",
        "ratio": 64.0,
        "family": "learned",
        "photons": 500.0,
        "seed": 3,
        "device": "auto",
    }


WINDOW = """
import time
import napari
from qtpy.QtCore import QTimer

real = napari.run
end = time.monotonic() + 150

def look():
    viewer = napari.current_viewer()
    names = [layer.name for layer in viewer.layers]
    if any("labels" in name and "×64" in name for name in names) or time.monotonic() > end:
        print("\\n".join(names), flush=True)
        QTimer.singleShot(500, viewer.close)
    else:
        QTimer.singleShot(300, look)

def run(*arguments, **options):
    QTimer.singleShot(300, look)
    real(*arguments, **options)

napari.run = run
from napari_dmu.cli.app import main
raise SystemExit(main(["demo"]))
"""


def test_detector_pixels_are_cut_to_a_field_that_is_no_square() -> None:
    frame = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(panel.enlarged(frame, 4, (7, 10)), np.kron(frame, np.ones((4, 4), int))[:7, :10])


def test_the_scale_bar_is_the_longest_round_one_within_a_sixth_of_the_width() -> None:
    axes, pixel = ("y", "x"), (0.11, 0.11)
    specimen = Specimen(np.zeros((90, 600)), axes, pixel, (0, 0), ("micrometer",) * 2, "a", False, ())
    drawn = panel._scale_bar(np.zeros((90, 600, 3), np.uint8), specimen)
    white = (drawn == 255).all(axis=-1).sum(axis=1)
    assert white[90 - 18 - 3] == pytest.approx(10 / 0.11, abs=2)  # of 66 µm


@pytest.mark.qt
def test_a_real_window_runs_everything() -> None:
    if not demo.display_there():
        pytest.skip("no display here")
    run = subprocess.run([sys.executable, "-c", WINDOW], capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stderr
    for what in ("nuclei_2d", "measurement", "reconstruction", "labels"):
        assert what in run.stdout
