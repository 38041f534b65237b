"""Finds layers in a viewer as the panel sees them: specimens, measurements, results, ground truth. No Qt here."""

from collections.abc import Iterable
from typing import Any

from napari.layers import Image, Labels

from napari_dmu.viewer.layers import layer_name, looks_like_mask, may_be_mask, record_of, specimen_shape
from napari_dmu.viewer.naming import distance, is_beside, name_and_number, named_after
from napari_dmu.viewer.record import Kind, RunRecord
from napari_dmu.viewer.steps import Work

Entries = list[tuple[str, str]]


def _measurement_title(layer: Any) -> str:
    """What a measurement is called in a list: its set first, which tells it from others of the same specimen."""
    record, name = record_in(layer), str(layer.name)
    own = layer_name(record, "measurement")
    if record.specimen and name.startswith(own):
        return f"{record.instrument} · {record.specimen}{name.removeprefix(own)}"
    return name if record.instrument in name else f"{record.instrument} · {name}"


def key_of(layer: Any) -> str:
    """What a layer is known by, whatever it is called."""
    return str(layer.unique_id)


def record_in(layer: Any) -> RunRecord:
    """The run record of a layer that is known to have one."""
    record = record_of(layer)
    assert record is not None
    return record


class Finder:
    """Finds layers in a viewer (or viewer model)."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer

    def specimens(self) -> Entries:
        """Image layers that can be measured: all but those that we made; what looks like a mask comes last."""
        return self._entries(sorted(self._images(), key=looks_like_mask))

    def measurements(self) -> Entries:
        """Measurement layers, newest first."""
        return [(key_of(x), _measurement_title(x)) for x in self.of_kind("measurement")]

    def truths(self, specimen: str = "") -> Entries:
        """Layers that may hold the true cells of a specimen: all but the specimen itself and those that we made.

        Labels, then images that look like masks, as which masks in files open, then those of which nobody has looked.
        """
        others = [x for x in self._viewer.layers if record_of(x) is None and key_of(x) != specimen]
        images = [x for x in others if isinstance(x, Image)]
        masks = [*filter(looks_like_mask, images), *filter(may_be_mask, images)]
        return [
            *self._entries(x for x in others if isinstance(x, Labels)),
            *((key, f"{name} (image)") for key, name in self._entries(masks)),
        ]

    def layer(self, key: str) -> Any:
        """The layer of that key; None where it is gone."""
        return next((layer for layer in self._viewer.layers if key and key_of(layer) == key), None)

    def active_key(self) -> str:
        """Key of the layer that is selected; empty where there is none."""
        active = self._viewer.layers.selection.active
        return "" if active is None else key_of(active)

    def newest(self, kind: Kind, run: str | None = None) -> Any:
        """The uppermost result of a kind (and of one measurement); the selected one comes first."""
        fitting = [x for x in self.of_kind(kind) if run is None or record_in(x).run == run]
        active = self._viewer.layers.selection.active
        return next((x for x in fitting if x is active), fitting[0] if fitting else None)

    def truth_for(self, specimen: Any) -> str:
        """Key of the labels, or of the mask, that seem to be the specimen's: of its shape, and named after it."""
        if specimen is None:
            return ""
        layers = (self.layer(key) for key, _ in self.truths(key_of(specimen)))
        masks = [x for x in layers if isinstance(x, Labels) or looks_like_mask(x)]
        fitting = [x for x in masks if specimen_shape(x) == specimen_shape(specimen) and named_after(x, specimen)]
        # img_2_mask is of img_2, not of img
        length = len(name_and_number(specimen)[0])
        closer = [x for x in self._pictures() if len(name_and_number(x)[0]) > length]
        own = [x for x in fitting if not any(named_after(x, other) for other in closer)]
        return key_of(min(own, key=lambda x: distance(x, specimen))) if own else ""

    def to_measure(self, opened: Any = None) -> str:
        """Key of the image that was most likely opened to be measured: this one, or the selected one.

        No result, and no mask; else the uppermost of the images that are neither.
        """
        active, fitting = opened or self.layer(self.active_key()), self._to_measure()
        return key_of(active) if active in fitting else key_of(fitting[-1]) if fitting else ""

    def _pictures(self) -> list[Any]:
        return [x for x in self._images() if not looks_like_mask(x)]

    def _to_measure(self) -> list[Any]:
        images = self._pictures()
        return [x for x in images if not (may_be_mask(x) and any(is_beside(x, other) for other in images))]

    def is_live(self, key: str) -> bool:
        """Whether a key is that of a layer of the live view."""
        layer = self.layer(key)
        record = None if layer is None else record_of(layer)
        return record is not None and record.kind in ("live_image", "live_labels")

    def _images(self) -> list[Any]:
        return [x for x in self._viewer.layers if isinstance(x, Image) and record_of(x) is None]

    def reconstruction_of(self, measurement: str, specimen: str = "") -> Any:
        """The newest reconstruction of that measurement (or the selected one); None where there is none.

        Without a measurement it is the newest that may be of the specimen. One that is selected although its
        measurement is gone comes first.
        """
        active, chosen = self._viewer.layers.selection.active, self.layer(measurement)
        if active is not None and record_of(active, "reconstruction") and not self.measured_as(key_of(active)):
            return active
        if chosen is not None:
            return self.newest("reconstruction", record_in(chosen).run)
        return next((x for x in self.of_kind("reconstruction") if self.may_be_of(key_of(x), specimen)), None)

    def measurement_of(self, specimen: str) -> str:
        """Key of the newest measurement of a specimen; empty where there is none."""
        own = (key_of(x) for x in self.of_kind("measurement") if specimen and record_in(x).specimen_id == specimen)
        return next(own, "")

    def may_be_of(self, key: str, specimen: str) -> bool:
        """Whether a result may be of a specimen: it is, or no other image that is open was measured for it."""
        layer = self.layer(key)
        measured = "" if layer is None else record_in(layer).specimen_id
        return layer is not None and (measured == specimen or self.layer(measured) is None)

    def measured_as(self, key: str) -> str:
        """Key of the measurement that a result was made of (its own, if it is one); empty where there is none."""
        layer = self.layer(key)
        record = None if layer is None else record_of(layer)
        found = None if record is None else self.newest("measurement", record.run)
        return "" if found is None else key_of(found)

    def is_chosen(self, work: Work, specimen: str, measurement: str) -> bool:
        """Whether work is of what is chosen: something else may have been chosen while it was done."""
        assert work.record is not None
        measured = self.newest("measurement", work.record.run)
        if measured is not None:
            return key_of(measured) == measurement
        if "measure" in work.seconds:
            return work.record.specimen_id == specimen
        return self.layer(work.record.specimen_id) in (None, self.layer(specimen))

    def runs(self) -> set[str]:
        """All of which there is a result."""
        return {record.run for x in self._viewer.layers if (record := record_of(x)) is not None}

    def of_kind(self, kind: Kind) -> list[Any]:
        """Layers that hold results of a kind, the uppermost first."""
        return [x for x in reversed(list(self._viewer.layers)) if record_of(x, kind) is not None]

    @staticmethod
    def _entries(layers: Iterable[Any]) -> Entries:
        return [(key_of(x), str(x.name)) for x in layers]
