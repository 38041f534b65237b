"""How the panel looks: its controls, their order and their explanations. No behaviour here but scrolling."""

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QMenu,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dmu.viewer.samples import SAMPLES
from napari_dmu.viewer.steps import Step
from napari_dmu.viewer.widgets.cells_card import CellsCard
from napari_dmu.viewer.widgets.choice import Choice
from napari_dmu.viewer.widgets.metrics import MetricsTable
from napari_dmu.viewer.widgets.parts import (
    GAP,
    MARGIN,
    Area,
    Note,
    add_row,
    add_row_with_button,
    column,
    form,
    heading,
    line,
)
from napari_dmu.viewer.widgets.settings_form import SettingsForm
from napari_dmu.viewer.widgets.style import PANEL, PRIMARY
from napari_dmu.viewer.widgets.trust_card import TrustCard

SETTLED = 1500  # milliseconds until everything has its height, on a slow machine
# Letters for Alt are used once; F, H, L, P, V and W open napari's menus.
BUTTONS: dict[Step, str] = {
    "measure": "&Measure",
    "reconstruct": "Re&construct",
    "segment": "Segme&nt",
    "compare": "C&ompare",
    "check": "Chec&k the reconstruction",
}


class PanelView(QWidget):
    """The controls of the panel in a scroll area, from the specimen down to the figures."""

    def __init__(self, device: str) -> None:
        super().__init__()
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        layout.setSpacing(GAP)
        for part in (self._specimen(), line(), self._microscope(device), line(), self._run(), line(), self._results()):
            if isinstance(part, QWidget):
                layout.addWidget(part)
            else:
                layout.addLayout(part)
        layout.addStretch(1)
        self.area = Area(body)
        self._settling, self._wanted = QTimer(self), body
        self._settling.setSingleShot(True)
        self._settling.setInterval(SETTLED)
        bar = self.area.verticalScrollBar()
        assert bar is not None
        bar.rangeChanged.connect(self._follow)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.area)
        self.setStyleSheet(PANEL)

    def bring_into_view(self, part: QWidget) -> None:
        """Scroll to a part: now, and while texts that were just set find their lines and those below make room."""
        self._wanted = part
        self._settling.start()
        self._follow()

    def _follow(self) -> None:
        if self._settling.isActive():
            self.area.ensureWidgetVisible(self._wanted, 0, GAP)

    def _specimen(self) -> QVBoxLayout:
        self.specimen = Choice("specimen", "No image is open")
        self.hint = Note("hint")
        self.hint.setText("Drop a TIFF on the window, or open a sample.")
        self.sample_button = QPushButton("Open sample")
        self.sample_button.setObjectName("open_sample")
        self.sample_button.setToolTip("Simulated specimens that come with napari-dmu, with their true cells.")
        menu = QMenu(self.sample_button)
        self.sample_actions = {key: menu.addAction(title) for key, title in SAMPLES.items()}
        self.sample_button.setMenu(menu)
        self.luminance = QCheckBox("Use its luminance (the image is in colour)")
        self.luminance.setObjectName("luminance")
        self.luminance.setToolTip("Measure the brightness of a colour image; or split its channels and choose one.")
        self.luminance.setVisible(False)
        self.truth = Choice("truth", "none")
        rows = form()
        add_row(rows, "&Specimen", self.specimen, "The image that the microscope looks at: any image layer, 2D to 5D.")
        rows.addRow(self.luminance)
        add_row(
            rows, "&Ground truth", self.truth,
            "The true cells, if you have them: a labels layer, or a mask that opened as an image (each cell with a "
            "number of its own). Compare then also scores the cells that were found.",
        )  # fmt: skip
        self.measurement = Choice("measurement", "none yet")
        self.open_measurement = QPushButton("Open…")
        self.open_measurement.setObjectName("open_measurement")
        self.open_measurement.setToolTip("Open a measurement that was saved, to reconstruct or segment it.")
        ways = QMenu(self.open_measurement)  # no dialog of the system takes both files and folders
        self.open_file = ways.addAction("TIFF file, or YAML file of a camera run…")
        self.open_folder = ways.addAction("OME-Zarr folder…")
        self.open_measurement.setMenu(ways)
        add_row_with_button(
            rows, "Meas&urement", self.measurement, self.open_measurement,
            "The measurement that Reconstruct and Segment go by: the last one, or the one you select.",
        )  # fmt: skip
        layout = column()
        layout.addLayout(rows)
        for widget in (self.hint, self.sample_button):
            layout.addWidget(widget)
        return layout

    def _microscope(self, device: str) -> QVBoxLayout:
        self.settings = SettingsForm(device)
        layout = column()
        layout.addWidget(heading("Microscope"))
        layout.addWidget(self.settings)
        return layout

    def _run(self) -> QVBoxLayout:
        self.run_all = QPushButton("Run &all")
        self.run_all.setObjectName("run_all")
        self.run_all.setStyleSheet(PRIMARY)
        self.live = QCheckBox("L&ive")
        self.live.setObjectName("live")
        first = QHBoxLayout()
        first.setSpacing(2 * GAP)
        first.addWidget(self.run_all, 1)
        first.addWidget(self.live)
        self.buttons: dict[Step, QPushButton] = {}
        grid = QGridLayout()
        grid.setSpacing(GAP)
        for index, (step, text) in enumerate(BUTTONS.items()):
            button = QPushButton(text)
            button.setObjectName(step)
            self.buttons[step] = button
            grid.addWidget(button, index // 2, index % 2, 1, 2 if step == "check" else 1)
        self.progress = QProgressBar()
        self.progress.setObjectName("progress")
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(True)
        self.progress.setAccessibleName("Progress")
        self.cancel = QPushButton("Cancel")
        self.cancel.setObjectName("cancel")
        self.cancel.setToolTip("Stop; nothing is added.")
        bar = QHBoxLayout()
        bar.setSpacing(GAP)
        bar.addWidget(self.progress, 1)
        bar.addWidget(self.cancel)
        self.status = Note("status")
        self.status.setAccessibleName("Status")
        layout = column()
        layout.addLayout(first)
        layout.addLayout(grid)
        layout.addLayout(bar)
        layout.addWidget(self.status)
        return layout

    def _results(self) -> QVBoxLayout:
        self.side_by_side = QCheckBox("Show side b&y side")
        self.side_by_side.setObjectName("side_by_side")
        self.side_by_side.setToolTip(
            "Every visible layer in a field of its own (napari's grid), or all on one another."
        )
        self.metrics = MetricsTable()
        layout = column()
        top = QHBoxLayout()
        top.addWidget(heading("Results"))
        top.addStretch(1)
        top.addWidget(self.side_by_side)
        layout.addLayout(top)
        self.cells = CellsCard()
        layout.addWidget(self.cells)
        layout.addWidget(self.metrics)
        self.trust = TrustCard()
        layout.addWidget(self.trust)
        return layout
