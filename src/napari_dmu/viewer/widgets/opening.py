"""What the panel opens: samples, measurements in files, pattern sets."""

from functools import partial
from typing import Any

from napari.layers import Layer
from qtpy.QtWidgets import QFileDialog

from napari_dmu.viewer import samples, settings
from napari_dmu.viewer.layers import LayerData, record_of
from napari_dmu.viewer.reader import open_measurement
from napari_dmu.viewer.sentences import opened
from napari_dmu.viewer.widgets.add_set_dialog import AddSetDialog
from napari_dmu.viewer.widgets.links import Links
from napari_dmu.viewer.widgets.runner import Runner
from napari_dmu.viewer.widgets.view import PanelView
from napari_dmu.zoo.library import Added


class OpeningView(PanelView):
    """The panel's view with the buttons that open something."""

    _viewer: Any
    _links: Links
    _runner: Runner
    _waiting: list[tuple[str, Any]]

    def _open_sample(self, key: str) -> None:
        for data, options, kind in samples.open_sample(key):
            self._viewer.add_layer(Layer.create(data, options, kind))

    def _ask_for_set(self) -> None:
        dialog = AddSetDialog(self)
        dialog.accepted.connect(lambda: self.add_set(dialog.source, dialog.sha256))
        dialog.open()

    def add_set(self, source: str, sha256: str | None = None) -> None:
        """Add a pattern set from a file or the web, in the background, and choose it."""
        if not self._runner.busy:
            self._runner.begin("Pattern set", partial(settings.add_set, source, sha256), self._on_set_added)

    def _on_set_added(self, added: Added) -> None:
        if not self._links.closed:
            self.settings.offer(settings.pattern_sets())
            self.settings.choose_set(added.summary)
            self._runner.say(f"✓ {added.sentence}")

    def _open_file(self) -> None:
        kinds = "Measurements and camera runs (*.tif *.tiff *.yaml *.yml)"
        path, _ = QFileDialog.getOpenFileName(self, "Open a measurement", "", kinds)
        if path:
            self.add_measurement(path)

    def _open_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a measurement: an OME-Zarr folder")
        if path:
            self.add_measurement(path)

    def add_measurement(self, path: str, *, instead_of: Any = None) -> None:
        """Add the measurement in a file or an OME-Zarr folder as a layer, in the background, and choose it.

        A layer that shows its frames as a plain image is removed.
        """
        if self._runner.busy:
            self._waiting.append((path, instead_of))  # until the work is done
        else:
            self._runner.begin("Measurement", partial(open_measurement, path), partial(self._on_opened, instead_of))

    def open_waiting(self) -> None:
        """Open the next of the measurements that came while something was worked on."""
        if self._waiting and not self._runner.busy and not self._links.closed:
            path, instead_of = self._waiting.pop(0)
            self.add_measurement(path, instead_of=instead_of)

    def _on_opened(self, instead_of: Any, found: LayerData) -> None:
        if not self._links.closed:
            if instead_of is not None and instead_of not in self._viewer.layers:
                self._runner.say("")  # it was taken away meanwhile, or another panel has opened it
                return
            if instead_of is not None:
                self._viewer.layers.remove(instead_of)
            layer = self._viewer.add_layer(Layer.create(*found))
            self.measurement.choose(str(layer.unique_id))

    def _say_of(self, layer: Any) -> None:
        """What a measurement is that was opened; an error is of what was done before."""
        record = record_of(layer)
        if record is not None and record.kind == "measurement" and not record.specimen_id:
            self._runner.say(opened(layer))
        elif record is None and self.status.text().startswith("⚠"):
            self._runner.say("")
