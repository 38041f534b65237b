"""Where the instrument is chosen: ratio, pattern set, light, and under Advanced the rest."""

from collections.abc import Sequence
from functools import partial

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QPushButton, QWidget

from napari_dmu.microscope.presets import PRESETS
from napari_dmu.segmentation.registry import PATTERN_SET, available_segmenters
from napari_dmu.viewer.budget import budget_of
from napari_dmu.viewer.settings import pattern_sets, plugin_settings, preferences
from napari_dmu.viewer.steps import Choices
from napari_dmu.viewer.summary import acquisition_summary
from napari_dmu.viewer.widgets.amount import Amount, Seed
from napari_dmu.viewer.widgets.budget_card import BudgetCard
from napari_dmu.viewer.widgets.choice import Choice
from napari_dmu.viewer.widgets.links import Links
from napari_dmu.viewer.widgets.parts import (
    GAP,
    Note,
    Section,
    add_row,
    add_row_with_button,
    column,
    form,
)
from napari_dmu.zoo.registry import SetSummary

NO_SETS = "There are no pattern sets here: press Add…, or name a folder of them in File ▸ Preferences ▸ napari-dmu."

AS_SET = "set"
ADVANCED = "Advanced"
ABOUT_ADVANCED = "Detector, noise, reconstruction method and device."
# What tells the families of patterns from one another; the decoder is trained with each of them.
FAMILIES = {
    "learned": "Patterns learned together with the decoder, on specimens of this kind.",
    "plain": "All mirrors on: an ordinary camera with larger pixels and as many samples, to compare with.",
    "hadamard": "Walsh–Hadamard patterns, the coarse ones first: from the textbook, nothing about them is learned.",
    "random": "Every mirror on or off by chance: nothing about the patterns is learned.",
    "raster": "One spot of every detector pixel lights up after the other: a scan.",
}
OWN_FAMILY = "Patterns that somebody has made."
METHODS = {
    "learned": ("Learned network", "The trained decoder: the finest, by what it has learned of such specimens."),
    "lmmse": ("Linear estimate (LMMSE)", "The decoder's first step alone: coarser, but nothing is made up."),
    "ridge": ("Ridge", "From the optics and the noise alone, nothing learned: smooth."),
    "tv": ("Total variation", "Nothing learned: even areas with sharp edges, never negative; the slowest."),
}


