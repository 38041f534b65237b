"""Makes the pictures of the documentation: the window after Run all and in the live view, on a sample of the package.

    python tools/screenshots.py [--out docs/images] [--image FILE --labels FILE] [--ratio 64]

Needs a display; without one: xvfb-run -a -s "-screen 0 1280x800x24" python tools/screenshots.py
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1280, 720


def main() -> None:
    """Write the pictures: window and window-empty, -overlay, -budget, -compare and -series; live.gif."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "images")
    parser.add_argument("--image", type=Path, help="a TIFF instead of the sample")
    parser.add_argument("--labels", type=Path, help="its true cells")
    parser.add_argument("--ratio", default="64")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")  # the user's own stay as they are
        take_all(options)


def take_all(options: argparse.Namespace) -> None:
    """All pictures, each in a window of its own."""
    register()
    viewer, panel = open_window()
    take(viewer, options.out / "window-empty.png")
    viewer.close()

    viewer, panel = open_window()
    open_specimen(viewer, options)
    panel.settings.ratio.choose(options.ratio)
    run_all(panel)
    take(viewer, options.out / "window.png")
    panel.side_by_side.setChecked(False)
    take(viewer, options.out / "window-overlay.png")
    show_budget(panel)
    take(viewer, options.out / "window-budget.png")
    viewer.close()

    take_compared(options)
    take_live(options)

    viewer, panel = open_window()
    viewer.open_sample("napari-dmu", "nuclei_time_series")
    panel.settings.ratio.choose(options.ratio)
    run_all(panel)
    panel.settings.advanced.expand(animate=False)
    panel.area.ensureWidgetVisible(panel.run_all)
    take(viewer, options.out / "window-series.png")
    viewer.close()


def take_compared(options: argparse.Namespace) -> None:
    """Cells matched, missed and invented, at a ratio high enough that there are all three."""
    viewer, panel = open_window()
    open_specimen(viewer, options)
    panel.settings.ratio.choose("256")
    run_all(panel)
    panel.side_by_side.setChecked(False)
    panel.area.ensureWidgetVisible(panel.metrics)
    take(viewer, options.out / "window-compare.png")
    viewer.close()


def take_live(options: argparse.Namespace) -> None:
    """The live view while the ratio is turned up and then, at the usual one, the light down."""
    from PIL import Image

    viewer, panel = open_window()
    open_specimen(viewer, options)
    panel.live.click()
    form, frames = panel.settings, []
    turns = [*((form.ratio.choose, str(4**n)) for n in range(1, 6)), (form.ratio.choose, "64")]
    with tempfile.TemporaryDirectory() as folder:
        for turn, value in (*turns, (form.photons.setValue, 100), (form.photons.setValue, 10)):
            turn(value)
            wait_for_cells(panel)
            take(viewer, Path(folder) / "frame.png")
            frames.append(Image.open(Path(folder) / "frame.png").convert("RGB"))
    viewer.close()
    # One palette for all: colours that stay the same do not flicker.
    palette = frames[0].quantize(96)
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    first.save(options.out / "live.gif", save_all=True, append_images=others, duration=1500, loop=0, optimize=True)
    print(options.out / "live.gif")


def wait_for_cells(panel) -> None:
    """Until the live view has found the cells of what is set now."""
    panel.status.clear()
    limit = time.monotonic() + 120
    while "cell" not in panel.status.text() and time.monotonic() < limit:
        wait(0.1)
    print(panel.status.text())


def register() -> None:
    """Make the plugin known where it is run from the source tree."""
    from npe2 import PluginManager, PluginManifest

    manager = PluginManager.instance()
    manager.discover()
    if "napari-dmu" not in manager:
        manager.register(PluginManifest.from_file(PROJECT / "src" / "napari_dmu" / "napari.yaml"))


def open_window():
    """A viewer of the size of a small laptop, with the panel."""
    import napari

    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    window = viewer.window._qt_window
    window.showNormal()
    window.resize(WIDTH, HEIGHT)
    _, panel = viewer.window.add_plugin_dock_widget("napari-dmu", "Compressive microscope")
    wait(0.3)
    return viewer, panel


def open_specimen(viewer, options: argparse.Namespace) -> None:
    """The sample, or the image that was named."""
    import tifffile

    if options.image is None:
        viewer.open_sample("napari-dmu", "nuclei_2d")
        return
    viewer.add_image(tifffile.imread(options.image), name=options.image.stem)
    if options.labels is not None:
        labels = tifffile.imread(options.labels).astype("int32")
        viewer.add_labels(labels, name=f"{options.image.stem}_labels", visible=False)


def run_all(panel) -> None:
    """Press the button and wait for the end."""
    panel.run_all.click()
    limit = time.monotonic() + 600
    wait(0.2)
    while not panel.run_all.isEnabled() and time.monotonic() < limit:
        wait(0.1)
    print(panel.status.text())


def show_budget(panel) -> None:
    """Open the card, with a detector that such light is too much for."""
    form = panel.settings
    form.detector.choose("spad_array")
    form.budget.expand(animate=False)
    limit = time.monotonic() + 60
    wait(0.5)
    while not form.budget.idle and time.monotonic() < limit:
        wait(0.1)
    wait(0.5)
    panel.area.verticalScrollBar().setValue(form.budget.mapTo(panel.area.widget(), form.budget.rect().topLeft()).y())


def wait(seconds: float) -> None:
    """Let the window work for a while."""
    from qtpy.QtWidgets import QApplication

    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end or rounds < 10:  # layouts need some rounds, however slow the machine
        QApplication.processEvents()
        rounds += 1
        time.sleep(0.01)


def take(viewer, path: Path) -> None:
    """A picture of the whole window."""
    viewer.reset_view()
    wait(1.0)
    viewer.window.screenshot(path=str(path), canvas_only=False, flash=False)
    print(path)


if __name__ == "__main__":
    main()
