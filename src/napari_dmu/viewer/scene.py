"""What the panel does with the layers of a viewer: takes work from them, adds results, arranges them. No Qt here."""

from collections.abc import Sequence
from typing import Any

from napari.layers import Image, Layer

from napari_dmu.errors import SpecimenError
from napari_dmu.viewer.compared import COLOURS
from napari_dmu.viewer.finding import Finder, key_of, record_in
from napari_dmu.viewer.grid import Grid
from napari_dmu.viewer.layers import (
    LONGEST_NAME,
    OUTLINE,
    LayerData,
    array_of,
    measurement_of,
    record_of,
    shortened,
    specimen_of,
    specimen_shape,
)
from napari_dmu.viewer.live import frame, set_aside
from napari_dmu.viewer.mouse import mouse_elsewhere
from napari_dmu.viewer.reader import is_measurement
from napari_dmu.viewer.record import RunRecord
from napari_dmu.viewer.steps import Choices, Work


class Scene(Finder):
    """Takes work from the layers of a viewer (or viewer model), adds what came of it, and shows it."""

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer)
        self._compared: list[str] = []  # keys of the layers of the newest comparison
        # Keys of measurements that were hidden because their reconstruction lies on them; the eye brings them back.
        self._covered: list[str] = []
        self._grid = Grid(viewer)
        self._truths: dict[str, str] = {}  # key of the true cells by key of the specimen, as they were last used

    def usual_truth(self, specimen: str) -> str:
        """Key of the true cells of a specimen as they were last used, else as they seem to be; empty for none."""
        layer = self.layer(specimen)
        used = self._truths.get(specimen)
        if used == "" or self.layer(used or "") is not None:
            return used or ""
        return "" if layer is None else self.truth_for(layer)

    def use_truth(self, specimen: str, truth: str) -> None:
        """Remember what the user has chosen for a specimen: a key, or empty for none."""
        self._truths[specimen] = truth

    # -- work ----------------------------------------------------------------------------------------

    def work(self, choices: Choices, *, specimen: str, measurement: str, truth: str, luminance: bool) -> Work:
        """What a measurement of the specimen needs, or what is to be made of a measurement.

        Raises
        ------
        DmuError
            The layer that is named cannot be used.
        """
        if measurement:
            layer = self.layer(measurement)
            return Work(choices, measurement=measurement_of(layer), record=record_of(layer))
        layer = self.layer(specimen)
        if layer is None:
            raise SpecimenError("There is no specimen: open an image or a sample first.")
        if layer.source.path is not None and is_measurement(str(layer.source.path)):
            raise SpecimenError(
                f"'{layer.name}' is a measurement that was opened as an image: open it with Open… beside Measurement."
            )
        found = specimen_of(layer, luminance=luminance)
        if truth:
            self._truths[specimen] = truth
        return Work(choices, specimen=found, truth_labels=self._truth(truth, layer))

    def comparison(self, choices: Choices, *, specimen: str, measurement: str, truth: str) -> Work:
        """A reconstruction, its specimen and, where there are both, its labels and the true ones.

        Raises
        ------
        SpecimenError
            There is no reconstruction, or its specimen is gone.
        """
        image = self.reconstruction_of(measurement, specimen)
        if image is None:
            raise SpecimenError("There is nothing to compare yet: press Reconstruct first.")
        record = record_in(image)
        original = self._specimen_of(record, specimen, specimen_shape(image))
        measured = key_of(original)
        if measured != specimen:  # what is chosen belongs to another specimen
            truth = self.usual_truth(measured)
        self._truths[measured] = truth
        labels = self.newest("labels", record.run)
        if labels is not None:
            record = record.with_settings(segmenter=record_in(labels).settings.get("segmenter", ""))
        return Work(
            choices,
            specimen=specimen_of(original, luminance=True),  # of a colour image nothing else was measured
            record=record,
            image=image.data,
            labels=None if labels is None else labels.data,
            truth_labels=self._truth(truth, original),
        )

    def _specimen_of(self, record: RunRecord, chosen: str, shape: tuple[int, ...]) -> Any:
        """The layer that was measured: by identity, by name, else the chosen one if it fits."""
        images = [x for x in self._viewer.layers if isinstance(x, Image) and record_of(x) is None]
        same = [x for x in images if specimen_shape(x) == shape]
        for found in (
            [x for x in images if key_of(x) == record.specimen_id],
            [x for x in same if str(x.name) == record.specimen],
            [x for x in same if key_of(x) == chosen and not record.specimen_id],
            # A file that was saved under its layer's name knows no more of the specimen's than there is of it.
            [x for x in same if shortened(str(x.name), LONGEST_NAME) == record.specimen],
        ):
            if found:
                return found[0]
        if not record.specimen_id:
            raise SpecimenError(
                "The image that was measured is not open: open it, choose it as the specimen, and compare again."
            )
        raise SpecimenError(
            f"The specimen '{record.specimen}' is not open any more: open it again, under the same name, to compare."
        )

    def _truth(self, key: str, specimen: Any) -> Any:
        layer, shape = self.layer(key), specimen_shape(specimen)
        if layer is specimen and layer is not None:
            raise SpecimenError(
                f"'{layer.name}' is the specimen itself: choose the mask of its cells as the ground truth, or none."
            )
        if layer is not None and specimen_shape(layer) != shape:
            raise SpecimenError(
                f"The ground truth '{layer.name}' has shape {specimen_shape(layer)}, the specimen {shape}: compare "
                "images of the same field, or choose none."
            )
        return None if layer is None else array_of(layer)

    # -- adding --------------------------------------------------------------------------------------

    def add(self, made: Sequence[LayerData]) -> list[Any]:
        """Add results on top of what there is; names that are taken get a number from napari.

        What an earlier comparison drew is hidden: it belongs to other cells.
        """
        layers = [Layer.create(data, options, kind) for data, options, kind in made]
        kinds = {key_of(layer): record.kind for layer in layers if (record := record_of(layer)) is not None}
        if set(kinds.values()) & {"measurement", "reconstruction", "labels", *COLOURS}:
            self._show_compared(visible=False)
            self._compared = [key for key, kind in kinds.items() if kind in COLOURS]
        for layer in layers:
            if kinds.get(key_of(layer)) == "matched":
                layer.contour = OUTLINE
            if kinds.get(key_of(layer)) == "measurement":
                self._hide_results()
            elif kinds.get(key_of(layer)) in COLOURS:
                self._show_run(record_in(layer))
        with mouse_elsewhere(self._viewer):
            added = [self._viewer.add_layer(layer) for layer in layers]
            for layer in added:
                if kinds.get(key_of(layer)) == "matched" and (labels := self.newest("labels", record_in(layer).run)):
                    self._viewer.layers.selection.active = labels  # the status bar tells of its cells
        return added

    def _hide_results(self) -> None:
        """A new measurement takes the place of all older ones; the eye beside each layer brings it back."""
        set_aside(self._viewer)
        self._covered = []
        for layer in self._viewer.layers:
            if record_of(layer) is not None:
                layer.visible = False

    def _show_run(self, compared: RunRecord) -> None:
        """Leave the picture that was compared in sight under its cells, with no other result and no mask over it."""
        set_aside(self._viewer)
        for layer in self._viewer.layers:
            record = record_of(layer)
            is_truth = isinstance(layer, Image) and key_of(layer) in self._truths.values()
            if is_truth or (record is not None and record.run != compared.run):
                layer.visible = False
            elif record is not None and record.kind == "reconstruction":
                layer.visible = True

    def _show_compared(self, *, visible: bool) -> None:
        """Show or hide the cells of the newest comparison; the other way round the labels that they stand for."""
        for layer in (self.layer(key) for key in self._compared):
            if layer is not None:
                layer.visible = visible
                for other in self.of_kind("labels"):
                    if record_in(other).run == record_in(layer).run:
                        other.visible = not visible

    def _cover(self, *, covered: bool) -> None:
        """Hide the measurement under its reconstruction, from under which its outermost detector pixels stick out."""
        if not covered:
            for layer in (self.layer(key) for key in self._covered):
                if layer is not None:
                    layer.visible = True
            self._covered = []
            return
        shown = {record_in(x).run for x in self.of_kind("reconstruction") if x.visible}
        for layer in self.of_kind("measurement"):
            if layer.visible and record_in(layer).run in shown and key_of(layer) not in self._covered:
                layer.visible = False
                self._covered.append(key_of(layer))

    def arrange(self, *, side_by_side: bool, specimen: str, looking: bool = False, keep_view: bool = False) -> None:
        """Show every visible layer in a field of its own, under its name; or all on one another, cells as outlines.

        Parameters
        ----------
        side_by_side
            Which of the two.
        specimen
            Key of the specimen.
        looking
            For the live view: the newest comparison is of another picture and stays as it is.
        keep_view
            Leaves zoom and place as they are, whatever the fields.
        """
        if not side_by_side:
            self._grid.leave(keep_view=keep_view)
        for layer in self._viewer.layers:
            record = record_of(layer)
            if record is not None and record.kind in ("labels", "live_labels"):
                layer.contour = 0 if side_by_side else OUTLINE
            if record is not None and record.kind == "live_image":  # in a field of its own it is seen where it ends
                frame(layer, part=not side_by_side and self._is_part(layer, specimen))
        # On one another they tell more than the labels; beside each other each would need an image under it.
        if not looking:
            self._show_compared(visible=not side_by_side)
            self._cover(covered=not side_by_side)
        if side_by_side:
            self._grid.show(self.layer(specimen), keep_view=keep_view)

    def release(self) -> None:
        """Put back what was shown of names and set of the grid: nobody is there any more to do it later."""
        self._grid.release()

    def is_looking(self) -> bool:
        """Whether the live view's picture is in sight."""
        return any(layer.visible for layer in self.of_kind("live_image"))

    def _is_part(self, layer: Any, specimen: str) -> bool:
        whole = self.layer(specimen)
        return whole is not None and specimen_shape(layer)[-2:] != specimen_shape(whole)[-2:]
