"""The cards of the panel, each with the run that it is of."""

from collections.abc import Collection

from napari_dmu.viewer.columns import Column
from napari_dmu.viewer.layers import layer_name
from napari_dmu.viewer.steps import Step, Work
from napari_dmu.viewer.summary import figures
from napari_dmu.viewer.widgets.view import PanelView


class Cards:
    """Fills the cards, and empties them when what they are of is no longer chosen, or gone."""

    def __init__(self, view: PanelView) -> None:
        self._view = view
        self._counted = self._checked = ""  # runs

    def keep(self, runs: Collection[str]) -> None:
        """Take away what is of none of these runs; the table names what it is of and stays."""
        if self._counted not in runs:
            self._view.cells.clear()
        if self._checked not in runs:
            self._view.trust.hide()

    def show(self, steps: Collection[Step], work: Work) -> None:
        """Show the cells that were found and compared, and the verdict."""
        run = "" if work.record is None else work.record.run
        if work.counts is not None:
            self._view.cells.show_count(work.counts)
            self._counted = run
        if work.compared is not None:
            self._view.cells.show_compared(work.compared)
        if work.assessment is not None and work.record is not None:
            self._view.trust.show_assessment(work.assessment, layer_name(work.record, "reconstruction"))
            self._view.bring_into_view(self._view.trust)
            self._checked = run
        elif "reconstruct" in steps:
            self._view.trust.hide()  # what it says is of another image

    def add_figures(self, work: Work) -> None:
        """Add the figures of a comparison to the table."""
        if work.comparison is not None and work.record is not None:
            self._view.metrics.add(Column.of(work.record, work.choices.method), figures(work.comparison))
            self._view.bring_into_view(self._view.metrics)