class SettingsForm(QWidget):
    """Ratio, pattern set and light.

    Signals
    -------
    changed
        Another pattern set.
    touched
        Anything at all.
    """

    changed = Signal()
    touched = Signal()

    def __init__(self, device: str) -> None:
        super().__init__()
        self._sets: list[SetSummary] = []
        self._by_hand = ""  # key of the set that somebody chose; another ratio may not have it
        self._filled: dict[Amount, float] = {}  # light and noise of a set, as they were filled in
        self.ratio = Choice("ratio", "none")
        self.pattern_set = Choice("pattern_set", "none")
        self.photons = Amount("photons", 1e7, 1000, " photons", bottom=0.01, decimals=2)
        self.summary = Note("summary")
        self.summary.setToolTip(
            "Light dose: the light that the specimen receives, in full exposures (every mirror on). A fair comparison "
            "keeps it in sight."
        )
        rows = form()
        add_row(
            rows, "&Ratio", self.ratio,
            "Compression: how many specimen pixels there are for each sample that the detector delivers.",
        )  # fmt: skip
        self.add_set = QPushButton("Add…")
        self.add_set.setObjectName("add_set")
        self.add_set.setToolTip("Add a pattern set from a file or from the web.")
        add_row_with_button(
            rows, "Patt&ern set", self.pattern_set, self.add_set,
            "The illumination patterns and the networks trained with them: choose the one for specimens like yours.",
        )  # fmt: skip
        add_row(
            rows, "Pho&tons", self.photons,
            "How many reach the camera from the brightest pixel per exposure: 100 is dim, 1 000 usual, 10 000 bright.",
        )  # fmt: skip
        layout = column()
        layout.addLayout(rows)
        layout.addWidget(self.summary)
        layout.addWidget(self._advanced(device))
        self.budget = BudgetCard()
        layout.addWidget(self.budget)
        self.setLayout(layout)
        self.ratio.chosen.connect(self._offer_sets)
        self.pattern_set.activated.connect(self._remember)
        self.pattern_set.chosen.connect(self._on_set)
        self.detector.chosen.connect(self._on_detector)
        self.changed.connect(self._on_light)
        for amount in (self.photons, self.read_noise, self.background):
            amount.valueChanged.connect(self._on_light)
        choices = (self.detector, self.method, self.segmenter, self.device)
        for signal in (self.changed, self.seed.valueChanged, *(choice.chosen for choice in choices)):
            signal.connect(self.touched)
        self.touched.connect(self._say_changed)

    def _advanced(self, device: str) -> Section:
        self.detector = Choice("detector")
        self.detector.offer([(AS_SET, "As the set"), *((key, preset.title) for key, preset in PRESETS.items())])
        self.detector.explain({AS_SET: "The detector that the networks were trained with."})
        self.detector.explain({key: preset.source for key, preset in PRESETS.items()})
        self.read_noise = Amount("read_noise", 1e3, 2, " electrons", decimals=3)
        self.background = Amount("background", 1e6, 2, " photons", decimals=3)
        self.seed = Seed()
        self.seed.setObjectName("seed")
        self.seed.setRange(0, 2**31 - 1)
        self.method = Choice("method")
        self.method.offer([(key, title) for key, (title, _) in METHODS.items()])
        self.method.explain({key: meaning for key, (_, meaning) in METHODS.items()})
        self.segmenter = Choice("segmenter")
        self._offer_segmenters()
        self.device = Choice("device")
        self.device.offer(
            [("auto", "Automatic"), ("cpu", "Processor (CPU)"), ("cuda", "GPU (CUDA)"), ("mps", "GPU (Apple)")],
            prefer=device,
        )
        rows = form()
        rows.setContentsMargins(0, GAP, 0, GAP)
        add_row(
            rows, "&Detector", self.detector,
            "Its efficiency, gain, noise and limits. Fills in the read noise; the list says where each figure is from.",
        )  # fmt: skip
        add_row(rows, "Read noise", self.read_noise, "Noise that the detector adds to every sample when it is read.")
        add_row(rows, "&Background", self.background, "Stray light on every detector pixel in one exposure.")
        add_row(rows, "Noise seed", self.seed, "The same seed gives the same noise; another one, another measurement.")
        add_row(
            rows, "Reconstruction", self.method,
            "How the image is worked out: with the trained network, its first step alone, or nothing learned.",
        )  # fmt: skip
        if self.segmenter.count() > 1:
            add_row(
                rows, "Cells by", self.segmenter,
                "What finds the cells: the pattern set's own network, or another segmenter on the reconstruction.",
            )  # fmt: skip
        add_row(
            rows, "Device", self.device,
            "What computes: automatic takes a GPU if there is one. File ▸ Preferences ▸ napari-dmu keeps it.",
        )  # fmt: skip
        content = QWidget()
        content.setLayout(rows)
        self._usual = {choice: choice.key() for choice in (self.detector, self.method, self.segmenter, self.device)}
        self.advanced = Section(ADVANCED, "advanced", ABOUT_ADVANCED)
        self.advanced.fill(content)
        return self.advanced

    def _changed_controls(self) -> list[str]:
        """Names of what is set under Advanced that is not as it comes with the pattern set and the preferences."""
        preset, chosen = PRESETS.get(self.detector.key()), self.chosen_set()
        usual: dict[QWidget, bool] = {choice: choice.key() == key for choice, key in self._usual.items()}
        usual[self.seed] = self.seed.value() == 0
        if chosen is not None:
            own = chosen.header.acquisition
            usual[self.background] = self.background.shows(own.background)
            usual[self.read_noise] = self.read_noise.shows((own if preset is None else preset).read_noise)
        return [control.accessibleName() for control, is_usual in usual.items() if not is_usual]

    def _say_changed(self) -> None:
        """Say in the title that something was changed, for the section may be closed; and what, in its tip."""
        changed = self._changed_controls()
        self.advanced.setText(f"{ADVANCED} · changed" if changed else ADVANCED)
        what = f"{ABOUT_ADVANCED}\nChanged: {', '.join(changed)}." if changed else ABOUT_ADVANCED
        self.advanced.toggleButton().setToolTip(what)

    def _offer_segmenters(self) -> None:
        """The pattern set's own, and whatever installed packages offer and can be used."""
        usable = [one for one in available_segmenters() if not one.lacks]
        self.segmenter.offer([(one.name, one.name[0].upper() + one.name[1:]) for one in usable])
        self.segmenter.explain({one.name: one.origin for one in usable})

    def follow_preferences(self, links: Links) -> None:
        """Take over what is set under Preferences while the form is open."""
        found = plugin_settings()
        if found is not None:
            links.connect(found.computing.events.device, self._on_preferred_device)
            links.connect(found.library.events.folder, self._on_preferred_folder)

    def _on_preferred_device(self) -> None:
        self._usual[self.device] = preferences().device
        self.device.choose(preferences().device)
        self._say_changed()

    def _on_preferred_folder(self) -> None:
        self.offer(pattern_sets())

    # -- the sets ------------------------------------------------------------------------------------

    def offer(self, sets: Sequence[SetSummary]) -> None:
        """Offer these pattern sets."""
        self._sets = list(sets)
        ratios = sorted({s.ratio for s in self._sets})
        self.ratio.offer([(f"{r:g}", f"×{r:g}") for r in ratios], prefer="64")
        self._offer_sets()

    def choose_set(self, wanted: SetSummary) -> None:
        """Choose this one of the sets that are offered."""
        self.ratio.choose(f"{wanted.ratio:g}")
        self.pattern_set.choose(f"{wanted.name}/{wanted.family}")
        self._remember()

    def _remember(self) -> None:
        self._by_hand = self.pattern_set.key()

    def _offer_sets(self) -> None:
        fitting = [s for s in self._sets if f"{s.ratio:g}" == self.ratio.key()]
        # Learned patterns first: the others are there to compare with.
        fitting.sort(key=lambda s: (s.family != "learned", s.name != "nuclei", s.name, s.family))
        entries = [(f"{s.name}/{s.family}", f"{s.name}, {s.family}") for s in fitting]
        name, _, _ = self._by_hand.partition("/")
        alike = next((key for key, _ in entries if key.startswith(f"{name}/")), "")
        self.pattern_set.offer(entries, insist=self._by_hand, prefer=alike)
        self.pattern_set.explain({f"{s.name}/{s.family}": FAMILIES.get(s.family, OWN_FAMILY) for s in fitting})
        self._on_set()

    def _on_set(self) -> None:
        """Fill in the set's own light and noise, where what is there was the last set's and nobody changed it."""
        chosen = self.chosen_set()
        for amount in (self.photons, self.background, self.read_noise):
            preset = amount is self.read_noise and self.detector.key() != AS_SET
            if chosen is not None and not preset and self._filled.get(amount, amount.value()) == amount.value():
                amount.fill(getattr(chosen.header.acquisition, amount.objectName()))
                self._filled[amount] = amount.value()
        self.changed.emit()

    def chosen_set(self) -> SetSummary | None:
        """The pattern set that is chosen."""
        wanted = (self.ratio.key(), self.pattern_set.key())
        return next((s for s in self._sets if (f"{s.ratio:g}", f"{s.name}/{s.family}") == wanted), None)

    def other_segmenter(self) -> bool:
        """Whether cells are to be found by another than the pattern set's own network."""
        return self.segmenter.key() != PATTERN_SET

    def finds_cells(self) -> bool:
        """Whether cells can be found in what the chosen set would measure."""
        chosen = self.chosen_set()
        return self.other_segmenter() or (chosen is not None and chosen.has_segmenter)

    def choices(self) -> Choices:
        """Everything as it is set now."""
        chosen = self.chosen_set()
        which = {} if chosen is None else {"name": chosen.name, "ratio": chosen.ratio, "family": chosen.family}
        return Choices(
            **which,
            photons=self.photons.exact(),
            background=self.background.exact(),
            read_noise=self.read_noise.exact(),
            detector=None if self.detector.key() == AS_SET else self.detector.key(),
            seed=self.seed.value(),
            method=self.method.key(),
            segmenter=self.segmenter.key(),
            device=self.device.key(),
            tile_memory=preferences().tile_memory,
        )

    # -- the light -----------------------------------------------------------------------------------

    def _on_detector(self) -> None:
        """Its read noise is filled in, and may be changed after that."""
        preset, chosen = PRESETS.get(self.detector.key()), self.chosen_set()
        if preset is not None:
            self.read_noise.fill(preset.read_noise)
        elif chosen is not None:
            self.read_noise.fill(chosen.header.acquisition.read_noise)
            self._filled[self.read_noise] = self.read_noise.value()
        self._on_light()  # even where the read noise is the same

    def _on_light(self) -> None:
        self.touched.emit()
        chosen = self.chosen_set()
        self.budget.ask(None if chosen is None else partial(budget_of, chosen, self.choices()))

    def describe(self, shape: tuple[int, ...] | None) -> None:
        """Say in plain words what would be measured of a specimen of this shape."""
        chosen = self.chosen_set()
        if chosen is None:
            self.summary.setText(NO_SETS)
        else:
            known = shape is not None and len(shape) >= 2 and 0 not in shape
            self.summary.setText(acquisition_summary(shape if known else None, chosen))
