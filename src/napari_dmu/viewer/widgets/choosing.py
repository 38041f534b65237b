"""What the panel chooses, or offers to choose from, where another specimen or measurement is chosen."""

from typing import Any

from napari_dmu.viewer.finding import record_in
from napari_dmu.viewer.layers import is_rgb, specimen_shape
from napari_dmu.viewer.scene import Scene
from napari_dmu.viewer.sentences import UNMEASURED
from napari_dmu.viewer.widgets.cards import Cards
from napari_dmu.viewer.widgets.opening import OpeningView


class ChoosingView(OpeningView):
    """The panel's view with what follows from a choice of the specimen, its true cells or a measurement."""

    _scene: Scene
    _cards: Cards

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._suggested: set[tuple[str, str]] = set()
        self._worked_on = ""  # key of the specimen that was chosen last

    def _refresh(self) -> None:
        """Enable what can be done now."""
        raise NotImplementedError

    def _on_specimen(self) -> None:
        self.truth.offer([("none", "none"), *self._scene.truths(self.specimen.key())])
        self._offer_measurements()
        if self.specimen.key() != self._worked_on:
            self._on_another_specimen()
        layer = self._scene.layer(self.specimen.key())
        truth = self._scene.layer(self.truth.key())
        if None not in (layer, truth) and specimen_shape(truth) != specimen_shape(layer):
            self.truth.choose("none")  # it belongs to another specimen
        suggestion = self._scene.truth_for(layer)
        # Suggested once for each specimen and labels, so that a choice of none stays.
        if suggestion and (self.specimen.key(), suggestion) not in self._suggested:
            self._suggested.add((self.specimen.key(), suggestion))
            self.truth.choose(suggestion)
        self.luminance.setVisible(layer is not None and is_rgb(layer))
        self.settings.describe(None if layer is None else specimen_shape(layer))
        self._refresh()

    def _offer_measurements(self) -> None:
        """All there are; and none, where it would be of another image than the specimen."""
        listed, own = self._scene.measurements(), self._scene.measurement_of(self.specimen.key())
        none = [("", UNMEASURED)] if listed and self.specimen.key() and not own else []
        self.measurement.offer([*none, *listed], prefer=own)

    def _on_measurement(self) -> None:
        if chosen := self._scene.layer(self.measurement.key()):
            self._cards.keep((record_in(chosen).run,))
        self._refresh()

    def _on_truth(self, *_: Any) -> None:
        """By hand: it stays with the specimen."""
        self._scene.use_truth(self.specimen.key(), "" if self.truth.key() == "none" else self.truth.key())

    def _on_another_specimen(self) -> None:
        """Go on with what was measured of it, if anything; what was said is of the one before."""
        self._worked_on = self.specimen.key()
        if not self.truth.choose(self._scene.usual_truth(self._worked_on) or "none"):
            self.truth.choose("none")
        self._cards.keep(())
        chosen = self.measurement.key()
        stays = chosen if self._scene.may_be_of(chosen, self._worked_on) else ""
        self.measurement.choose(self._scene.measurement_of(self._worked_on) or stays)
        if not self._runner.busy:
            self._runner.say("")
