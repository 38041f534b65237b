"""The panel in the window: what may be pressed when, and what comes of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QEvent, QTimer

from napari_dmu.errors import DmuError
from napari_dmu.viewer import settings
from napari_dmu.viewer.checking import work_to_check
from napari_dmu.viewer.finding import key_of
from napari_dmu.viewer.layers import record_of
from napari_dmu.viewer.live import Request, is_lazy, is_part, part_in_view, sentence
from napari_dmu.viewer.reader import opened_from_zarr
from napari_dmu.viewer.record import RunRecord
from napari_dmu.viewer.scene import Scene
from napari_dmu.viewer.sentences import LIVE, TITLES, UNTICK, WORKING, about_run_all, reasons, report
from napari_dmu.viewer.steps import Step, Work, run_steps
from napari_dmu.viewer.widgets.cards import Cards
from napari_dmu.viewer.widgets.choosing import ChoosingView
from napari_dmu.viewer.widgets.links import Links
from napari_dmu.viewer.widgets.live import Live
from napari_dmu.viewer.widgets.runner import Runner


class CompressiveMicroscope(ChoosingView):
    """Measure, reconstruct, segment and compare a specimen layer."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(settings.preferences().device)
        self._viewer = napari_viewer
        self._scene, self._cards = Scene(napari_viewer), Cards(self)
        self._links = Links()
        self._runner = Runner(self, self._links, self.progress, self.cancel, self.status)
        self._live = Live(self, napari_viewer, self._live_request)
        self._fresh = False  # whether the live view was just switched on
        self._waiting = []
        self._adding = False  # whether results are being added that are of nothing that is chosen
        self._active = ""  # key of the layer that was selected last, the live ones aside
        settings.prefer_own_reader()
        self._connect()
        self._link()
        self.settings.offer(settings.pattern_sets())
        self._on_layers()
        self.specimen.choose(self._scene.to_measure())

    def _connect(self) -> None:
        self.specimen.chosen.connect(self._on_specimen)
        self.truth.activated.connect(self._on_truth)
        self.measurement.chosen.connect(self._on_measurement)
        for choice in (self.truth, self.settings.segmenter):
            choice.chosen.connect(self._refresh)
        self.settings.changed.connect(self._on_specimen)
        for key, action in self.sample_actions.items():
            assert action is not None
            action.triggered.connect(partial(self._open_sample, key))
        self.run_all.clicked.connect(self._run_all)
        for step, button in self.buttons.items():
            button.clicked.connect(partial(self._run_one, step))
        self._runner.started.connect(self._on_started)
        self._runner.ended.connect(self._on_ended)
        for way, chosen in ((self.open_file, self._open_file), (self.open_folder, self._open_folder)):
            assert way is not None
            way.triggered.connect(chosen)
        self.settings.add_set.clicked.connect(self._ask_for_set)
        self.side_by_side.setChecked(bool(self._viewer.canvas.grid.enabled))  # as it is: nobody has asked for another
        self.side_by_side.toggled.connect(self._arrange)
        self.luminance.toggled.connect(self._refresh)
        self.live.toggled.connect(self._on_live_toggled)
        self.settings.touched.connect(self._live.ask)
        self._live.working.connect(partial(self._runner.say, WORKING))
        self._live.stopped.connect(partial(self._runner.unsay, WORKING))
        self._live.shown.connect(self._on_live)
        self._live.failed.connect(self._on_live_failed)
        for links in (self._links, self._live.links, self._live.specimen.links, self._live.truth.links):
            self.destroyed.connect(links.release)

    def _link(self) -> None:
        """Follow the viewer."""
        layers, grid = self._viewer.layers, self._viewer.canvas.grid
        for event in (layers.events.removed, layers.events.reordered, layers.events.renamed):
            self._links.connect(event, self._on_layers)
        self._links.connect(layers.events.inserted, self._on_inserted)
        self._links.connect(layers.selection.events.active, self._on_active)
        self._links.connect(grid.events.enabled, self._on_grid)
        for event in (self._viewer.dims.events.current_step, self._viewer.scene.camera.events.center):
            self._links.connect(event, self._live.ask)
        self.settings.follow_preferences(self._links)

    def event(self, event: QEvent | None) -> bool:
        """A panel whose dock was closed has no parent, and may go on living: it leaves the viewer alone meanwhile."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._let_go()
            elif self._links.closed:
                self._take_up()
        return bool(super().event(event))

    def _let_go(self) -> None:
        self.live.setChecked(False)
        self._runner.stop()
        self._waiting.clear()
        self._live.follow(None, None)
        self._scene.release()
        for links in (self._links, self._live.links):
            links.release()

    def _take_up(self) -> None:
        for links in (self._links, self._live.links):
            links.closed = False
        self._link()
        self._runner.rest()
        self._on_grid()
        self._on_layers()
        if self.side_by_side.isChecked():
            self._arrange()  # names were taken back

    # -- the viewer has changed ----------------------------------------------------------------------

    def _on_layers(self, event: Any = None) -> None:
        if self._links.closed:
            return
        scene = self._scene
        self.specimen.offer(scene.specimens(), prefer=scene.to_measure())
        self._cards.keep(scene.runs())
        if not self._viewer.layers and not self._runner.busy:
            self.metrics.clear_columns()
            self._runner.say("")
        self._on_specimen()

    def _on_inserted(self, event: Any) -> None:
        """What has just been opened is what is to be looked at.

        A Zarr measurement that was dropped is opened as what it is: napari reads folders itself, as plain images.
        """
        layer = event.value
        self._on_layers()
        if self._links.closed:
            return
        self._say_of(layer)
        if record_of(layer) is None and opened_from_zarr(layer):
            self._waiting.append((str(layer.source.path), layer))
            QTimer.singleShot(0, self.open_waiting)  # once napari has added it to the end
        elif key_of(layer) == self._scene.to_measure(layer):
            self.specimen.choose(key_of(layer))
        if record_of(layer) is None and self.side_by_side.isChecked():
            self._arrange()  # it has a field, and a name

    def _on_active(self, event: Any = None) -> None:
        key = self._scene.active_key()
        if self._links.closed or self._adding or key == self._active or self._scene.is_live(key):
            return
        self._active = key
        if measurement := self._scene.measured_as(key):
            self.measurement.choose(measurement)
        self._refresh()

    def _on_grid(self, event: Any = None) -> None:
        if not self._links.closed:
            self.side_by_side.setChecked(bool(self._viewer.canvas.grid.enabled))

    def _arrange(self) -> None:
        if not self.side_by_side.isChecked():
            self._runner.say(self.status.text().removesuffix(UNTICK))  # done as advised
        self._scene.arrange(
            side_by_side=self.side_by_side.isChecked(),
            specimen=self.specimen.key(),
            looking=self._scene.is_looking(),
        )

    # -- what may be pressed -------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Enable what can be done now, and say of the rest why not."""
        specimen, measurement = self.specimen.key(), self.measurement.key()
        busy, chosen = self._runner.busy, self._scene.layer(measurement)
        self.hint.setVisible(not specimen and not measurement)
        self.sample_button.setVisible(not specimen)
        why_not, not_all = reasons(
            busy=busy,
            specimen=bool(specimen),
            pattern_set=self.settings.chosen_set() is not None,
            measurement=bool(measurement),
            image=self._scene.reconstruction_of(measurement, specimen) is not None,
            no_segmenter=self._no_segmenter(None if chosen is None else record_of(chosen)),
        )
        for opener in (self.settings.add_set, self.open_measurement):
            opener.setEnabled(not busy)
        for step, reason in why_not.items():
            self.buttons[step].setEnabled(not reason)
            self.buttons[step].setToolTip(reason or TITLES[step])
        self.run_all.setEnabled(not not_all)
        tip = about_run_all(can_segment=self.settings.finds_cells(), specimens=self.specimen.count())
        self.run_all.setToolTip(not_all or tip)
        self.live.setEnabled(busy or not not_all)
        self.live.setToolTip(LIVE if busy else not_all or LIVE)
        self._live.ask()

    def _no_segmenter(self, record: RunRecord | None) -> str:
        if record is None or self.settings.other_segmenter():
            return ""
        return settings.no_segmenter(record.info.set_hash)

    # -- running -------------------------------------------------------------------------------------

    def _where(self) -> dict[str, Any]:
        return {
            "specimen": self.specimen.key(),
            "truth": "" if self.truth.key() == "none" else self.truth.key(),
            "luminance": self.luminance.isChecked(),
        }

    def _run_all(self) -> None:
        segmenting: tuple[Step, ...] = ("segment",) if self.settings.finds_cells() else ()
        self._start(
            ("measure", "reconstruct", *segmenting, "compare"),
            lambda: self._scene.work(self.settings.choices(), measurement="", **self._where()),
        )

    def _run_one(self, step: Step) -> None:
        measurement, choices = self.measurement.key(), self.settings.choices()
        where = self._where()
        of = {"measurement": measurement, "specimen": where["specimen"]}
        if step == "compare":
            self._start((step,), lambda: self._scene.comparison(choices, truth=where["truth"], **of))
        elif step == "check":
            self._start((step,), lambda: work_to_check(self._scene, choices, **of))
        else:
            used = "" if step == "measure" else measurement
            where["truth"] = ""  # of no use here, whatever it is
            self._start((step,), lambda: self._scene.work(choices, measurement=used, **where))

    def _start(self, steps: tuple[Step, ...], prepare: Callable[[], Work]) -> None:
        if self._runner.busy:
            return
        try:
            work = prepare()
        except DmuError as error:
            self._runner.fail(error)
            return
        task = partial(run_steps, steps, work)
        self._runner.begin("Compressive microscope", task, partial(self._on_succeeded, steps))

    # -- what came of it -----------------------------------------------------------------------------

    def _on_succeeded(self, steps: tuple[Step, ...], work: Work) -> None:
        if self._links.closed:
            return
        first = not self._scene.newest("reconstruction")
        chosen = self._scene.is_chosen(work, self.specimen.key(), self.measurement.key())
        self._add(work, chosen=chosen)
        newest = self._scene.measurements()
        if "measure" in steps and newest and self._scene.measurement_of(self.specimen.key()) == newest[0][0]:
            self.measurement.choose(newest[0][0])
        if len(steps) > 1 and first:
            self.side_by_side.setChecked(True)
        elif steps == ("compare",) and work.compared is not None:
            self.side_by_side.setChecked(False)  # what was asked for is seen on the image
        elif steps == ("check",):
            self.side_by_side.setChecked(True)  # its maps would cover one another and the image
        self._arrange()
        if chosen:
            self._cards.show(steps, work)
        self._cards.add_figures(work)
        side_by_side, can_segment = self.side_by_side.isChecked(), not self._no_segmenter(work.record)
        self._runner.say(report(steps, work, side_by_side=side_by_side, can_segment=can_segment, named=not chosen))

    def _add(self, work: Work, *, chosen: bool) -> None:
        """Napari selects what is added; the panel follows only where it is of what is chosen."""
        self._adding = not chosen
        try:
            self._scene.add(work.made)
        finally:
            self._adding = False

    def _on_started(self) -> None:
        self._live.pause()  # it goes on when the work has ended
        self._refresh()

    def _on_ended(self) -> None:
        self._refresh()
        QTimer.singleShot(0, self.open_waiting)  # once all that follows from the end is done
        self.settings.budget.catch_up()  # torch is loaded now

    # -- the live view -------------------------------------------------------------------------------

    def _live_request(self) -> tuple[Request, Work] | None:
        """What the live view should show now."""
        where, layer = self._where(), self._scene.layer(self.specimen.key())
        if layer is None:
            self._live.follow(None, None)
        if layer is None or self._runner.busy or self.settings.chosen_set() is None:
            return None
        choices = self.settings.choices()
        work = self._scene.work(choices, measurement="", **where)
        self._live.follow(layer, self._scene.layer(where["truth"]))
        assert work.specimen is not None
        request = Request(
            choices,
            **where,
            version=self._live.specimen.version,
            truth_version=self._live.truth.version,
            geometry=work.specimen.geometry,
            part=part_in_view(self._viewer, layer),
            lazy=is_lazy(work.specimen.data),
            cells=self.settings.finds_cells(),
        )
        return request, work

    def _on_live_toggled(self, on: bool) -> None:
        self._fresh = on
        self._live.switch(on)

    def _on_live(self, work: Work, came: bool) -> None:
        layer = self._scene.layer(self.specimen.key())
        part = layer is not None and is_part(work, layer)
        if self._fresh and not part:
            self.side_by_side.setChecked(True)
        self._fresh = False
        if came:  # otherwise everything is where it was, or where the user wants it
            self._scene.arrange(
                side_by_side=self.side_by_side.isChecked(),
                specimen=self.specimen.key(),
                looking=True,
                keep_view=part,  # the view says what is looked at
            )
        self._runner.say(sentence(work, part=part))

    def _on_live_failed(self, error: BaseException) -> None:
        if isinstance(error, DmuError):
            self._runner.say(f"⚠ {error}")  # no notification: it may come at every turn of a knob
        else:
            self.live.setChecked(False)
            self._runner.fail(error)
