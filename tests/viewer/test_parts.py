"""The small parts of the panel: how they share the room there is."""

from typing import Any

import pytest
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QWidget

from napari_dmu.viewer.widgets.parts import add_row, form

pytestmark = pytest.mark.qt


def test_a_box_that_spans_the_row_leaves_labels_beside_their_controls(qtbot: Any) -> None:
    part, rows = QWidget(), form()
    qtbot.addWidget(part)
    add_row(rows, "&Specimen", QComboBox(), "")
    wide = QCheckBox("Use its luminance (the image is in colour), which is wider than a label and its control")
    rows.addRow(wide)
    part.setLayout(rows)
    part.show()
    part.resize(wide.minimumSizeHint().width() + 20, 200)
    qtbot.waitUntil(lambda: part.width() < wide.minimumSizeHint().width() + 30)
    assert rows.rowWrapPolicy() == QFormLayout.RowWrapPolicy.DontWrapRows
    assert rows.minimumSize().width() == wide.minimumSizeHint().width()
